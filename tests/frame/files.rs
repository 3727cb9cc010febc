//! Files as industrial cameras and their programs write them: read as they are meant, or refused in words.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};
use tiff::encoder::{TiffEncoder, colortype};
use uflow::frame::{BitDepthCheck, FileKind, FloatRange, Frame, Image, ImageInfo, Limits, PixelFormat, ReadOptions};

fn read(bytes: &[u8]) -> Image {
    Image::decode(bytes, "part", &Limits::default()).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    Image::decode(bytes, "part", &Limits::default()).unwrap_err().to_string()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A little-endian TIFF of one strip with these tags of 16-bit values besides the usual ones.
fn tiff_of(size: (u32, u32), tags: &[(u16, &[u16])], pixels: &[u8]) -> Vec<u8> {
    let mut entries: Vec<(u16, Vec<u16>)> = tags.iter().map(|(tag, values)| (*tag, values.to_vec())).collect();
    let had = |entries: &[(u16, Vec<u16>)], tag| entries.iter().any(|(known, _)| *known == tag);
    for (tag, value) in [(259, 1), (262, 1), (277, 1), (278, size.1 as u16)] {
        if !had(&entries, tag) {
            entries.push((tag, vec![value]));
        }
    }
    entries.push((256, vec![size.0 as u16]));
    entries.push((257, vec![size.1 as u16]));
    let count = entries.len() + 2;
    let mut extra: Vec<u8> = Vec::new();
    let after = 8 + 2 + 12 * count + 4;
    let mut rows: Vec<(u16, u16, u32, [u8; 4])> = Vec::new();
    for (tag, values) in entries {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut field = [0; 4];
        if bytes.len() <= 4 {
            field[..bytes.len()].copy_from_slice(&bytes);
        } else {
            field = ((after + extra.len()) as u32).to_le_bytes();
            extra.extend(&bytes);
        }
        rows.push((tag, 3, values.len() as u32, field));
    }
    rows.push((273, 4, 1, ((after + extra.len()) as u32).to_le_bytes()));
    rows.push((279, 4, 1, (pixels.len() as u32).to_le_bytes()));
    rows.sort();
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((count as u16).to_le_bytes());
    for (tag, kind, count, field) in rows {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(field);
    }
    bytes.extend([0; 4]);
    bytes.extend(extra);
    bytes.extend(pixels);
    bytes
}

const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const CHANNELS: u16 = 277;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;

#[test]
fn headers_tell_what_decoding_gives() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frame");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() == "bin" {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let (info, image) = (ImageInfo::read(&bytes, "part").unwrap(), read(&bytes));
        assert_eq!((info.width, info.height, info.format), (image.width(), image.height(), image.format()), "{path:?}");
        assert_eq!((info.pages, info.floats), (1, false));
        seen += usize::from(info.orientation > 1);
    }
    assert_eq!(seen, 4, "files with an EXIF orientation");
    let error = ImageInfo::read(b"text", "part").unwrap_err().to_string();
    assert!(error.starts_with("part: cannot be decoded: it is not an image"), "{error}");
}

/// 12 bits of a camera in 16-bit samples: black to white is 0 to 4095, in gray and in colour.
#[test]
fn significant_bits_set_the_value_of_white() {
    let options = ReadOptions { significant_bits: Some(12), ..ReadOptions::default() };
    let rgb = DynamicImage::ImageRgb16(image::ImageBuffer::from_raw(1, 1, vec![4095, 2048, 0]).unwrap());
    let png = encode(&rgb, ImageFormat::Png);
    assert_eq!(Image::decode_with(&png, "part", &options).unwrap().data(), [255, 128, 0]);
    assert_eq!(read(&png).data(), [16, 8, 0], "without the number of bits");
    let bright = DynamicImage::ImageRgb16(image::ImageBuffer::from_raw(1, 1, vec![4096, 0, 0]).unwrap());
    let error = Image::decode_with(&encode(&bright, ImageFormat::Png), "part", &options).unwrap_err().to_string();
    assert!(error.contains("a 16-bit sample is 4096, but 12 significant bits reach only 4095"), "{error}");
    let gray = DynamicImage::ImageLuma16(image::ImageBuffer::from_raw(1, 1, vec![4095]).unwrap());
    let image = Image::decode_with(&encode(&gray, ImageFormat::Png), "part", &options).unwrap();
    assert_eq!((image.frame().significant_bits(), image.peak()), (Some(12), Some(4095)));
    let frame = Frame::packed(&[0, 0], 1, 1, PixelFormat::Gray16).unwrap();
    assert_eq!(frame.significant_bits(), None);
    for bits in [0, 17] {
        assert!(frame.with_significant_bits(bits).is_err());
    }
}

