"""Writes tests/golden/evaluate/metrics.json: small test sets and their metrics by scikit-learn and SciPy.

Needs numpy, scipy and scikit-learn. The scores are quantised, so that many tie within and between the classes.

    python tools/golden_metrics.py
"""

import json
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score, roc_curve

SIZE = (14, 11)
EPSILON = 0.1


def make(rng, levels):
    """Images of three kinds: scores in (0, 1) in steps of 1/levels, log10 NFA, truth, score and verdict."""
    images = []
    for kind, count in [("good", 5), ("scratch", 4), ("hole", 3)]:
        for _ in range(count):
            truth = np.zeros(SIZE, bool)
            if kind != "good":
                row, column = rng.integers(0, 8, 2)
                truth[row : row + rng.integers(1, 6), column : column + rng.integers(1, 4)] = True
                truth[rng.integers(0, SIZE[0]), rng.integers(0, SIZE[1])] = True
            raw = rng.normal(0.4, 0.13, SIZE) + truth * (0.4 if kind == "hole" else 0.22)
            score = (np.clip(np.round(raw * levels), 1, levels - 1) / levels).astype(np.float32)
            nfa = (3 - 11 * (raw - 0.3)).astype(np.float32)
            images.append({
                "kind": kind,
                "score": score,
                "log10_nfa": nfa,
                "truth": truth,
                "image_score": np.float32(np.round(raw.max() * 8) / 8),
                "anomalous": bool(nfa.min() < -0.5),
                "regions": int(rng.integers(0, 4)),
            })
    return images


def auroc(negatives, positives):
    negatives, positives = np.ravel(negatives), np.ravel(positives)
    return roc_auc_score(np.r_[np.zeros(len(negatives)), np.ones(len(positives))], np.r_[negatives, positives])


def aupro(images, limit=0.3):
        """Mean over the marked regions of the area under each region's own curve of (false-positive rate, found share), up to the
        limit and divided by the limit: one threshold at a time, with straight lines between."""
    negatives = np.concatenate([i["score"][~i["truth"]] for i in images])
    regions = []
    for i in images:
        labels, count = ndimage.label(i["truth"], np.ones((3, 3)))
        regions += [i["score"][labels == n] for n in range(1, count + 1)]
    thresholds = np.unique(np.concatenate([i["score"].ravel() for i in images]))[::-1]
    fpr = np.array([0.0] + [np.mean(negatives >= t) for t in thresholds])
    areas = []
    for region in regions:
        part = np.array([0.0] + [np.mean(region >= t) for t in thresholds])
        area = 0.0
        for (x0, y0), (x1, y1) in zip(zip(fpr, part), zip(fpr[1:], part[1:])):
            if x0 < limit and x1 > x0:
                end = min(x1, limit)
                area += (end - x0) * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0)) / 2
        areas.append(area / limit)
    return float(np.mean(areas)), len(regions)


def f1_max(labels, scores):
    labels, scores = np.asarray(labels), np.asarray(scores)
    thresholds = np.unique(scores)
    values = [f1_score(labels, scores >= t) for t in thresholds]
    return float(max(values)), float(thresholds[int(np.argmax(values))])


def miou_nfa(images, log10_epsilon):
    masks = [i["log10_nfa"] < np.float32(log10_epsilon) for i in images]
    return float(np.mean([jaccard_score(i["truth"].ravel(), m.ravel(), zero_division=1.0) for i, m in zip(images, masks)]))


def false_alarms(images, epsilon):
    masks = [i["log10_nfa"] < np.float32(np.log10(epsilon)) for i in images if i["kind"] == "good"]
    counts = [ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks]
    return [int(sum(counts)), int(sum(count > 0 for count in counts))]


def operating(images, masks, flagged, regions):
    ious = [jaccard_score(i["truth"].ravel(), m.ravel(), zero_division=1.0) for i, m in zip(images, masks)]
    bad = [n for n, i in enumerate(images) if i["kind"] != "good"]
    good = [n for n, i in enumerate(images) if i["kind"] == "good"]
    return {
        "miou": float(np.mean(ious)),
        "miou_defective": float(np.mean([ious[n] for n in bad])),
        "image_recall": float(np.mean([flagged[n] for n in bad])),
        "good_flagged": float(np.mean([flagged[n] for n in good])),
        "false_alarms": float(np.mean([regions[n] for n in good])),
    }


