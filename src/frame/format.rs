//! Pixel formats of frames.

use std::{fmt, str::FromStr};

use crate::Error;

/// Layout of a pixel in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gray8 => "gray8",
            Self::Gray16 => "gray16",
            Self::Rgb8 => "rgb8",
            Self::Bgr8 => "bgr8",
            Self::Rgba8 => "rgba8",
            Self::Bgra8 => "bgra8",
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PixelFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::parameter("pixel format", format!("`{name}` is not known; use one of {known}"))
        })
    }
}
