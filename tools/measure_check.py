#!/usr/bin/env python3
"""Measures `uflow check` on real products: which of the defective images that were mixed in it names, how many clean images it names, and what
dropping them is worth. Prints the tables of benches/check.md.

    tools/measure_check.py --uflow BIN --data DATA [--draws 5] [--only clean|faults|mixed|quality] [--work DIR] [-- OPTIONS OF uflow check]

DATA has one folder for each product, in the layout of MVTec AD. Only Python's own library and Pillow are needed.
"""

import argparse
import io
import json
import pathlib
import random
import shutil
import subprocess
import tempfile

from PIL import Image, ImageFilter

# Good images of a set with faults.
SET = 80
PRODUCTS = ["magnetic-tile", "kolektor-commutator", "cookie", "solar-cell"]
# Good and defective images of a draw. Cookies are few.
DRAWS = {"cookie": (27, 3)}
DRAW = (68, 8)
KINDS = ["other-product", "defective", "overexposed", "underexposed", "blurred", "other-size", "near-duplicate"]


def images(folder):
    return sorted(path for path in folder.iterdir() if path.is_file())


def defective(product):
    folders = sorted(folder for folder in (product / "test").iterdir() if folder.name != "good")
    return [path for folder in folders for path in images(folder)]


def run(arguments, codes=(0,)):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
    if done.returncode not in codes:
        raise SystemExit(f"{arguments}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def check(args, folder):
    """The result of `uflow check` on a folder."""
    return json.loads(run([args.uflow, "check", "--good", folder, "--json", *args.options], (0, 1)).splitlines()[-1])


def copies(paths, folder, prefix):
    for path in paths:
        shutil.copy(path, folder / f"{prefix}-{path.parent.name}-{path.name}")


def clean(args):
    """Findings on the clean training sets."""
    print("| product | images | " + " | ".join(KINDS) + " | images named |")
    print("|---|---:|" + "---:|" * (len(KINDS) + 1))
    for product in args.products:
        found = check(args, args.data / product / "train/good")
        counts = [sum(finding["kind"] == kind for finding in found["findings"]) for kind in KINDS]
        cells = " | ".join(str(count) for count in counts)
        print(f"| {product} | {found['images']} | {cells} | {len(found['doubtful'])} |", flush=True)


def altered(path, fault, rng):
    """A good image with a fault put in."""
    image = Image.open(path).convert("RGB")
    scale = max(1.0, max(image.size) / 512)
    if fault.startswith("blur"):
        return image.filter(ImageFilter.GaussianBlur(float(fault.split()[1]) * scale))
    if fault == "overexposed":
        return image.point(lambda value: min(255, int(value * 2.2)))
    if fault == "underexposed":
        return image.point(lambda value: int(value * 0.25))
    if fault == "copy with noise":
        return noisy(image, rng)
    if fault == "copy as JPEG":
        out = io.BytesIO()
        image.save(out, "JPEG", quality=40)
        return Image.open(out).convert("RGB")
    if fault == "copy, brighter":
        return image.point(lambda value: min(255, int(value * 1.1)))
    if fault == "copy, shifted by 1%":
        width, height = image.size
        shift = max(1, round(max(image.size) * 0.01))
        shifted = image.copy()
        shifted.paste(image, (shift, shift // 2))
        return shifted
    raise ValueError(fault)


def noisy(image, rng):
    noise = Image.frombytes("RGB", image.size, rng.randbytes(3 * image.width * image.height))
    return Image.blend(image, noise, 0.03)


FAULTS = {
    "blur 1 px": "blurred", "blur 1.5 px": "blurred", "blur 2 px": "blurred", "overexposed": "overexposed",
    "underexposed": "underexposed", "copy with noise": "near-duplicate", "copy as JPEG": "near-duplicate",
    "copy, brighter": "near-duplicate", "copy, shifted by 1%": "near-duplicate", "another product": "other-product",
}


def faults(args):
    """Of at most 80 images one in twenty with a fault: how many are named with its kind."""
    print("| fault | " + " | ".join(args.products) + " |")
    print("|---|" + "---:|" * len(args.products))
    for fault, kind in FAULTS.items():
        cells = []
        for product in args.products:
            rng = random.Random(f"{fault} {product}")
            good = images(args.data / product / "train/good")
            good = sorted(rng.sample(good, min(SET, len(good))))
            chosen = rng.sample(good, max(2, len(good) // 20))
            with tempfile.TemporaryDirectory(dir=args.work) as folder:
                folder = pathlib.Path(folder)
                copies(good, folder, "good")
                for path in chosen:
                    name = f"good-{path.parent.name}-{path.name}"
                    if fault == "another product":
                        other = rng.choice([other for other in PRODUCTS if other != product])
                        shutil.copy(rng.choice(images(args.data / other / "train/good")), folder / f"zz-{name}")
                        continue
                    target = folder / (f"zz-{name}" if fault.startswith("copy") else name)
                    altered(path, fault, rng).save(target.with_suffix(".png"))
                    if not fault.startswith("copy"):
                        (folder / name).unlink()
                found = check(args, folder)
            faulty = {pathlib.Path(finding["image"]).name for finding in found["findings"] if finding["kind"] == kind}
            stems = {path.stem for path in chosen}
            hits = sum(any(stem in name for name in faulty) for stem in stems)
            cells.append(f"{hits} of {len(chosen)}")
        print(f"| {fault} | " + " | ".join(cells) + " |", flush=True)


def mixed(args):
    """Real defects among good images: how many are among the first named and the first by evidence."""
    print("| product | draw | defective / good | named defective: defects of images | in the first 10 by evidence | kinds of the defects |")
    print("|---|---:|---|---|---:|---|")
    for product in args.products:
        count_good, count_bad = DRAWS.get(product, DRAW)
        first = 10 if count_bad == 8 else 4
        for draw in range(args.draws):
            rng = random.Random(f"{product} {draw}")
            good = rng.sample(images(args.data / product / "train/good"), count_good)
            bad = rng.sample(defective(args.data / product), count_bad)
            with tempfile.TemporaryDirectory(dir=args.work) as folder:
                folder = pathlib.Path(folder)
                copies(good, folder, "a")
                copies(bad, folder, "z")
                found = check(args, folder)
            is_bad = lambda name: pathlib.Path(name).name.startswith("z-")
            named = [finding["image"] for finding in found["findings"] if finding["kind"] == "defective"]
            ranked = [entry["image"] for entry in found["ranking"][:first]]
            kinds = sorted(path.parent.name for path in bad)
            print(
                f"| {product} | {draw} | {count_bad} / {count_good} | {sum(map(is_bad, named))} of {len(named)} "
                f"| {sum(map(is_bad, ranked))} of {first} | {', '.join(f'{kinds.count(kind)} {kind}' for kind in dict.fromkeys(kinds))} |",
                flush=True,
            )


def quality(args):
    """What dropping is worth: models with the defects in, without the images named first, and without any defect."""
    print("| product | draw | training images | image AUROC | recall | good flagged |")
    print("|---|---:|---|---:|---:|---:|")
    for product in args.products:
        count_good, count_bad = DRAWS.get(product, DRAW)
        for draw in range(args.quality_draws):
            rng = random.Random(f"{product} {draw}")
            good = rng.sample(images(args.data / product / "train/good"), count_good)
            bad = rng.sample(defective(args.data / product), count_bad)
            with tempfile.TemporaryDirectory(dir=args.work) as work:
                work = pathlib.Path(work)
                mixed_in, clean_only, test = work / "mixed", work / "clean", work / "test"
                for folder in (mixed_in, clean_only):
                    folder.mkdir()
                    copies(good, folder, "a")
                copies(bad, mixed_in, "z")
                # The test set is that of the product without the defects that were learned.
                (test / "train/good").mkdir(parents=True)
                copies(good[:1], test / "train/good", "a")
                used = set(bad)
                for folder in (args.data / product / "test").iterdir():
                    (test / "test" / folder.name).mkdir(parents=True)
                    for path in images(folder):
                        if path not in used:
                            shutil.copy(path, test / "test" / folder.name / path.name)
                first = work / "first.txt"
                ranked = check(args, mixed_in)["ranking"][: count_bad + 2]
                first.write_text("".join(f"{entry['image']}\n" for entry in ranked))
                hits = sum(pathlib.Path(entry["image"]).name.startswith("z-") for entry in ranked)
                for name, folder, options in (
                    ("with the defects", mixed_in, []),
                    (f"without the {len(ranked)} most unusual: {hits} are defects", mixed_in, ["--exclude", first]),
                    (f"--drop-doubtful {count_bad + 2}", mixed_in, ["--drop-doubtful", count_bad + 2]),
                    ("without any defect", clean_only, []),
                ):
                    package = work / "model"
                    shutil.rmtree(package, ignore_errors=True)
                    fit = run([args.uflow, "fit", "--good", folder, "--out", package, "--golden", 0, "--time-budget", "none", "--epochs", args.epochs,
                               "--reject-rate", "5%", "--json", *options])
                    dropped = json.loads(fit.splitlines()[-1])["dropped"]
                    if "--drop-doubtful" in options:
                        hits = sum(pathlib.Path(of["image"]).name.startswith("z-") for of in dropped)
                        name += f": {hits} of {len(dropped)} dropped are defects"
                    lines = run([args.uflow, "evaluate", "--model", package, "--data", test, "--json"], (0, 1)).splitlines()
                    total = json.loads(lines[-1])["total"]
                    at = total["at_epsilon"]
                    print(f"| {product} | {draw} | {name} | {total['image_auroc']:.3f} | {at['image_recall']:.3f} | {at['good_flagged']:.3f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uflow", default="target/release/uflow")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--quality-draws", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6, help="of each fit in `quality`: a fixed number, so that the figures do not depend on the speed")
    parser.add_argument("--work", type=pathlib.Path, help="folder for the mixed sets [default: the system's]")
    parts = {"clean": clean, "faults": faults, "mixed": mixed, "quality": quality}
    parser.add_argument("--only", choices=parts)
    parser.add_argument("--products", nargs="+", choices=PRODUCTS, default=PRODUCTS)
    parser.add_argument("options", nargs="*", help="options of uflow check, after --")
    args = parser.parse_args()
    for name, part in parts.items():
        if args.only in (None, name):
            print(f"\n{name}: {part.__doc__}\n")
            part(args)


if __name__ == "__main__":
    main()
