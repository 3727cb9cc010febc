#!/usr/bin/env python3
"""Measures what a reject rate keeps on good images that no step used, and what it finds, beside other thresholds.

    tools/measure_reject_rate.py PRODUCT… [--uflow FILE] [--splits N] [--fit SHARE|NUMBER] [--out FILE.jsonl] [-- OPTIONS OF `uflow fit`]

A product is a folder with train/good and test/<kind>. For each split, its good images are shuffled with the split's number as seed; a part
is fitted (`--fit`, 0.7 of them by default, or so many), and `uflow detect --json` judges the others and the defective images. An image is
rejected at a rate if its p-value is at most that rate, so one run measures all rates. A split is inside at a rate if the number of rejected
good images is inside the interval that the promise of the package gives for so many tested images: beta-binomial, 95%, from the
distribution Beta(k, n + 1 − k) of the share. An extrapolated threshold promises nothing.

The thresholds of others are set on `score_max` of half of the good images that were not fitted, and judged on the other half:
  mean + 3σ        of these good images
  95th pct × 1.42  their 95th percentile times 1.42
  best F1          the threshold with the best F1 of these good images and a tenth of the defective ones, which are not judged then

With --out, each split is kept in the file, and a second run goes on with those that are missing. Needs Python 3 alone.
"""

import argparse
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

RATES = (0.1, 0.03, 0.01)
CONFIDENCE = 0.95


def run(*command):
    """The standard output of a command; ends with its message if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()[-500:]}")
    return done.stdout


def link(images, folder):
    folder.mkdir()
    for index, image in enumerate(images):
        os.symlink(image, folder / f"{index:05}{image.suffix}")
    return folder


def detect(uflow, package, folder):
    """Of each image: its p-value and the highest score of its map."""
    lines = run(uflow, "detect", "--model", package, "--json", folder).splitlines()
    return [[line["p_value"], line["score_max"]] for line in map(json.loads, lines)]


def measure(uflow, product, split, fit, options):
    """What the package says of the images that were not fitted, and what it knows."""
    good = sorted(path.resolve() for part in ("train/good", "test/good") for path in (product / part).iterdir())
    defective = sorted(path.resolve() for kind in (product / "test").iterdir() if kind.name != "good" for path in kind.iterdir())
    random.Random(split).shuffle(good)
    random.Random(split).shuffle(defective)
    count = int(fit * len(good)) if fit < 1 else int(fit)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        package = folder / "model.uflow"
        run(uflow, "fit", "--good", link(good[:count], folder / "fit"), "--out", package, "--json", *options)
        known = json.loads(run(uflow, "info", package, "--json"))["rejection"]
        return {
            "product": product.name, "split": split, "fitted": count, "known": known["images"], "origin": known["origin"],
            "good": detect(uflow, package, link(good[count:], folder / "good")),
            "defective": detect(uflow, package, link(defective, folder / "defective")),
        }


def interval(images, rate, tested):
    """Bounds of the number of rejected images among so many, if the promise holds; `None` if the threshold is extrapolated."""
    k = math.floor(rate * (images + 1) + 1e-9)
    if k == 0:
        return None
    log_beta = lambda a, b: math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    chance = [
        math.exp(math.lgamma(tested + 1) - math.lgamma(j + 1) - math.lgamma(tested - j + 1)
                 + log_beta(j + k, tested - j + images + 1 - k) - log_beta(k, images + 1 - k))
        for j in range(tested + 1)
    ]
    beyond = (1 - CONFIDENCE) / 2
    low = next(j for j in range(tested + 1) if sum(chance[: j + 1]) > beyond)
    high = next(j for j in range(tested, -1, -1) if sum(chance[j:]) > beyond)
    return low, high


def best_f1(good, defective):
    """The threshold with the best F1; an image is rejected above it."""
    def f1(threshold):
        found = sum(score > threshold for score in defective)
        return 2 * found / (len(defective) + found + sum(score > threshold for score in good))
    return max(sorted(good + defective), key=f1)


def share(images, rejected):
    return sum(map(rejected, images)) / len(images)


def other_thresholds(line):
    """(recall, good images rejected) by the thresholds of others."""
    good, defective = ([score for _, score in line[part]] for part in ("good", "defective"))
    shown, judged = good[: len(good) // 2], good[len(good) // 2 :]
    some = max(len(defective) // 10, 1)
    percentile = statistics.quantiles(shown, n=20, method="inclusive")[-1]
    of = {
        "mean + 3σ": (statistics.mean(shown) + 3 * statistics.stdev(shown), defective),
        "95th pct × 1.42": (percentile * 1.42, defective),
        "best F1": (best_f1(shown, defective[:some]), defective[some:]),
    }
    return {name: (share(rest, lambda s: s > at), share(judged, lambda s: s > at)) for name, (at, rest) in of.items()}


def table(heads, rows):
    for row in [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]:
        print("| " + " | ".join(map(str, row)) + " |")


def report(found):
    """One table of the good images that are rejected at each rate, one of what is found."""
    kept, recalled = [], []
    for name, lines in found.items():
        row = [name, lines[0]["fitted"], lines[0]["known"], len(lines), sum(len(line["good"]) for line in lines)]
        for rate in RATES:
            rejected = [sum(p <= rate for p, _ in line["good"]) for line in lines]
            bounds = [interval(line["known"], rate, len(line["good"])) for line in lines]
            inside = sum(low <= count <= high for count, (low, high) in zip(rejected, bounds)) if None not in bounds else None
            row += [f"{sum(rejected) / row[4]:.1%}", "extrapolated" if inside is None else f"{inside} of {len(lines)}"]
        kept.append(row)
        mean = lambda shares: f"{statistics.mean(shares):.2f}"
        row = [name]
        for rate in RATES:
            row.append(mean(share(line["defective"], lambda image: image[0] <= rate) for line in lines))
        others = [other_thresholds(line) for line in lines]
        for threshold in others[0]:
            row += [" / ".join(mean(other[threshold][part] for other in others) for part in (0, 1))]
        recalled.append(row)
    table(["product", "fitted", "good images known", "splits", "tested in all"]
          + [head for rate in RATES for head in (f"rejected at {rate:.0%}", "splits inside")], kept)
    print()
    table(["product", *(f"recall at {rate:.0%}" for rate in RATES), *(f"{name}: recall / good rejected" for name in others[0])], recalled)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("products", nargs="+", type=pathlib.Path)
    parser.add_argument("--uflow", default="target/release/uflow")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--fit", type=float, default=0.7)
    parser.add_argument("--out", type=pathlib.Path)
    own = sys.argv[1:]
    at = own.index("--") if "--" in own else len(own)
    args, options = parser.parse_args(own[:at]), own[at + 1 :]
    found = {}
    if args.out and args.out.exists():
        for line in map(json.loads, args.out.read_text().splitlines()):
            found.setdefault(line["product"], []).append(line)
    # Product by product within a split, so that a run which is stopped has about as many splits of each.
    for split in range(1, args.splits + 1):
        for product in args.products:
            lines = found.setdefault(product.name, [])
            if any(line["split"] == split for line in lines):
                continue
            lines.append(measure(args.uflow, product, split, args.fit, options))
            rejected = {rate: sum(p <= rate for p, _ in lines[-1]["good"]) for rate in RATES}
            print(f"{product.name}, split {split}: of {len(lines[-1]['good'])} good images, rejected at each rate: {rejected}", file=sys.stderr, flush=True)
            if args.out:
                with args.out.open("a") as out:
                    out.write(json.dumps(lines[-1]) + "\n")
    report(found)


if __name__ == "__main__":
    main()
