//! Which images a command line names: files, folders, patterns, or `-` for standard input.

use std::{
    collections::HashMap,
    io::Read,
    path::{Component, Path, PathBuf},
};

use crate::{
    Error, Result,
    frame::{Image, Limits},
};

/// File name endings that are taken for images when a folder is searched.
pub const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "jpe"];

/// One image to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is; `None` for standard input.
    pub path: Option<PathBuf>,
    /// What it is called in results, relative to the folder or the working directory it was found from.
    pub name: PathBuf,
}

impl Input {
    /// What the user sees: the path as given, or `-`.
    pub fn label(&self) -> String {
        self.path.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string())
    }

    /// Reads and decodes it.
    pub fn read(&self, limits: &Limits) -> Result<Image> {
        let Some(path) = &self.path else {
            let mut bytes = Vec::new();
            let stdin = std::io::stdin().lock();
            stdin
                .take(limits.max_bytes.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(Error::io("read", "standard input"))?;
            return Image::decode(&bytes, "standard input", limits);
        };
        Image::open(path, limits)
    }
}

/// Expands the words of a command line, each image once, in the order of the words and sorted within a folder.
pub fn expand(words: &[String]) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for word in words {
        let path = Path::new(word);
        if word == "-" {
            inputs.push(Input { path: None, name: PathBuf::from("stdin") });
        } else if path.is_dir() {
            let found = images_below(path)?;
            if found.is_empty() {
                return Err(Error::Data { path: path.to_owned(), reason: no_images() });
            }
            inputs.extend(found.into_iter().map(|file| {
                let name = file.strip_prefix(path).unwrap_or(&file).to_owned();
                Input { path: Some(file), name }
            }));
        } else if !path.exists() && word.contains(['*', '?', '[']) {
            inputs.extend(matches(word)?);
        } else {
            inputs.push(Input { path: Some(path.to_owned()), name: inside(path) });
        }
    }
    let mut seen = std::collections::HashSet::new();
    inputs.retain(|input| seen.insert(input.path.clone()));
    Ok(inputs)
}

fn matches(pattern: &str) -> Result<Vec<Input>> {
    let paths = glob::glob(pattern)
        .map_err(|error| Error::parameter("IMAGE", format!("`{pattern}` is not a pattern: {error}")))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|error| {
            let path = error.path().to_owned();
            Error::io("read", path)(error.into())
        })?;
        if path.is_file() {
            found.push(Input { name: inside(&path), path: Some(path) });
        }
    }
    if found.is_empty() {
        return Err(Error::Data { path: pattern.into(), reason: "no file matches this pattern".to_owned() });
    }
    Ok(found)
}

/// All images in a folder and below it, sorted by path.
pub fn images_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(Error::io("list", &folder))?;
        for entry in entries {
            let path = entry.map_err(Error::io("list", &folder))?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if is_image(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// What to say where a folder holds no image.
pub fn no_images() -> String {
    format!("no images in this folder or below it (looked for {})", EXTENSIONS.join(", "))
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
        Input { path: Some(path.into()), name: inside(Path::new(path)) }
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
    fn folders_are_searched_below_and_hidden_files_are_not_images() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("sub")).unwrap();
        for name in ["b.png", "sub/a.JPG", ".hidden.png", "notes.txt"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let inputs = expand(&[folder.path().display().to_string()]).unwrap();
        let names: Vec<_> = inputs.iter().map(|input| input.name.display().to_string()).collect();
        assert_eq!(names, ["b.png", "sub/a.JPG"]);
    }

    #[test]
    fn a_pattern_without_matches_is_an_error() {
        let error = expand(&["/nowhere/*.png".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/*.png"), "{error}");
    }
}
