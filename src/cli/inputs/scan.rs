//! Searching folders for images. Every file is accounted for: it is an image, or it is skipped with a reason that is reported.

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::super::Context;
use crate::{Error, Result, frame::FileKind};

/// File name endings that are taken for images when a folder is searched.
pub const EXTENSIONS: [&str; 14] =
    ["png", "jpg", "jpeg", "jpe", "bmp", "tif", "tiff", "webp", "gif", "pgm", "ppm", "pbm", "pnm", "pam"];

/// Endings of the files that `uflow detect --out` writes for one image.
const WRITTEN: [&str; 2] = [".overlay.png", ".mask.png"];

/// What a folder holds.
#[derive(Debug, Default)]
pub struct FolderContents {
    /// Images by path, each real file once.
    pub images: Vec<PathBuf>,
    /// Files that are not looked at, by path, and why.
    pub skipped: Vec<Skipped>,
}

/// A file that is not looked at.
#[derive(Debug)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub reason: &'static str,
}

impl Skipped {
    /// A file whose name does not end like an image's.
    pub fn no_image(path: PathBuf) -> Self {
        let reason = if looks_like_image(&path) { UNREADABLE } else { NO_IMAGE };
        Self { path, reason }
    }
}

const NO_IMAGE: &str = "its name does not end like an image's";
const UNREADABLE: &str =
    "it looks like an image, but its name does not end like one that can be read; rename or convert it";
const OWN: &str = "`uflow detect --out` wrote it";
const TWICE: &str = "it is a link to a file that is there already";

/// Searches a folder and those below it. Hidden files and folders are left out. Symbolic links are followed, each real folder and
/// each real file once, so that links in a circle end.
pub fn scan(folder: &Path) -> Result<FolderContents> {
    let mut walk = Walk::default();
    walk.enter(folder)?;
    // Links come last, so that a file keeps its own name rather than that of a link to it.
    while let Some(link) = walk.links.pop_first() {
        if link.is_dir() {
            walk.enter(&link)?;
        } else if link.is_file() {
            walk.take(link);
        }
    }
    let mut found = FolderContents { images: walk.images, skipped: walk.skipped };
    skip_own(&mut found);
    found.images.sort();
    found.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[derive(Default)]
struct Walk {
    images: Vec<PathBuf>,
    skipped: Vec<Skipped>,
    links: BTreeSet<PathBuf>,
    /// Real paths of files and folders.
    seen: HashSet<PathBuf>,
}

impl Walk {
    fn enter(&mut self, folder: &Path) -> Result<()> {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            if !self.is_new(&folder) {
                continue;
            }
            for entry in std::fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
                let entry = entry.map_err(Error::io("list", &folder))?;
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                let kind = entry.file_type().map_err(Error::io("list", &folder))?;
                let path = entry.path();
                if kind.is_symlink() {
                    self.links.insert(path);
                } else if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    self.take(path);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, path: PathBuf) {
        if !is_image(&path) {
            self.skipped.push(Skipped::no_image(path));
        } else if self.is_new(&path) {
            self.images.push(path);
        } else {
            self.skipped.push(Skipped { path, reason: TWICE });
        }
    }

    fn is_new(&mut self, path: &Path) -> bool {
        self.seen.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
    }
}

/// Takes out the overlays and masks of an earlier run: those that are there in pairs.
fn skip_own(found: &mut FolderContents) {
    let all: HashSet<PathBuf> = found.images.iter().cloned().collect();
    let (own, images) = std::mem::take(&mut found.images).into_iter().partition(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        WRITTEN.iter().any(|ending| {
            name.strip_suffix(ending.as_bytes()).is_some_and(|stem| {
                WRITTEN.iter().all(|ending| all.contains(&path.with_file_name(super::append(stem, ending))))
            })
        })
    });
    found.images = images;
    let own: Vec<PathBuf> = own;
    found.skipped.extend(own.into_iter().map(|path| Skipped { path, reason: OWN }));
}

fn looks_like_image(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(256).read_to_end(&mut head));
    read.is_ok() && FileKind::looks_like_image(&head)
}

fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// Says which files are not looked at: names by reason on standard error; with `--json` a line for each on standard output, too.
pub fn report(skipped: &[Skipped], context: &Context) -> Result<()> {
    const NAMED: usize = 5;
    for reason in [UNREADABLE, NO_IMAGE, OWN, TWICE] {
        let of: Vec<_> = skipped.iter().filter(|file| file.reason == reason).collect();
        let names: Vec<_> = of.iter().take(NAMED).map(|file| file.path.display().to_string()).collect();
        let more = match of.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        match of.len() {
            0 => {}
            1 => eprintln!("uflow: warning: 1 file is skipped: {}: {reason}", names[0]),
            count => {
                eprintln!("uflow: warning: {count} files are skipped: {}{more}; of each: {reason}", names.join(", "))
            }
        }
    }
    if context.json {
        for Skipped { path, reason } in skipped {
            context.print_json(&json!({ "event": "skipped", "path": path.display().to_string(), "error": reason }))?;
        }
    }
    Ok(())
}
