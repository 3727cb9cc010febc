//! TIFF and BigTIFF: pages, sample formats, and what is refused in words.

use std::io::Cursor;

use tiff::{
    ColorType, TiffError,
    decoder::{BufferLayoutPreference, Decoder, Limits},
    tags::Tag,
};

use super::{Colour, Failure, Header, Layout, Sample, jpeg};
use crate::{Reason, frame::kind::FileKind};

type Reader<'a> = Decoder<Cursor<&'a [u8]>>;

/// Most bytes of a tag's value; a strip for each row of 65,536 needs 512 KiB.
const LARGEST_TAG: usize = 1 << 19;
const JPEG: u16 = 7;

/// A decoder at a page, and the number of pages.
fn open(bytes: &[u8], page: usize, spare: u64) -> Result<(Reader<'_>, usize), Failure> {
    let mut limits = Limits::default();
    limits.ifd_value_size = LARGEST_TAG;
    limits.decoding_buffer_size = usize::try_from(spare).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(explain)?.with_limits(limits);
    let pages = pages(&mut decoder)?;
    if let Some(&index) = pages.get(page)
        && index > 0
    {
        decoder.seek_to_image(index).map_err(explain)?;
    }
    Ok((decoder, pages.len()))
}

/// Places of the pages in the chain of directories. Previews (smaller copies) and transparency masks are no pages.
fn pages(decoder: &mut Reader<'_>) -> Result<Vec<usize>, Failure> {
    const PREVIEW_OR_MASK: u32 = 1 | 4;
    let (mut pages, mut seen) = (Vec::new(), std::collections::HashSet::new());
    let mut next = decoder.ifd_pointer();
    while let Some(pointer) = next {
        if !seen.insert(pointer.0) {
            return Err(Failure::damaged(FileKind::Tiff, "its pages follow each other in a circle"));
        }
        let directory = decoder.read_directory(pointer).map_err(explain)?;
        let kind = decoder.read_directory_tags(&directory).find_tag_unsigned::<u32>(Tag::NewSubfileType);
        if kind.ok().flatten().unwrap_or(0) & PREVIEW_OR_MASK == 0 {
            pages.push(seen.len() - 1);
        }
        next = directory.next();
    }
    if pages.is_empty() {
        pages.push(0);
    }
    Ok(pages)
}

pub(super) fn header(bytes: &[u8], page: usize) -> Result<Header, Failure> {
    let (mut decoder, pages) = open(bytes, page, 1 << 20)?;
    let (width, height) = decoder.dimensions().map_err(explain)?;
    let samples = layout(&mut decoder)?;
    let orientation = decoder.find_tag_unsigned::<u16>(Tag::Orientation).ok().flatten().unwrap_or(1);
    let mut header = Header {
        kind: FileKind::Tiff,
        width,
        height,
        layout: samples.layout,
        bits: samples.bits,
        orientation: if (1..=8).contains(&orientation) { orientation as u8 } else { 1 },
        pages,
        working: 1 << 18,
    };
    let pixels = u64::from(width) * u64::from(height);
    if samples.planar || samples.bits < 8 {
        header.working += pixels.saturating_mul(samples.layout.bytes() as u64);
    }
    if samples.jpeg {
        header.working += jpeg_memory(&mut decoder, bytes)?;
    }
    Ok(header)
}

/// How the samples of a page lie in the file.
struct Samples {
    layout: Layout,
    bits: u8,
    planar: bool,
    jpeg: bool,
}