def at_threshold(images, threshold):
    masks = [i["score"] > np.float32(threshold) for i in images]
    regions = [ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks]
    return operating(images, masks, [i["image_score"] > np.float32(threshold) for i in images], regions)


def expected(images, fair):
    pixels = lambda select: [np.concatenate([i["score"][i["truth"] == side] for i in images if select(i)]) for side in (0, 1)]
    scores = lambda select: [i["image_score"] for i in images if select(i)]
    good = lambda image: image["kind"] == "good"
    kinds = {}
    for kind in ["scratch", "hole"]:
        of_kind = [i for i in images if i["kind"] == kind]
        masks = [i["log10_nfa"] < np.float32(np.log10(EPSILON)) for i in of_kind]
        kinds[kind] = {
            "pixel_auroc": auroc(*pixels(lambda i: i["kind"] in ("good", kind))),
            "image_auroc": auroc(scores(good), scores(lambda i: i["kind"] == kind)),
            "aupro": aupro([i for i in images if i["kind"] in ("good", kind)])[0],
            "miou": float(np.mean([jaccard_score(i["truth"].ravel(), m.ravel(), zero_division=1.0) for i, m in zip(of_kind, masks)])),
        }
    candidates = np.unique(np.concatenate([i["score"].ravel() for i in images]))
    between = (candidates[:-1] + candidates[1:]) / 2
    oracle = max(between, key=lambda t: at_threshold(images, t)["miou"])
    labels = [i["kind"] != "good" for i in images]
    fpr, tpr, _ = roc_curve(labels, [i["image_score"] for i in images], drop_intermediate=False)
    masks = [i["log10_nfa"] < np.float32(np.log10(EPSILON)) for i in images]
    nfas = np.unique(np.concatenate([i["log10_nfa"].ravel() for i in images]))
    pixel_labels = np.concatenate([i["truth"].ravel() for i in images])
    return {
        "aupro": aupro(images),
        "pixel_f1_max": f1_max(pixel_labels, np.concatenate([i["score"].ravel() for i in images])),
        "image_f1_max": f1_max(labels, [i["image_score"] for i in images]),
        "miou_nfa_oracle": max(miou_nfa(images, t) for t in (nfas[:-1] + nfas[1:]) / 2),
        "miou_curve": [[t, miou_nfa(images, t)] for t in (-0.5, 0.0, 0.5, 2.0)],
        "false_alarms": [[e, *false_alarms(images, e)] for e in (10.0, 1.0, 0.1, 0.01)],
        "pixel_auroc": auroc(*pixels(lambda i: True)),
        "image_auroc": auroc(scores(good), scores(lambda i: not good(i))),
        "image_roc": [[float(x), float(y)] for x, y in zip(fpr, tpr)],
        "at_epsilon": operating(images, masks, [i["anomalous"] for i in images], [i["regions"] for i in images]),
        "at_oracle": at_threshold(images, oracle),
        "at_fair": at_threshold(images, fair),
        "kinds": kinds,
    }


def main():
    rng = np.random.default_rng(7)
    cases = []
    for levels, fair in [(8, 0.5625), (64, 0.5), (1024, 0.59)]:
        images = make(rng, levels)
        plain = [{k: v.tolist() if isinstance(v, np.ndarray) else float(v) if isinstance(v, np.floating) else v for k, v in i.items()} for i in images]
        for image in plain:
            image["score"] = [[round(x * levels) for x in row] for row in image["score"]]
            image["log10_nfa"] = [[round(x, 4) for x in row] for row in image["log10_nfa"]]
            image["truth"] = ["".join(".#"[x] for x in row) for row in image["truth"]]
        for image, rounded in zip(images, plain):
            image["log10_nfa"] = np.array(rounded["log10_nfa"], np.float32)
        cases.append({"levels": levels, "epsilon": EPSILON, "fair": fair, "images": plain, "expected": expected(images, fair)})
    target = Path(__file__).parent.parent / "tests/golden/evaluate/metrics.json"
    target.write_text(json.dumps(cases, separators=(",", ":")))
    print(target, target.stat().st_size)


if __name__ == "__main__":
    main()
