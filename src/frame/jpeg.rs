//! Whether a JPEG is all there. The decoder fills what is missing with gray, which an inspection must not take for a picture.

const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// Whether the end-of-image marker follows the header's segments and the scans.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[prefix, marker]) = bytes.get(at..at + 2) {
        match (prefix, marker) {
            (0xFF, END_OF_IMAGE) => return true,
            // Fill bytes, and markers that stand alone.
            (0xFF, 0xFF) => at += 1,
            (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => at += 2,
            (0xFF, _) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
                if marker == START_OF_SCAN {
                    at += scan_length(bytes.get(at..).unwrap_or_default());
                }
            }
            // Rubbish between segments; decoders look for the next marker, too.
            _ => at += 1,
        }
    }
    false
}

/// Bytes up to the marker that ends a scan; 0xFF is stuffed with 0x00 inside it, and restart markers belong to it.
fn scan_length(scan: &[u8]) -> usize {
    let ends = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xD0..=0xD7 | 0xFF);
    scan.windows(2).position(ends).unwrap_or(scan.len())
}
