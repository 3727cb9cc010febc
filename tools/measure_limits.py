#!/usr/bin/env python3
"""Compares the detectable sizes of synthetic defects (`uflow limits`) with real defects that are found or missed.

    tools/measure_limits.py --data DATA --work DIR [--uflow FILE] [--products a,b] [-- OPTIONS OF `uflow fit`]
    tools/measure_limits.py --time FOLDER --work DIR [--uflow FILE]

DATA has one folder a product, laid out as MVTec AD is. Of each product: `uflow fit` on train/good, `uflow limits` on test/good, which fit
did not use, and `uflow evaluate`, which says which real defects are found: the image is anomalous and a region touches the mark.
What is in DIR already is not computed again.

A real defect's size is the largest extent of the largest part of its mark; its contrast is the difference of its mean brightness from that
of a ring around it, as a part of the part's own contrast, or 1 where it replaces the surface (REPLACING below). Each kind of real defect is
compared with the synthetic kind that looks like it (LIKE below). From that kind's curves follows a predicted probability of detection, and the script prints

- groups of real defects by product, kind and size, with the predicted and the real share found, and Spearman's rank correlation of both;
- how well the prediction separates real defects that are found from those that are missed (the area under the ROC curve);
- the order of difficulty of the products: the share of all synthetic defects that is found, and of all real ones.

With --time, the images of FOLDER are scaled to 448×448, a package is fitted to the last quarter of them, and `uflow limits` is timed on the
rest. Needs Python 3, NumPy and Pillow.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import time

import numpy
from PIL import Image

# The synthetic kind that a real kind looks like.
LIKE = {
    ("magnetic-tile", "blowhole"): "hole",
    ("magnetic-tile", "crack"): "scratch",
    ("magnetic-tile", "break"): "foreign-patch",
    ("magnetic-tile", "fray"): "missing-texture",
    ("magnetic-tile", "uneven"): "stain",
    ("kolektor-commutator", "defect"): "scratch",
    ("cookie", "defect"): "foreign-patch",
}
# Kinds that replace the surface: a real defect like them replaces all of it, which is contrast 1.
REPLACING = {"foreign-patch", "missing-texture", "shifted-texture"}
# Fewest real defects of a group.
FEWEST = 5


def run(*command):
    """Standard output and seconds of a command; ends with its message if it fails."""
    begun = time.monotonic()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()[-800:]}")
    return done.stdout, time.monotonic() - begun


def product(uflow, folder, work, options):
    """The report of `uflow limits` and the results of the test images."""
    package, report, result = (work / f"{folder.name}{ending}" for ending in (".uflow", ".json", "-result"))
    if not package.exists():
        run(uflow, "fit", "--good", folder / "train" / "good", "--out", package, "--json", *options)
    if not report.exists():
        page = work / f"{folder.name}.html"
        text, seconds = run(uflow, "limits", "--model", package, "--good", folder / "test" / "good", "--report", page, "--json")
        report.write_text(json.dumps({"seconds": seconds, **json.loads(text)}))
    if not (result / "metrics.json").exists():
        run(uflow, "evaluate", "--model", package, "--data", folder, "--out", result)
    [found] = json.loads((result / "metrics.json").read_text()).values()
    return json.loads(report.read_text()), found["images"]


def largest_part(mask):
    """The pixels (row, column) of the largest 8-connected part."""
    left = set(zip(*map(list, numpy.nonzero(mask))))
    parts = []
    while left:
        part, border = [], [left.pop()]
        while border:
            y, x = border.pop()
            part.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            border.extend(near)
        parts.append(part)
    return numpy.array(max(parts, key=len))


def real_defect(image, mask, own):
    """Size in pixels, and contrast as a part of the part's own."""
    gray, marked = numpy.asarray(Image.open(image).convert("L"), float), numpy.asarray(Image.open(mask).convert("L")) > 127
    part = largest_part(marked)
    angles = numpy.arange(0, math.pi, math.pi / 36)
    along = part @ numpy.array([numpy.sin(angles), numpy.cos(angles)])
    size = float((along.max(0) - along.min(0)).max()) + 1
    top, left = numpy.maximum(part.min(0) - 8, 0)
    bottom, right = part.max(0) + 9
    window, inside = gray[top:bottom, left:right], numpy.zeros_like(marked[top:bottom, left:right])
    inside[part[:, 0] - top, part[:, 1] - left] = True
    around = ~marked[top:bottom, left:right]
    difference = abs(window[inside].mean() - window[around].mean()) if around.any() else 0.0
    return size, difference / own


