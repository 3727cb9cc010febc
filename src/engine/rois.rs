//! Regions of interest that come with frames as encoded images. The pool's threads decode them, within the memory that these
//! threads have, and the last ones are kept.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use prost::bytes::Bytes;

use super::memory::{Budget, decoding};
use crate::{Error, Result, frame::Limits, package::sha256, segment::Roi, sync::lock};

/// Bytes of regions kept; the one used longest ago goes first. The last one used is kept whatever its size.
const KEPT_BYTES: usize = 128 << 20;
/// Most pixels of a region: a mask of any size stands for the whole frame, so that a smaller one will do.
const MAX_PIXELS: u64 = 16 << 20;
/// Most bytes of an encoded region.
const MAX_BYTES: usize = 1 << 24;

/// A region of interest as it came with a frame. What is decoded of it is not kept with the frame, which may wait for long among
/// many others.
#[derive(Clone, Debug)]
pub(super) struct EncodedRoi {
    encoded: Bytes,
    /// Empty until a thread of the pool has computed it.
    sha256: String,
}

impl EncodedRoi {
    /// Empty bytes are no region.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(super) fn new(encoded: Bytes) -> Result<Option<Self>> {
        if encoded.len() > MAX_BYTES {
            let what = "size of the region of interest".to_owned();
            return Err(Error::Limit { what, found: encoded.len() as u64, limit: MAX_BYTES as u64, unit: "bytes" });
        }
        Ok((!encoded.is_empty()).then_some(Self { encoded, sha256: String::new() }))
    }
}

/// The last regions by the hash of their encoded form.
#[derive(Debug)]
pub(super) struct RoiCache {
    limits: Limits,
    memory: Budget,
    kept: Mutex<VecDeque<(String, Arc<Roi>)>>,
}

impl RoiCache {
    /// Decodes within these limits and this memory.
    pub(super) fn new(limits: Limits, memory: Budget) -> Self {
        let limits = Limits { max_pixels: limits.max_pixels.min(MAX_PIXELS), ..limits };
        Self { limits, memory, kept: Mutex::default() }
    }

    /// The region of an encoded image, decoded unless it is kept. Call it without a share of the memory.
    ///
    /// # Errors
    /// Bytes that are not an image, or one that is black all over.
    pub(super) fn get(&self, roi: &mut EncodedRoi) -> Result<Arc<Roi>> {
        if roi.sha256.is_empty() {
            roi.sha256 = sha256(&roi.encoded);
        }
        if let Some(roi) = self.find(&roi.sha256) {
            return Ok(roi);
        }
        let decoded = {
            // The region itself has four bytes a pixel; a pixel of the picture has at least one, and is counted four times.
            let _share = self.memory.take(2 * decoding(&roi.encoded));
            Arc::new(Roi::decode(&roi.encoded, "the region of interest", &self.limits)?)
        };
        let mut kept = lock(&self.kept);
        kept.retain(|(known, _)| *known != roi.sha256);
        kept.push_front((roi.sha256.clone(), Arc::clone(&decoded)));
        let mut bytes = 0;
        let fit = kept.iter().take_while(|(_, roi)| {
            bytes += roi.bytes();
            bytes <= KEPT_BYTES
        });
        let fit = fit.count().max(1);
        kept.truncate(fit);
        Ok(decoded)
    }

    fn find(&self, hash: &str) -> Option<Arc<Roi>> {
        let mut kept = lock(&self.kept);
        let index = kept.iter().position(|(known, _)| known == hash)?;
        let entry = kept.remove(index)?;
        let roi = Arc::clone(&entry.1);
        kept.push_front(entry);
        Some(roi)
    }
}
