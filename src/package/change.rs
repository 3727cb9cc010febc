//! A package with another manifest: the same networks under another name, another decision, another region of interest or other golden frames.

use std::path::Path;

use prost::bytes::Bytes;

use super::{
    BACKBONE_FILE, BACKBONES_FOLDER, Content, FileSource, Files, Golden, Manifest, Package, ROI_FILE, SigningKey,
    is_one_file, write::write_with,
};
use crate::Result;

impl Package {
    /// Writes this package to `path` with a changed manifest and region of interest, as [`write()`](super::write()) does: to its own path too, whole
    /// or not at all. `manifest.detection.roi` follows from `roi`; the golden frames stay, if the manifest names them. A backbone that lies in the
    /// package's repository is put into the new package where the new place has no such repository. The new package is not signed. Gives the
    /// manifest as it was written.
    ///
    /// # Errors
    /// As [`write()`](super::write()).
    pub fn write_changed(&self, path: &Path, manifest: &Manifest, roi: Option<&[u8]>) -> Result<Manifest> {
        let golden = if manifest.golden.is_some() { self.golden.as_slice() } else { &[] };
        self.rewrite(path, manifest, roi, golden, None)
    }

    /// As [`write_changed`](Self::write_changed), with these golden frames, or none, and nothing else changed.
    ///
    /// # Errors
    /// As [`write()`](super::write()).
    pub fn write_with_golden(&self, path: &Path, golden: Option<(Golden, &[Bytes])>) -> Result<Manifest> {
        let (golden, pictures) = golden.unzip();
        let manifest = Manifest { golden, ..self.manifest.clone() };
        self.rewrite(path, &manifest, self.roi.as_deref(), pictures.unwrap_or_default(), None)
    }

    pub(super) fn rewrite(
        &self,
        path: &Path,
        manifest: &Manifest,
        roi: Option<&[u8]>,
        golden: &[Bytes],
        key: Option<&SigningKey>,
    ) -> Result<Manifest> {
        let mut manifest = manifest.clone();
        if manifest.backbone.file.is_none() && !in_repository(path, &manifest.backbone.sha256) {
            manifest.backbone.file = Some(BACKBONE_FILE.to_owned());
        }
        manifest.detection.roi = match (roi, manifest.detection.roi.take()) {
            (None, _) => None,
            (Some(_), Some(file)) => Some(file),
            (Some(_), None) => Some(ROI_FILE.to_owned()),
        };
        let backbone = match &self.backbone.content {
            Content::File(path) => FileSource::Path(path),
            Content::Bytes(bytes) => FileSource::Bytes(bytes),
        };
        let backbone = manifest.backbone.file.as_ref().map(|_| backbone);
        write_with(path, &manifest, &Files { flow: &self.flow, backbone, roi, golden }, key)?;
        Ok(manifest)
    }

    /// This package in memory, with a changed manifest and region of interest, and without its signature: to look at before it is written.
    #[must_use]
    pub fn changed(&self, manifest: &Manifest, roi: Option<Bytes>) -> Self {
        Self { manifest: manifest.clone(), roi, signature: None, signed: String::new(), ..self.clone() }
    }
}

/// Whether a package at this path would find the backbone as `<root>/backbones/<sha256>.onnx`.
fn in_repository(path: &Path, sha256: &str) -> bool {
    let one_file = is_one_file(path);
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let whole = whole.canonicalize().unwrap_or(whole);
    let root = whole.parent().and_then(Path::parent);
    !one_file && root.is_some_and(|root| root.join(BACKBONES_FOLDER).join(format!("{sha256}.onnx")).is_file())
}
