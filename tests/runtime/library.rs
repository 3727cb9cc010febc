//! How ONNX Runtime's library is found, and the message when it is not. The searches run in a copy of this program, in a folder of
//! its own; libraries that are refused are refused in a process that has loaded none.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use uflow::runtime::{LIBRARY_VARIABLE, LibrarySearch, PINNED_VERSION, Runtime};

fn file_name() -> String {
    format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// The project's own fetched copy.
fn fetched() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".onnxruntime/lib");
    assert!(folder.is_dir(), "`make onnxruntime` first");
    folder
}

fn failure(path: &Path) -> String {
    Runtime::load(Some(path)).expect_err("no error").to_string()
}

/// Not a test: what the copies of this program run. Prints where the library was found, or the error.
#[test]
#[ignore = "run by the other tests in a process of its own"]
fn probe() {
    match Runtime::load(None) {
        Ok(runtime) => println!("FOUND {} {}", runtime.version(), runtime.path().display()),
        Err(error) => println!("ERROR {error}"),
    }
}

/// A folder with a copy of this program in `project/bin`.
struct Installed {
    root: tempfile::TempDir,
}

impl Installed {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("project/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy(env::current_exe().unwrap(), bin.join("probe")).unwrap();
        Self { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(path)
    }

    /// Puts the real library at a path.
    fn library(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(fetched().join(file_name()), &path).unwrap();
        path
    }

    fn run(&self, variables: &[(&str, &Path)]) -> String {
        let mut command = Command::new(self.path("project/bin/probe"));
        command
            .current_dir(self.root.path())
            .args(["library::probe", "--exact", "--ignored", "--nocapture"])
            .env_remove(LIBRARY_VARIABLE)
            .env_remove("LD_LIBRARY_PATH")
            .envs(variables.iter().copied());
        // A process that another test forks in the middle of the copy holds the file open for writing until it execs.
        let output = loop {
            match command.output() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::sleep(Duration::from_millis(10)),
                output => break output.unwrap(),
            }
        };
        let text = String::from_utf8(output.stdout).unwrap();
        let start = text.find("FOUND ").or_else(|| text.find("ERROR ")).unwrap_or_else(|| panic!("{text}"));
        let end = text[start..].find("\ntest ").map_or(text.len(), |end| start + end);
        text[start..end].trim_end_matches("ok").trim().to_owned()
    }
}

fn found(text: &str, path: &Path) {
    let (_, rest) = text.split_once("FOUND ").unwrap_or_else(|| panic!("{text}"));
    let (version, at) = rest.lines().next().unwrap().split_once(' ').unwrap();
    assert_eq!(at.trim_end_matches(" ok"), path.to_str().unwrap());
    assert_eq!(version, PINNED_VERSION);
}

#[test]
fn each_place_is_found_and_the_earlier_one_wins() {
    let installed = Installed::new();
    let name = file_name();
    let system = installed.library(&format!("system/{name}"));
    let search: &[(&str, &Path)] = &[("LD_LIBRARY_PATH", system.parent().unwrap())];
    found(&installed.run(search), &system);
    let lib = installed.library(&format!("project/lib/{name}"));
    found(&installed.run(search), &lib);
    let own = installed.library(&format!("project/lib/uflow/{name}"));
    found(&installed.run(search), &own);
    let inside = installed.library(&format!("project/bin/uflow/{name}"));
    found(&installed.run(search), &inside);
    let beside = installed.library(&format!("project/bin/{name}"));
    found(&installed.run(search), &beside);
    // The environment variable comes first. It names a file or a folder, whose `lib` counts too.
    found(&installed.run(&[(LIBRARY_VARIABLE, &lib)]), &lib);
    found(&installed.run(&[(LIBRARY_VARIABLE, lib.parent().unwrap())]), &lib);
    found(&installed.run(&[(LIBRARY_VARIABLE, &installed.path("project"))]), &lib);
}

