//! Which module may import which: one table, and a test that reads the sources.
//!
//! A module imports from modules above it in the table alone, so there are no cycles. To add a module, give it the highest
//! place that its imports allow.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Lower modules first. Modules of one line do not import each other.
const ORDER: &[&[&str]] = &[
    &["choice", "columns", "digest", "quantile", "sync"],
    &["checkpoint", "error", "files", "frame", "kernel", "latents", "onnx"],
    &["tiles"],
    &["preprocess", "flow", "screen"],
    &["backbone", "segment"],
    &["drift", "runtime", "package"],
    &["pipeline"],
    &["engine", "train", "evaluate"],
    &["import", "calibrate", "compare", "render"],
    &["limits"],
    &["search"],
    &["report", "serve"],
    &["demo"],
    &["cli"],
];

/// Crates that one module alone may name.
const OWNED: &[(&str, &str)] = &[("clap", "cli"), ("ort", "runtime")];

/// Names that stand at the root of the crate without being modules.
const ROOT: &[&str] = &["Error", "Reason", "Result", "VERSION", "COMMIT"];

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&module))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands by itself.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).is_none_or(|before| !is_word(bytes[before]));
        let after = bytes.get(at + word.len()).is_none_or(|&after| !is_word(after));
        before && after
    })
}

/// The first names of a path that continues with `rest`: one, or those of a group in braces.
fn names(rest: &str) -> Vec<&str> {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        let end = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
        return vec![&rest[..end]];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.extend(names(&group[start..at]));
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.into_iter().filter(|name| !name.is_empty()).collect()
}

/// Names at the root of the crate that a file of a module (its path from the root) refers to.
fn root_names<'a>(text: &'a str, module: &[&str]) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for at in words(text, "crate") {
        if let Some(rest) = text[at + "crate".len()..].strip_prefix("::") {
            found.extend(names(rest));
        }
    }
    for at in words(text, "super").filter(|&at| !text[..at].ends_with("super::")) {
        let (mut rest, mut up) = (&text[at..], 0);
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, up) = (next, up + 1);
        }
        // In a module inside the file, one `super` less leaves the file's own module; a name too many does no harm there.
        if up >= module.len() {
            found.extend(names(rest).into_iter().filter(|name| rank(name).is_some()));
        }
    }
    found
}

#[test]
fn modules_import_downwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for file in &files {
        let path = file.strip_prefix(&root).unwrap().with_extension("");
        let mut module: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
        module.pop_if(|last| *last == "mod");
        let text = without_comments(&fs::read_to_string(file).unwrap());
        let (own, name) = (module[0], file.strip_prefix(&root).unwrap().to_str().unwrap());
        for (owned, owner) in OWNED {
            if own != *owner && words(&text, owned).any(|at| text[at..].starts_with(&format!("{owned}::"))) {
                wrong.push(format!("{name} names the crate `{owned}`, which belongs in `{owner}`"));
            }
        }
        if ["lib", "main", "import_graph"].contains(&own) {
            continue;
        }
        let Some(place) = rank(own) else {
            wrong.push(format!("{name}: the module `{own}` has no place in the table"));
            continue;
        };
        seen.insert(own.to_owned());
        for used in root_names(&text, &module).into_iter().filter(|used| *used != own && !ROOT.contains(used)) {
            match rank(used) {
                None => wrong.push(format!("{name} imports `{used}`, which has no place in the table")),
                Some(other) if other >= place => wrong.push(format!("{name}: `{own}` may not import `{used}`")),
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let listed: BTreeSet<String> = ORDER.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(listed, seen, "the table lists modules that are not there");
}

#[test]
fn imports_are_read_in_every_form() {
    let text = without_comments(
        "use crate::{Error, a::{b, c}, d};\nuse super::super::e::f; // crate::g\nfn h() { crate::i::j() }\nuse super::k;",
    );
    let found: Vec<_> = root_names(&text, &["x", "y"]).into_iter().collect();
    assert_eq!(found, ["Error", "a", "d", "i"]);
    assert!(root_names("use super::super::frame::Frame;", &["x", "y"]).contains("frame"));
    assert!(root_names("use super::{segment::Roi, y};", &["x"]).contains("segment"));
    assert!(root_names("use super::frame::Frame;", &["x", "y"]).is_empty());
}
