"""Golden values for the flow: latents, log-determinants and every gradient of whole U-shaped flows, by PyTorch and FrEIA.

Each case is a small U made of FrEIA's AllInOneBlock with the published settings, in double precision, with random
parameters. Run with torch, numpy and FrEIA installed:

    python tools/golden_flow.py tests/golden/flow
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from FrEIA.modules import AllInOneBlock, IRevNetUpsampling

CASES = {
    "one_scale": dict(features=[(6, 4, 5)], steps=2, kernels=[3, 1]),
    "one_scale_odd": dict(features=[(7, 3, 4)], steps=2, kernels=[3, 1]),
    "one_pixel": dict(features=[(5, 1, 1)], steps=3, kernels=[3, 1]),
    "two_scales": dict(features=[(4, 4, 2), (9, 2, 1)], steps=2, kernels=[1, 3]),
    "three_scales_odd": dict(features=[(5, 8, 4), (7, 4, 2), (17, 2, 1)], steps=4, kernels=[3, 1]),
    "four_scales": dict(features=[(3, 8, 8), (2, 4, 4), (8, 2, 2), (16, 1, 1)], steps=1, kernels=[3]),
    "nothing_rises": dict(features=[(3, 4, 4), (5, 2, 2)], steps=1, kernels=[3]),
}


def subnet(kernel):
    def build(inputs, outputs):
        return torch.nn.Sequential(
            torch.nn.Conv2d(inputs, inputs, kernel, padding=kernel // 2),
            torch.nn.ReLU(),
            torch.nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
        )

    return build


def build_case(case):
        """Per scale, finest first: the blocks of its stage, and the number of channels that go up."""
    stages, risen = {}, 0
    for scale in reversed(range(len(case["features"]))):
        channels, height, width = case["features"][scale]
        channels += risen // 4
        blocks = [
            AllInOneBlock([(channels, height, width)], subnet_constructor=subnet(case["kernels"][i % len(case["kernels"])]))
            for i in range(case["steps"])
        ]
        for block in blocks:
            with torch.no_grad():
                block.global_scale += 2 * torch.randn_like(block.global_scale)
                block.global_offset += 0.5 * torch.randn_like(block.global_offset)
                for parameter in block.subnet.parameters():
                    parameter += torch.randn_like(parameter) * (2.0 / parameter[0].numel() ** 0.5)
        risen = channels // 8 * 4 if scale > 0 else 0
        stages[scale] = (torch.nn.ModuleList(blocks).double(), risen)
    return stages


def forward(stages, features):
    latents, log_det, raised = {}, 0, None
    for scale in reversed(range(len(features))):
        x = features[scale] if raised is None else torch.cat([features[scale], raised], 1)
        blocks, risen = stages[scale]
        for block in blocks:
            (x,), jacobian = block((x,))
            log_det = log_det + jacobian
        latents[scale] = x[:, risen:]
        raised = None
        if risen:
            up = IRevNetUpsampling([(risen, *x.shape[2:])]).double()
            (raised,), _ = up((x[:, :risen],))
    return [latents[scale] for scale in range(len(features))], log_det


def numbers(tensor):
    return [float(f"{value:.12g}") for value in tensor.detach().double().flatten().tolist()]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, case) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        np.random.seed(seed)
        stages = build_case(case)
        batch = 2
        features = [torch.randn(batch, *shape, dtype=torch.float64) for shape in case["features"]]
        latents, log_det = forward(stages, features)
        loss = (0.5 * sum((z**2).flatten(1).sum(1) for z in latents) - log_det).mean()
        loss.backward()
        out = dict(case, batch=batch, loss=loss.item(), log_det=numbers(log_det))
        out["inputs"] = [numbers(map) for map in features]
        out["latents"] = [numbers(z) for z in latents]
        out["stages"] = []
        for scale in range(len(features)):
            steps = []
            for block in stages[scale][0]:
                first, _, second = block.subnet
                tensors = dict(
                    first_weight=first.weight, first_bias=first.bias, second_weight=second.weight,
                    second_bias=second.bias, scale=block.global_scale, offset=block.global_offset,
                )
                step = {key: numbers(tensor) for key, tensor in tensors.items()}
                step["gradients"] = {key: numbers(tensor.grad) for key, tensor in tensors.items()}
                step["permutation"] = block.w_perm[:, :, 0, 0].argmax(1).tolist()
                steps.append(step)
            out["stages"].append(steps)
        path = folder / f"{name}.json"
        path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
        print(f"{path}: {path.stat().st_size} bytes, loss {loss.item():.6f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
