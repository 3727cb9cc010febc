#!/usr/bin/env python3
"""Golden values for the segmentation from an independent reference, written from the mathematics alone.

Nothing here shares code or method with the engine: level sets are labelled one level at a time, the tree is explicit, prune
and merge are literal loops over it, the tails come from mpmath and the interpolation of maps from PyTorch.

    python tools/golden_segment.py tests/golden/segment

writes (numpy, scipy, mpmath and torch needed)
    NAME.npz       z0, z1, ... (C,H,W) float32, finest first; score, log10_nfa (chernoff), log10_nfa_exact (H,W) float32
    upsample.npz   in{i} and out{i}: maps and their bilinear interpolation
    survival.npz   degrees, u, log10_sf
"""

import math
import sys
from pathlib import Path

import mpmath
import numpy as np
import torch
from scipy import ndimage

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
ALPHA, BETA = 0.316915, 4.062570


def chernoff(u, channels):
    a = u / channels
    return -(channels / 2) * (a - 1 - math.log(a)) / math.log(10) if a > 1 else 0.0


def log10_survival(u, channels):
    """log10 of the regularised upper incomplete gamma function, to 60 digits."""
    with mpmath.workdps(60):
        upper = mpmath.gammainc(mpmath.mpf(channels) / 2, mpmath.mpf(float(u)) / 2, mpmath.inf, regularized=True)
        return float(mpmath.log10(upper))


class Node:
    def __init__(self, pixels, log10_pfa):
        self.pixels, self.log10_pfa = pixels, log10_pfa
        self.parent, self.children = None, []


def component_tree(energy, log10_tail):
    """Every distinct component of {U >= level}, levels ascending, each linked to the smallest one around it."""
    nodes = []
    owner = np.full(energy.shape, -1)
    for level in np.unique(energy):
        labels, count = ndimage.label(energy >= level, structure=CROSS)
        for label in range(1, count + 1):
            pixels = labels == label
            if energy[pixels].min() > level:
                continue
            node = Node(pixels, pixels.sum() * log10_tail(float(level)))
            around = owner[pixels][0]
            if around >= 0:
                node.parent = nodes[around]
                node.parent.children.append(node)
            owner[pixels] = len(nodes)
            nodes.append(node)
    return nodes


def leaves_of(nodes):
    return [node for node in nodes if not node.children]


def prune(nodes):
    for leaf in leaves_of(nodes):
        branch = [leaf]
        while branch[-1].parent is not None and len(branch[-1].parent.children) == 1:
            branch.append(branch[-1].parent)
        kept = min(branch, key=lambda node: node.log10_pfa)  # of equal nodes the first, which is nearest to the leaf
        top = branch[-1]
        if top.parent is not None:
            top.parent.children[top.parent.children.index(top)] = kept
        kept.parent, kept.children = top.parent, []
        nodes = [node for node in nodes if node is kept or all(node is not other for other in branch)]
    return nodes


def merge(nodes):
    for node in list(nodes):
        if len(node.children) >= 2 and not any(child.children for child in node.children):
            if node.log10_pfa <= min(child.log10_pfa for child in node.children):
                gone = {id(child) for child in node.children}
                node.children = []
                nodes = [other for other in nodes if id(other) not in gone]
    return nodes


def region_map(energy, log10_tail):
    nodes = component_tree(energy, log10_tail)
    while True:
        before = len(nodes)
        nodes = merge(prune(nodes))
        if len(nodes) == before:
            break
    nodes = prune(nodes)
    out = np.zeros(energy.shape)
    for leaf in leaves_of(nodes):
        out[leaf.pixels] = leaf.log10_pfa
    return out


def log10_number_of_tests(pixels):
    with mpmath.workdps(50):
        alpha, beta = mpmath.mpf(str(ALPHA)), mpmath.mpf(str(BETA))
        return float(mpmath.log10(sum(n * sum(alpha * beta**k / k for k in range(1, n + 1)) for n in pixels)))


def upsample(image, size):
    tensor = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float64))[None, None]
    return torch.nn.functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def segment(latents, size):
    # The engine's energies are float32. Round here too, so that both have the same ties.
    energies = [np.add.reduce(z * z, axis=0, dtype=np.float32) for z in latents]
    channels = [len(z) for z in latents]
    score = 1 - np.mean([upsample(np.exp(-0.5 * u.astype(np.float64) / c), size) for u, c in zip(energies, channels)], axis=0)
    tests = log10_number_of_tests([u.size for u in energies])
    out = {"score": score}
    for name, tail in [("log10_nfa", chernoff), ("log10_nfa_exact", log10_survival)]:
        maps = [region_map(u, lambda level, c=c: tail(level, c)) for u, c in zip(energies, channels)]
        out[name] = np.min([upsample(m, size) for m in maps], axis=0) + tests
    return {key: value.astype(np.float32) for key, value in out.items()}


def scenes(rng):
    """Name -> (latents, output size)."""

    def noise(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    two = [noise(12, 28, 28), noise(20, 14, 14)]
    two[0][:, 5:12, 8:15] *= 3.5
    two[1][:, 9:12, 2:6] *= 4
    yield "two_scales", two, (112, 112)

    three = [ndimage.gaussian_filter(noise(9, 24, 33), (0, 1, 1)) * 3.2, noise(5, 12, 17), noise(6, 6, 8) * 1.4]
    yield "correlated", three, (61, 97)

    tied = [np.round(noise(4, 18, 18)).astype(np.float32), np.round(1.5 * noise(3, 9, 9)).astype(np.float32)]
    yield "tied", tied, (36, 36)

    yield "one_row", [noise(3, 1, 60) * np.linspace(0.5, 3, 60, dtype=np.float32)], (4, 120)
    yield "calm", [noise(8, 16, 16) * 0.8], (16, 16)


def interpolations(rng):
    sizes = [((7, 5), (16, 9)), ((14, 14), (56, 56)), ((1, 1), (3, 4)), ((9, 31), (9, 31)), ((40, 30), (13, 11)), ((3, 50), (37, 20))]
    for index, (source, target) in enumerate(sizes):
        image = rng.standard_normal(source).astype(np.float32)
        yield f"in{index}", image
        yield f"out{index}", upsample(image, target).astype(np.float32)


def survivals():
    degrees, us, values = [], [], []
    for c in [1, 2, 3, 5, 16, 31, 32, 33, 80, 84, 192, 816, 3000]:
        for ratio in [1e-3, 0.1, 0.5, 0.9, 1.0, 1.01, 1.1, 1.5, 2.0, 3.0, 10.0, 100.0, 1e4]:
            degrees.append(c)
            us.append(ratio * c)
            values.append(log10_survival(ratio * c, c))
    return {"degrees": np.array(degrees, dtype=np.int64), "u": np.array(us), "log10_sf": np.array(values)}


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20240607)
    for name, latents, size in scenes(rng):
        arrays = {f"z{index}": z for index, z in enumerate(latents)} | segment(latents, size)
        np.savez_compressed(out / f"{name}.npz", **arrays)
        print(name, {key: float(arrays[key].min()) for key in ["score", "log10_nfa", "log10_nfa_exact"]})
    np.savez_compressed(out / "upsample.npz", **dict(interpolations(rng)))
    np.savez_compressed(out / "survival.npz", **survivals())


if __name__ == "__main__":
    main()
