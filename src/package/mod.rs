//! Model packages: everything one product's model needs, in a folder or in one `.uflow` file.
//!
//! ```text
//! capacitor/                    or capacitor.uflow: the same files in a zip, stored
//! ├── uflow.json                the manifest: what the model is, and the SHA-256 of its networks
//! ├── flow.onnx                 features → energies and latents
//! ├── backbone.onnx             image → features; or only its hash in the manifest, with the file in a repository
//! ├── roi.png                   region of interest, optional
//! ├── golden/0.png              a frame whose results the manifest knows, to verify a machine with; optional, as are more of them
//! └── uflow.sig                 signature, optional: `keys` and `sign` have its rules
//!
//! repository/
//! ├── backbones/<sha256>.onnx   shared by all models that name this hash
//! └── capacitor/3/              version 3 of the model `capacitor`: a package as above
//! ```
//!
//! A package is checked completely when it is opened, so every [`Package`] is consistent: the manifest has no unknown,
//! missing or impossible field, every hash is right, no path and no link leads out of the package or the repository, and the networks
//! contain their own weights (external data of ONNX are refused, because the hash does not cover them).
//! A package is written beside its destination and moved there when it is complete.

use std::path::Path;

mod change;
mod golden;
mod keys;
mod limits;
mod manifest;
mod needs;
mod read;
mod repository;
mod seen;
mod sign;
mod source;
mod text;
mod words;
mod write;

pub use self::golden::{GOLDEN_QUANTILES, Golden, GoldenFrame, GoldenResult, MOST_GOLDEN, Machine, golden_picture};
pub use self::keys::{PublicKey, SigningKey, TrustedKeys};
pub use self::limits::{DetectionLimits, KindLimit};
pub use self::manifest::{
    BackboneReference, DroppedImage, FORMAT, FlowReference, Manifest, Scale, ScoreStatistics, SearchRecord,
    TrainingRecord,
};
pub use self::read::{Blob, Content, Package};
pub use self::repository::{FoundPackage, Listing, Repository};
pub use self::seen::{ImageDigest, Seen, SeenImages};
pub use self::sign::Signature;
pub use self::text::timestamp;
pub use self::write::{FileSource, Files, check_writable, write, write_repository_backbone};

pub use crate::digest::sha256;

#[cfg(feature = "object-store")]
pub(crate) use self::{needs::MAX_ARCHIVE_BYTES, sign::MAX_SIGNATURE_BYTES, text::check_sha256};

/// Name of the manifest in a package.
pub const MANIFEST_FILE: &str = "uflow.json";
/// Name that `uflow fit` gives the flow's file in a package.
pub const FLOW_FILE: &str = "flow.onnx";
/// Name that `uflow fit` gives the backbone's file in a package.
pub const BACKBONE_FILE: &str = "backbone.onnx";
/// Name that `uflow fit` gives the region of interest's file in a package.
pub const ROI_FILE: &str = "roi.png";
/// Name of the signature in a package.
pub const SIGNATURE_FILE: &str = "uflow.sig";
/// Ending of a package in one file.
pub const PACKAGE_SUFFIX: &str = "uflow";

/// Name of the folder of shared backbones in a repository.
pub const BACKBONES_FOLDER: &str = "backbones";

/// Largest manifest.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1 << 22;
/// Largest network: what protobuf, and so ONNX, can hold in one file.
pub(crate) const MAX_NETWORK_BYTES: u64 = (1 << 31) - 1;
/// Largest picture of a region of interest.
const MAX_ROI_BYTES: u64 = 1 << 26;

/// Whether a package of this name is one file, not a folder.
pub(crate) fn is_one_file(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| suffix == PACKAGE_SUFFIX)
}

/// Checks that a model can have this name.
///
/// # Errors
/// [`crate::Error::Parameter`] that says what is wrong with it.
pub fn check_model_name(name: &str) -> crate::Result<()> {
    text::check_name(name).map_err(|reason| crate::Error::parameter("name", reason))
}
