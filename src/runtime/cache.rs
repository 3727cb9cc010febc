//! The folder of all caches, and the folders in it in which TensorRT's engines and timings are kept between runs.
//!
//! An engine is valid for one network, one GPU and one version of the software that built it. The folder's name contains
//! all of these, so a change of any gives a new folder, and an engine is never used with something else.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{Precision, library};
use crate::{Error, Result, backbone::NetworkSource, digest::sha256};

/// Environment variable with the folder of all caches.
const CACHE_VARIABLE: &str = "UFLOW_CACHE";

/// The folder for one network's engines; created if it does not exist.
pub(super) fn tensorrt_folder(source: &NetworkSource<'_>, runtime: &str, precision: Precision) -> Result<PathBuf> {
    let tensorrt =
        library::mapped("libnvinfer.so").as_deref().and_then(library_version).unwrap_or_else(|| "unknown".to_owned());
    let gpu = gpu_key(Path::new("/proc/driver/nvidia"));
    let folder = cache_folder().join("tensorrt").join(key(&source.sha256()?, &gpu, runtime, &tensorrt, precision));
    fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    Ok(folder)
}

/// The folder of all caches: `$UFLOW_CACHE`, else `uflow` in the user's cache folder, else `uflow` in the temporary folder. It need not
/// exist.
pub(crate) fn cache_folder() -> PathBuf {
    root(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

/// `$UFLOW_CACHE`, else `uflow` in the user's cache folder, else `uflow` in the temporary folder.
fn root(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable(CACHE_VARIABLE)
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("uflow")))
        .or_else(|| Some(variable("HOME")?.join(".cache/uflow")))
        .unwrap_or_else(|| env::temp_dir().join("uflow"))
}

fn key(model: &str, gpu: &str, runtime: &str, tensorrt: &str, precision: Precision) -> String {
    let model: String = model.chars().take(16).collect();
    format!("{model}-{gpu}-ort{runtime}-trt{tensorrt}-{precision}")
}

/// The version at the end of a library's real name: `libnvinfer.so.10.9.0` → `10.9.0`.
fn library_version(path: &Path) -> Option<String> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (_, version) = real.file_name()?.to_str()?.split_once(".so.")?;
    Some(version.to_owned())
}

/// A short hash of the GPUs and the driver of this machine. It covers all GPUs, because CUDA's numbers of the GPUs differ from
/// the kernel's.
fn gpu_key(driver: &Path) -> String {
    let mut lines: Vec<String> = fs::read_dir(driver.join("gpus"))
        .into_iter()
        .flatten()
        .filter_map(|gpu| fs::read_to_string(gpu.ok()?.path().join("information")).ok())
        .filter_map(|text| text.lines().find(|line| line.starts_with("Model:")).map(str::to_owned))
        .collect();
    lines.sort();
    lines.extend(fs::read_to_string(driver.join("version")).ok());
    if lines.is_empty() {
        return "unknown".to_owned();
    }
    sha256(lines.join("\n").as_bytes())[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_changes_the_folder() {
        let base = key("0123456789abcdef0123", "aa", "1.24.1", "10.9.0", Precision::Fp16);
        assert_eq!(base, "0123456789abcdef-aa-ort1.24.1-trt10.9.0-fp16");
        let others = [
            key("1123456789abcdef0123", "aa", "1.24.1", "10.9.0", Precision::Fp16),
            key("0123456789abcdef0123", "ab", "1.24.1", "10.9.0", Precision::Fp16),
            key("0123456789abcdef0123", "aa", "1.24.2", "10.9.0", Precision::Fp16),
            key("0123456789abcdef0123", "aa", "1.24.1", "10.9.1", Precision::Fp16),
            key("0123456789abcdef0123", "aa", "1.24.1", "10.9.0", Precision::Bf16),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn the_cache_folder_follows_the_environment() {
        let with = |set: &'static [(&'static str, &'static str)]| {
            root(move |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        assert_eq!(with(&[("UFLOW_CACHE", "/c"), ("HOME", "/h")]), Path::new("/c"));
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), Path::new("/x/uflow"));
        assert_eq!(with(&[("HOME", "/h")]), Path::new("/h/.cache/uflow"));
        assert_eq!(with(&[]), env::temp_dir().join("uflow"));
    }

    #[test]
    fn gpus_and_driver_make_the_key() {
        let machine = |models: &[&str], driver: &str| {
            let folder = tempfile::tempdir().unwrap();
            for (index, model) in models.iter().enumerate() {
                let gpu = folder.path().join(format!("gpus/0000:0{index}:00.0"));
                fs::create_dir_all(&gpu).unwrap();
                fs::write(gpu.join("information"), format!("Model: \t\t {model}\nIRQ: {index}\n")).unwrap();
            }
            fs::write(folder.path().join("version"), driver).unwrap();
            gpu_key(folder.path())
        };
        let one = machine(&["H100"], "580.1");
        assert_eq!(one.len(), 12);
        assert_eq!(one, machine(&["H100"], "580.1"));
        assert_eq!(machine(&["A2", "H100"], "580.1"), machine(&["H100", "A2"], "580.1"));
        assert_ne!(one, machine(&["H200"], "580.1"));
        assert_ne!(one, machine(&["H100"], "580.2"));
        assert_eq!(gpu_key(Path::new("/nonexistent")), "unknown");
    }

    #[test]
    fn a_model_hashes_the_same_from_memory_and_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        fs::write(&path, b"abc").unwrap();
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(NetworkSource::Bytes(b"abc").sha256().unwrap(), hash);
        assert_eq!(NetworkSource::Path(&path).sha256().unwrap(), hash);
    }
}
