//! Frames and decoding: what is accepted, what is refused and how it is said.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, Rgb32FImage, Rgba, Rgba32FImage};
use uflow::Error;
use uflow::frame::{Frame, Image, Limits, PixelFormat};

fn refused(data: &[u8], width: u32, height: u32, stride: usize, format: PixelFormat) -> String {
    let error = Frame::new(data, width, height, stride, format).unwrap_err();
    assert!(matches!(error, Error::Frame { .. }));
    error.to_string()
}

#[test]
fn frames_that_do_not_fit_their_buffer_are_refused() {
    use PixelFormat::{Bgra8, Gray8, Gray16, Rgb8};
    let data = [0; 64];
    assert_eq!(refused(&data, 0, 4, 4, Gray8), "invalid frame: 0×4 gray8: width and height must be at least 1");
    assert_eq!(refused(&data, 4, 0, 4, Gray8), "invalid frame: 4×0 gray8: width and height must be at least 1");
    assert_eq!(
        refused(&data, 4, 2, 11, Rgb8),
        "invalid frame: 4×2 rgb8: the stride of 11 bytes is shorter than a row of 12 bytes"
    );
    assert_eq!(
        refused(&data, 3, 5, 16, Bgra8),
        "invalid frame: 3×5 bgra8: needs 76 bytes at a stride of 16, the buffer has 64"
    );
    assert_eq!(
        refused(&data, 4, u32::MAX, usize::MAX / 2, Gray16),
        format!(
            "invalid frame: 4×{0} gray16: {0} rows of {1} bytes are larger than the address space",
            u32::MAX,
            usize::MAX / 2
        )
    );
    assert_eq!(
        refused(&[], 1, 1, 1, Gray8),
        "invalid frame: 1×1 gray8: needs 1 bytes at a stride of 1, the buffer has 0"
    );
}

#[test]
fn the_last_row_may_end_with_its_pixels() {
    let data: Vec<u8> = (0..20).collect();
    let frame = Frame::new(&data[..17], 2, 3, 7, PixelFormat::Gray8);
    assert_eq!(frame.unwrap().rows().collect::<Vec<_>>(), [[0, 1], [7, 8], [14, 15]]);
    let frame = Frame::new(&data[..16], 2, 3, 7, PixelFormat::Gray8).unwrap();
    assert_eq!((frame.row(0), frame.row(2)), (&[0, 1][..], &[14, 15][..]));
    assert_eq!((frame.width(), frame.height(), frame.stride(), frame.data().len()), (2, 3, 7, 16));
    assert!(Frame::new(&data[..15], 2, 3, 7, PixelFormat::Gray8).is_err());
}

#[test]
fn pixel_formats_have_names() {
    for format in PixelFormat::ALL {
        assert_eq!(format.to_string().parse::<PixelFormat>().unwrap(), format);
    }
    let sizes = PixelFormat::ALL.map(PixelFormat::bytes_per_pixel);
    assert_eq!(sizes, [1, 2, 3, 3, 4, 4]);
    assert_eq!(
        "yuv".parse::<PixelFormat>().unwrap_err().to_string(),
        "pixel format: `yuv` is not one of gray8, gray16, rgb8, bgr8, rgba8, bgra8"
    );
}

#[test]
fn images_are_exactly_their_pixels() {
    let image = Image::new(vec![1, 2, 3, 4, 5, 6], 1, 2, PixelFormat::Bgr8).unwrap();
    assert_eq!(image.frame().row(1), [4, 5, 6]);
    for length in [5, 7] {
        let error = Image::new(vec![0; length], 1, 2, PixelFormat::Bgr8).unwrap_err();
        assert!(error.to_string().starts_with("invalid frame: 1×2 bgr8: needs 6 bytes"), "{error}");
    }
}

fn golden_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frame");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().unwrap() != "bin").collect();
    files.sort();
    assert!(files.len() >= 24);
    files
}

