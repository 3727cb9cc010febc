//! Which images a model was fitted to: short digests of their pixels, so that a measurement can leave them out.
//!
//! A digest is the beginning of the SHA-256 of size, format and pixels. Two different images share one with a probability of 2⁻⁴⁸. All
//! digests of a kind are one text in Base64, 8 characters an image.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::frame::Frame;

/// Bytes of a digest.
const BYTES: usize = 6;
/// Most images whose digests a package keeps: half of the largest manifest.
const MOST_IMAGES: usize = 1 << 16;

/// Stands for the pixels of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageDigest([u8; BYTES]);

impl ImageDigest {
    /// From the SHA-256 of an image's size, format and pixels.
    pub(crate) fn of_sha256(sha256: &[u8; 32]) -> Self {
        let mut digest = [0; BYTES];
        digest.copy_from_slice(&sha256[..BYTES]);
        Self(digest)
    }

    /// Of a frame's size, format and pixels; padding between rows does not count.
    pub fn of(frame: &Frame<'_>) -> Self {
        Self::of_sha256(&frame.sha256())
    }
}

/// The images of a fit, by digests of their pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenImages {
    /// Digests of the images trained on, in Base64.
    trained: String,
    /// Digests of the images held out, in Base64: they chose the epoch, and the threshold may stand on them.
    held_out: String,
}

/// What a fit did with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was trained on.
    Trained,
    /// It was held out: it chose the epoch, and the threshold may stand on it.
    HeldOut,
}

impl SeenImages {
    /// The images of a fit; `None` for so many that a package has no room for their digests (more than 65,536).
    pub fn new(trained: &[ImageDigest], held_out: &[ImageDigest]) -> Option<Self> {
        let text = |digests: &[ImageDigest]| {
            let mut digests = digests.to_vec();
            digests.sort_unstable();
            STANDARD.encode(digests.iter().flat_map(|digest| digest.0).collect::<Vec<u8>>())
        };
        let fits = trained.len() + held_out.len() <= MOST_IMAGES;
        fits.then(|| Self { trained: text(trained), held_out: text(held_out) })
    }

    /// A question about each of these images: what the fit did with it, or `None` for an image it did not have.
    ///
    /// # Errors
    /// No error is expected: the texts of an open package were checked.
    pub fn look(&self, images: &[ImageDigest]) -> Result<Vec<Option<Seen>>> {
        let of = |text: &str| digests(text).map_err(crate::Error::internal);
        let (trained, held_out) = (of(&self.trained)?, of(&self.held_out)?);
        let seen = |digest: &ImageDigest| match (trained.binary_search(digest), held_out.binary_search(digest)) {
            (Ok(_), _) => Some(Seen::Trained),
            (_, Ok(_)) => Some(Seen::HeldOut),
            _ => None,
        };
        Ok(images.iter().map(seen).collect())
    }

    /// The number of images.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn count(&self) -> Result<usize> {
        let of = |text: &str| digests(text).map_err(crate::Error::internal);
        Ok(of(&self.trained)?.len() + of(&self.held_out)?.len())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        for (field, text) in [("trained", &self.trained), ("held_out", &self.held_out)] {
            digests(text).map_err(|reason| format!("training.seen.{field}: {reason}"))?;
        }
        Ok(())
    }
}

/// The digests of a text, ascending.
fn digests(text: &str) -> Result<Vec<ImageDigest>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("is not Base64: {error}"))?;
    let (chunks, []) = bytes.as_chunks::<BYTES>() else {
        return Err(format!("has {} bytes, not a multiple of {BYTES}", bytes.len()));
    };
    let digests: Vec<ImageDigest> = chunks.iter().map(|bytes| ImageDigest(*bytes)).collect();
    if digests.is_sorted() { Ok(digests) } else { Err("the digests are not in ascending order".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;

    fn digest(value: u8) -> ImageDigest {
        ImageDigest::of(&Frame::packed(&[value, 1, 2, 3], 2, 2, PixelFormat::Gray8).unwrap())
    }

    #[test]
    fn images_are_known_again_by_their_pixels() {
        let (trained, held_out): (Vec<_>, Vec<_>) = ((0..9).map(digest).collect(), (9..12).map(digest).collect());
        let seen = SeenImages::new(&trained, &held_out).unwrap();
        assert_eq!(seen.trained.len(), 9 * 8);
        assert_eq!(seen.check(), Ok(()));
        let found = seen.look(&[digest(3), digest(10), digest(12)]).unwrap();
        assert_eq!(found, [Some(Seen::Trained), Some(Seen::HeldOut), None]);
        let padded = Frame::new(&[3, 1, 77, 2, 3], 2, 2, 3, PixelFormat::Gray8).unwrap();
        assert_eq!(seen.look(&[ImageDigest::of(&padded)]).unwrap(), [Some(Seen::Trained)]);
        assert_eq!(SeenImages::new(&vec![digest(0); MOST_IMAGES], &[digest(1)]), None);
    }

    #[test]
    fn damaged_digests_are_refused() {
        let of =
            |trained: &str| SeenImages { trained: trained.to_owned(), ..SeenImages::default() }.check().unwrap_err();
        assert!(of("AAAA").contains("training.seen.trained: has 3 bytes"));
        assert!(of("§").contains("not Base64"));
        assert!(of("//////8AAAAAAAA").contains("not Base64"));
        assert!(of("////////AAAAAAAA").contains("ascending"));
    }
}