def predicted(report, kind, size, contrast):
    """Probability of detection of a synthetic defect of this kind, size and contrast: between the curves of the two nearest contrasts."""
    curves = sorted((cell["contrast"], cell["curve"]) for cell in report["kinds"] if cell["kind"] == kind)
    at = [(c, numpy.interp(math.log(size), [math.log(p["size"]) for p in curve], [p["pod"] for p in curve])) for c, curve in curves]
    return float(numpy.interp(math.log(max(contrast, 1e-3)), [math.log(c) for c, _ in at], [pod for _, pod in at]))


def ranks(values):
    """Ranks, the mean rank where values are equal."""
    values = numpy.asarray(values, float)
    return numpy.array([(values < value).sum() + ((values == value).sum() + 1) / 2 for value in values])


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    return float(numpy.corrcoef(a, b)[0, 1]) if len(a) > 2 and a.std() > 0 and b.std() > 0 else float("nan")


def auroc(scores, hits):
    """The probability that a found defect has a higher score than a missed one."""
    order, hits = ranks(scores), numpy.asarray(hits, bool)
    found, missed = hits.sum(), (~hits).sum()
    return float((order[hits].sum() - found * (found + 1) / 2) / (found * missed)) if found and missed else float("nan")


def table(heads, rows, words=1):
    for row in [heads, ["---"] * words + ["---:"] * (len(heads) - words), *rows]:
        print("| " + " | ".join(map(str, row)) + " |")
    print()


def limit(cell):
    size = cell["a90_95_px"]
    return "not reached" if size is None else f"{'≤ ' if cell['outcome'] == 'below-smallest' else ''}{size:.0f}"