/// Every kind of file gives what Pillow reads from it, upright; lossy formats within the freedom their standards leave.
#[test]
fn decoded_images_equal_pillows() {
    for path in golden_files() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let golden = std::fs::read(path.with_extension("bin")).unwrap();
        let header: Vec<u32> = golden[..16].chunks(4).map(|n| u32::from_le_bytes(n.try_into().unwrap())).collect();
        let format = match header[2..] {
            [1, 1] => PixelFormat::Gray8,
            [1, 2] => PixelFormat::Gray16,
            [3, 1] => PixelFormat::Rgb8,
            [4, 1] => PixelFormat::Rgba8,
            _ => panic!("{name}: {header:?}"),
        };
        let image = Image::open(&path, &Limits::default()).unwrap();
        assert_eq!((image.width(), image.height(), image.format()), (header[0], header[1], format), "{name}");
        let bound = match name.split_once('.').unwrap() {
            ("jpeg_cmyk", _) => 8,
            (_, "jpg") | ("webp_lossy", _) => 3,
            _ => 0,
        };
        assert_eq!(image.data().len(), golden.len() - 16, "{name}");
        if format == PixelFormat::Gray16 {
            let native = golden[16..].chunks(2).flat_map(|n| u16::from_le_bytes([n[0], n[1]]).to_ne_bytes());
            assert_eq!(image.data(), native.collect::<Vec<u8>>(), "{name}");
            continue;
        }
        let differences = image.data().iter().zip(&golden[16..]).map(|(ours, theirs)| ours.abs_diff(*theirs));
        assert!(differences.max().unwrap() <= bound, "{name}");
    }
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A little-endian EXIF block with nothing but the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    block
}

fn png_with_orientation(png: &[u8], orientation: u8) -> Vec<u8> {
    let mut chunk = b"eXIf".to_vec();
    chunk.extend(exif(orientation));
    let crc = chunk.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
    });
    let after_header = 8 + 25;
    let mut bytes = png[..after_header].to_vec();
    bytes.extend((chunk.len() as u32 - 4).to_be_bytes());
    bytes.extend(&chunk);
    bytes.extend((!crc).to_be_bytes());
    bytes.extend(&png[after_header..]);
    bytes
}

#[test]
fn every_exif_orientation_is_applied() {
    let picture = image::GrayImage::from_raw(3, 2, vec![1, 2, 3, 4, 5, 6]).unwrap();
    let png = encode(&picture.into(), ImageFormat::Png);
    let expected: [(u8, u32, [u8; 6]); 9] = [
        (0, 3, [1, 2, 3, 4, 5, 6]),
        (1, 3, [1, 2, 3, 4, 5, 6]),
        (2, 3, [3, 2, 1, 6, 5, 4]),
        (3, 3, [6, 5, 4, 3, 2, 1]),
        (4, 3, [4, 5, 6, 1, 2, 3]),
        (5, 2, [1, 4, 2, 5, 3, 6]),
        (6, 2, [4, 1, 5, 2, 6, 3]),
        (7, 2, [6, 3, 5, 2, 4, 1]),
        (8, 2, [3, 6, 2, 5, 1, 4]),
    ];
    for (orientation, width, pixels) in expected {
        let bytes = png_with_orientation(&png, orientation);
        let image = Image::decode(&bytes, "turned.png", &Limits::default()).unwrap();
        assert_eq!((image.width(), image.data()), (width, &pixels[..]), "orientation {orientation}");
    }
}

#[test]
fn sixteen_bit_colour_is_rounded_to_eight() {
    let samples: Vec<u16> = vec![0, 128, 129, 65535, 65406, 32896];
    let rgb = DynamicImage::ImageRgb16(image::ImageBuffer::from_raw(2, 1, samples).unwrap());
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let image = Image::decode(&encode(&rgb, format), "16", &Limits::default()).unwrap();
        assert_eq!((image.format(), image.data()), (PixelFormat::Rgb8, &[0, 0, 1, 255, 254, 128][..]));
    }
}

