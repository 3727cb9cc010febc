#!/usr/bin/env python3
"""Measures how many good images a fitted model rejects at each reject rate, on good images that no step used.

    tools/measure_reject_rate.py PRODUCT… [--uflow FILE] [--splits N] [--fit SHARE|NUMBER] [--out FILE.jsonl] [-- FIT OPTIONS]

A product is a folder with train/good and test/good. For each split, the good images are shuffled with the split's number as seed; a part
is fitted (`--fit`, 0.7 of them by default, or so many), and `uflow detect --json` gives the p-values of the others. An image is rejected at
a rate if its p-value is at most that rate, so one run measures all rates. Prints a line for each split, then a table.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

RATES = (0.1, 0.03, 0.01)


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


def measure(uflow, product, split, fit, options):
    """The p-values of the good images that are left, and what the package knows."""
    images = sorted(path.resolve() for part in ("train/good", "test/good") for path in (product / part).iterdir())
    random.Random(split).shuffle(images)
    count = int(fit * len(images)) if fit < 1 else int(fit)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        package = folder / "model.uflow"
        run(uflow, "fit", "--good", link(images[:count], folder / "fit"), "--out", package, "--json", *options)
        lines = run(uflow, "detect", "--model", package, "--json", link(images[count:], folder / "rest")).splitlines()
        known = json.loads(run(uflow, "info", package, "--json"))["rejection"]
    p_values = [json.loads(line)["p_value"] for line in lines]
    flagged = {str(rate): sum(p <= rate for p in p_values) for rate in RATES}
    return {
        "product": product.name, "split": split, "fitted": count, "known": known["images"], "origin": known["origin"],
        "tested": len(p_values), "flagged": flagged, "p_values": p_values,
    }


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
    table = []
    for product in args.products:
        found = []
        for split in range(1, args.splits + 1):
            line = measure(args.uflow, product, split, args.fit, options)
            found.append(line)
            if args.out:
                with args.out.open("a") as out:
                    out.write(json.dumps(line) + "\n")
            print({key: value for key, value in line.items() if key != "p_values"}, flush=True)
        tested = sum(line["tested"] for line in found)
        shares = [sum(line["flagged"][str(rate)] for line in found) / tested for rate in RATES]
        row = [product.name, found[0]["fitted"], found[0]["known"], len(found), tested, *(f"{share:.1%}" for share in shares)]
        table.append(row)
    heads = ["product", "fitted", "good images known", "splits", "tested in all", *(f"at {rate:.0%}" for rate in RATES)]
    for row in [heads, ["---"] * len(heads), *table]:
        print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
