#!/usr/bin/env python3
"""Nearest neighbours on a backbone's features: the baseline for a U-Flow on the same features.

    python tools/knn_baseline.py --backbone assets/photonet.onnx --data DATA [--input-size 448] [--outputs 0,1]

DATA is laid out as MVTec AD is (train/good, test/<kind>, ground_truth/<kind>/<name>_mask.png). The maps are
standardised by channel, brought to the finest map's size and concatenated; a pixel's score is its mean distance to the
3 nearest of a random tenth (at most 20,000) of the training pixels. Prints pixel and image AUROC at the network's
input size, the image score being the maximum of the map, as U-Flow's is. Needs numpy, pillow, torch, onnx,
onnxruntime and scikit-learn.
"""

import argparse
import glob
import json
import os

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.metrics import roc_auc_score


def images(folder):
    return sorted(p for p in glob.glob(os.path.join(folder, "*")) if p.lower().endswith((".png", ".jpg", ".jpeg", ".bmp")))


def load(path, size, meta):
    x = np.asarray(Image.open(path).convert("RGB").resize((size, size), Image.BILINEAR), dtype=np.float32) / 255
    return ((x - meta["mean"]) / meta["std"]).astype(np.float32).transpose(2, 0, 1)[None]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--input-size", type=int)
    parser.add_argument("--outputs", help="feature maps to use, e.g. 0,1 (default: all)")
    args = parser.parse_args()
    model = onnx.load(args.backbone, load_external_data=False)
    meta = json.loads(next(p.value for p in model.metadata_props if p.key == "uflow.backbone"))
    size = args.input_size or meta["input_size"]
    which = [int(i) for i in args.outputs.split(",")] if args.outputs else range(len(meta["outputs"]))
    names = [meta["outputs"][i] for i in which]
    session = onnxruntime.InferenceSession(args.backbone, providers=["CPUExecutionProvider"])
    features = lambda path: [torch.from_numpy(m) for m in session.run(names, {"image": load(path, size, meta)})]

    good = [features(path) for path in images(os.path.join(args.data, "train/good"))]
    stats = []
    for s in range(len(names)):
        stack = torch.cat([g[s] for g in good])
        stats.append((stack.mean((0, 2, 3), keepdim=True), stack.std((0, 2, 3), keepdim=True) + 1e-6))
    grid = good[0][0].shape[2:]

    def vectors(maps):
        maps = [F.interpolate((m - mean) / std, grid, mode="bilinear") for m, (mean, std) in zip(maps, stats)]
        return torch.cat(maps, 1).flatten(2)[0].T

    bank = torch.cat([vectors(g) for g in good])
    keep = torch.randperm(len(bank), generator=torch.Generator().manual_seed(0))[: min(20000, len(bank) // 10)]
    bank = bank[keep]

    pixels, truths, scores, labels = [], [], [], []
    for kind in sorted(os.listdir(os.path.join(args.data, "test"))):
        for path in images(os.path.join(args.data, "test", kind)):
            distance = torch.cdist(vectors(features(path)), bank).topk(3, largest=False).values.mean(1)
            score = F.interpolate(distance.view(1, 1, *grid), (size, size), mode="bilinear")[0, 0].numpy()
            truth = np.zeros((size, size), bool)
            if kind != "good":
                name = os.path.splitext(os.path.basename(path))[0] + "_mask.png"
                mask = Image.open(os.path.join(args.data, "ground_truth", kind, name)).convert("L")
                truth = np.asarray(mask.resize((size, size), Image.NEAREST)) > 0
            pixels.append(score), truths.append(truth)
            scores.append(score.max()), labels.append(kind != "good")
    pixel = roc_auc_score(np.concatenate([t.ravel() for t in truths]), np.concatenate([p.ravel() for p in pixels]))
    print(f"3 nearest neighbours, maps {list(which)}, input {size}: pixel AUROC {pixel:.3f}, image AUROC {roc_auc_score(labels, scores):.3f}")


if __name__ == "__main__":
    main()
