//! Regions of interest that requests carry, decoded once for as long as they are in use.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{
    Error, Result,
    detector::roi_from_image,
    frame::{Image, Limits},
    package::sha256,
    segment::Roi,
};

/// Bytes of regions kept; the one used longest ago goes first. The last one used is kept whatever its size.
const KEPT_BYTES: usize = 128 << 20;
/// Most pixels of a region: a mask of any size stands for the whole frame, so that a smaller one will do.
const MAX_PIXELS: u64 = 16 << 20;
/// Most bytes of an encoded region.
const MAX_BYTES: usize = 1 << 24;

/// The last regions by the hash of their encoded form.
#[derive(Debug)]
pub struct RoiCache {
    limits: Limits,
    kept: Mutex<VecDeque<(String, Arc<Roi>)>>,
}

impl RoiCache {
    /// Decodes within these limits.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { max_pixels: limits.max_pixels.min(MAX_PIXELS), ..limits };
        Self { limits, kept: Mutex::default() }
    }

    /// The region of an encoded image.
    ///
    /// # Errors
    /// Bytes that are not an image, or one that is black all over.
    pub async fn get(&self, encoded: Bytes) -> Result<Arc<Roi>> {
        if encoded.len() > MAX_BYTES {
            let what = "size of the region of interest".to_owned();
            return Err(Error::Limit { what, found: encoded.len() as u64, limit: MAX_BYTES as u64, unit: "bytes" });
        }
        let hash = sha256(&encoded);
        if let Some(roi) = self.find(&hash) {
            return Ok(roi);
        }
        let limits = self.limits;
        let decode = move || roi_from_image(&Image::decode(&encoded, "the region of interest", &limits)?);
        let decoded = tokio::task::spawn_blocking(decode).await;
        let roi = Arc::new(decoded.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((hash, Arc::clone(&roi)));
        let mut bytes = 0;
        let fit = kept.iter().take_while(|(_, roi)| {
            bytes += roi.bytes();
            bytes <= KEPT_BYTES
        });
        let fit = fit.count().max(1);
        kept.truncate(fit);
        Ok(roi)
    }

    fn find(&self, hash: &str) -> Option<Arc<Roi>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let index = kept.iter().position(|(known, _)| known == hash)?;
        let entry = kept.remove(index)?;
        let roi = Arc::clone(&entry.1);
        kept.push_front(entry);
        Some(roi)
    }
}
