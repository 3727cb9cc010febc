//! `include/uflow.h`: the committed header is the one that cbindgen makes, and it compiles alone in every supported C and C++.
//!
//! `UFLOW_WRITE_HEADER=1 cargo test -p uflow-ffi --test interface header::` writes it anew.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cbindgen::{Config, Language, RenameRule, Style};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Structs that begin with their size, and the macros that begin them.
const STRUCTS: [(&str, &str); 13] = [
    ("uflow_image", "UFLOW_IMAGE_INIT"),
    ("uflow_buffers", "UFLOW_BUFFERS_INIT"),
    ("uflow_latents", "UFLOW_LATENTS_INIT"),
    ("uflow_model_info", "UFLOW_MODEL_INFO_INIT"),
    ("uflow_summary", "UFLOW_SUMMARY_INIT"),
    ("uflow_region", "UFLOW_REGION_INIT"),
    ("uflow_training", "UFLOW_TRAINING_INIT"),
    ("uflow_image_info", "UFLOW_IMAGE_INFO_INIT"),
    ("uflow_frame", "UFLOW_FRAME_INIT"),
    ("uflow_options_info", "UFLOW_OPTIONS_INFO_INIT"),
    ("uflow_engine_options_info", "UFLOW_ENGINE_OPTIONS_INFO_INIT"),
    ("uflow_stream_options_info", "UFLOW_STREAM_OPTIONS_INFO_INIT"),
    ("uflow_fit_options_info", "UFLOW_FIT_OPTIONS_INFO_INIT"),
];

/// Enumerations that functions take and give as `uint32_t`.
const ENUMS: [&str; 11] = [
    "uflow_format",
    "uflow_verdict",
    "uflow_bound",
    "uflow_tests",
    "uflow_maps",
    "uflow_roi",
    "uflow_priority",
    "uflow_log_level",
    "uflow_augmentation",
    "uflow_control",
    "uflow_stop_reason",
];

fn generated() -> String {
    let part = |text: &str| text.parse::<u32>().unwrap();
    let (major, minor, patch) = (
        part(env!("CARGO_PKG_VERSION_MAJOR")),
        part(env!("CARGO_PKG_VERSION_MINOR")),
        part(env!("CARGO_PKG_VERSION_PATCH")),
    );
    let cpp: String = STRUCTS.iter().map(|(name, init)| format!("#define {init} (uflow_init<{name}>())\n")).collect();
    let c: String = STRUCTS
        .iter()
        .map(|(name, init)| format!("#define {init} {{.struct_size = sizeof(struct {name})}}\n"))
        .collect();
    let inits = format!(
        "#ifdef __cplusplus\nextern \"C++\" {{\ntemplate <class T>\ninline T uflow_init() {{\n  T made = T();\n  \
         made.struct_size = sizeof(T);\n  return made;\n}}\n}}\n{cpp}#else\n{c}#endif\n"
    );
    let conventions: String = include_str!("../../src/lib.rs")
        .lines()
        .skip_while(|line| !line.starts_with("//! Conventions"))
        .take_while(|line| line.starts_with("//!"))
        .map(|line| format!(" * {}\n", line.trim_start_matches("//!").trim_start_matches(' ')))
        .map(|line| line.replace(" * \n", " *\n"))
        .collect();
    let config = Config {
        language: Language::C,
        cpp_compat: true,
        style: Style::Both,
        include_guard: Some("UFLOW_H".to_owned()),
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        header: Some(format!(
            "/*\n * libuflow {}: finds defects in images after learning from good images only.\n *\n{conventions} *\n \
             * Made by cbindgen from ffi/; do not edit.\n */",
            env!("CARGO_PKG_VERSION")
        )),
        after_includes: Some(format!(
            "\n/* The version of this header; uflow_version() is the library's. */\n#define UFLOW_VERSION \"{}\"\n\
             #define UFLOW_VERSION_MAJOR {major}\n#define UFLOW_VERSION_MINOR {minor}\n#define UFLOW_VERSION_PATCH {patch}\n\
             #define UFLOW_VERSION_NUMBER {}\n\n\
             /* Ignoring a status is a mistake. */\n\
             #if defined(__cplusplus) && __cplusplus >= 201703L\n#define UFLOW_MUST_USE [[nodiscard]]\n\
             #elif defined(__GNUC__)\n#define UFLOW_MUST_USE __attribute__((warn_unused_result))\n\
             #else\n#define UFLOW_MUST_USE\n#endif",
            env!("CARGO_PKG_VERSION"),
            major * 1_000_000 + minor * 1_000 + patch
        )),
        trailer: Some(format!("/* Initial values of structs: the size is set, everything else is 0. */\n{inits}")),
        documentation: true,
        usize_is_size_t: true,
        enumeration: cbindgen::EnumConfig { rename_variants: RenameRule::None, ..Default::default() },
        function: cbindgen::FunctionConfig { ..Default::default() },
        export: cbindgen::ExportConfig {
            include: ENUMS.map(String::from).to_vec(),
            rename: HashMap::new(),
            ..Default::default()
        },
        ..Config::default()
    };
    let mut text = Vec::new();
    cbindgen::Builder::new()
        .with_crate(env!("CARGO_MANIFEST_DIR"))
        .with_config(config)
        .generate()
        .unwrap()
        .write(&mut text);
    let text = String::from_utf8(text).unwrap();
    // The text of a function says which arguments are valid; the heading `# Safety` is Rust's and has no meaning in C.
    let lines = text.lines().filter(|line| line.trim() != "* # Safety");
    let mut header: String = lines.map(|line| format!("{}\n", line.trim_end())).collect();
    header = header.replace("\nstruct uflow_status *uflow_", "\nUFLOW_MUST_USE struct uflow_status *uflow_");
    // The guard ends at the end of the file, not before the trailer.
    let guard = "#endif  /* UFLOW_H */\n";
    assert!(header.contains(guard));
    format!("{}\n{guard}", header.replace(guard, ""))
}

