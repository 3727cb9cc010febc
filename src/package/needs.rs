//! Which files a package consists of: what copies a package from another place has to fetch.

use super::golden::MAX_GOLDEN_BYTES;
use super::{MAX_NETWORK_BYTES, MAX_ROI_BYTES, Manifest};

/// Largest package in one file: two networks, the pictures, and as much as the manifest may have for the zip's own tables.
#[cfg(feature = "object-store")]
pub(crate) const MAX_ARCHIVE_BYTES: u64 = 2 * MAX_NETWORK_BYTES
    + MAX_ROI_BYTES
    + super::MOST_GOLDEN as u64 * MAX_GOLDEN_BYTES
    + 2 * super::MAX_MANIFEST_BYTES;

impl Manifest {
    /// The files of the package that the manifest names, each with its largest size in bytes. The names are relative paths without `..`.
    /// Not among them: the manifest, the signature, and a backbone that the repository shares.
    pub fn files(&self) -> Vec<(&str, u64)> {
        let networks = [Some(self.flow.file.as_str()), self.backbone.file.as_deref()];
        let mut files: Vec<_> = networks.into_iter().flatten().map(|file| (file, MAX_NETWORK_BYTES)).collect();
        files.extend(self.detection.roi.as_deref().map(|file| (file, MAX_ROI_BYTES)));
        let golden = self.golden.iter().flat_map(|golden| &golden.frames);
        files.extend(golden.map(|frame| (frame.file.as_str(), MAX_GOLDEN_BYTES)));
        files
    }

    /// The hash of the backbone that lies in the repository, if it is not in the package.
    pub fn shared_backbone(&self) -> Option<&str> {
        self.backbone.file.is_none().then_some(self.backbone.sha256.as_str())
    }
}
