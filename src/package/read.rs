//! Opening a package: manifest, networks and region of interest, all checked.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use prost::bytes::Bytes;

use super::golden::{self, MAX_GOLDEN_BYTES};
use super::sign::{self, Signature};
use super::source::{NetworkContent, Source, resolve};
use super::{
    BACKBONES_FOLDER, BackboneReference, MANIFEST_FILE, MAX_MANIFEST_BYTES, MAX_NETWORK_BYTES, MAX_ROI_BYTES, Manifest,
};
use crate::backbone::NetworkSource;
use crate::digest::{sha256, sha256_reader};
use crate::frame::{Image, Limits};
use crate::onnx::scan::scan;
use crate::{Error, Reason, Result};

/// An opened package. Its parts agree with each other and with their hashes.
#[derive(Clone, Debug)]
pub struct Package {
    /// The path it was opened from.
    pub path: PathBuf,
    /// The description of the model.
    pub manifest: Manifest,
    /// The flow's ONNX model.
    pub flow: Bytes,
    /// The backbone's ONNX model.
    pub backbone: Blob,
    /// The region of interest as PNG; opening the package checks that it can be decoded.
    pub roi: Option<Bytes>,
    /// The PNGs of the golden frames, in the manifest's order; opening the package checks their hashes.
    pub golden: Vec<Bytes>,
    /// The signature, if there is one. Opening the package does not compare it: see [`check_signed_by`](Self::check_signed_by).
    pub signature: Option<Signature>,
    /// The text that a signature of this package signs, made of the bytes that were read.
    pub(super) signed: String,
}

/// A network that was checked against its hash.
#[derive(Clone, Debug)]
pub struct Blob {
    /// SHA-256 of the content. Two blobs of the same hash are the same network.
    pub sha256: String,
    /// The network's bytes, or their file.
    pub content: Content,
}

/// Where the bytes of a [`Blob`] are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In a file inside the package or the repository. The file was read to check its hash and is not kept in memory.
    File(PathBuf),
    /// In memory.
    Bytes(Bytes),
}

impl Blob {
    /// The network as a source for the runtime.
    pub fn source(&self) -> NetworkSource<'_> {
        match &self.content {
            Content::File(path) => NetworkSource::Path(path),
            Content::Bytes(bytes) => NetworkSource::Bytes(bytes),
        }
    }
}

impl Package {
    /// Opens a folder, a `.uflow` file, or a version's folder in a repository, and checks everything in it.
    ///
    /// # Errors
    /// [`Error::Package`] that says which file or field is wrong.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::open_checked(path).map_err(|reason| Error::package(path, reason))
    }

    fn open_checked(path: &Path) -> Result<Self, Reason> {
        let mut source = Source::open(path)?;
        let json = source.read(MANIFEST_FILE, MAX_MANIFEST_BYTES)?;
        let manifest = Manifest::parse(&json).map_err(|reason| reason.within(MANIFEST_FILE))?;

        let flow = source.read(&manifest.flow.file, MAX_NETWORK_BYTES)?;
        check_network(&mut Cursor::new(&flow), flow.len() as u64, &manifest.flow.file)?;
        check_hash(&manifest.flow.file, &sha256(&flow), &manifest.flow.sha256)?;

        let reference = &manifest.backbone;
        let (name, found) = match &reference.file {
            Some(file) => (file.clone(), source.find(file, MAX_NETWORK_BYTES)?),
            None => find_in_repository(&source, reference)?,
        };
        let backbone = Blob::check(&name, found, &reference.sha256)?;

        let roi = match &manifest.detection.roi {
            Some(file) => Some(read_roi(&mut source, file)?),
            None => None,
        };
        let golden = read_golden(&mut source, &manifest)?;
        let signature = Signature::read(&mut source)?;
        let signed = sign::message(&sign::signed_files(&manifest, &json, roi.as_deref()));
        Ok(Self { path: path.to_owned(), manifest, flow, backbone, roi, golden, signature, signed })
    }
}

