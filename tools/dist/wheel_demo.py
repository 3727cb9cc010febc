"""The demo with the Python package alone: learns each product of a folder that `uflow demo --data-only` has made, and finds its defects.

    python wheel_demo.py DATA OUT

Ends with an error if a product's defects are not found, or if good images are rejected.
"""

import pathlib
import sys

import uflow

data, out = map(pathlib.Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
products = sorted(folder for folder in data.iterdir() if (folder / "train").is_dir())
if not products:
    sys.exit(f"{data} holds no products: make them with `uflow demo --data-only --out DIR`")
for product in products:
    package = out / f"{product.name}.uflow"
    uflow.fit(product / "train" / "good", out=package)
    result = uflow.evaluate(package, product)
    print(f"{product.name}: {result}", flush=True)
    if result.recall < 0.9 or result.good_rejected > 0.1:
        sys.exit(f"{product.name}: recall {result.recall}, good images rejected {result.good_rejected}")
detector = uflow.Detector(package)
picture = sorted((product / "test").rglob("*.png"))[-1]
print(picture.relative_to(data), detector.detect(picture))
