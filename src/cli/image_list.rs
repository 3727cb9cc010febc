//! Lists of images in a text file: one path on each line. Empty lines and lines that begin with `#` are comments.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// A path as a line of a list.
///
/// # Errors
/// [`Error::Data`] for a path that a line cannot hold.
pub(super) fn line(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\r']) && text.trim() == *text);
    let text = text.ok_or_else(|| {
        let reason = "a line of a list cannot hold this name: it has a line break, or begins or ends with a space, or is not UTF-8; rename the file";
        Error::data(path, reason)
    })?;
    Ok(if text.starts_with('#') { format!("./{text}") } else { text.to_owned() })
}

/// The images that no line of the list names. A line is a path as given to the program, or relative to `folder`.
///
/// # Errors
/// [`Error::Io`] for a list that cannot be read; [`Error::Data`] for a line that names no image.
pub(super) fn without(images: Vec<PathBuf>, list: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string(list).map_err(Error::io("read", list))?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let known: HashSet<PathBuf> = images.iter().map(|path| real(path)).collect();
    let mut excluded = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        let name = line.trim();
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        let found = [PathBuf::from(name), folder.join(name)]
            .into_iter()
            .map(|path| real(&path))
            .find(|path| known.contains(path));
        let found = found.ok_or_else(|| {
            let reason = format!(
                "line {}: `{name}` is none of the {} images of {}; remove the line, or write the path as `uflow check --list` does",
                number + 1,
                images.len(),
                folder.display()
            );
            Error::data(list, reason)
        })?;
        excluded.insert(found);
    }
    Ok(images.into_iter().filter(|path| !excluded.contains(&real(path))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_excludes_what_it_names_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        let images: Vec<PathBuf> = ["#a.png", "b.png", "sub/c.png"].iter().map(|name| at(name)).collect();
        images.iter().for_each(|path| std::fs::write(path, "x").unwrap());
        let list = at("list.txt");
        let without = |text: &str| {
            std::fs::write(&list, text).unwrap();
            without(images.clone(), &list, folder.path())
        };
        assert_eq!(without("# nothing\n\n").unwrap(), images);
        assert_eq!(without("# b\n sub/c.png \n").unwrap(), images[..2]);
        assert_eq!(without(&format!("{}\n./#a.png\r\nb.png\n", images[1].display())).unwrap(), images[2..]);
        let error = without("# one\nb.png\nd.png\n").unwrap_err().to_string();
        assert!(error.contains("line 3: `d.png`") && error.contains("list.txt"), "{error}");
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        assert_eq!(line(Path::new("a b.png")).unwrap(), "a b.png");
        assert_eq!(line(Path::new("#1.png")).unwrap(), "./#1.png");
        assert!(line(Path::new("a\nb.png")).is_err() && line(Path::new(" a.png")).is_err());
    }
}
