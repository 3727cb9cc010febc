#!/usr/bin/env python3
"""Fits and evaluates several products with the same options, and prints one row of figures for each.

    tools/quality.py --data DATA [--products a,b] [--work DIR] [--uflow FILE] [--gaussian] [-- OPTIONS OF `uflow fit`]

DATA has one folder a product, laid out as MVTec AD is (train/good, test/<kind>, ground_truth/<kind>). With --gaussian, each product
has a second row: a plain Gaussian of the same features, without a flow. A choice of defaults is made by all products together: see
benches/quality.md. Needs Python 3 alone.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

GAUSSIAN = ["--flow", "parallel", "--steps", "0", "--normalisation", "whiten"]
# Options of the flow that a Gaussian does not have, with the number of their values.
FLOW_OPTIONS = {"--flow": 1, "--steps": 1, "--normalisation": 1, "--epochs": 1, "--patience": 1, "--learning-rate": 1}
HEADS = ["product", "model", "image AUROC", "by score_max", "pixel AUROC", "AUPRO", "IoU, decided", "IoU, one threshold",
         "recall", "recall, touching", "touching none", "good flagged", "fit, s"]


def without_flow(options):
    """The options of the features and of the decision alone."""
    kept, rest = [], list(options)
    while rest:
        option = rest.pop(0)
        name = option.split("=")[0]
        if name not in FLOW_OPTIONS:
            kept.append(option)
        elif "=" not in option:
            del rest[:FLOW_OPTIONS[name]]
    return kept


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stderr}")


def measure(uflow, folder, work, model, options):
    """One row of the table."""
    package, result = work / f"{folder.name}-{model}", work / f"{folder.name}-{model}-result"
    begun = time.monotonic()
    run([uflow, "fit", "--good", folder / "train" / "good", "--out", package, *options])
    seconds = time.monotonic() - begun
    run([uflow, "evaluate", "--model", package, "--data", folder, "--out", result])
    [found] = json.loads((result / "metrics.json").read_text()).values()
    total = found["total"]
    decided, oracle = total["at_epsilon"], total.get("at_oracle") or {}
    figures = [total["image_auroc"], total["image_auroc_score_max"], total["pixel_auroc"], total["aupro"],
               decided["miou_defective"], oracle.get("miou_defective"), decided["image_recall"], total["recall_touching"],
               total["regions_touching_none"], decided["good_flagged"]]
    return [folder.name, model, *map(cell, figures), f"{seconds:.0f}"]


def cell(figure):
    """A share with three digits, a number of regions as it is, a dash for what is not known."""
    if figure is None:
        return "–"
    return str(figure) if isinstance(figure, int) else f"{figure:.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--products", help="names of folders in DATA, separated by commas [default: all]")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("target/quality"), help="packages and results")
    parser.add_argument("--uflow", type=pathlib.Path, default=pathlib.Path("target/release/uflow"))
    parser.add_argument("--gaussian", action="store_true", help="also a plain Gaussian of the same features")
    parser.add_argument("options", nargs="*", help="options of `uflow fit`, after --")
    args = parser.parse_args()
    products = args.products.split(",") if args.products else sorted(
        folder.name for folder in args.data.iterdir() if (folder / "train" / "good").is_dir())
    if not products:
        sys.exit(f"{args.data} has no folder with train/good in it")
    args.work.mkdir(parents=True, exist_ok=True)
    print("| " + " | ".join(HEADS) + " |")
    print("|---|---|" + "---:|" * (len(HEADS) - 2), flush=True)
    for product in products:
        models = [("flow", args.options)]
        if args.gaussian:
            models.append(("gaussian", without_flow(args.options) + GAUSSIAN))
        for model, options in models:
            row = measure(args.uflow.resolve(), args.data / product, args.work, model, options)
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
