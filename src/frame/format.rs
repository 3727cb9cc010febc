//! Pixel formats of frames.

use std::str::FromStr;

use strum::{Display, IntoStaticStr, VariantArray, VariantNames};

use crate::{Error, choice::choice};

/// Layout of a pixel in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray, VariantNames)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema), schema(rename_all = "lowercase"))]
#[non_exhaustive]
#[strum(serialize_all = "lowercase")]
pub enum PixelFormat {
    /// One byte.
    Gray8,
    /// One 16-bit number in the machine's byte order; no alignment is needed. Black to white is 0 to
    /// 2^bits − 1, where the bits are 16 unless the frame or the package says otherwise.
    Gray16,
    /// Red, green, blue.
    Rgb8,
    /// Blue, green, red.
    Bgr8,
    /// Red, green, blue, alpha. Alpha is not used.
    Rgba8,
    /// Blue, green, red, alpha. Alpha is not used.
    Bgra8,
}

impl PixelFormat {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Gray8, Self::Gray16, Self::Rgb8, Self::Bgr8, Self::Rgba8, Self::Bgra8];

    /// Bytes of a pixel without its alpha; they come first.
    pub const fn color_bytes(self) -> usize {
        match self {
            Self::Gray8 => 1,
            Self::Gray16 => 2,
            Self::Rgb8 | Self::Bgr8 | Self::Rgba8 | Self::Bgra8 => 3,
        }
    }

    /// Bytes of a pixel.
    pub const fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Gray8 => 1,
            Self::Gray16 => 2,
            Self::Rgb8 | Self::Bgr8 => 3,
            Self::Rgba8 | Self::Bgra8 => 4,
        }
    }

    /// The name users write: `gray8`, `gray16`, `rgb8`, `bgr8`, `rgba8`, `bgra8`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl FromStr for PixelFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        choice("pixel format", name)
    }
}
