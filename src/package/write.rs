//! Writing packages: complete beside the destination, then moved there in one step.
//!
//! A reader, or a crash, sees the old package or the new one. On Linux an existing folder is exchanged with the new one
//! (`renameat2`); elsewhere it is moved aside first, the only moment without a package.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Seek, SeekFrom, Write};
use std::path::Path;

use prost::bytes::Bytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::read::{check_network, check_network_file, check_png};
use super::sign::{Signature, signed_files};
use super::{
    BACKBONES_FOLDER, Blob, Content, MANIFEST_FILE, Manifest, SIGNATURE_FILE, SigningKey, golden, is_one_file, sha256,
};
use crate::{Error, Reason, Result};

/// The files of a package beside its manifest.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The flow's ONNX model.
    pub flow: &'a [u8],
    /// The backbone's ONNX model, if the package contains it.
    pub backbone: Option<FileSource<'a>>,
    /// The region of interest as PNG.
    pub roi: Option<&'a [u8]>,
    /// The PNGs of the golden frames, in the manifest's order.
    pub golden: &'a [Bytes],
}

/// A file to put into a package.
#[derive(Clone, Copy, Debug)]
pub enum FileSource<'a> {
    /// Its content.
    Bytes(&'a [u8]),
    /// A file to copy.
    Path(&'a Path),
}

/// Writes a package without a signature: one file if `path` ends in `.uflow`, else a folder. An existing package is replaced when the new
/// one is complete; anything else at `path` is kept and is an error.
///
/// # Errors
/// [`Error::Package`] if manifest and files do not agree, or `path` is taken by something else; [`Error::Io`].
pub fn write(path: impl AsRef<Path>, manifest: &Manifest, files: &Files<'_>) -> Result<()> {
    write_with(path.as_ref(), manifest, files, None)
}

/// As [`write()`], signed if there is a key.
pub(super) fn write_with(path: &Path, manifest: &Manifest, files: &Files<'_>, key: Option<&SigningKey>) -> Result<()> {
    let refuse = |reason: Reason| Error::package(path, reason);
    let json = manifest.to_json()?;
    let signature = |key| Signature::of(&signed_files(manifest, json.as_bytes(), files.roi), key).to_json();
    let signature = key.map(signature).transpose()?;
    let mut entries = entries(manifest, files).map_err(refuse)?;
    entries.extend(signature.iter().map(|json| (SIGNATURE_FILE, FileSource::Bytes(json.as_bytes()))));
    entries.push((MANIFEST_FILE, FileSource::Bytes(json.as_bytes())));
    let one_file = is_one_file(path);
    check_destination(path, one_file).map_err(|reason| refuse(reason.into()))?;
    // A link to a package stays; what it points to is replaced.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let parent = crate::files::folder_of(&path);
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    if one_file {
        write_file(&path, parent, &entries)?
    } else {
        write_folder(&path, parent, &entries)?
    }
    sync_folder(parent);
    Ok(())
}

/// Checks that [`write()`] can write to `path`: an existing package may be replaced, and a file can be made beside it. Call it before long
/// work whose result is written there. Makes the parent folder.
///
/// # Errors
/// As [`write()`].
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let one_file = is_one_file(path);
    check_destination(path, one_file).map_err(|reason| Error::package(path, reason))?;
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let parent = crate::files::folder_of(path);
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    temporary_file(parent).map(drop)
}

/// Puts a backbone into a repository, as `backbones/<sha256>.onnx`, where packages find it by its hash.
///
/// # Errors
/// [`Error::Package`] if it is not an ONNX model that holds its weights; [`Error::Io`].
pub fn write_repository_backbone(root: impl AsRef<Path>, bytes: &[u8]) -> Result<Blob> {
    let root = root.as_ref();
    let sha256 = sha256(bytes);
    let folder = root.join(BACKBONES_FOLDER);
    let path = folder.join(format!("{sha256}.onnx"));
    let name = format!("{BACKBONES_FOLDER}/{sha256}.onnx");
    check_network(&mut Cursor::new(bytes), bytes.len() as u64, &name).map_err(|reason| Error::package(root, reason))?;
    if check_network_file(&path, &name).is_ok_and(|found| found == sha256) {
        return Ok(Blob { sha256, content: Content::File(path) });
    }
    fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let mut file = temporary_file(&folder)?;
    let written = file.write_all(bytes).and_then(|()| file.as_file().sync_all());
    written.map_err(Error::io("write", &path))?;
    file.persist(&path).map_err(|error| error.error).map_err(Error::io("write", &path))?;
    sync_folder(&folder);
    Ok(Blob { sha256, content: Content::File(path) })
}

