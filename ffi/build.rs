//! Names the shared library as its users link it: `libuflow.so.MAJOR`. The installed one is linked by `tools/link_library.sh`, which gives its
//! exports version nodes.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux" | "android" | "freebsd") => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libuflow.so.{major}");
        }
        Ok("macos") => println!("cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libuflow.{major}.dylib"),
        _ => {}
    }
}
