#!/usr/bin/env python3
"""Small dark spots in large smooth frames, found in whole frames and in tiles: the first table of benches/tiles.md.

    tools/measure_tiles.py --work DIR [--uflow FILE] [--side 2048] [--good 24] [--repeat 5]

Makes gray frames of slow shades, streaks and noise, fits a model of whole frames and one of tiles to them, and prints how many frames with a spot
are rejected with a region within 40 pixels of the spot. Needs Python 3, NumPy, SciPy and Pillow.
"""

import argparse
import json
import pathlib
import subprocess

import numpy
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

SIZES, LEVELS = (4, 8, 16), (30, 60)
NEAR = 40


def frame(seed, side):
    random = numpy.random.default_rng(seed)
    shades = zoom(gaussian_filter(random.normal(size=(side // 32, side // 32)).astype(numpy.float32), 2), 32, order=1)
    streaks = gaussian_filter(random.normal(size=(side, side)).astype(numpy.float32), (0.7, 25))
    pixels = 130 + 6 * shades / shades.std() + 5 * streaks / streaks.std() + 3 * random.normal(size=(side, side))
    return pixels, random


def save(pixels, path):
    Image.fromarray(numpy.clip(pixels, 0, 255).astype(numpy.uint8)).save(path)


def make(args):
    for name in ("good", "test"):
        (args.work / name).mkdir(parents=True, exist_ok=True)
    for index in range(args.good):
        save(frame(index, args.side)[0], args.work / "good" / f"{index:03}.png")
    rows, columns = numpy.mgrid[0 : args.side, 0 : args.side]
    cases = [(size, level, repeat) for size in SIZES for level in LEVELS for repeat in range(args.repeat)]
    for index, (size, level, repeat) in enumerate(cases):
        pixels, random = frame(1000 + index, args.side)
        x, y = random.integers(60, args.side - 60, 2)
        spot = numpy.clip(size / 2 + 0.5 - numpy.hypot(columns - x, rows - y), 0, 1)
        save(pixels - spot * level, args.work / "test" / f"{size}_{level}_{repeat}_{x}_{y}.png")
    for index in range(2 * args.repeat):
        save(frame(2000 + index, args.side)[0], args.work / "test" / f"good_0_{index}_0_0.png")


def found(args, package):
    """Rejected frames, and for frames with a spot those where a region is near it, of all, by size and level."""
    done = subprocess.run([args.uflow, "detect", "--model", package, args.work / "test", "--json"], capture_output=True, text=True)
    counts = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        if "path" not in result:
            continue
        size, level, _, x, y = pathlib.Path(result["path"]).stem.split("_")
        near = size == "good" or any(
            abs(region["centroid"][0] - int(x)) < NEAR and abs(region["centroid"][1] - int(y)) < NEAR for region in result["regions"]
        )
        hits, frames = counts.get((size, level), (0, 0))
        counts[size, level] = (hits + (result["anomalous"] and near), frames + 1)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--uflow", default="target/release/uflow")
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--good", type=int, default=24)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    make(args)
    columns = []
    for name, options in (("whole", []), ("tiles", ["--tiles"])):
        package = args.work / f"{name}.uflow"
        fit = [args.uflow, "fit", "--good", args.work / "good", "--out", package, "--golden", "0", "--reject-rate", "5%", *options]
        subprocess.run([str(word) for word in fit], check=True, capture_output=True)
        columns.append(found(args, package))
    print("| disc | whole frame | in tiles |\n|---|---:|---:|")
    for size, level in columns[0]:
        cells = [f"{hits} of {frames}" for hits, frames in (column[size, level] for column in columns)]
        name = "good frames that are flagged" if size == "good" else f"{size} pixels, {level} levels"
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