#[test]
fn too_few_bits_are_told_with_the_option() {
    let told = |peaks: &[u16], bits| {
        let mut check = BitDepthCheck::default();
        peaks.iter().for_each(|&peak| check.push(Some(peak)));
        check.advice(bits)
    };
    let advice = told(&[1023, 800], 16).unwrap();
    assert!(
        advice.starts_with("the values of 2 16-bit images reach only 1023 of 65535: they seem to hold 10 sig"),
        "{advice}"
    );
    assert!(advice.contains("`--bits 10`") && advice.contains("`--bits 16` if 16 is right"), "{advice}");
    assert!(told(&[1023], 12).unwrap().contains("1023 of 4095"));
    assert_eq!([told(&[16384], 16), told(&[1023], 10), told(&[0], 16), told(&[], 16)], [None, None, None, None]);
}

/// A defect on page 2 must not be lost: a file of several pages is no image, and each page can be read.
#[test]
fn pages_are_counted_and_read_one_by_one() {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    for value in [10, 20, 30] {
        encoder.write_image::<colortype::Gray8>(2, 1, &[value; 2]).unwrap();
    }
    let bytes = bytes.into_inner();
    assert_eq!(ImageInfo::read(&bytes, "part").unwrap().pages, 3);
    let error = refused(&bytes);
    assert!(error.contains("it has 3 pages, and one image is expected; `uflow detect` reads every page"), "{error}");
    let page = |page| Image::decode_page(&bytes, "part", page, &ReadOptions::default());
    assert_eq!([0, 1, 2].map(|number| page(number).unwrap().data()[0]), [10, 20, 30]);
    assert!(page(3).unwrap_err().to_string().contains("it has 3 pages, there is no page 4"));
}

/// A smaller copy of the image in the same file is not a page.
#[test]
fn previews_are_not_pages() {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    let mut preview = encoder.new_image::<colortype::Gray8>(1, 1).unwrap();
    preview.encoder().write_tag(tiff::tags::Tag::NewSubfileType, 1_u32).unwrap();
    preview.write_data(&[99]).unwrap();
    encoder.write_image::<colortype::Gray8>(2, 1, &[10, 20]).unwrap();
    assert_eq!(read(&bytes.into_inner()).data(), [10, 20]);
}

#[test]
fn animations_are_refused_and_still_gifs_are_read() {
    let frame = || image::Frame::new(image::RgbaImage::from_pixel(2, 2, image::Rgba([200, 0, 0, 255])));
    let gif = |frames: usize| {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        encoder.encode_frames((0..frames).map(|_| frame())).unwrap();
        drop(encoder);
        bytes
    };
    let still = read(&gif(1));
    assert_eq!((still.width(), still.format(), &still.data()[..3]), (2, PixelFormat::Rgba8, &[200, 0, 0][..]));
    let error = refused(&gif(3));
    assert!(
        error.contains("it has 3 frames (it is an animation), and one image is expected; save the frame"),
        "{error}"
    );
    let mut apng = Vec::new();
    let mut encoder = png::Encoder::new(&mut apng, 1, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1]).unwrap();
    writer.write_image_data(&[2]).unwrap();
    writer.finish().unwrap();
    assert!(refused(&apng).contains("it has 2 frames"));
    // RIFF, the extended header with its animation flag, the animation's settings, and two frames.
    let chunk = |name: &[u8], data: &[u8]| [name, &(data.len() as u32).to_le_bytes(), data].concat();
    let still = encode(&DynamicImage::new_rgb8(1, 1), ImageFormat::WebP);
    let one = chunk(b"ANMF", &[&[0; 16][..], &still[12..]].concat());
    let body =
        [b"WEBP".to_vec(), chunk(b"VP8X", &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]), chunk(b"ANIM", &[0; 6]), one.clone(), one]
            .concat();
    assert!(refused(&chunk(b"RIFF", &body)).contains("it has 2 frames"));
}

#[test]
fn netpbm_files_are_scaled_by_their_largest_value() {
    let gray = read(b"P5\n# camera 3\n2 1\n255\n\x00\x80");
    assert_eq!((gray.format(), gray.data()), (PixelFormat::Gray8, &[0, 128][..]));
    let deep = read(b"P5 2 1 1023\n\x03\xFF\x00\x00");
    assert_eq!((deep.format(), deep.data()), (PixelFormat::Gray16, &[255, 255, 0, 0][..]));
    assert_eq!((deep.frame().significant_bits(), deep.peak()), (Some(16), None), "the file says its range");
    assert_eq!(read(b"P6 1 1 255\n\x01\x02\x03").data(), [1, 2, 3]);
    assert_eq!(read(b"P2 2 1 4 0 4").data(), [0, 255]);
    assert_eq!(ImageInfo::read(b"P4 8 1\n\xFF", "part").unwrap().kind, FileKind::Pnm);
}

