//! Layouts of camera buffers.

use std::str::FromStr;

use strum::{Display, FromRepr, IntoStaticStr, VariantArray, VariantNames};

use crate::{Error, choice::choice, frame::PixelFormat};

/// Layout of a camera's buffer, by the names of GenICam's Pixel Format Naming Convention (PFNC 2.4) where it has one, in lower case.
///
/// Samples of more than 8 bits are 16-bit numbers in the machine's byte order, with their significant bits at the bottom; where the name ends
/// in `p` they are packed: bits follow each other without gaps, the lowest bit first, and each row begins with a byte of its own. The number is that of
/// `uflow.v1` and of the C interface, where 7 stands for files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray, VariantNames, FromRepr)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema), schema(rename_all = "lowercase"))]
#[non_exhaustive]
#[repr(u32)]
#[strum(serialize_all = "lowercase")]
pub enum RawFormat {
    /// Gray, one byte (PFNC: Mono8).
    Gray8 = 1,
    /// Gray, 16 bits (Mono16), or so many as are said to be significant.
    Gray16 = 2,
    /// Red, green, blue, one byte each (RGB8).
    Rgb8 = 3,
    /// Blue, green, red (BGR8).
    Bgr8 = 4,
    /// Red, green, blue, alpha (RGBa8). Alpha is not used.
    Rgba8 = 5,
    /// Blue, green, red, alpha (BGRa8). Alpha is not used.
    Bgra8 = 6,
    /// Gray, 10 of 16 bits.
    Mono10 = 8,
    /// Gray, 12 of 16 bits.
    Mono12 = 9,
    /// Gray, 14 of 16 bits.
    Mono14 = 10,
    /// Gray, 10 bits, packed: four pixels in five bytes.
    Mono10p = 11,
    /// Gray, 12 bits, packed: two pixels in three bytes.
    Mono12p = 12,
    /// Red, green, blue, 16 bits each, or so many as are said to be significant.
    Rgb16 = 13,
    /// Blue, green, red, likewise.
    Bgr16 = 14,
    /// Red, green, blue, alpha, likewise (RGBa16). Alpha is not used.
    Rgba16 = 15,
    /// Blue, green, red, alpha, likewise (BGRa16). Alpha is not used.
    Bgra16 = 16,
    /// A red plane, then a green, then a blue one, one byte a pixel (RGB8_Planar).
    #[strum(serialize = "rgb8-planar")]
    #[cfg_attr(feature = "serve", schema(rename = "rgb8-planar"))]
    Rgb8Planar = 17,
    /// Y, U, Y, V for two pixels (YUV422_8); ITU-R BT.601, 16 is black and 235 white. The width is even.
    Yuyv = 18,
    /// U, Y, V, Y for two pixels (YUV422_8_UYVY), likewise.
    Uyvy = 19,
    /// A plane of Y, then one of U, V for each two by two pixels (YUV420SP_8), likewise. Width and height are even.
    Nv12 = 20,
    /// Gray, 32-bit floating-point numbers; their range must be given.
    Float32 = 21,
    /// Bayer pattern that begins with red, green; 8 bits.
    BayerRg8 = 24,
    /// 10 of 16 bits.
    BayerRg10 = 25,
    /// 12 of 16 bits.
    BayerRg12 = 26,
    /// 14 of 16 bits.
    BayerRg14 = 27,
    /// 16 bits, or so many as are said to be significant.
    BayerRg16 = 28,
    /// 10 bits, packed.
    BayerRg10p = 29,
    /// 12 bits, packed.
    BayerRg12p = 30,
    /// Bayer pattern that begins with green, red; 8 bits.
    BayerGr8 = 32,
    /// 10 of 16 bits.
    BayerGr10 = 33,
    /// 12 of 16 bits.
    BayerGr12 = 34,
    /// 14 of 16 bits.
    BayerGr14 = 35,
    /// 16 bits, or so many as are said to be significant.
    BayerGr16 = 36,
    /// 10 bits, packed.
    BayerGr10p = 37,
    /// 12 bits, packed.
    BayerGr12p = 38,
    /// Bayer pattern that begins with green, blue; 8 bits.
    BayerGb8 = 40,
    /// 10 of 16 bits.
    BayerGb10 = 41,
    /// 12 of 16 bits.
    BayerGb12 = 42,
    /// 14 of 16 bits.
    BayerGb14 = 43,
    /// 16 bits, or so many as are said to be significant.
    BayerGb16 = 44,
    /// 10 bits, packed.
    BayerGb10p = 45,
    /// 12 bits, packed.
    BayerGb12p = 46,
    /// Bayer pattern that begins with blue, green; 8 bits.
    BayerBg8 = 48,
    /// 10 of 16 bits.
    BayerBg10 = 49,
    /// 12 of 16 bits.
    BayerBg12 = 50,
    /// 14 of 16 bits.
    BayerBg14 = 51,
    /// 16 bits, or so many as are said to be significant.
    BayerBg16 = 52,
    /// 10 bits, packed.
    BayerBg10p = 53,
    /// 12 bits, packed.
    BayerBg12p = 54,
}

