//! Encoded bytes to an upright [`Image`], by the `image` crate.
//!
//! The header is read first; what it announces is held against the limits before anything of that size is allocated. The
//! same limit is handed to the decoders for their own buffers.

use std::error::Error as _;
use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::{Image, Limits, PixelFormat, jpeg};
use crate::{Error, Result};

const READABLE: [ImageFormat; 5] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP];

const CUT_OFF: &str = "its data end too early: the file is cut off";

pub(super) fn decode(bytes: &[u8], name: &str, limits: &Limits) -> Result<Image> {
    let refuse = |reason: String| Error::Decode { name: name.to_owned(), reason };
    let over = |what: &str, found: u64, limit: u64, unit| {
        if found <= limit {
            return Ok(());
        }
        Err(Error::Limit { what: format!("{name}: {what}"), found, limit, unit })
    };
    over("size of the encoded image", bytes.len() as u64, limits.max_bytes, "bytes")?;
    let format = sniff(bytes).map_err(refuse)?;
    if format == ImageFormat::Jpeg && !jpeg::is_complete(bytes) {
        return Err(refuse(CUT_OFF.to_owned()));
    }
    let explain = |error: ImageError| refuse(explain(format, limits, error));

    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some(limits.max_bytes);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(decoder_limits);
    let mut decoder = reader.into_decoder().map_err(explain)?;

    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(refuse(format!("its size is {width}×{height}")));
    }
    over("size of the image", u64::from(width) * u64::from(height), limits.max_pixels, "pixels")?;
    over("size of the decoded image", decoder.total_bytes(), limits.max_bytes, "bytes")?;

    let orientation = decoder.orientation().map_err(explain)?;
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(explain)?;
    decoded.apply_orientation(orientation);
    let (width, height) = (decoded.width(), decoded.height());
    let (format, data) = pixels(decoded).map_err(refuse)?;
    Image::new(data, width, height, format)
}

/// The kind of file by its first bytes.
fn sniff(bytes: &[u8]) -> Result<ImageFormat, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    match image::guess_format(bytes) {
        Ok(format) if READABLE.contains(&format) => Ok(format),
        Ok(format) => Err(format!("it is {format:?}; PNG, JPEG, BMP, TIFF and WebP can be read")),
        Err(_) => Err("it is not an image (PNG, JPEG, BMP, TIFF and WebP can be read)".to_owned()),
    }
}

fn explain(format: ImageFormat, limits: &Limits, error: ImageError) -> String {
    match error {
        ImageError::Limits(_) => format!("decoding it takes more than the limit of {} bytes", limits.max_bytes),
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => CUT_OFF.to_owned(),
        ImageError::Unsupported(error) => format!("unsupported {format:?}: {error}"),
        error => {
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            format!("damaged {format:?}: {}", cause.trim())
        }
    }
}

/// Packed samples in one of the frame formats; see [`Image::decode`] for the mapping.
fn pixels(image: DynamicImage) -> Result<(PixelFormat, Vec<u8>), String> {
    Ok(match image {
        DynamicImage::ImageLuma8(image) => (PixelFormat::Gray8, image.into_raw()),
        DynamicImage::ImageLumaA8(image) => (PixelFormat::Gray8, image.pixels().map(|pixel| pixel.0[0]).collect()),
        DynamicImage::ImageLuma16(image) => (PixelFormat::Gray16, bytemuck::cast_slice(image.as_raw()).to_vec()),
        DynamicImage::ImageLumaA16(image) => {
            (PixelFormat::Gray16, image.pixels().flat_map(|pixel| pixel.0[0].to_ne_bytes()).collect())
        }
        DynamicImage::ImageRgb8(image) => (PixelFormat::Rgb8, image.into_raw()),
        DynamicImage::ImageRgba8(image) => (PixelFormat::Rgba8, image.into_raw()),
        DynamicImage::ImageRgb16(image) => (PixelFormat::Rgb8, to_8_bits(image.as_raw())),
        DynamicImage::ImageRgba16(image) => (PixelFormat::Rgba8, to_8_bits(image.as_raw())),
        other => {
            return Err(format!("samples of type {:?} are not supported; save it with 8 or 16 bits", other.color()));
        }
    })
}

/// 0 ..= 65535 to 0 ..= 255, rounded to nearest.
fn to_8_bits(samples: &[u16]) -> Vec<u8> {
    samples.iter().map(|&sample| ((u32::from(sample) + 128) / 257) as u8).collect()
}
