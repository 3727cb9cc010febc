//! Writes the P/Invoke declarations of libuflow from the sources of `ffi/`: `generate FOLDER FILE`.
//!
//! C# 7 has no function pointers and no `nuint`, so callbacks become delegates and sizes `UIntPtr`.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// The Rust files below a folder, in a fixed order.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            found.extend(sources(&entry)?);
        } else if entry.extension().is_some_and(|suffix| suffix == "rs") {
            found.push(entry);
        }
    }
    Ok(found)
}

/// The enumerations of a file. Functions take them as `u32`, so csbindgen would leave them out.
fn enumerations(source: &str) -> impl Iterator<Item = String> {
    let names = source.lines().filter_map(|line| line.strip_prefix("pub enum uflow_"));
    names.map(|rest| format!("uflow_{}", rest.trim_end_matches(" {")))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, file] = arguments.as_slice() else {
        return Err("usage: generate FOLDER FILE".into());
    };
    let mut builder = csbindgen::Builder::default()
        .csharp_namespace("UFlow")
        .csharp_class_name("NativeMethods")
        .csharp_dll_name("uflow")
        .csharp_use_function_pointer(false)
        .csharp_use_nint_types(false);
    let mut always = Vec::new();
    for source in sources(Path::new(folder))? {
        always.extend(enumerations(&fs::read_to_string(&source)?));
        builder = builder.input_extern_file(source);
    }
    builder.always_included_types(always).generate_csharp_file(file)?;

    // The heading `# Safety` has no meaning in C#, and the file shall have no spaces at the ends of lines.
    let lines = fs::read_to_string(file)?;
    let lines = lines.lines().map(str::trim_end).filter(|line| line.trim() != "///  # Safety");
    let mut text = String::new();
    let mut empty = false;
    for line in lines {
        if !(empty && line.is_empty()) {
            text.push_str(line);
            text.push('\n');
        }
        empty = line.is_empty();
    }
    fs::write(file, text)?;
    Ok(())
}