/// How samples lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    /// One byte.
    Bytes,
    /// 16-bit numbers with so many significant bits; `None` where the format does not say how many.
    Words(Option<u8>),
    /// So many bits, packed.
    Packed(u8),
}

/// Where red lies in a Bayer pattern: column and row of the first two by two pixels. Blue lies diagonally from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) red: [usize; 2],
}

/// What a format is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A frame as it is.
    Frame(PixelFormat),
    /// Gray of other samples.
    Mono(Samples),
    /// Bayer pattern.
    Bayer(Pattern, Samples),
    /// Colours of 16 bits: samples a pixel, and which of them is red.
    Words { channels: usize, red: usize },
    /// Planes of red, green, blue.
    Planar,
    /// Two pixels in four bytes: where the first Y and U are.
    Yuv422 { y: usize, u: usize },
    /// A plane of Y, one of U and V.
    Yuv420,
    /// Floating-point gray.
    Float,
}

impl RawFormat {
    /// Every format.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// The name users write, such as `bayerrg12p`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The number in `uflow.v1` and in the C interface.
    pub const fn number(self) -> u32 {
        self as u32
    }

    pub(super) const fn layout(self) -> Layout {
        match self {
            Self::Gray8 => Layout::Frame(PixelFormat::Gray8),
            Self::Gray16 => Layout::Frame(PixelFormat::Gray16),
            Self::Rgb8 => Layout::Frame(PixelFormat::Rgb8),
            Self::Bgr8 => Layout::Frame(PixelFormat::Bgr8),
            Self::Rgba8 => Layout::Frame(PixelFormat::Rgba8),
            Self::Bgra8 => Layout::Frame(PixelFormat::Bgra8),
            Self::Mono10 => Layout::Mono(Samples::Words(Some(10))),
            Self::Mono12 => Layout::Mono(Samples::Words(Some(12))),
            Self::Mono14 => Layout::Mono(Samples::Words(Some(14))),
            Self::Mono10p => Layout::Mono(Samples::Packed(10)),
            Self::Mono12p => Layout::Mono(Samples::Packed(12)),
            Self::Rgb16 => Layout::Words { channels: 3, red: 0 },
            Self::Bgr16 => Layout::Words { channels: 3, red: 2 },
            Self::Rgba16 => Layout::Words { channels: 4, red: 0 },
            Self::Bgra16 => Layout::Words { channels: 4, red: 2 },
            Self::Rgb8Planar => Layout::Planar,
            Self::Yuyv => Layout::Yuv422 { y: 0, u: 1 },
            Self::Uyvy => Layout::Yuv422 { y: 1, u: 0 },
            Self::Nv12 => Layout::Yuv420,
            Self::Float32 => Layout::Float,
            bayer => Layout::Bayer(Pattern::of(bayer.number()), Samples::of_bayer(bayer.number())),
        }
    }

    /// Bytes of a row of so many pixels in the first plane; `None` where they do not fit into the address space.
    pub fn row_bytes(self, width: u32) -> Option<usize> {
        let width = width as usize;
        match self.layout() {
            Layout::Frame(format) => width.checked_mul(format.bytes_per_pixel()),
            Layout::Mono(samples) | Layout::Bayer(_, samples) => samples.row_bytes(width),
            Layout::Words { channels, .. } => width.checked_mul(2 * channels),
            Layout::Planar | Layout::Yuv420 => Some(width),
            Layout::Yuv422 { .. } => width.checked_mul(2),
            Layout::Float => width.checked_mul(4),
        }
    }

    /// Bytes of a picture without gaps between rows; `None` where the format has no such size, or they do not fit into the address space.
    pub fn buffer_bytes(self, width: u32, height: u32) -> Option<usize> {
        let rows =
            self.rows(height).filter(|_| width > 0 && height > 0 && self.reason_against(width, height).is_none())?;
        self.row_bytes(width)?.checked_mul(rows)
    }

    /// Layout of the frames that it becomes.
    pub fn pixel_format(self) -> PixelFormat {
        match self.layout() {
            Layout::Frame(format) => format,
            Layout::Mono(_) | Layout::Float => PixelFormat::Gray16,
            _ => PixelFormat::Rgb8,
        }
    }

    /// The significant bits of a sample, where the format says them.
    pub fn significant_bits(self) -> Option<u8> {
        match self.layout() {
            Layout::Frame(PixelFormat::Gray16) | Layout::Words { .. } | Layout::Float => None,
            Layout::Mono(samples) | Layout::Bayer(_, samples) => samples.bits(),
            Layout::Frame(_) | Layout::Planar | Layout::Yuv422 { .. } | Layout::Yuv420 => Some(8),
        }
    }