#[test]
fn tiff_variants_are_read() {
    let mut big = Cursor::new(Vec::new());
    TiffEncoder::new_big(&mut big).unwrap().write_image::<colortype::Gray16>(2, 1, &[5, 60_000]).unwrap();
    assert_eq!(read(&big.into_inner()).data(), [5_u16, 60_000].map(u16::to_ne_bytes).concat());
    let two = tiff_of((2, 1), &[(BITS, &[8, 8]), (CHANNELS, &[2]), (EXTRA_SAMPLES, &[2])], &[10, 255, 20, 255]);
    assert_eq!((read(&two).format(), read(&two).data()), (PixelFormat::Gray8, &[10, 20][..]));
    let ycbcr = tiff_of(
        (2, 1),
        &[(BITS, &[8, 8, 8]), (CHANNELS, &[3]), (PHOTOMETRIC, &[6]), (530, &[1, 1])],
        &[255, 128, 128, 76, 85, 255],
    );
    assert_eq!(read(&ycbcr).data(), [255, 255, 255, 254, 0, 0], "white, and red");
    let one_bit = tiff_of((9, 1), &[(BITS, &[1])], &[0b1010_0000, 0b1000_0000]);
    assert_eq!(read(&one_bit).data(), [255, 0, 255, 0, 0, 0, 0, 0, 255]);
    let planes = tiff_of((2, 1), &[(BITS, &[8, 8, 8]), (CHANNELS, &[3]), (PHOTOMETRIC, &[2])], &[1, 2, 3, 4, 5, 6]);
    assert_eq!(read(&planes).data(), [1, 2, 3, 4, 5, 6]);
}

/// Floating-point samples have no range of their own: it is given, never taken from the image.
#[test]
fn floating_point_needs_a_range() {
    let pixels: Vec<u8> = [-5.0_f32, 0.0, 10.0, 30.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let float = tiff_of((4, 1), &[(BITS, &[32]), (SAMPLE_FORMAT, &[3])], &pixels);
    assert!(ImageInfo::read(&float, "part").unwrap().floats);
    assert!(refused(&float).contains("give the values of black and white (`--range LO:HI`"));
    let with = |range: &str| ReadOptions { float_range: Some(range.parse().unwrap()), ..ReadOptions::default() };
    let image = Image::decode_with(&float, "part", &with("0:20")).unwrap();
    assert_eq!(image.format(), PixelFormat::Gray16);
    assert_eq!(image.data(), [0_u16, 0, 32_768, 65_535].map(u16::to_ne_bytes).concat());
    let pixels: Vec<u8> = f32::NAN.to_le_bytes().to_vec();
    let nan = tiff_of((1, 1), &[(BITS, &[32]), (SAMPLE_FORMAT, &[3])], &pixels);
    let error = Image::decode_with(&nan, "part", &with("0:1")).unwrap_err().to_string();
    assert!(error.contains("samples that are not finite numbers"), "{error}");
    for wrong in ["1:0", "0:inf", "0", "a:b", "1:1"] {
        assert!(wrong.parse::<FloatRange>().is_err(), "{wrong}");
    }
}

/// The reason and what to do, in words; no names of a library's types.
#[test]
fn what_is_not_read_is_refused_in_words() {
    let twelve = tiff_of((2, 1), &[(BITS, &[12])], &[1, 2, 3]);
    let lzma = tiff_of((2, 1), &[(BITS, &[8]), (COMPRESSION, &[34925])], &[1, 2]);
    let channels = tiff_of((2, 1), &[(BITS, &[8, 8]), (CHANNELS, &[2])], &[1, 2, 3, 4]);
    let signed = tiff_of((2, 1), &[(BITS, &[16]), (SAMPLE_FORMAT, &[2])], &[1, 2, 3, 4]);
    let double = tiff_of((1, 1), &[(BITS, &[64]), (SAMPLE_FORMAT, &[3])], &[0; 8]);
    let palette = tiff_of((1, 1), &[(BITS, &[8]), (PHOTOMETRIC, &[3]), (320, &[0; 768])], &[0]);
    let chroma = tiff_of((2, 2), &[(BITS, &[8, 8, 8]), (CHANNELS, &[3]), (PHOTOMETRIC, &[6])], &[0; 6]);
    let cases: [(&[u8], &str); 14] = [
        (&twelve, "its samples have 12 bits; save it with 8 or 16 unsigned bits a sample"),
        (&lzma, "its pixels are compressed with LZMA; save it with LZW or Deflate"),
        (&channels, "it has 2 channels that are no colours; save one channel as gray"),
        (&signed, "its signed samples have 16 bits"),
        (&double, "its floating-point samples have 64 bits"),
        (&palette, "it has a palette; save it as gray or RGB"),
        (&chroma, "it has YCbCr colours of reduced resolution without JPEG compression"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "it is an AVIF image, which cannot be read; convert it to PNG or TIFF"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", "it is a HEIF image"),
        (b"\0\0\0\x0CjP  \r\n\x87\n", "it is a JPEG 2000 image"),
        (b"\xFF\x4F\xFF\x51\0\0", "it is a JPEG 2000 image"),
        (b"%PDF-1.7", "it is a PDF document"),
        (b"<!doctype html>", "it is a text with markup (HTML, XML or SVG), not an image"),
        (
            b"\xFF\xD8\xFF\xC3\0\x0B\x08\0\x01\0\x01\x01\x01\x11\0\xFF\xD9",
            "a lossless, hierarchical or arithmetic-coded JPEG",
        ),
    ];
    for (bytes, expected) in cases {
        let error = refused(bytes);
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!error.contains(['{', '[', '`']) || error.contains("`uflow"), "a library's debug text: {error}");
    }
}
