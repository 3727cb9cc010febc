//! Which images a command line names: files, folders, patterns, or `-` for standard input.

mod scan;

pub use self::scan::{Skipped, report};

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    io::Read,
    path::{Component, Path, PathBuf},
};

use super::Context;
use crate::{
    Error, Reason, Result,
    frame::{Image, ImageInfo, Limits, ReadOptions},
};

/// One image to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is; `None` for standard input.
    pub path: Option<PathBuf>,
    /// What it is called in results, relative to the folder or the working directory it was found from.
    pub name: PathBuf,
    /// The page, from 0, of a file of several.
    pub page: Option<usize>,
}

impl Input {
    fn file(path: PathBuf, name: PathBuf) -> Self {
        Self { path: Some(path), name, page: None }
    }

    /// What the user sees: the path as given, or `-`; a page as `FILE#2`.
    pub fn label(&self) -> String {
        let path = self.path.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
        self.page.map_or(path.clone(), |page| format!("{path}#{}", page + 1))
    }

    /// Reads and decodes it.
    pub fn read(&self, options: &ReadOptions) -> Result<Image> {
        match (&self.path, self.page) {
            (Some(path), Some(page)) => Image::open_page(path, page, options),
            (Some(path), None) => Image::open_with(path, options),
            (None, _) => {
                let mut bytes = Vec::new();
                let stdin = std::io::stdin().lock();
                stdin
                    .take(options.limits.max_bytes.saturating_add(1))
                    .read_to_end(&mut bytes)
                    .map_err(Error::io("read", "standard input"))?;
                Image::decode_with(&bytes, "standard input", options)
            }
        }
    }

    /// The pages of a TIFF file of several, each as an input of its own; else the input itself. Damage is told when it is read.
    pub fn pages(self, limits: &Limits) -> Vec<Self> {
        let pages = self.path.as_ref().map_or(1, |path| count_pages(path, limits).unwrap_or(1));
        if pages < 2 {
            return vec![self];
        }
        let page = |page: usize| {
            let extension = self.name.extension().map(OsString::from);
            let name = append(self.name.with_extension("").as_os_str().as_encoded_bytes(), &format!("#{}", page + 1));
            let mut name = PathBuf::from(name);
            if let Some(extension) = extension {
                name.as_mut_os_string().push(".");
                name.as_mut_os_string().push(extension);
            }
            Self { path: self.path.clone(), name, page: Some(page) }
        };
        (0..pages).map(page).collect()
    }
}

/// Pages of a TIFF file; `None` for other files.
fn count_pages(path: &Path, limits: &Limits) -> Option<usize> {
    let mut file = std::fs::File::open(path).ok()?;
    if file.metadata().ok()?.len() > limits.max_bytes {
        return None;
    }
    let mut bytes = vec![0; 4];
    file.read_exact(&mut bytes).ok()?;
    if !["II*\0", "MM\0*", "II+\0", "MM\0+"].iter().any(|magic| bytes == magic.as_bytes()) {
        return None;
    }
    file.read_to_end(&mut bytes).ok()?;
    ImageInfo::read(&bytes, "").ok().map(|info| info.pages)
}

/// A file name with an ending, whatever its bytes.
pub fn append(name: &[u8], ending: &str) -> OsString {
    #[cfg(unix)]
    let mut name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name).to_owned();
    #[cfg(not(unix))]
    let mut name = OsString::from(String::from_utf8_lossy(name).into_owned());
    name.push(ending);
    name
}

/// Expands the words of a command line, each real file once, in the order of the words and sorted within a folder. Files in folders
/// that are not looked at are reported.
pub fn expand(words: &[String], context: &Context) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for word in words {
        let path = Path::new(word);
        if word == "-" {
            inputs.push(Input { path: None, name: PathBuf::from("stdin"), page: None });
        } else if path.is_dir() {
            let found = images_below(path, context)?;
            inputs.extend(found.into_iter().map(|file| {
                let name = file.strip_prefix(path).unwrap_or(&file).to_owned();
                Input::file(file, name)
            }));
        } else if !path.exists() && word.contains(['*', '?', '[']) {
            inputs.extend(matches(word)?);
        } else {
            inputs.push(Input::file(path.to_owned(), inside(path)));
        }
    }
    let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let mut seen = HashSet::new();
    inputs.retain(|input| seen.insert(input.path.as_ref().map(real)));
    Ok(inputs)
}

fn matches(pattern: &str) -> Result<Vec<Input>> {
    let paths = glob::glob(pattern).map_err(|error| {
        Error::parameter("IMAGE", Reason::because(format_args!("`{pattern}` is not a pattern"), error))
    })?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|error| {
            let path = error.path().to_owned();
            Error::io("read", path)(error.into())
        })?;
        if path.is_file() {
            found.push(Input::file(path.clone(), inside(&path)));
        }
    }
    if found.is_empty() {
        return Err(Error::data(pattern, "no file matches this pattern"));
    }
    Ok(found)
}