    /// Rows of all planes together, of a picture of so many rows.
    pub(super) fn rows(self, height: u32) -> Option<usize> {
        let height = height as usize;
        match self.layout() {
            Layout::Planar => height.checked_mul(3),
            Layout::Yuv420 => height.checked_add(height / 2),
            _ => Some(height),
        }
    }

    /// Bytes of the numbers that it is made of, whose order depends on the machine; 1 for bytes alone.
    pub fn word_bytes(self) -> usize {
        match self.layout() {
            Layout::Frame(PixelFormat::Gray16)
            | Layout::Mono(Samples::Words(_))
            | Layout::Bayer(_, Samples::Words(_))
            | Layout::Words { .. } => 2,
            Layout::Float => 4,
            _ => 1,
        }
    }

    /// Why a picture cannot have this size.
    pub(super) fn reason_against(self, width: u32, height: u32) -> Option<&'static str> {
        match self.layout() {
            Layout::Yuv422 { .. } if !width.is_multiple_of(2) => {
                Some("the width must be even: two pixels share their colour")
            }
            Layout::Yuv420 if !(width.is_multiple_of(2) && height.is_multiple_of(2)) => {
                Some("width and height must be even: two by two pixels share their colour")
            }
            Layout::Bayer(..) if width < 2 || height < 2 => Some("a Bayer pattern needs two by two pixels at least"),
            _ => None,
        }
    }
}

impl Samples {
    /// The significant bits that the format itself says.
    pub(super) fn bits(self) -> Option<u8> {
        match self {
            Self::Bytes => Some(8),
            Self::Words(bits) => bits,
            Self::Packed(bits) => Some(bits),
        }
    }

    const fn of_bayer(number: u32) -> Self {
        match number % 8 {
            0 => Self::Bytes,
            1 => Self::Words(Some(10)),
            2 => Self::Words(Some(12)),
            3 => Self::Words(Some(14)),
            4 => Self::Words(None),
            5 => Self::Packed(10),
            _ => Self::Packed(12),
        }
    }

    fn row_bytes(self, width: usize) -> Option<usize> {
        match self {
            Self::Bytes => Some(width),
            Self::Words(_) => width.checked_mul(2),
            Self::Packed(bits) => width.checked_mul(bits.into()).map(|bits| bits.div_ceil(8)),
        }
    }
}

impl Pattern {
    const fn of(number: u32) -> Self {
        let red = match number / 8 {
            3 => [0, 0],
            4 => [1, 0],
            5 => [0, 1],
            _ => [1, 1],
        };
        Self { red }
    }
}

impl From<PixelFormat> for RawFormat {
    fn from(format: PixelFormat) -> Self {
        match format {
            PixelFormat::Gray8 => Self::Gray8,
            PixelFormat::Gray16 => Self::Gray16,
            PixelFormat::Rgb8 => Self::Rgb8,
            PixelFormat::Bgr8 => Self::Bgr8,
            PixelFormat::Rgba8 => Self::Rgba8,
            PixelFormat::Bgra8 => Self::Bgra8,
        }
    }
}

impl FromStr for RawFormat {
    type Err = Error;

    /// A name, as PFNC spells it or in lower case.
    fn from_str(name: &str) -> Result<Self, Error> {
        let lower = name.to_ascii_lowercase();
        choice(
            "pixel format",
            match lower.as_str() {
                "mono8" => "gray8",
                "mono16" => "gray16",
                "rgb8_planar" => "rgb8-planar",
                "yuv422_8" => "yuyv",
                "yuv422_8_uyvy" => "uyvy",
                "yuv420sp_8" => "nv12",
                other => other,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_say_the_same_layout() {
        for &format in RawFormat::ALL {
            assert_eq!(RawFormat::from_repr(format.number()), Some(format));
            assert_eq!(format.name().parse::<RawFormat>().unwrap(), format);
            let Layout::Bayer(Pattern { red: [x, y] }, samples) = format.layout() else { continue };
            let first = ["rg", "gr", "gb", "bg"][x + 2 * y];
            let bits = match samples {
                Samples::Bytes => "8".to_owned(),
                Samples::Words(bits) => bits.unwrap_or(16).to_string(),
                Samples::Packed(bits) => format!("{bits}p"),
            };
            assert_eq!(format.name(), format!("bayer{first}{bits}"));
        }
        assert_eq!(RawFormat::from_repr(7), None, "files in the C interface");
        assert_eq!("BayerRG12p".parse::<RawFormat>().unwrap(), RawFormat::BayerRg12p);
        assert_eq!("Mono16".parse::<RawFormat>().unwrap(), RawFormat::Gray16);
        assert_eq!(RawFormat::Mono10p.row_bytes(5), Some(7));
    }
}
