//! Whole programs of C and C++ against the library, built as strict compilers like it. `tools/check_library.sh` runs the C one under
//! Valgrind and sanitizers, and against an installed library.

use std::process::Command;

use crate::fixture::{self, build, libraries, root};

fn run(source: &str, flags: &[&str], arguments: &[&str]) -> String {
    let (folder, libraries) = (tempfile::tempdir().unwrap(), libraries());
    let program = folder.path().join("program");
    build(&root().join("ffi/tests/c").join(source), &program, libraries.path(), flags);
    let output = Command::new(&program).arg(folder.path()).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("done\n"), "{said}");
    assert!(output.stderr.is_empty(), "the library prints: {}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The backbone that the C program fits on under Valgrind, where the library's own would take too long.
#[test]
fn the_small_backbone_is_fresh() {
    let path = root().join("ffi/tests/c/backbone.onnx");
    let made = fixture::networks::TinyBackbone::new(1).onnx();
    if std::env::var_os("UFLOW_WRITE_BACKBONE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert!(std::fs::read(&path).unwrap_or_default() == made, "write it anew: UFLOW_WRITE_BACKBONE=1, this test");
}

#[test]
fn a_c_program_does_everything_and_leaves_nothing_behind() {
    let said = run("program.c", &["-lpthread"], &["30", "800"]);
    println!("{said}");
}

#[test]
fn the_wrapper_in_cpp17_and_cpp20_with_exceptions_and_without() {
    run("wrapper.cpp", &["-lpthread"], &[]);
    run("wrapper.cpp", &["-std=c++20", "-lpthread"], &[]);
    run("wrapper.cpp", &["-DUFLOW_USE_EXPECTED", "-fno-exceptions", "-lpthread"], &[]);
}

#[test]
fn the_training_example_skips_what_is_no_picture() {
    let (folder, libraries) = (tempfile::tempdir().unwrap(), libraries());
    let program = folder.path().join("train");
    build(&root().join("examples/cpp/train.cpp"), &program, libraries.path(), &[]);
    let good = folder.path().join("good");
    std::fs::create_dir(&good).unwrap();
    for seed in 0..9_u64 {
        let pixels = fixture::networks::models::good(seed, 96, 96, uflow::frame::PixelFormat::Rgb8);
        ::image::RgbImage::from_raw(96, 96, pixels).unwrap().save(good.join(format!("{seed}.png"))).unwrap();
    }
    std::fs::write(good.join("broken.png"), "not a picture").unwrap();
    let package = folder.path().join("part.uflow");
    let output = Command::new(&program).arg(&good).arg(&package).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("9 good pictures") && said.contains("epoch 1 of 16"), "{said}");
    assert!(complained.contains("broken.png"), "{complained}");
    assert_eq!(uflow::package::Package::open(&package).unwrap().manifest.name, "part");
}

#[test]
fn the_readme_s_function_compiles() {
    let folder = tempfile::tempdir().unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let code = readme.split("```c\n").nth(1).unwrap().split("```").next().unwrap();
    let main = "int main(void) { return is_bad(NULL, NULL, 0, 0) == -1 ? 0 : 1; }\n";
    let (source, program) = (folder.path().join("readme.c"), folder.path().join("readme"));
    std::fs::write(&source, format!("{code}\n{main}")).unwrap();
    let libraries = libraries();
    build(&source, &program, libraries.path(), &[]);
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "detector: is NULL\n");
}
