//! Memory that frames take: how it is estimated, and the budget that the pool's threads share.
//!
//! A frame costs memory in two ways. From its admission to its answer it holds its own bytes and its tensor
//! ([`held`]); [`EngineOptions::max_frame_bytes`](super::EngineOptions::max_frame_bytes) bounds the sum over all frames. While a
//! thread decodes or segments a frame it needs several times the picture's size for a moment ([`decoding`], [`segmenting`]);
//! [`Budget`] bounds the sum over all threads.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use prometheus::IntGauge;

use super::{Model, Source};
use crate::{
    frame::ImageInfo,
    latents::ScaleShape,
    sync::{lock, wait},
};

/// What a decoder's buffers may take beside the picture.
const DECODER: u64 = 4 << 20;

/// Bytes that a frame holds from its admission to its answer: its pixels or its file, its region of interest, its tensor or the maps of its tiles.
pub(super) fn held(model: &Model, source: &Source, roi: &[u8]) -> u64 {
    let frame = match source {
        Source::Raw { pixels, .. } => pixels.len(),
        Source::Encoded(bytes) => bytes.len(),
        Source::Image(image) => image.frame().data().len(),
    };
    let manifest = model.manifest();
    let values = match manifest.input.tiles {
        None => manifest.input.len(),
        Some(_) => manifest.latents().iter().map(ScaleShape::pixels).sum(),
    };
    (frame + roi.len() + values * size_of::<f32>()) as u64
}

/// Bytes that decoding takes, by the file's header.
pub(super) fn decoding(encoded: &[u8]) -> u64 {
    // What cannot be read is refused by the decoder.
    let picture = ImageInfo::read(encoded, "the encoded frame").map_or(0, |info| info.memory);
    picture.saturating_add(DECODER)
}

/// Bytes that segmenting takes at the frame's size: the mask, its components, the region of interest, and copies for the answer.
pub(super) fn segmenting((height, width): (u32, u32)) -> u64 {
    8 * u64::from(height) * u64::from(width)
}

/// Bytes that several threads take together. A thread waits until its share fits; a share larger than the whole budget takes all
/// of it, alone. Threads are served in order of arrival, so that a large share is not delayed indefinitely.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    /// Held by the thread that is next.
    turn: Mutex<()>,
    taken: Mutex<u64>,
    freed: Condvar,
    gauge: IntGauge,
}

impl Budget {
    pub(super) fn new(limit: u64, gauge: IntGauge) -> Self {
        Self(Arc::new(Inner { limit, turn: Mutex::default(), taken: Mutex::default(), freed: Condvar::new(), gauge }))
    }

    fn taken(&self) -> MutexGuard<'_, u64> {
        lock(&self.0.taken)
    }

    /// Waits for so many bytes. A thread must not ask while it holds a share.
    pub(super) fn take(&self, bytes: u64) -> Share {
        let bytes = bytes.min(self.0.limit);
        let _turn = lock(&self.0.turn);
        let mut taken = self.taken();
        while *taken + bytes > self.0.limit {
            taken = wait(&self.0.freed, taken);
        }
        *taken += bytes;
        self.0.gauge.set(*taken as i64);
        Share { budget: self.clone(), bytes }
    }
}

/// A thread's share of the budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.budget.taken();
        *taken -= self.bytes;
        self.budget.0.gauge.set(*taken as i64);
        drop(taken);
        self.budget.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering::SeqCst},
        thread,
    };

    use super::*;

    #[test]
    fn threads_take_no_more_than_the_budget_together_and_large_shares_get_their_turn() {
        let budget = Budget::new(100, IntGauge::new("work", "work").unwrap());
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (budget, now, most) = (&budget, &now, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let bytes = [10, 35, 60, 1000][((thread + round) % 4) as usize];
                        let share = budget.take(bytes);
                        let bytes = bytes.min(100);
                        most.fetch_max(now.fetch_add(bytes, SeqCst) + bytes, SeqCst);
                        thread::yield_now();
                        now.fetch_sub(bytes, SeqCst);
                        drop(share);
                    }
                });
            }
        });
        assert_eq!((most.load(SeqCst), *budget.taken(), budget.0.gauge.get()), (100, 0, 0));
    }

    #[test]
    fn decoding_is_estimated_from_the_header() {
        let png = |picture: image::DynamicImage| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
            bytes.into_inner()
        };
        let colours = png(image::DynamicImage::new_rgba16(1000, 500));
        // 8 bytes a pixel as decoded, and some for the decoder's rows and the conversion to 8 bits.
        assert!(
            (8 * 500_000 + DECODER..13 * 500_000 + DECODER).contains(&decoding(&colours)),
            "{}",
            decoding(&colours)
        );
        assert_eq!(decoding(&colours[..20]), DECODER, "a header that is cut off");
        // 34 bytes that announce 16383 × 16383 pixels.
        let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0e\0\0\0\x2f\xfe\xbf\xff\x0f\x07\x10\x11\xfd\x0f\x44\x44\xff\x03";
        assert!(decoding(webp) > 1 << 30, "{}", decoding(webp));
    }
}