def compare(args, options):
    defects, products, synthetic, controls = [], [], [], []
    for folder in sorted(path for path in args.data.iterdir() if (path / "train" / "good").is_dir()):
        if args.products and folder.name not in args.products:
            continue
        report, images = product(args.uflow, folder, args.work, options)
        kinds = list(dict.fromkeys(cell["kind"] for cell in report["kinds"]))
        for kind in kinds:
            cells = [cell for cell in report["kinds"] if cell["kind"] == kind]
            synthetic.append([folder.name, kind, *(limit(cell) for cell in cells), *(f"{cell['found']}/{cell['defects']}" for cell in cells)])
        control, seams = report["control"], report["seams"]
        controls.append([folder.name, "{}×{}".format(*report["frame_px"]), report["images"]["used"], f"{report['contrast_levels']:.0f}",
                         f"{report['good_flagged']}", f"{control['flagged']} of {control['images']}", control["flagged_without"], control["found"],
                         seams["flagged"], seams["found"], f"{report['seconds']:.0f}"])
        bad = [image for image in images if image["kind"] != "good"]
        hit = lambda image: image["anomalous"] and image["touching"] != 0
        share = sum(cell["found"] for cell in report["kinds"]) / sum(cell["defects"] for cell in report["kinds"])
        products.append([folder.name, share, sum(map(hit, bad)) / len(bad)])
        for image in bad:
            like = LIKE.get((folder.name, image["kind"]))
            name = pathlib.Path(image["name"]).stem
            masks = list((folder / "ground_truth" / image["kind"]).glob(f"{name}_mask.*")) if like else []
            files = list((folder / "test" / image["kind"]).glob(f"{name}.*"))
            if not masks or not files or image["touching"] is None:
                continue
            size, contrast = real_defect(files[0], masks[0], report["contrast_levels"])
            contrast = 1.0 if like in REPLACING else contrast
            pod = predicted(report, like, size, contrast)
            defects.append({"product": folder.name, "kind": image["kind"], "like": like, "size": size, "contrast": contrast, "pod": pod, "found": hit(image)})
    contrasts = sorted({cell["contrast"] for cell in report["kinds"]})
    print("Synthetic defects: a90/95 in pixels at each contrast, and defects found\n")
    table(["product", "kind", *(f"a90/95 at {c}" for c in contrasts), *(f"found at {c}" for c in contrasts)], synthetic, 2)
    table(["product", "image", "good images", "own contrast, levels", "flagged as they are", "control flagged", "the same images without", "control found",
           "with a piece in place, flagged", "such pieces found", "seconds"], controls)
    print("Real defects by product, kind and size, easiest prediction first\n")
    groups = []
    for name in dict.fromkeys((defect["product"], defect["kind"]) for defect in defects):
        of = sorted((defect for defect in defects if (defect["product"], defect["kind"]) == name), key=lambda defect: defect["size"])
        parts = 2 if len(of) >= 2 * FEWEST else 1
        for part in numpy.array_split(numpy.arange(len(of)), parts):
            some = [of[index] for index in part]
            if len(some) < FEWEST:
                continue
            mean = lambda key: float(numpy.mean([defect[key] for defect in some]))
            groups.append([*name, some[0]["like"], len(some), f"{some[0]['size']:.0f} to {some[-1]['size']:.0f}", mean("contrast"), mean("pod"), mean("found")])
    groups.sort(key=lambda group: -group[6])
    rows = [[*group[:5], f"{group[5]:.2f}", f"{group[6]:.2f}", f"{group[7]:.2f}", f"{group[7] - group[6]:+.2f}"] for group in groups]
    table(["product", "kind", "like", "defects", "size, px", "contrast", "predicted", "found", "difference"], rows, 3)
    print(f"Spearman's rank correlation over the {len(groups)} groups: {spearman([g[6] for g in groups], [g[7] for g in groups]):.2f}")
    kinds = list(dict.fromkeys((defect["product"], defect["kind"]) for defect in defects))
    of_kind = lambda name, key: float(numpy.mean([defect[key] for defect in defects if (defect["product"], defect["kind"]) == name]))
    print(f"over the {len(kinds)} kinds: {spearman([of_kind(k, 'pod') for k in kinds], [of_kind(k, 'found') for k in kinds]):.2f}")
    for name in dict.fromkeys(defect["product"] for defect in defects):
        of = [defect for defect in defects if defect["product"] == name]
        print(f"{name}: of {len(of)} real defects, found against missed by the prediction: AUROC {auroc([d['pod'] for d in of], [d['found'] for d in of]):.2f}, "
              f"by size alone {auroc([d['size'] for d in of], [d['found'] for d in of]):.2f}")
    print(f"all products: AUROC {auroc([d['pod'] for d in defects], [d['found'] for d in defects]):.2f}\n")
    table(["product", "synthetic defects found", "real defects found"], [[name, f"{share:.2f}", f"{real:.2f}"] for name, share, real in products])
    print(f"Spearman's rank correlation over the {len(products)} products: {spearman([p[1] for p in products], [p[2] for p in products]):.2f}")


def timed(args):
    """`uflow limits` on images of 448×448 pixels."""
    images = sorted(path for path in args.time.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    begin = len(images) * 3 // 4 if len(images) < 400 else 300
    for part, some in (("good", images[:begin]), ("fit", images[begin:])):
        (args.work / part).mkdir(parents=True, exist_ok=True)
        for image in some:
            Image.open(image).resize((448, 448)).save(args.work / part / f"{image.stem}.png")
    package = args.work / "timed.uflow"
    run(args.uflow, "fit", "--good", args.work / "fit", "--out", package, "--time-budget", "20s", "--json")
    _, seconds = run(args.uflow, "limits", "--model", package, "--good", args.work / "good", "--report", args.work / "timed.html", "--json")
    print(f"{begin} images of 448×448: {seconds:.0f} s, {os.cpu_count()} threads, load {os.getloadavg()[0]:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--time", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--uflow", default="target/release/uflow")
    parser.add_argument("--products", type=lambda text: text.split(","))
    own = sys.argv[1:]
    at = own.index("--") if "--" in own else len(own)
    args, options = parser.parse_args(own[:at]), own[at + 1 :]
    args.work.mkdir(parents=True, exist_ok=True)
    if args.time:
        timed(args)
    else:
        compare(args, options)


if __name__ == "__main__":
    main()
