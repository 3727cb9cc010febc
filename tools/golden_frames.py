"""Writes tests/golden/frame/: small image files of many kinds, each with the pixels that Pillow reads from it.

Beside each `NAME.EXT` lies `NAME.bin`, little-endian: uint32 width, height, channels, bytes per sample, then the samples, upright
(EXIF orientation applied), interleaved. Alpha is kept where `Image::decode` keeps it.

Usage: python tools/golden_frames.py
Needs numpy and Pillow.
"""

import pathlib

import numpy as np
from PIL import Image, ImageOps

OUT = pathlib.Path(__file__).parent.parent / "tests" / "golden" / "frame"


def save(image, name, mode, **options):
    path = OUT / name
    image.save(path, **options)
    upright = ImageOps.exif_transpose(Image.open(path))
    pixels = np.asarray(upright if mode is None else upright.convert(mode))
    pixels = pixels.astype("<u2" if pixels.dtype.itemsize > 1 and pixels.dtype != bool else "u1")
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    header = np.array([pixels.shape[1], pixels.shape[0], channels, pixels.dtype.itemsize], dtype="<u4")
    path.with_suffix(".bin").write_bytes(header.tobytes() + pixels.tobytes())


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:21, 0:34]
    smooth = np.stack([x * 7, y * 12, 255 - x * 3 - y * 5], -1).astype(np.uint8)
    rgb = Image.fromarray(smooth)
    gray = rgb.convert("L")
    gray16 = Image.fromarray((x * 1900 + y * 17).astype(np.uint16))
    alpha = Image.fromarray((255 - x * 7).astype(np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    gray_alpha = gray.copy()
    gray_alpha.putalpha(alpha)
    turned = Image.Exif()
    turned[0x0112] = 6

    save(rgb, "png_rgb.png", "RGB")
    save(rgba, "png_rgba.png", "RGBA")
    save(rgb.quantize(32), "png_palette.png", "RGB")
    save(gray.convert("1"), "png_one_bit.png", "L")
    save(gray, "png_gray.png", "L")
    save(gray_alpha, "png_gray_alpha.png", "L")
    save(gray16, "png_gray16.png", None)
    save(rgb, "png_turned.png", "RGB", exif=turned)
    save(rgb, "jpeg_rgb.jpg", "RGB", quality=95, subsampling=0)
    save(rgb, "jpeg_progressive.jpg", "RGB", quality=95, progressive=True, subsampling=0)
    save(gray, "jpeg_gray.jpg", "L", quality=95)
    save(rgb.convert("CMYK"), "jpeg_cmyk.jpg", "RGB", quality=95)
    save(rgb, "jpeg_turned.jpg", "RGB", quality=95, subsampling=0, exif=turned)
    save(rgb, "bmp_rgb.bmp", "RGB")
    save(rgb.quantize(32), "bmp_palette.bmp", "RGB")
    save(gray, "bmp_gray.bmp", "RGB")
    save(rgb, "tiff_rgb.tif", "RGB")
    save(rgb, "tiff_lzw.tif", "RGB", compression="tiff_lzw")
    save(gray16, "tiff_gray16.tif", None)
    save(rgb, "tiff_turned.tif", "RGB", exif=turned)
    save(rgb, "webp_lossless.webp", "RGB", lossless=True)
    save(rgba, "webp_rgba.webp", "RGBA", lossless=True, exact=True)
    save(rgb, "webp_lossy.webp", "RGB", quality=95)
    save(rgb, "webp_turned.webp", "RGB", lossless=True, exif=turned)


if __name__ == "__main__":
    main()
