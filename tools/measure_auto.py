#!/usr/bin/env python3
"""Compares the choice of `uflow fit --auto` with real defects. Prints the tables of benches/auto.md.

    tools/measure_auto.py --data DATA --work DIR [--uflow FILE] [--products a,b] [-- OPTIONS OF `uflow fit --auto`]

DATA has one folder a product, laid out as MVTec AD is. Of each product: a search on train/good, then every candidate's package on all images
of test. A candidate's real figure is its image AUROC: the area under the ROC curve of the scores of the defective test images against the good
ones. The search does not see these images. What is in DIR already is not computed again: a search that was ended goes on. Needs Python 3 alone.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

# A choice this far below the best that was tried, or less, is as good.
CLOSE = 0.02


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def ranks(values):
    """Ranks, the mean rank where values are equal."""
    order = sorted(values)
    first = {}
    for index, value in enumerate(order):
        first.setdefault(value, [index, index])[1] = index
    return [sum(first[value]) / 2 + 1 for value in values]


def auroc(good, defective):
    ranked = ranks(defective + good)
    pairs = len(good) * len(defective)
    return (sum(ranked[: len(defective)]) - len(defective) * (len(defective) + 1) / 2) / pairs


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    over = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b))
    under = (sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)) ** 0.5
    return over / under if under else float("nan")


def scores(uflow, package, folder):
    """The score of each image of a folder."""
    return [line["score"] for line in run([uflow, "detect", "--model", package, "--json", folder]) if "score" in line]


def real(uflow, package, product):
    """The image AUROC on the real test images; kept beside the package."""
    kept = package.with_suffix(".real.json")
    if not kept.exists():
        test = product / "test"
        defective = [path for path in sorted(test.iterdir()) if path.is_dir() and path.name != "good"]
        bad = [score for path in defective for score in scores(uflow, package, path)]
        good = scores(uflow, package, test / "good")
        kept.write_text(json.dumps({"auroc": auroc(good, bad), "good": len(good), "defective": len(bad)}))
    return json.loads(kept.read_text())["auroc"]


def search(args, product):
    """The result of the search, with the seconds that the whole command took."""
    kept = args.work / f"{product.name}.json"
    if not kept.exists():
        begun = time.monotonic()
        out, folder = args.work / f"{product.name}.uflow", args.work / f"{product.name}-auto"
        lines = run([args.uflow, "fit", "--auto", "--good", product / "train" / "good", "--out", out, "--auto-dir", folder, "--json", *args.options])
        kept.write_text(json.dumps({**lines[-1]["search"], "command_seconds": time.monotonic() - begun}))
    return json.loads(kept.read_text())


def measure(args, product):
    found = search(args, product)
    print(f"### {product.name}\n")
    print(f"{found['trained']} images to learn from, {found['images']} set aside, {found['defects']} defects; at most "
          f"{found['training_seconds']:.0f} s of training each; the command took {found['command_seconds']:.0f} s.\n")
    judged = []
    print("| | setting | input | synthetic AUROC | found | real image AUROC | seconds | difference to the best so far |")
    print("|---:|---|---|---:|---:|---:|---:|---|", flush=True)
    for row in found["rows"]:
        kept = " **kept**" if row["number"] == found["kept"] else ""
        size = "×".join(map(str, row["input"])) if row["input"] else "–"
        if row["outcome"] != "judged":
            print(f"| {row['number']} | {row['change']} | {size} | – | – | – | {row['seconds']:.0f} | {row['outcome']}: {row['reason']} |", flush=True)
            continue
        figure = real(args.uflow, pathlib.Path(row["package"]), product)
        judged.append((row["number"], row["auroc"], figure))
        low, high = row["auroc_bounds"]
        difference = row["difference"]
        text = "–" if difference is None else f"{difference['value']:+.3f} ({difference['bounds'][0]:+.3f} to {difference['bounds'][1]:+.3f})"
        print(f"| {row['number']} | {row['change']}{kept} | {size} | {row['auroc']:.3f} ({low:.3f} to {high:.3f}) | {row['found']:.2f} | {figure:.3f} | "
              f"{row['seconds']:.0f} | {text} |", flush=True)
    best = max(judged, key=lambda row: row[2])
    largest = max(judged, key=lambda row: row[1])
    kept = next(row for row in judged if row[0] == found["kept"])
    order = spearman([row[1] for row in judged], [row[2] for row in judged])
    print(flush=True)
    return [product.name, len(judged), found["kept"], f"{kept[2]:.3f}", f"{best[2]:.3f} ({best[0]})", f"{kept[2] - best[2]:+.3f}",
            "yes" if best[2] - kept[2] <= CLOSE else "no", f"{largest[2] - best[2]:+.3f} ({largest[0]})", f"{order:+.2f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--uflow", type=pathlib.Path, default=pathlib.Path("target/release/uflow"))
    parser.add_argument("--products", help="names of folders in DATA, separated by commas [default: all]")
    own = sys.argv[1:]
    at = own.index("--") if "--" in own else len(own)
    args = parser.parse_args(own[:at])
    args.options, args.uflow = own[at + 1 :], args.uflow.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    products = args.products.split(",") if args.products else sorted(path.name for path in args.data.iterdir() if (path / "train" / "good").is_dir())
    rows = [measure(args, args.data / name) for name in products]
    print("### All products\n")
    print("| product | settings judged | kept | its real AUROC | best real AUROC tried | difference | within 0.02 | largest synthetic AUROC would give | rank correlation |")
    print("|---|---:|---:|---:|---:|---:|---|---:|---:|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