fn layout(decoder: &mut Reader<'_>) -> Result<Samples, Failure> {
    let number = |decoder: &mut Reader<'_>, tag, default: u16| {
        decoder.find_tag_unsigned_vec::<u16>(tag).ok().flatten().and_then(|all| all.first().copied()).unwrap_or(default)
    };
    let compression = number(decoder, Tag::Compression, 1);
    if let Some(name) = unreadable_compression(compression) {
        return refuse(
            format!("its pixels are compressed with {name}"),
            "save it with LZW or Deflate compression, or as PNG",
        );
    }
    const PALETTE: u16 = 3;
    if number(decoder, Tag::PhotometricInterpretation, 1) == PALETTE {
        return refuse("it has a palette".to_owned(), "save it as gray or RGB");
    }
    let bits = number(decoder, Tag::BitsPerSample, 1);
    let sample = match (number(decoder, Tag::SampleFormat, 1), bits) {
        (1, 1..=8) => Sample::U8,
        (1, 16) => Sample::U16,
        (3, 32) => Sample::F32,
        (format, _) => {
            let kind = ["", "", "signed ", "floating-point "].get(usize::from(format)).copied().unwrap_or("complex ");
            return refuse(
                format!("its {kind}samples have {bits} bits"),
                "save it with 8 or 16 unsigned bits a sample",
            );
        }
    };
    let alpha = matches!(number(decoder, Tag::ExtraSamples, 0), 1 | 2);
    let colour = decoder.colortype().map_err(explain)?;
    let (colour, channels) = match colour {
        ColorType::Gray(_) => (Colour::Gray, 1),
        ColorType::Multiband { num_samples: 2, .. } if alpha => (Colour::Gray, 2),
        ColorType::Multiband { num_samples, .. } => {
            return refuse(format!("it has {num_samples} channels that are no colours"), "save one channel as gray");
        }
        ColorType::RGB(_) => (Colour::Rgb, 3),
        ColorType::RGBA(_) => (Colour::Rgba, 4),
        ColorType::CMYK(_) => (Colour::Cmyk, 4),
        ColorType::YCbCr(8) => (Colour::YCbCr, 3),
        _ => return refuse("its colours are neither gray, RGB, YCbCr nor CMYK".to_owned(), "save it as gray or RGB"),
    };
    if bits < 8 && (colour, channels) != (Colour::Gray, 1) {
        return refuse(format!("its colours have {bits} bits a sample"), "save it with 8 or 16 bits a sample");
    }
    let subsampled = decoder.find_tag_unsigned_vec::<u16>(Tag::ChromaSubsampling).ok().flatten();
    if colour == Colour::YCbCr && compression != JPEG && subsampled.is_none_or(|factors| factors != [1, 1]) {
        return refuse(
            "it has YCbCr colours of reduced resolution without JPEG compression".to_owned(),
            "save it as RGB",
        );
    }
    Ok(Samples {
        layout: Layout::new(colour, sample, channels),
        bits: bits as u8,
        planar: number(decoder, Tag::PlanarConfiguration, 1) == 2 && channels > 1,
        jpeg: compression == JPEG,
    })
}

fn refuse<T>(what: String, advice: &str) -> Result<T, Failure> {
    Err(Failure::new(format!("it is a TIFF that cannot be read: {what}; {advice}")))
}

/// The name of a compression that is not read.
fn unreadable_compression(number: u16) -> Option<String> {
    Some(match number {
        1 | 4 | 5 | 7 | 8 | 32773 | 32946 => return None,
        2 | 3 => "CCITT Group 3".to_owned(),
        6 => "old-style JPEG".to_owned(),
        33003 | 33005 | 34712 => "JPEG 2000".to_owned(),
        34887 => "LERC".to_owned(),
        34925 => "LZMA".to_owned(),
        50000 => "Zstandard".to_owned(),
        50001 => "WebP".to_owned(),
        50002 | 52546 => "JPEG XL".to_owned(),
        number => format!("method {number}"),
    })
}