#[test]
fn a_library_in_a_folder_above_is_not_opened() {
    let installed = Installed::new();
    let proof = installed.path("opened");
    let planted = compiled(
        installed.root.path(),
        &format!(
            r#"extern "C" fn opened() {{ std::fs::write({proof:?}, "").unwrap(); }}
            #[used] #[unsafe(link_section = ".init_array")] static OPENED: extern "C" fn() = opened;"#
        ),
    );
    for folder in
        ["", ".onnxruntime/lib", "project/.onnxruntime/lib", "project/bin/.onnxruntime/lib", "lib", "lib/uflow"]
    {
        let folder = installed.path(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(&planted, folder.join(file_name())).unwrap();
    }
    // The working folder is one of them.
    let text = installed.run(&[]);
    assert!(text.starts_with("ERROR ") && !text.contains(".onnxruntime"), "{text}");
    assert!(!proof.exists(), "the planted library's constructor ran");
    // It does run where the search may find it.
    fs::copy(&planted, installed.path("project/bin").join(file_name())).unwrap();
    assert!(installed.run(&[]).contains("a library, but not ONNX Runtime"));
    assert!(proof.exists());
}

#[test]
fn a_library_that_cannot_be_used_is_passed_over() {
    let installed = Installed::new();
    let name = file_name();
    fs::write(installed.path("project/bin").join(&name), b"not a library").unwrap();
    let lib = installed.library(&format!("project/lib/{name}.{PINNED_VERSION}"));
    found(&installed.run(&[]), &lib);
}

#[test]
fn nothing_found_names_every_place_and_the_caller_s_own_means() {
    alone!();
    let text = Installed::new().run(&[]);
    for expected in [
        "no usable ONNX Runtime (1.24 or newer) was found. Searched:",
        "beside the executable: ",
        "/project/bin/libonnxruntime.so: not there",
        "uflow/ beside the executable: ",
        "/project/bin/uflow/libonnxruntime.so: not there",
        "../lib/uflow of the executable: ",
        "/project/lib/uflow/libonnxruntime.so: not there",
        "../lib of the executable: ",
        "/project/lib/libonnxruntime.so: not there",
        "the system's library path: libonnxruntime.so: not a library that can be loaded (",
        "the system's library path: libonnxruntime.so.1: not a library that can be loaded (",
        "with Runtime::load or the environment variable UFLOW_ONNXRUNTIME",
        "`make onnxruntime` fetches it",
    ] {
        assert!(text.contains(expected), "{expected}\n in \n{text}");
    }
    let requirements = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/onnxruntime.txt")).unwrap();
    assert!(requirements.contains(&format!("onnxruntime=={PINNED_VERSION} ")));
    // The command names its option, a program the one that it gives.
    let missing = installed_path();
    let output = Command::new(env!("CARGO_BIN_EXE_uflow")).args(["--version", "--onnxruntime"]).arg(&missing).output();
    let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("with --onnxruntime or the environment variable"), "{said}");
    let search = LibrarySearch { explicit: Some(&missing), beside: None, option: "set_library()" };
    let said = Runtime::find(search).unwrap_err().to_string();
    assert!(said.contains("with set_library() or the environment variable"), "{said}");
}

/// A path where nothing is.
fn installed_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("no such folder")
}

#[test]
fn an_explicit_path_is_the_only_place() {
    alone!();
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.so");
    let text = failure(&missing);
    assert!(text.contains(&format!("as asked: {}: ", missing.display())), "{text}");
    assert!(!text.contains("beside the executable"), "{text}");
    let text = failure(folder.path());
    for part in ["", "lib/", "capi/"] {
        let path = folder.path().join(format!("{part}{}", file_name()));
        assert!(text.contains(&format!("as asked: {}: not there", path.display())), "{text}");
    }
}

#[test]
fn files_that_are_no_libraries_are_named_with_the_reason() {
    alone!();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("text.so");
    let elf_of_another_machine = [b"\x7fELF\x01\x02\x01".as_slice(), &[0; 200]].concat();
    for bytes in [b"just text\n".as_slice(), b"", &elf_of_another_machine] {
        fs::write(&other, bytes).unwrap();
        let text = failure(&other);
        assert!(text.contains(&format!("as asked: {}: not a library that can be loaded (", other.display())), "{text}");
        assert!(text.contains("`make onnxruntime`"), "{text}");
    }
}

/// Builds a library from Rust source.
fn compiled(folder: &Path, source: &str) -> PathBuf {
    let (from, to) = (folder.join("source.rs"), folder.join("made.so"));
    fs::write(&from, source).unwrap();
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let made = Command::new(compiler)
        .args(["--edition=2024", "--crate-type=cdylib", "-o"])
        .args([&to, &from])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    to
}

#[test]
fn other_and_old_libraries_are_named_with_the_reason() {
    alone!();
    let folder = tempfile::tempdir().unwrap();
    let other = compiled(folder.path(), "#[unsafe(no_mangle)] pub extern \"C\" fn something() {}");
    let text = failure(&other);
    assert!(text.contains("made.so: a library, but not ONNX Runtime"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let old = compiled(
        folder.path(),
        r#"use std::ffi::{c_char, c_void};
        #[repr(C)] pub struct Base { api: extern "C" fn(u32) -> *const c_void, version: extern "C" fn() -> *const c_char }
        extern "C" fn api(_: u32) -> *const c_void { std::ptr::null() }
        extern "C" fn version() -> *const c_char { c"1.20.1".as_ptr() }
        static BASE: Base = Base { api, version };
        #[unsafe(no_mangle)] pub extern "C" fn OrtGetApiBase() -> *const Base { &BASE }"#,
    );
    let text = failure(&old);
    assert!(text.contains("made.so: too old: 1.20.1, 1.24 or newer is needed"), "{text}");
}