#[test]
fn the_header_is_fresh() {
    let path = root().join("include/uflow.h");
    let generated = generated();
    if std::env::var_os("UFLOW_WRITE_HEADER").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "include/uflow.h is not what ffi/ makes: run this test with UFLOW_WRITE_HEADER=1");
    for name in committed.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.contains("UFLOW")) {
        assert!(name.starts_with("UFLOW_"), "{name}");
    }
}

#[test]
fn the_header_compiles_alone_and_twice_included() {
    let folder = tempfile::tempdir().unwrap();
    let checks = "#include <uflow.h>\n#include <uflow.h>\n\
        int main(void) { struct uflow_image i = UFLOW_IMAGE_INIT; struct uflow_region r = UFLOW_REGION_INIT; \
        return !(i.struct_size == sizeof i && i.data == NULL && r.struct_size == sizeof r); }\n";
    let standards = [("gcc", "c", "c11"), ("gcc", "c", "c17"), ("g++", "cpp", "c++17"), ("g++", "cpp", "c++20")];
    let clang = [("clang", "c", "c11"), ("clang++", "cpp", "c++17")];
    let has = |compiler: &str| Command::new(compiler).arg("--version").output().is_ok();
    for (compiler, suffix, standard) in standards.into_iter().chain(clang.into_iter().filter(|(name, ..)| has(name))) {
        let (source, program) = (folder.path().join(format!("alone.{suffix}")), folder.path().join("alone"));
        fs::write(&source, checks).unwrap();
        let output = Command::new(compiler)
            .args([&format!("-std={standard}"), "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
            .arg(root().join("include"))
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .output()
            .unwrap();
        assert!(output.status.success(), "{compiler} {standard}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(Command::new(&program).status().unwrap().success(), "{compiler} {standard}");
    }
}

/// The files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn every_export_goes_through_the_guard() {
    let mut exports = 0;
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let source = fs::read_to_string(path).unwrap();
        for export in source.split("#[unsafe(no_mangle)]").skip(1) {
            let name = export.split("fn ").nth(1).unwrap().split('(').next().unwrap();
            let end = export.find("\n}\n").unwrap();
            let body = &export[..end];
            assert!(name.starts_with("uflow_"), "{name}");
            let inside =
                ["guard(||", "infallible(", "set(options, |", "get_map(result, ", "uflow_detector_detect_into("];
            let guarded = inside.iter().any(|call| body.contains(call));
            assert!(guarded, "{name} does not go through the guard");
            exports += 1;
        }
    }
    let header = fs::read_to_string(root().join("include/uflow.h")).unwrap();
    let (declared, _) = header.split_once("/* Initial values of structs").unwrap();
    let declared = declared
        .lines()
        .filter(|line| line.contains(" uflow_") || line.contains(" *uflow_"))
        .filter(|line| line.contains('(') && !line.trim_start().starts_with(['*', '/', '#']))
        .filter(|line| !line.starts_with("typedef"));
    assert_eq!(declared.count(), exports, "functions in the header, and in the crate");
}