/// A file by its name in the package.
type Entry<'a> = (&'a str, FileSource<'a>);

/// The package's files but for manifest and signature, checked against the manifest.
fn entries<'a>(manifest: &'a Manifest, files: &Files<'a>) -> Result<Vec<Entry<'a>>, Reason> {
    let mut entries = vec![(manifest.flow.file.as_str(), FileSource::Bytes(files.flow))];
    check_source("flow.sha256", entries[0], &manifest.flow.sha256)?;
    match (&manifest.backbone.file, files.backbone) {
        (Some(file), Some(source)) => {
            check_source("backbone.sha256", (file, source), &manifest.backbone.sha256)?;
            entries.push((file, source));
        }
        (None, None) => {}
        (Some(file), None) => return Err(format!("backbone.file: `{file}` was not given").into()),
        (None, Some(_)) => {
            return Err("backbone.file: a backbone was given, the manifest names no file for it".into());
        }
    }
    match (&manifest.detection.roi, files.roi) {
        (Some(file), Some(png)) => {
            check_png(file, png)?;
            entries.push((file, FileSource::Bytes(png)));
        }
        (None, None) => {}
        (Some(file), None) => return Err(format!("detection.roi: `{file}` was not given").into()),
        (None, Some(_)) => {
            return Err("detection.roi: a picture was given, the manifest names no file for it".into());
        }
    }
    let frames = manifest.golden.as_ref().map_or(&[][..], |golden| &golden.frames);
    if frames.len() != files.golden.len() {
        let (named, given) = (frames.len(), files.golden.len());
        return Err(format!("golden.frames: the manifest names {named} frames, {given} were given").into());
    }
    for (frame, png) in frames.iter().zip(files.golden) {
        golden::check_frame(frame, png)?;
        entries.push((&frame.file, FileSource::Bytes(png)));
    }
    Ok(entries)
}

/// A network that holds its own weights and has the hash in the manifest's `field`.
fn check_source(field: &str, (name, source): Entry<'_>, expected: &str) -> Result<(), Reason> {
    let found = match source {
        FileSource::Bytes(bytes) => {
            check_network(&mut Cursor::new(bytes), bytes.len() as u64, name)?;
            sha256(bytes)
        }
        FileSource::Path(path) => check_network_file(path, &path.display().to_string())?,
    };
    if found == expected { Ok(()) } else { Err(format!("{field}: is {expected}, the given file's is {found}").into()) }
}