/// Most bytes that the decoder of JPEG strips or tiles holds. A strip that announces a larger image than its place is damaged.
fn jpeg_memory(decoder: &mut Reader<'_>, bytes: &[u8]) -> Result<u64, Failure> {
    let (across, down) = decoder.chunk_dimensions();
    let mut find = |tile, strip| -> Result<Vec<u64>, Failure> {
        let found = match decoder.find_tag_unsigned_vec::<u64>(tile).map_err(explain)? {
            Some(found) => Some(found),
            None => decoder.find_tag_unsigned_vec::<u64>(strip).map_err(explain)?,
        };
        Ok(found.unwrap_or_default())
    };
    let offsets = find(Tag::TileOffsets, Tag::StripOffsets)?;
    let counts = find(Tag::TileByteCounts, Tag::StripByteCounts)?;
    let mut most = 0;
    for (&offset, &count) in offsets.iter().zip(&counts) {
        let place = usize::try_from(offset).ok().zip(usize::try_from(count).ok());
        let part = place.and_then(|(at, count)| bytes.get(at..at.checked_add(count)?)).unwrap_or_default();
        let found = jpeg::structure(part);
        if found.size.0 > across.next_multiple_of(16) || found.size.1 > down.next_multiple_of(16) {
            return Err(Failure::damaged(FileKind::Tiff, "a JPEG strip or tile is larger than its place"));
        }
        let pixels = u64::from(found.size.0) * u64::from(found.size.1);
        most = most.max(2 * count + 4 * pixels + found.coefficients + 1024 * u64::from(found.size.0));
    }
    Ok(most)
}

pub(super) fn read(bytes: &[u8], page: usize, header: &Header, spare: u64) -> Result<Vec<u8>, Failure> {
    let (mut decoder, _) = open(bytes, page, spare.saturating_add(header.memory()))?;
    let layout = decoder.image_buffer_layout().map_err(explain)?;
    let mut data = vec![0; layout.complete_len];
    decoder.read_image_bytes(&mut data).map_err(explain)?;
    let data = if layout.planes > 1 { interleave(&data, &layout, header)? } else { data };
    let data = if header.bits < 8 { expand(&data, header) } else { data };
    let needed = u64::from(header.width) * u64::from(header.height) * header.layout.bytes() as u64;
    if data.len() as u64 != needed {
        return Err(Failure::damaged(
            FileKind::Tiff,
            format!("{needed} bytes of pixels are expected, {} found", data.len()),
        ));
    }
    Ok(data)
}

/// One plane after the other to one pixel after the other.
fn interleave(data: &[u8], layout: &BufferLayoutPreference, header: &Header) -> Result<Vec<u8>, Failure> {
    let channels = header.layout.channels;
    let stride = layout.plane_stride.map_or(0, std::num::NonZero::get);
    let size = header.layout.bytes() / channels;
    let plane = header.width as usize * header.height as usize * size;
    if stride < plane || data.len() < stride * (channels - 1) + plane {
        return Err(Failure::damaged(FileKind::Tiff, "a colour plane is missing"));
    }
    let mut out = Vec::with_capacity(plane * channels);
    for at in (0..plane).step_by(size) {
        for channel in 0..channels {
            let at = channel * stride + at;
            out.extend_from_slice(&data[at..at + size]);
        }
    }
    Ok(out)
}

/// Gray of 1 to 7 bits, each row padded to bytes, to 8 bits.
fn expand(data: &[u8], header: &Header) -> Vec<u8> {
    let (bits, width) = (usize::from(header.bits), header.width as usize);
    let white = (1_u32 << bits) - 1;
    let mut out = Vec::with_capacity(width * header.height as usize);
    for row in data.chunks_exact((width * bits).div_ceil(8)) {
        out.extend((0..width).map(|x| {
            let value = (0..bits).fold(0, |value, bit| {
                let at = x * bits + bit;
                value << 1 | u32::from(row[at / 8] >> (7 - at % 8) & 1)
            });
            (value * 255 / white) as u8
        }));
    }
    out
}

fn explain(error: TiffError) -> Failure {
    match error {
        TiffError::IoError(error) => Failure::io(FileKind::Tiff, error),
        TiffError::LimitsExceeded | TiffError::IntSizeError => Failure::Memory,
        TiffError::UnsupportedError(_) => Failure::new(
            "it is a TIFF of a kind that cannot be read; save it as gray or RGB with 8 or 16 bits a sample, without compression \
             or with LZW or Deflate",
        ),
        TiffError::FormatError(error) => Failure::damaged(FileKind::Tiff, Reason::of(error)),
        error => Failure::damaged(FileKind::Tiff, Reason::of(error)),
    }
}
