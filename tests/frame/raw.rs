//! Camera buffers: golden pixels of OpenCV and NumPy (tools/golden_raw.py), and what is refused.

use std::collections::BTreeSet;

use uflow::frame::{FloatRange, Picture, PixelFormat, RawFormat, RawFrame};

struct Record<'a> {
    format: RawFormat,
    size: (u32, u32),
    stride: usize,
    bits: u8,
    raw: Vec<u8>,
    pixels: &'a [u8],
}

fn records(mut bytes: &[u8]) -> Vec<Record<'_>> {
    fn part<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
        bytes.split_off(..length).unwrap()
    }
    let number = |bytes: &mut &[u8]| u32::from_le_bytes(part(bytes, 4).try_into().unwrap()) as usize;
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = number(&mut bytes);
        let format: RawFormat = std::str::from_utf8(part(&mut bytes, length)).unwrap().parse().unwrap();
        let [width, height, stride, bits] = [0; 4].map(|_| number(&mut bytes));
        let length = number(&mut bytes);
        let raw = part(&mut bytes, length);
        // Numbers are in the machine's byte order.
        let raw = match (cfg!(target_endian = "big"), format.word_bytes()) {
            (false, _) | (_, 1) => raw.to_vec(),
            (true, word) => raw.chunks(word).flat_map(|word| word.iter().rev().copied().collect::<Vec<_>>()).collect(),
        };
        let length = number(&mut bytes);
        let pixels = part(&mut bytes, length);
        records.push(Record { format, size: (width as u32, height as u32), stride, bits: bits as u8, raw, pixels });
    }
    records
}

#[test]
fn buffers_become_the_pixels_of_opencv() {
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/raw.bin")).unwrap();
    let records = records(&golden);
    let mut seen: BTreeSet<&str> = ["gray8", "gray16", "rgb8", "bgr8", "rgba8", "bgra8"].into();
    for Record { format, size: (width, height), stride, bits, raw, pixels } in records {
        seen.insert(format.name());
        let mut buffer = RawFrame::new(&raw, width, height, stride, format).unwrap();
        if bits > 0 {
            buffer = buffer.with_significant_bits(bits).unwrap();
        }
        let picture = buffer.picture(None, Some(FloatRange::new(0.0, 2.0).unwrap())).unwrap();
        let frame = picture.frame();
        assert_eq!((frame.width(), frame.height()), (width, height));
        let found: Vec<u8> = frame.rows().flatten().copied().collect();
        if frame.format() == PixelFormat::Gray16 {
            let native: Vec<u8> =
                pixels.chunks(2).flat_map(|pair| u16::from_le_bytes([pair[0], pair[1]]).to_ne_bytes()).collect();
            let sample = |pair: &[u8]| u16::from_ne_bytes([pair[0], pair[1]]);
            let differences = found.chunks(2).zip(native.chunks(2)).map(|(a, b)| sample(a).abs_diff(sample(b)));
            // Floating-point numbers of 32 bits may round to the next of 65,536 levels.
            let most = u16::from(format == RawFormat::Float32);
            assert!(differences.max() <= Some(most), "{format}");
            let own: u8 = format.name().trim_start_matches("mono").trim_end_matches('p').parse().unwrap_or(16);
            assert_eq!(frame.significant_bits(), Some(own), "{format}");
            continue;
        }
        assert_eq!((frame.format(), found.len()), (PixelFormat::Rgb8, pixels.len()), "{format}");
        // OpenCV repeats the pixels beside the edges of a Bayer pattern; here they are interpolated from a mirrored picture.
        let edge = usize::from(format.name().starts_with("bayer"));
        let inside = |at: usize| {
            let (x, y) = (at / 3 % width as usize, at / 3 / width as usize);
            (edge..width as usize - edge).contains(&x) && (edge..height as usize - edge).contains(&y)
        };
        let differences = found.iter().zip(pixels).enumerate().filter(|(at, _)| inside(*at));
        let worst = differences.map(|(at, (ours, theirs))| (ours.abs_diff(*theirs), at)).max().unwrap();
        assert!(worst.0 <= 1, "{format}: {worst:?}");
    }
    let all: BTreeSet<&str> = RawFormat::ALL.iter().map(|format| format.name()).collect();
    assert_eq!(seen, all, "every format has its golden pixels");
}

#[test]
fn one_colour_stays_that_colour_up_to_the_edges() {
    for (format, first) in [
        ("bayerrg8", [[200, 90], [90, 20]]),
        ("bayergr8", [[90, 200], [20, 90]]),
        ("bayergb8", [[90, 20], [200, 90]]),
        ("bayerbg8", [[20, 90], [90, 200]]),
    ] {
        for (width, height) in [(2_usize, 2_usize), (3, 2), (7, 5), (8, 6)] {
            let raw: Vec<u8> = (0..width * height).map(|at| first[at / width % 2][at % width % 2]).collect();
            let frame = RawFrame::new(&raw, width as u32, height as u32, 0, format.parse().unwrap()).unwrap();
            let picture = frame.picture(None, None).unwrap();
            assert!(picture.frame().data().chunks(3).all(|pixel| pixel == [200, 90, 20]), "{format} {width}×{height}");
        }
    }
}

#[test]
fn formats_of_a_frame_are_lent_and_the_others_are_made() {
    let data = [0_u8; 4096];
    for &format in RawFormat::ALL {
        let frame = RawFrame::new(&data, 16, 8, 0, format).unwrap();
        let range = Some(FloatRange::new(0.0, 1.0).unwrap());
        let is_lent = match frame.picture(None, range).unwrap() {
            Picture::Lent(lent) => {
                assert!(std::ptr::eq(lent.data().as_ptr(), data.as_ptr()), "{format}");
                true
            }
            Picture::Made(image) => {
                assert_eq!(frame.made_bytes(), image.data().len() as u64, "{format}");
                false
            }
        };
        assert_eq!(is_lent, frame.made_bytes() == 0, "{format}");
    }
}

#[test]
fn what_cannot_be_says_why() {
    let data = [0xff_u8; 4096];
    let refused = |width, height, stride, format: &str| {
        RawFrame::new(&data, width, height, stride, format.parse().unwrap()).unwrap_err().to_string()
    };
    for (said, expected) in [
        (refused(15, 8, 0, "yuyv"), "15×8 yuyv: the width must be even"),
        (refused(16, 7, 0, "nv12"), "width and height must be even"),
        (refused(1, 8, 0, "bayerrg8"), "two by two pixels at least"),
        (refused(0, 8, 0, "mono10"), "must be at least 1"),
        (refused(16, 8, 19, "mono10p"), "the stride of 19 bytes is shorter than a row of 20 bytes"),
        (refused(64, 60, 64, "nv12"), "needs 5760 bytes at a stride of 64, the buffer has 4096"),
        (refused(64, 22, 0, "rgb8-planar"), "needs 4224 bytes"),
        (refused(u32::MAX, u32::MAX, 0, "rgba16"), "larger than the address space"),
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert!("bayerrg9".parse::<RawFormat>().unwrap_err().to_string().contains("bayerrg8, bayerrg10"));
    let picture = |format: &str, range| {
        RawFrame::new(&data, 16, 8, 0, format.parse().unwrap()).unwrap().picture(None, range).unwrap_err().to_string()
    };
    let range = Some(FloatRange::new(0.0, 1.0).unwrap());
    assert!(picture("float32", None).contains("16×8 float32: the range of floating-point samples is not known"));
    assert!(picture("float32", range).contains("not finite"));
    assert!(picture("bayergb10", None).contains("a 16-bit sample is 65535, but 10 significant bits reach only 1023"));
}
