#!/usr/bin/env python3
"""Writes tests/golden/raw.bin: small camera buffers of every format, each with the pixels that OpenCV makes of it.

A record is, with numbers as little-endian uint32: the length of the format's name, the name, width, height, bytes from row to row, significant
bits (0: as the format says), the length of the buffer, the buffer, the length of the pixels, the pixels (RGB of 8 bits, or gray of 16 bits).
OpenCV does not know packed samples, planes and floating-point gray; NumPy makes these.

Usage: python tools/golden_raw.py
Needs numpy and opencv-python-headless.
"""

import pathlib

import cv2
import numpy as np

OUT = pathlib.Path(__file__).parent.parent / "tests" / "golden" / "raw.bin"
WIDTH, HEIGHT = 24, 10
# PFNC names a pattern by its first row, OpenCV by the second row from the second column on.
PATTERNS = {"rg": cv2.COLOR_BayerBG2RGB, "gr": cv2.COLOR_BayerGB2RGB, "gb": cv2.COLOR_BayerGR2RGB, "bg": cv2.COLOR_BayerRG2RGB}
rng = np.random.default_rng(5)


def picture(white, channels=1):
    """Slopes, an edge and noise, from 0 to white."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    parts = [(x * (3 + c) + y * (11 - 2 * c)) % 97 / 97 * 0.7 + 0.3 * (x > 10 + c) * rng.random((HEIGHT, WIDTH)) for c in range(channels)]
    values = np.clip(np.stack(parts, -1), 0, 1) * white
    return np.round(values).astype(np.uint16)


def packed(samples, bits):
    """Rows of numbers without gaps, the lowest bit first, each row filled to a whole byte."""
    rows = [np.packbits((row[:, None] >> np.arange(bits) & 1).astype(np.uint8).ravel(), bitorder="little") for row in samples]
    return np.stack(rows)


def buffer(samples, bits, is_packed):
    if is_packed:
        return packed(samples, bits)
    return samples.astype("<u1" if bits == 8 else "<u2").view(np.uint8).reshape(HEIGHT, -1)


def to_byte(samples, white):
    return ((samples.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)


def main():
    records = []

    def add(name, rows, pixels, bits=0):
        # Padding after each row.
        rows = np.pad(np.ascontiguousarray(rows).view(np.uint8), ((0, 0), (0, 3)), constant_values=0xEE)
        records.append((name, rows.shape[1], bits, rows.tobytes()[:-3], np.ascontiguousarray(pixels).tobytes()))

    for bits, is_packed in [(8, False), (10, False), (12, False), (14, False), (16, False), (10, True), (12, True)]:
        suffix = f"{bits}{'p' if is_packed else ''}"
        white = 2**bits - 1
        samples = picture(white)[:, :, 0]
        if bits not in (8, 16):
            add(f"mono{suffix}", buffer(samples, bits, is_packed), samples.astype("<u2"))
        for pattern, code in PATTERNS.items():
            mosaic = samples.astype(np.uint8) if bits == 8 else samples
            rgb = cv2.cvtColor(mosaic, code)
            add(f"bayer{pattern}{suffix}", buffer(samples, bits, is_packed), rgb if bits == 8 else to_byte(rgb, white))
    # Words of 16 bits with 12 that are significant.
    samples = picture(4095)[:, :, 0]
    add("bayerrg16", buffer(samples, 16, False), to_byte(cv2.cvtColor(samples, PATTERNS["rg"]), 4095), 12)
    for name, order, channels, bits in [("rgb16", (0, 1, 2), 3, 0), ("bgr16", (2, 1, 0), 3, 12), ("rgba16", (0, 1, 2, 3), 4, 0), ("bgra16", (2, 1, 0, 3), 4, 0)]:
        white = 4095 if bits else 65535
        rgb = picture(white, channels)
        add(name, rgb[:, :, order].astype("<u2").reshape(HEIGHT, -1), to_byte(rgb[:, :, :3], white), bits)
    rgb = picture(255, 3).astype(np.uint8)
    add("rgb8-planar", np.concatenate([rgb[:, :, c] for c in range(3)]), rgb)
    yuv = picture(255, 2).astype(np.uint8)
    yuv[:2, :4, 0] = [[0, 16, 235, 255], [128, 15, 236, 1]]
    yuv[:2, :4, 1] = [[0, 255, 255, 0], [16, 240, 128, 127]]
    add("yuyv", yuv.reshape(HEIGHT, -1), cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB_YUYV))
    add("uyvy", yuv[:, :, ::-1].reshape(HEIGHT, -1), cv2.cvtColor(np.ascontiguousarray(yuv[:, :, ::-1]), cv2.COLOR_YUV2RGB_UYVY))
    nv12 = np.concatenate([yuv[:, :, 0], yuv[: HEIGHT // 2, :, 1]])
    add("nv12", nv12, cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12))
    # From -1 to 3, of which 0 to 2 is black to white.
    floats = (picture(65535)[:, :, 0] / 65535 * 4 - 1).astype("<f4")
    add("float32", floats.view(np.uint8).reshape(HEIGHT, -1), np.round(np.clip(floats / 2, 0, 1) * 65535).astype("<u2"))

    number = lambda value: np.uint32(value).astype("<u4").tobytes()
    with OUT.open("wb") as out:
        for name, stride, bits, raw, pixels in records:
            out.write(number(len(name)) + name.encode() + number(WIDTH) + number(HEIGHT) + number(stride) + number(bits))
            out.write(number(len(raw)) + raw + number(len(pixels)) + pixels)
    print(f"{len(records)} records, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
