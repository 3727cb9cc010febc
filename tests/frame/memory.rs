//! What decoding holds at once stays within the limit, whatever a file announces.

use std::io::{Cursor, Write as _};

use image::{DynamicImage, ImageFormat};
use uflow::frame::{Image, Limits};

use crate::counting::peak;

const LIMITS: Limits = Limits { max_pixels: 1 << 28, max_bytes: 32 << 20 };

/// Decodes, and gives whether that went well and how many bytes it held beyond those before.
fn decode(bytes: &[u8], limits: &Limits) -> (Result<Image, uflow::Error>, u64) {
    let (held, image) = peak(|| Image::decode(bytes, "part", limits));
    (image, held as u64)
}

fn within(what: &str, bytes: &[u8], decodes: bool) {
    let (image, held) = decode(bytes, &LIMITS);
    assert_eq!(image.is_ok(), decodes, "{what}: {image:?}");
    assert!(held <= LIMITS.max_bytes, "{what}: held {held} bytes");
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn deflated(length: usize) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..length >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

/// A PNG with one more chunk after its header.
fn png_with(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let png = encode(&DynamicImage::new_luma8(4, 4), ImageFormat::Png);
    let body = [&name[..], data].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    let chunk = [&(data.len() as u32).to_be_bytes()[..], &body, &crc.sum().to_be_bytes()].concat();
    [&png[..33], &chunk, &png[33..]].concat()
}

/// A progressive JPEG's header with an empty scan.
fn progressive(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = b"\xFF\xD8\xFF\xC2\0\x11\x08".to_vec();
    bytes.extend(height.to_be_bytes());
    bytes.extend(width.to_be_bytes());
    bytes.extend(b"\x03\x01\x11\0\x02\x11\0\x03\x11\0");
    bytes.extend(b"\xFF\xDA\0\x0C\x03\x01\0\x02\0\x03\0\0\0\0\0\xFF\xD9");
    bytes
}

#[test]
fn what_a_header_announces_is_not_allocated() {
    // 16383 × 16383 pixels in 34 bytes.
    let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0e\0\0\0/\xfe\xbf\xff\x0f\x07\x10\x11\xfd\x0fDD\xff\x03";
    within("WebP, lossless, 16383²", webp, false);
    for (name, head) in [(b"iCCP", &b"x\0\0"[..]), (b"zTXt", b"x\0\0"), (b"iTXt", b"x\0\x01\0\0\0")] {
        let bomb = png_with(name, &[head, &deflated(200 << 20)].concat());
        within(&format!("PNG, {} of 200 MiB", String::from_utf8_lossy(name)), &bomb, true);
    }
    within("JPEG, progressive, 8000²", &progressive(8000, 8000), false);
    within("GIF, 65535²", b"GIF89a\xFF\xFF\xFF\xFF\0\0\0,\0\0\0\0\xFF\xFF\xFF\xFF\0\x02\0;", false);
    within("PGM, 16000²", b"P5 16000 16000 255\n", false);
}

/// Images that fit decode, and with a limit just below what that takes they are refused: the estimates are no guesses.
#[test]
fn estimates_hold() {
    let picture = DynamicImage::ImageRgb8(image::RgbImage::from_fn(1500, 1000, |x, y| {
        image::Rgb([(x * y % 251) as u8, (x + y) as u8, (x ^ y) as u8])
    }));
    for format in
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif]
    {
        let bytes = encode(&picture, format);
        within(&format!("{format:?}, 1500×1000"), &bytes, true);
        estimate_holds(&format!("{format:?}"), &bytes);
    }
    let deep = DynamicImage::ImageRgb16(picture.to_rgb16());
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        estimate_holds(&format!("{format:?}, 16 bits"), &encode(&deep, format));
    }
    let alpha = DynamicImage::ImageRgba8(picture.to_rgba8());
    estimate_holds("WebP with alpha", &encode(&alpha, ImageFormat::WebP));
    for name in [
        "jpeg_progressive.jpg",
        "jpeg_turned.jpg",
        "png_turned.png",
        "tiff_turned.tif",
        "webp_lossy.webp",
        "webp_turned.webp",
    ] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frame").join(name);
        estimate_holds(name, &std::fs::read(path).unwrap());
    }
}

/// With less than what it takes the file is refused, and no more than the limit is held.
fn estimate_holds(what: &str, bytes: &[u8]) {
    // The header alone takes some tables.
    const LEAST: u64 = 1 << 20;
    let (image, whole) = decode(bytes, &LIMITS);
    image.unwrap();
    for part in [50, 75, 90, 99] {
        let limits = Limits { max_bytes: whole * part / 100, ..LIMITS };
        let (image, held) = decode(bytes, &limits);
        assert!(held <= limits.max_bytes.max(LEAST), "{what}: held {held} of {}", limits.max_bytes);
        assert!(image.is_err(), "{what}: decoded with {part}% of what it takes");
    }
}
