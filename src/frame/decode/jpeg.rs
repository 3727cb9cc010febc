//! The structure of a JPEG: whether it is all there, and what decoding it takes.
//!
//! The decoder fills what is missing with gray, which an inspection must not take for a picture. Progressive files, and those whose
//! components come in separate scans, make it hold the coefficients of the whole image, two bytes each.

const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// What the markers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Structure {
    /// Whether the end-of-image marker follows the header's segments and the scans.
    pub(super) complete: bool,
    /// Bits of a sample; 0 without a frame header.
    pub(super) precision: u8,
    /// Bytes of coefficients that are held at once; 0 where a decoder goes row by row.
    pub(super) coefficients: u64,
    /// Largest width and height that a frame header announces.
    pub(super) size: (u32, u32),
    /// The process of coding, as the number of its marker; 0xC0 is baseline.
    pub(super) process: u8,
}

/// Walks over the markers.
pub(super) fn structure(bytes: &[u8]) -> Structure {
    let mut found = Structure::default();
    let (mut at, mut components, mut progressive, mut blocks) = (2, 0, false, 0_u64);
    while let Some(&[prefix, marker]) = bytes.get(at..at + 2) {
        match (prefix, marker) {
            (0xFF, END_OF_IMAGE) => {
                found.complete = true;
                break;
            }
            // Fill bytes, and markers that stand alone.
            (0xFF, 0xFF) => at += 1,
            (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => at += 2,
            (0xFF, _) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { break };
                let length = usize::from(u16::from_be_bytes([high, low])).max(2);
                let segment = bytes.get(at + 4..at + 2 + length).unwrap_or_default();
                if is_frame(marker) {
                    found.process = marker;
                    progressive |= matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE);
                    let (precision, size, count, coefficients) = frame(segment);
                    found.precision = precision;
                    found.size = (found.size.0.max(size.0), found.size.1.max(size.1));
                    components = count;
                    blocks = blocks.max(coefficients);
                }
                at += 2 + length;
                if marker == START_OF_SCAN {
                    let separate = segment.first().is_some_and(|&in_scan| in_scan < components);
                    if progressive || separate {
                        found.coefficients = blocks;
                    }
                    at += scan_length(bytes.get(at..).unwrap_or_default());
                }
            }
            // Rubbish between segments; decoders look for the next marker, too.
            _ => at += 1,
        }
    }
    found
}

/// Whether a marker begins a frame header.
fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
}

/// Precision, (width, height), components, and bytes of coefficients of a frame header.
fn frame(segment: &[u8]) -> (u8, (u32, u32), u8, u64) {
    let &[precision, h0, h1, w0, w1, count, ref components @ ..] = segment else { return Default::default() };
    let (width, height) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
    let sampling =
        components.chunks_exact(3).map(|component| (u64::from(component[1] >> 4), u64::from(component[1] & 15)));
    let (across, down) = sampling.clone().fold((1, 1), |(a, d), (x, y)| (a.max(x), d.max(y)));
    let each: u64 = sampling.map(|(x, y)| x * y).sum();
    let units = u64::from(width).div_ceil(8 * across) * u64::from(height).div_ceil(8 * down);
    (precision, (u32::from(width), u32::from(height)), count, units * each * 64 * 2)
}

/// Bytes up to the marker that ends a scan; 0xFF is stuffed with 0x00 inside it, and restart markers belong to it.
fn scan_length(scan: &[u8]) -> usize {
    let ends = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xD0..=0xD7 | 0xFF);
    scan.windows(2).position(ends).unwrap_or(scan.len())
}
