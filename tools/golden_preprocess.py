"""Writes tests/golden/preprocess/: source images and Pillow's results.

Each `NAME.bin` holds, little-endian: uint32 source width, source height, source channels, bytes per sample, target width,
target height; then the source's samples, row after row, interleaved; then the target's. 8-bit cases hold uint8 targets, resized
by Pillow in the image's own mode. 16-bit cases hold uint16 sources and float32 targets on the scale of the source, resized by
Pillow in mode F, which is what its filter gives without rounding.

Usage: python tools/golden_preprocess.py
Needs numpy and Pillow below 13. From 13 on Pillow begins with the vertical pass where the height shrinks much more than the
width, which rounds differently: such images then differ by one level here and there.
"""

import pathlib

import numpy as np
import PIL
from PIL import Image

assert int(PIL.__version__.split(".")[0]) < 13, f"needs Pillow below 13, this is {PIL.__version__}"

OUT = pathlib.Path(__file__).parent.parent / "tests" / "golden" / "preprocess"
BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
# name, source (width, height), channels, bytes per sample, target (width, height), filter
CASES = [
    ("rgb_down", (160, 97), 3, 1, (56, 56), BILINEAR),
    ("rgb_down_far", (211, 173), 3, 1, (17, 13), BILINEAR),
    ("rgb_up", (29, 31), 3, 1, (112, 96), BILINEAR),
    ("rgb_up_down", (23, 150), 3, 1, (64, 48), BILINEAR),
    ("rgb_same_width", (64, 101), 3, 1, (64, 48), BILINEAR),
    ("rgb_same_height", (101, 48), 3, 1, (64, 48), BILINEAR),
    ("rgb_same", (40, 24), 3, 1, (40, 24), BILINEAR),
    ("rgb_one_pixel", (1, 1), 3, 1, (7, 5), BILINEAR),
    ("rgb_to_one_pixel", (31, 45), 3, 1, (1, 1), BILINEAR),
    ("rgb_bicubic_down", (131, 90), 3, 1, (56, 56), BICUBIC),
    ("rgb_bicubic_up", (29, 31), 3, 1, (96, 64), BICUBIC),
    ("rgba_down", (120, 77), 4, 1, (48, 40), BILINEAR),
    ("gray_down", (201, 143), 1, 1, (64, 64), BILINEAR),
    ("gray_up", (19, 33), 1, 1, (96, 80), BILINEAR),
    ("gray16_down", (151, 103), 1, 2, (48, 56), BILINEAR),
    ("gray16_up", (21, 17), 1, 2, (64, 72), BILINEAR),
    ("gray16_same", (32, 24), 1, 2, (32, 24), BILINEAR),
    ("rgb_bicubic_down_far", (211, 173), 3, 1, (17, 13), BICUBIC),
    ("rgba_bicubic_down", (120, 77), 4, 1, (48, 40), BICUBIC),
    ("gray_bicubic_up_down", (23, 150), 1, 1, (64, 48), BICUBIC),
    ("gray16_bicubic_down", (151, 103), 1, 2, (48, 56), BICUBIC),
]


def picture(rng, size, channels, top):
        """Noise, hard edges and a ramp, which reveal a wrong filter or a shifted grid."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for channel in range(channels):
        ramp = (x * (channel + 1) + y * 2) / (width * (channel + 1) + height * 2)
        stripes = ((x // 3 + y // (2 + channel)) % 2).astype(float)
        planes.append(0.4 * ramp + 0.3 * stripes + 0.3 * rng.random((height, width)))
    return np.round(np.clip(np.stack(planes, -1) * 1.1 - 0.05, 0, 1) * top)


def resized(source, target, channels, sample_bytes, resampling):
    if sample_bytes == 2:
        image = Image.fromarray(source[..., 0].astype(np.float32), mode="F")
        return np.asarray(image.resize(target, resampling), dtype="<f4")
    if channels == 1:
        return np.asarray(Image.fromarray(source[..., 0]).resize(target, resampling))
    # Alpha is dropped, not blended: the reference is `convert("RGB")`.
    return np.asarray(Image.fromarray(source).convert("RGB").resize(target, resampling))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20260101)
    for name, size, channels, sample_bytes, target, resampling in CASES:
        source = picture(rng, size, channels, 256**sample_bytes - 1).astype(f"<u{sample_bytes}")
        header = np.array([*size, channels, sample_bytes, *target], dtype="<u4")
        golden = resized(source, target, channels, sample_bytes, resampling)
        (OUT / f"{name}.bin").write_bytes(header.tobytes() + source.tobytes() + golden.tobytes())


if __name__ == "__main__":
    main()