impl Blob {
    fn check(name: &str, found: NetworkContent, expected: &str) -> Result<Self, Reason> {
        let content = match found {
            NetworkContent::Bytes(bytes) => {
                check_hash(name, &sha256(&bytes), expected)?;
                check_network(&mut Cursor::new(&bytes), bytes.len() as u64, name)?;
                Content::Bytes(bytes)
            }
            NetworkContent::File(path) => {
                check_hash(name, &check_network_file(&path, name)?, expected)?;
                Content::File(path)
            }
        };
        Ok(Self { sha256: expected.to_owned(), content })
    }
}

/// `<root>/<model>/<version>` → `<root>/backbones/<sha256>.onnx`.
fn find_in_repository(source: &Source, reference: &BackboneReference) -> Result<(String, NetworkContent), Reason> {
    let BackboneReference { name, sha256, .. } = reference;
    let advice = "save the package with its backbone inside";
    let Source::Folder(folder) = source else {
        return Err(format!("the backbone `{name}` ({sha256}) is not in this file; {advice}").into());
    };
    let Some(root) = folder.parent().and_then(Path::parent) else {
        return Err(format!("the backbone `{name}` ({sha256}) is not in the package; {advice}").into());
    };
    let file = format!("{BACKBONES_FOLDER}/{sha256}.onnx");
    if !root.join(&file).exists() {
        return Err(format!(
            "the backbone `{name}` is neither in the package nor in the repository; copy it to {}, or {advice}",
            root.join(&file).display()
        )
        .into());
    }
    let path = resolve(root, &file)?;
    Ok((file, NetworkContent::File(path)))
}

fn read_roi(source: &mut Source, file: &str) -> Result<Bytes, Reason> {
    let bytes = source.read(file, MAX_ROI_BYTES)?;
    check_png(file, &bytes)?;
    Ok(bytes)
}

fn read_golden(source: &mut Source, manifest: &Manifest) -> Result<Vec<Bytes>, Reason> {
    let mut pictures = Vec::new();
    for frame in manifest.golden.iter().flat_map(|golden| &golden.frames) {
        let bytes = source.read(&frame.file, MAX_GOLDEN_BYTES)?;
        golden::check_frame(frame, &bytes)?;
        pictures.push(bytes);
    }
    Ok(pictures)
}

/// Refuses what is not a PNG that can be decoded.
pub(super) fn check_png(file: &str, bytes: &[u8]) -> Result<(), Reason> {
    if !bytes.starts_with(b"\x89PNG") {
        return Err(format!("{file}: is not a PNG").into());
    }
    Image::decode(bytes, file, &Limits::default()).map_err(Reason::of)?;
    Ok(())
}

fn check_hash(name: &str, found: &str, expected: &str) -> Result<(), Reason> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{name}: was changed or is damaged: its SHA-256 is {found}, the manifest says {expected}").into())
}

/// Refuses what is not an ONNX model that holds all its weights.
pub(super) fn check_network(model: &mut (impl Read + Seek), length: u64, name: &str) -> Result<(), Reason> {
    if length > MAX_NETWORK_BYTES {
        return Err(format!("{name}: has {length} bytes, at most {MAX_NETWORK_BYTES} are allowed").into());
    }
    let scan = scan(model, length, "").map_err(|reason| reason.within(name))?;
    match scan.external.first() {
        None => Ok(()),
        Some(location) => Err(format!(
            "{name}: keeps weights in another file, `{location}`; a network in a package must hold its own \
             (save it without external data)"
        )
        .into()),
    }
}

/// Checks a network in a file without reading it into memory; gives its SHA-256.
pub(super) fn check_network_file(path: &Path, name: &str) -> Result<String, Reason> {
    let unreadable = |error: std::io::Error| Reason::because(format_args!("{name}: cannot be read"), error);
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(unreadable)?);
    let length = file.get_ref().metadata().map_err(unreadable)?.len();
    check_network(&mut file, length, name)?;
    file.rewind().map_err(unreadable)?;
    let (hash, hashed) = sha256_reader(&mut file).map_err(unreadable)?;
    if hashed == length { Ok(hash) } else { Err(format!("{name}: was changed while it was read").into()) }
}