fn check_destination(path: &Path, one_file: bool) -> Result<(), String> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    match (one_file, metadata.is_dir()) {
        (true, true) => Err("is a folder; a name that ends in `.uflow` is for one file".to_owned()),
        (false, false) => Err("is a file; end the name in `.uflow` to write one file".to_owned()),
        (false, true) if !path.join(MANIFEST_FILE).is_file() && !is_empty(path) => {
            Err("is a folder with other content; it is not replaced".to_owned())
        }
        _ => Ok(()),
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn write_file(path: &Path, parent: &Path, entries: &[Entry<'_>]) -> Result<()> {
    let mut file = temporary_file(parent)?;
    let failed = |error: io::Error| Error::io("write", path)(error);
    let failed_before = Cell::new(false);
    let mut zip = ZipWriter::new(Quiet { file: file.as_file_mut(), failed: &failed_before, position: 0, end: 0 });
    for (name, source) in entries {
        let length = match source {
            FileSource::Bytes(bytes) => bytes.len() as u64,
            FileSource::Path(source) => {
                source.metadata().inspect_err(|_| failed_before.set(true)).map_err(Error::io("read", *source))?.len()
            }
        };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(length >= u64::from(u32::MAX))
            .unix_permissions(0o644);
        zip.start_file(*name, options).map_err(|error| failed(error.into()))?;
        copy(source, &mut zip, path).inspect_err(|_| failed_before.set(true))?;
    }
    zip.finish().map_err(|error| failed(error.into()))?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A file that accepts and drops everything after the first failure. When a `ZipWriter` is dropped unfinished it finishes the
/// archive, and prints to standard error if that fails, as on a full disk. The failure has been returned by then, and the
/// temporary file is about to be deleted.
struct Quiet<'a> {
    file: &'a mut File,
    failed: &'a Cell<bool>,
    position: u64,
    end: u64,
}

impl Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self.failed.get() {
            true => bytes.len(),
            false => self.file.write(bytes).inspect_err(|error| {
                self.failed.set(error.kind() != io::ErrorKind::Interrupted);
            })?,
        };
        self.position += written as u64;
        self.end = self.end.max(self.position);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.failed.get() { Ok(()) } else { self.file.flush().inspect_err(|_| self.failed.set(true)) }
    }
}

impl Seek for Quiet<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let found = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.end.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let found = found.ok_or(io::ErrorKind::InvalidInput)?;
        if !self.failed.get() {
            self.file.seek(SeekFrom::Start(found)).inspect_err(|_| self.failed.set(true))?;
        }
        self.position = found;
        Ok(found)
    }
}

fn write_folder(path: &Path, parent: &Path, entries: &[Entry<'_>]) -> Result<()> {
    let folder = temporary(0o777).tempdir_in(parent).map_err(Error::io("write to", parent))?;
    for (name, source) in entries {
        let target = folder.path().join(name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let mut file = File::create_new(&target).map_err(Error::io("create", &target))?;
        copy(source, &mut file, &target)?;
        file.sync_all().map_err(Error::io("write", &target))?;
    }
    sync_folder(folder.path());
    if path.exists() {
        // The old package is now in the temporary folder and is removed with it.
        return exchange(folder.path(), path).map_err(Error::io("replace", path));
    }
    fs::rename(folder.path(), path).map_err(Error::io("create", path))?;
    let _moved = folder.keep();
    Ok(())
}

fn copy(source: &FileSource<'_>, target: &mut impl Write, name: &Path) -> Result<()> {
    match source {
        FileSource::Bytes(bytes) => target.write_all(bytes).map_err(Error::io("write", name)),
        FileSource::Path(path) => {
            let mut source = BufReader::new(File::open(path).map_err(Error::io("open", *path))?);
            io::copy(&mut source, target).map(drop).map_err(Error::io("write", name))
        }
    }
}

/// Swaps two folders of the same parent.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
            // Not supported by the file system or the kernel: two steps.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            result => return Ok(result?),
        }
    }
    exchange_in_two_steps(new, old)
}

fn exchange_in_two_steps(new: &Path, old: &Path) -> io::Result<()> {
    let aside = new.with_extension("old");
    fs::rename(old, &aside)?;
    if let Err(error) = fs::rename(new, old) {
        fs::rename(&aside, old)?;
        return Err(error);
    }
    fs::rename(&aside, new)
}

/// Files and folders with these permissions, less the process's own mask, where the system has permissions.
fn temporary(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".uflow-");
    set_permissions(&mut builder, mode);
    builder
}

#[cfg(unix)]
fn set_permissions(builder: &mut tempfile::Builder<'static, 'static>, mode: u32) {
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
}

#[cfg(not(unix))]
fn set_permissions(_: &mut tempfile::Builder<'static, 'static>, _: u32) {}

fn temporary_file(parent: &Path) -> Result<tempfile::NamedTempFile> {
    temporary(0o666).tempfile_in(parent).map_err(Error::io("write to", parent))
}

/// Makes a rename survive a power cut, where the system can flush folders.
fn sync_folder(folder: &Path) {
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::debug!(folder = %folder.display(), %error, "cannot flush the folder");
    }
}
