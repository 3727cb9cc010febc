//! A package with another manifest: the same networks under another name, another decision or another region of interest.

use std::path::Path;

use super::{
    BACKBONE_FILE, BACKBONES_FOLDER, Content, FileSource, Files, Manifest, PACKAGE_SUFFIX, Package, ROI_FILE, write,
};
use crate::Result;

impl Package {
    /// Writes this package to `path` with a changed manifest and region of interest, as [`write()`] does: to its own path too, whole
    /// or not at all. `manifest.detection.roi` follows from `roi`. A backbone that lies in the package's repository is put into the
    /// new package where the new place has no such repository. Gives the manifest as it was written.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn write_changed(&self, path: &Path, manifest: &Manifest, roi: Option<&[u8]>) -> Result<Manifest> {
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
        write(path, &manifest, &Files { flow: &self.flow, backbone, roi })?;
        Ok(manifest)
    }
}

/// Whether a package at this path would find the backbone as `<root>/backbones/<sha256>.onnx`.
fn in_repository(path: &Path, sha256: &str) -> bool {
    let one_file = path.extension().is_some_and(|suffix| suffix == PACKAGE_SUFFIX);
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let whole = whole.canonicalize().unwrap_or(whole);
    let root = whole.parent().and_then(Path::parent);
    !one_file && root.is_some_and(|root| root.join(BACKBONES_FOLDER).join(format!("{sha256}.onnx")).is_file())
}
