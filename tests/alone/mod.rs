//! Tests that need a process of their own: they measure its memory, open most of its file descriptors, load another ONNX Runtime.

use std::process::Command;

/// Set in the process that runs one test alone.
const INSIDE: &str = "UFLOW_TEST_ALONE";

/// Runs the rest of the test in a process of its own: this program again, with this test only.
macro_rules! alone {
    () => {
        fn here() {}
        if $crate::alone::elsewhere(std::any::type_name_of_val(&here)) {
            return;
        }
    };
}

/// Runs the test that encloses the function `here` in another process and gives true; in that process, gives false.
pub(crate) fn elsewhere(here: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    // program::module::test::{{closure}}::here
    let path: Vec<&str> = here.split("::").filter(|part| !part.starts_with('{')).collect();
    let test = path[1..path.len() - 1].join("::");
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&test, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    eprintln!("{errors}");
    assert!(output.status.success() && said.contains("1 passed"), "`{test}` failed in its process: {}", output.status);
    true
}