/// All images in a folder and below it, sorted by path; at least one. Reports the files that are not looked at.
pub fn images_below(folder: &Path, context: &Context) -> Result<Vec<PathBuf>> {
    let found = scan::scan(folder)?;
    scan::report(&found.skipped, context)?;
    if found.images.is_empty() {
        let reason = format!("no images in this folder or below it (looked for {})", scan::EXTENSIONS.join(", "));
        return Err(Error::data(folder, reason));
    }
    Ok(found.images)
}

/// The path without anything that would lead out of an output folder.
fn inside(path: &Path) -> PathBuf {
    let kept = path.components().filter(|part| matches!(part, Component::Normal(_)));
    if path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return path.file_name().map(PathBuf::from).unwrap_or_default();
    }
    kept.collect()
}

/// Output names without the image's extension; where two images would share one, both keep theirs. Two that would
/// still share one are an error: nothing is overwritten silently.
pub fn output_names(inputs: &[Input]) -> Result<Vec<PathBuf>> {
    let mut stems: HashMap<PathBuf, usize> = HashMap::new();
    for input in inputs {
        *stems.entry(input.name.with_extension("")).or_default() += 1;
    }
    let mut taken: HashMap<PathBuf, &Input> = HashMap::new();
    let mut names = Vec::with_capacity(inputs.len());
    for input in inputs {
        let stem = input.name.with_extension("");
        let name = if stems[&stem] == 1 { stem } else { input.name.clone() };
        if let Some(other) = taken.insert(name.clone(), input) {
            return Err(Error::parameter(
                "--out",
                format!(
                    "{} and {} would both be written to {}; give them in two calls",
                    other.label(),
                    input.label(),
                    name.display()
                ),
            ));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(path: &str) -> Input {
        Input::file(path.into(), inside(Path::new(path)))
    }

    fn names(folder: &Path) -> (Vec<String>, Vec<String>) {
        let found = scan::scan(folder).unwrap();
        let name = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
        let skipped = found.skipped.iter().map(|file| format!("{}: {}", name(&file.path), file.reason));
        (found.images.iter().map(|path| name(path)).collect(), skipped.collect())
    }

    #[test]
    fn names_stay_inside_the_output_folder() {
        assert_eq!(inside(Path::new("a/b.png")), Path::new("a/b.png"));
        assert_eq!(inside(Path::new("./a/./b.png")), Path::new("a/b.png"));
        assert_eq!(inside(Path::new("../../etc/b.png")), Path::new("b.png"));
        assert_eq!(inside(Path::new("/data/a/b.png")), Path::new("b.png"));
    }

    #[test]
    fn shared_stems_keep_their_extension() {
        let names = output_names(&[input("a/x.png"), input("a/x.jpg"), input("a/y.png")]).unwrap();
        assert_eq!(names, ["a/x.png", "a/x.jpg", "a/y"].map(PathBuf::from));
    }

    #[test]
    fn two_images_never_share_an_output() {
        let error = output_names(&[input("/one/x.png"), input("/two/x.png")]).unwrap_err().to_string();
        assert!(error.contains("/one/x.png") && error.contains("/two/x.png"), "{error}");
    }

    #[test]
    fn every_file_of_a_folder_is_an_image_or_skipped_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("sub")).unwrap();
        for name in ["b.png", "sub/a.JPG", "c.gif", "d.pgm", ".hidden.png", "notes.txt"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        std::fs::write(folder.path().join("e.avif"), b"\0\0\0\x20ftypavif\0\0\0\0").unwrap();
        let (images, skipped) = names(folder.path());
        assert_eq!(images, ["b.png", "c.gif", "d.pgm", "sub/a.JPG"]);
        assert!(skipped[0].starts_with("e.avif: it looks like an image"), "{skipped:?}");
        assert_eq!(skipped[1..], ["notes.txt: its name does not end like an image's"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_circle_give_each_real_file_once() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        for number in 0..3 {
            std::fs::write(at(&format!("sub/{number}.png")), b"x").unwrap();
        }
        symlink(folder.path(), at("sub/loop")).unwrap();
        symlink(at("sub"), at("again")).unwrap();
        symlink(at("sub/1.png"), at("a.png")).unwrap();
        let (images, skipped) = names(folder.path());
        assert_eq!(images, ["sub/0.png", "sub/1.png", "sub/2.png"]);
        assert_eq!(skipped, ["a.png: it is a link to a file that is there already"]);
        let words = [at("sub/1.png"), at("a.png")].map(|path| path.display().to_string());
        assert_eq!(expand(&words, &Context::default()).unwrap().len(), 1);
    }

    #[test]
    fn what_an_earlier_run_wrote_is_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "a.overlay.png", "a.mask.png", "b.mask.png"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let (images, skipped) = names(folder.path());
        assert_eq!(images, ["a.png", "b.mask.png"], "a mask without its overlay may be anybody's");
        assert!(skipped.iter().all(|line| line.ends_with("`uflow detect --out` wrote it")), "{skipped:?}");
        assert_eq!(skipped.len(), 2);
    }

    #[test]
    fn a_pattern_without_matches_is_an_error() {
        let error = expand(&["/nowhere/*.png".to_owned()], &Context::default()).unwrap_err().to_string();
        assert!(error.contains("/nowhere/*.png"), "{error}");
    }
}
