//! What kind of file some bytes are, by their content.

use strum::IntoStaticStr;

/// Kinds of image files that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[non_exhaustive]
#[strum(serialize_all = "UPPERCASE")]
pub enum FileKind {
    /// PNG, with or without animation.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// Windows bitmap.
    Bmp,
    /// TIFF and BigTIFF.
    Tiff,
    /// WebP, lossy or lossless.
    #[strum(serialize = "WebP")]
    WebP,
    /// GIF.
    Gif,
    /// PBM, PGM, PPM and PAM.
    Pnm,
}

/// Says which files can be read; part of error messages.
pub(super) const READABLE: &str = "PNG, JPEG, BMP, TIFF, WebP, GIF and PNM can be read";

impl FileKind {
    /// The name that messages use.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Tells the kind from the first bytes.
    ///
    /// # Errors
    /// A reason in words: what the bytes are instead, and what to convert them to.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("it is empty".to_owned());
        }
        let known = READ.iter().find(|(at, magic, _)| has(bytes, *at, magic));
        if let Some(&(_, _, kind)) = known {
            return Ok(kind);
        }
        if has(bytes, 0, b"RIFF") && has(bytes, 8, b"WEBP") {
            return Ok(Self::WebP);
        }
        if matches!(bytes, [b'P', b'1'..=b'7', next, ..] if next.is_ascii_whitespace()) {
            return Ok(Self::Pnm);
        }
        if let Some((_, _, name)) = REFUSED.iter().find(|(at, magic, _)| has(bytes, *at, magic)) {
            return Err(format!("it is {name}, which cannot be read; convert it to PNG or TIFF ({READABLE})"));
        }
        if bytes.trim_ascii_start().starts_with(b"<") {
            return Err(format!("it is a text with markup (HTML, XML or SVG), not an image ({READABLE})"));
        }
        Err(format!("it is not an image ({READABLE})"))
    }

    /// Whether the bytes begin like an image file of any known kind, also of one that is not read.
    pub fn looks_like_image(bytes: &[u8]) -> bool {
        Self::of(bytes).is_ok() || REFUSED[..IMAGES].iter().any(|(at, magic, _)| has(bytes, *at, magic))
    }
}

fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

const READ: [(usize, &[u8], FileKind); 10] = [
    (0, b"\x89PNG\r\n\x1A\n", FileKind::Png),
    (0, b"\xFF\xD8\xFF", FileKind::Jpeg),
    (0, b"BM", FileKind::Bmp),
    (0, b"II*\0", FileKind::Tiff),
    (0, b"MM\0*", FileKind::Tiff),
    (0, b"II+\0", FileKind::Tiff),
    (0, b"MM\0+", FileKind::Tiff),
    (0, b"GIF87a", FileKind::Gif),
    (0, b"GIF89a", FileKind::Gif),
    (0, b"GIF", FileKind::Gif),
];

/// How many of [`REFUSED`] are images.
const IMAGES: usize = 20;

/// Offset, content and name of kinds that are refused: images first.
const REFUSED: [(usize, &[u8], &str); 29] = [
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypavis", "an AVIF image sequence"),
    (4, b"ftyphei", "a HEIF image"),
    (4, b"ftyphev", "a HEIF image"),
    (4, b"ftypmif1", "a HEIF image"),
    (4, b"jP  \r\n", "a JPEG 2000 image"),
    (0, b"\xFF\x4F\xFF\x51", "a JPEG 2000 image"),
    (4, b"JXL \r\n", "a JPEG XL image"),
    (0, b"\xFF\x0A", "a JPEG XL image"),
    (0, b"8BPS", "a Photoshop document"),
    (128, b"DICM", "a DICOM file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"\x76\x2F\x31\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"qoif", "a QOI image"),
    (0, b"DDS ", "a DirectDraw surface"),
    (0, b"farbfeld", "a farbfeld image"),
    (0, b"PF\n", "a PFM image"),
    (0, b"Pf\n", "a PFM image"),
    (0, b"\0\0\x01\0", "a Windows icon"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF\r\n", "an HDF5 file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1F\x8B", "a gzip file"),
    (4, b"ftyp", "a video (MP4 or QuickTime)"),
    (8, b"AVI ", "a video (AVI)"),
    (0, b"\x1A\x45\xDF\xA3", "a video (Matroska or WebM)"),
    (0, b"BZh", "a bzip2 file"),
];
