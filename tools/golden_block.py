"""Golden values for the block-wise count of false alarms, by anomalib's U-Flow (run, not copied).

Needs anomalib (2.x) with torch:

    python tools/golden_block.py tests/golden/segment/block.npz
"""

import math
import sys

import numpy as np
import torch
import torch.nn.functional as F
from anomalib.models.image.uflow.anomaly_map import AnomalyMapGenerator

SIZE = (64, 48)


def main(target):
    torch.manual_seed(3)
    latents = [torch.randn(1, 24, 16, 12), torch.randn(1, 40, 8, 6), torch.randn(1, 64, 4, 3)]
    latents[0][:, :, 4:9, 3:8] *= 1.6
    latents[1][:, :, 5:, :2] *= 0.5
    log_p = [AnomalyMapGenerator.binomial_test(z, 7 / 2**scale, 0.5) for scale, z in enumerate(latents)]
    assert all(torch.isfinite(p).all() for p in log_p), "a block whose values are all candidates has no tail"
    up = [F.interpolate(p.float(), size=SIZE, mode="bicubic", align_corners=True) for p in log_p]
    tests = math.log10(sum(z.shape[-2] * z.shape[-1] for z in latents))
    arrays = {f"z{scale}": z[0].numpy() for scale, z in enumerate(latents)}
    np.savez(target, log10_nfa=(tests + sum(up))[0, 0].numpy().astype(np.float32), **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