fn message(bytes: &[u8], limits: &Limits) -> String {
    Image::decode(bytes, "part.png", limits).unwrap_err().to_string()
}

#[test]
fn what_is_not_an_image_is_refused() {
    let limits = Limits::default();
    assert_eq!(message(b"", &limits), "part.png: cannot be decoded: it is empty");
    let text = "part.png: cannot be decoded: it is not an image (PNG, JPEG, BMP, TIFF, WebP, GIF and PNM can be read)";
    assert_eq!(message(b"just some text", &limits), text);
    for float in [
        DynamicImage::ImageRgb32F(Rgb32FImage::new(2, 2)),
        DynamicImage::ImageRgba32F(Rgba32FImage::from_pixel(2, 2, Rgba([0.5; 4]))),
    ] {
        let error = message(&encode(&float, ImageFormat::Tiff), &limits);
        assert!(
            error.contains("floating-point samples, whose range is not known; give the values of black"),
            "{error}"
        );
    }
    let error = Image::open("no/such/file.png", &limits).unwrap_err();
    assert!(error.to_string().starts_with("cannot open no/such/file.png: "), "{error}");
}

/// A picture with a part missing is an error, not a picture with a gray part. (The last bytes of a PNG or WebP are checksums
/// and padding.)
#[test]
fn files_that_are_cut_off_are_refused() {
    for path in golden_files() {
        let bytes = std::fs::read(&path).unwrap();
        for length in 1..bytes.len() - 4 {
            let decoded = Image::decode(&bytes[..length], "part.png", &Limits::default());
            assert!(decoded.is_err(), "{}: {length} of {} bytes", path.display(), bytes.len());
        }
        if path.extension().unwrap() == "jpg" {
            let cut = message(&bytes[..bytes.len() - 1], &Limits::default());
            assert_eq!(cut, "part.png: cannot be decoded: its data end too early: the file is cut off");
        }
    }
}

/// A header alone announces 60,000 × 60,000 pixels: the size is refused before memory is allocated for it.
#[test]
fn bombs_are_refused_by_their_header() {
    let mut png = encode(&DynamicImage::new_luma8(1, 1), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let crc = png[12..29].iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
    });
    png[29..33].copy_from_slice(&(!crc).to_be_bytes());
    assert_eq!(
        message(&png, &Limits::default()),
        "part.png: size of the image is over the limit: 3600000000 > 268435456 pixels"
    );
    let many_pixels = Limits { max_pixels: u64::MAX, ..Limits::default() };
    let error = message(&png, &many_pixels);
    assert!(error.starts_with("part.png: memory to decode the image is over the limit: 360"), "{error}");
}

#[test]
fn limits_are_exact() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        let bytes = encode(&DynamicImage::new_rgb8(64, 48), format);
        let limits = |max_pixels, max_bytes| Limits { max_pixels, max_bytes };
        assert!(Image::decode(&bytes, "part.png", &limits(64 * 48, 1 << 22)).is_ok(), "{format:?}");
        assert_eq!(
            message(&bytes, &limits(64 * 48 - 1, 1 << 20)),
            "part.png: size of the image is over the limit: 3072 > 3071 pixels"
        );
        let found = bytes.len() as u64;
        assert_eq!(
            message(&bytes, &limits(1 << 20, found - 1)),
            format!("part.png: size of the encoded image is over the limit: {found} > {} bytes", found - 1)
        );
        if found < 9215 {
            let error = Image::decode(&bytes, "part.png", &limits(1 << 20, 9215)).unwrap_err();
            assert!(matches!(error, Error::Limit { found: 9216.., limit: 9215, .. }), "{format:?}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        std::fs::write(&path, &bytes).unwrap();
        let error = Image::open(&path, &limits(1 << 20, found - 1)).unwrap_err();
        assert!(error.to_string().contains("size of the file is over the limit"), "{error}");
    }
}
