//! Whole programs in C and C++ with the library, built with strict warnings. `tools/check_library.sh` runs the C program under Valgrind and
//! sanitizers, and with an installed library.

use std::process::Command;

use crate::fixture::{self, Fixture, build, libraries, root};

/// A real backbone that is fast.
fn photonet() -> String {
    root().join("assets/photonet.onnx").display().to_string()
}

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

/// The backbone that the C program fits on under Valgrind, where a real one would take too long.
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
    let said = run("program.c", &["-lpthread"], &["30", "800", &photonet()]);
    println!("{said}");
}

#[test]
fn the_wrapper_in_cpp17_and_cpp20_with_exceptions_and_without() {
    let photonet = photonet();
    run("wrapper.cpp", &["-lpthread"], &[&photonet]);
    run("wrapper.cpp", &["-std=c++20", "-lpthread"], &[&photonet]);
    run("wrapper.cpp", &["-DUFLOW_USE_EXPECTED", "-fno-exceptions", "-lpthread"], &[&photonet]);
}

/// Compiles C++ against the headers alone; gives the compiler's messages if it fails.
fn compile(standard: &str, code: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.cpp");
    std::fs::write(&source, code).unwrap();
    let warnings =
        ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wsign-conversion", "-Wold-style-cast"];
    let mut command = Command::new("g++");
    command.arg(standard).args(warnings).args(["-Werror", "-fsyntax-only", "-I"]).arg(root().join("include"));
    let output = command.arg(&source).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn what_would_throw_in_cpp_does_not_compile_or_works() {
    let main = |body: &str| format!("#include <uflow.hpp>\nint main() {{ {body} }}\n");
    for body in [
        "uflow::options o; o.set_epsilon(0.5); o.reset();",
        "uflow::engine_options o; o.set_threads(1);",
        "uflow::stream s; s = uflow::stream(); return s ? 1 : 0;",
        "struct machine { uflow::engine engine; uflow::model model; uflow::stream stream; uflow::detector detector; } m; return m.engine ? 1 : 0;",
        "uflow::detector d; uflow_image i = UFLOW_IMAGE_INIT; float score = d.score(i); return score > 0.5f;",
    ] {
        compile("-std=c++17", &main(body)).unwrap_or_else(|said| panic!("{body}: {said}"));
    }
    for body in ["uflow::fit_options o; o.set_seed(1);", "uflow::result().mask();"] {
        assert!(compile("-std=c++17", &main(body)).is_err(), "{body}");
    }
}

#[test]
fn an_older_cpp_gives_one_error_that_says_what_to_do() {
    for standard in ["-std=c++11", "-std=c++14"] {
        let said = compile(standard, "#include <uflow.hpp>\nint main() {}\n").unwrap_err();
        assert_eq!(said.matches("error:").count(), 1, "{said}");
        assert!(said.contains("uflow.hpp needs C++17 or newer"), "{said}");
    }
}

#[test]
fn a_forked_child_gets_a_status() {
    let fixture = Fixture::new();
    let libraries = libraries();
    let program = fixture.folder.path().join("fork");
    build(&root().join("ffi/tests/c/fork.c"), &program, libraries.path(), &["-lpthread"]);
    let output = Command::new(&program).arg(fixture.package()).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && complained.is_empty() && said == "done\n",
        "{:?} {said}{complained}",
        output.status
    );
}

#[test]
fn the_training_example_takes_the_default_backbone_and_skips_files_that_are_not_images() {
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
    let (package, backbones) = (folder.path().join("part.uflow"), folder.path().join("backbones"));
    let train = || {
        let mut command = Command::new(&program);
        command.arg(&good).arg(&package).env("UFLOW_BACKBONES", &backbones).output().unwrap()
    };
    // A library that was built for an installation finds the default there.
    if option_env!("UFLOW_LIBRARY_FOLDER").is_none() {
        let none = train();
        let complained = String::from_utf8_lossy(&none.stderr);
        assert_eq!(none.status.code(), Some(1), "{complained}");
        for words in [
            "there is no backbone `efficientnet-lite0-pyramid`",
            backbones.to_str().unwrap(),
            "share/uflow/backbones (beside the library)",
            "uflow backbone fetch efficientnet-lite0-pyramid",
            "make backbones",
        ] {
            assert!(complained.contains(words), "no `{words}` in: {complained}");
        }
    }

    // A small network in the place of the default one.
    std::fs::create_dir(&backbones).unwrap();
    std::fs::write(backbones.join("efficientnet-lite0-pyramid.onnx"), fixture::networks::TinyBackbone::new(1).onnx())
        .unwrap();
    let output = train();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("9 good images") && said.contains("epoch 1 of 200"), "{said}");
    assert!(complained.contains("broken.png"), "{complained}");
    let manifest = uflow::package::Package::open(&package).unwrap().manifest;
    assert_eq!((manifest.name.as_str(), manifest.backbone.name.as_str()), ("part", "tiny"));
}

#[test]
fn the_function_of_the_guide_compiles() {
    let folder = tempfile::tempdir().unwrap();
    let page = std::fs::read_to_string(root().join("docs/src/cpp.md")).unwrap();
    let code = page.split("```c\n").nth(1).unwrap().split("```").next().unwrap();
    let main = "int main(void) { return is_bad(NULL, NULL, 0, 0) == -1 ? 0 : 1; }\n";
    let (source, program) = (folder.path().join("page.c"), folder.path().join("page"));
    std::fs::write(&source, format!("{code}\n{main}")).unwrap();
    let libraries = libraries();
    build(&source, &program, libraries.path(), &[]);
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "detector: is NULL\n");
}
