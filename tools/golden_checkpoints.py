"""Golden checkpoints: U-shaped flows of FrEIA's AllInOneBlock as PyTorch saves them, with features and their latents.

The flows are built and computed by FrEIA's GraphINN, with random parameters. Names are as anomalib has them (a Lightning
checkpoint, LayerNorms, hyper-parameters of every odd kind) or plain. Run with torch, numpy, FrEIA and omegaconf installed:

    python tools/golden_checkpoints.py tests/golden/checkpoints
"""

import collections
import datetime
import enum
import functools
import pathlib
import sys

import numpy as np
import torch
from FrEIA import framework as ff
from FrEIA import modules as fm
from omegaconf import OmegaConf

CASES = {
    "one_scale_hard": dict(features=[(7, 4, 6)]),
    "one_scale_soft": dict(features=[(8, 3, 5)], soft=True, steps=3, legacy=True),
    "one_scale_learned": dict(features=[(6, 4, 4)], householder=2, steps=2),
    "two_scales_hard": dict(features=[(5, 6, 4), (11, 3, 2)], legacy=True, style="model"),
    "two_scales_soft": dict(features=[(4, 4, 4), (9, 2, 2)], soft=True, style="anomalib", ratio=0.5, steps=3),
    "three_scales_hard": dict(features=[(5, 8, 8), (7, 4, 4), (17, 2, 2)], style="anomalib", clamp=1.3, steps=3),
    "three_scales_soft": dict(features=[(3, 8, 4), (9, 4, 2), (16, 2, 1)], soft=True, steps=3, legacy=True, style="anomalib"),
    "bfloat16": dict(features=[(4, 4, 4), (9, 2, 2)], dtype=torch.bfloat16, soft=True, steps=2),
    "float16": dict(features=[(6, 3, 4)], dtype=torch.float16, steps=2),
    "float64": dict(features=[(6, 3, 4)], dtype=torch.float64, steps=2, legacy=True),
}


def subnet(kernel, ratio, inputs, outputs):
    hidden = int(inputs * ratio)
    return torch.nn.Sequential(
        torch.nn.Conv2d(inputs, hidden, kernel, padding=kernel // 2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(hidden, outputs, kernel, padding=kernel // 2),
    )


def build(case):
    """The U as a graph: inputs and outputs finest first, stages from the coarsest to the finest."""
    inputs = [ff.InputNode(*shape, name=f"feature{scale}") for scale, shape in enumerate(case["features"])]
    nodes, outputs, node = [], [], None
    for scale in reversed(range(len(inputs))):
        source = inputs[scale]
        if node is not None:
            source = ff.Node([inputs[scale].out0, node.out0], fm.Concat, {"dim": 0})
            nodes.append(source)
        node = source
        for step in range(case.get("steps", 4)):
            settings = dict(
                subnet_constructor=functools.partial(subnet, 3 - 2 * (step % 2), case.get("ratio", 1.0)),
                affine_clamping=case.get("clamp", 2.0),
                permute_soft=case.get("soft", False),
                learned_householder_permutation=case.get("householder", 0),
            )
            node = ff.Node(node, fm.AllInOneBlock, settings)
            nodes.append(node)
        if scale > 0:
            channels = node.output_dims[0][0]
            rising = channels // 8 * 4
            split = ff.Node(node, fm.Split, {"section_sizes": (rising, channels - rising), "dim": 0})
            outputs.append(ff.OutputNode(split.out1, name=f"latent{scale}"))
            node = ff.Node(split.out0, fm.IRevNetUpsampling, {})
            nodes += [split, node]
        else:
            outputs.append(ff.OutputNode(node, name="latent0"))
    return ff.GraphINN(inputs + nodes + outputs[::-1])


class Extractor(torch.nn.Module):
    def __init__(self, features):
        super().__init__()
        self.feature_extractor = torch.nn.Conv2d(3, 2, 1)
        self.feature_normalizations = torch.nn.ModuleList(torch.nn.LayerNorm(shape) for shape in features)

    def forward(self, maps):
        return [norm(map) for norm, map in zip(self.feature_normalizations, maps)]


def randomise(module):
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("global_scale"):
                parameter += torch.randn_like(parameter)
            elif name.endswith("global_offset"):
                parameter += 0.5 * torch.randn_like(parameter)
            elif ".subnet." in name:
                parameter += torch.randn_like(parameter) * (1.5 / parameter[0].numel() ** 0.5)
            elif "feature_normalizations" in name:
                parameter += 0.3 * torch.randn_like(parameter)


class Layer(enum.Enum):
    FIRST = "layer1"


class Settings(dict):
        """A dictionary with attributes, as training programs make them."""


class Node:
    """An object that refers to itself and holds a tensor."""

    def __init__(self):
        self.parent, self.weights = self, torch.ones(3)


def odd_hyper_parameters(case):
    return {
        "affine_clamp": case.get("clamp", 2.0),
        "backbone": "resnet18",
        "flow_steps": case.get("steps", 4),
        "layer": Layer.FIRST,
        "by_layer": {Layer.FIRST: 1, None: 2, (1, 2): 3, True: 4, 0.5: 5},
        "root": pathlib.PurePosixPath("/data/tile"),
        "optimizer": functools.partial(torch.optim.Adam, lr=1e-3, betas=torch.tensor([0.9, 0.999])),
        "settings": Settings(a=1, b=Settings(c=[1, 2])),
        "defaults": collections.defaultdict(list, x=[1]),
        "counts": collections.Counter("uflow"),
        "queue": collections.deque([1, 2, 3], 5),
        "node": Node(),
        "config": OmegaConf.create({"model": {"sizes": [256, 256], "path": "${oc.env:HOME}"}}),
        "module": torch.nn.Linear(2, 2),
        "array": np.arange(3),
        "scalar": np.float64(0.5),
        "started": datetime.datetime(2026, 1, 2),
        "large": 2**100,
        "text": "x" * (17_000 if "ratio" in case else 10),
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "set": {1, 2},
        "slice": slice(1, 2),
        "complex": 1 + 2j,
    }


def checkpoint(case, flow, extractor):
    style = case.get("style", "plain")
    state = collections.OrderedDict()
    if style == "anomalib":
        wrapper = torch.nn.Module()
        wrapper.model = torch.nn.Module()
        wrapper.model.feature_extractor, wrapper.model.flow = extractor, flow
        state = wrapper.state_dict()
        state["image_threshold.value"] = torch.tensor(0.5)
        optimizer = torch.optim.Adam(flow.parameters())
        return {
            "epoch": 1,
            "global_step": 7,
            "pytorch-lightning_version": "2.6.6",
            "state_dict": state,
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {"ModelCheckpoint{'mode': 'max'}": {"best_model_score": torch.tensor(0.9)}},
            "optimizer_states": [optimizer.state_dict()],
            "hparams_name": "kwargs",
            "hyper_parameters": odd_hyper_parameters(case),
        }
    wrapper = torch.nn.Module()
    wrapper.flow = flow
    state = wrapper.state_dict()
    return {"model": state, "epoch": 3} if style == "model" else state


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, case) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        np.random.seed(seed)
        flow, extractor = build(case), Extractor(case["features"])
        randomise(flow)
        randomise(extractor)
        saved = flow.to(case.get("dtype", torch.float32)), extractor
        path = folder / f"{name}{'.ckpt' if case.get('style') == 'anomalib' else '.pt'}"
        torch.save(checkpoint(case, *saved), path, _use_new_zipfile_serialization=not case.get("legacy", False))
        # The saved numbers, computed in single precision.
        flow = flow.float()
        maps = [torch.randn(1, *shape) for shape in case["features"]]
        with torch.no_grad():
            normalised = extractor(maps) if case.get("style") == "anomalib" else maps
            latents, _ = flow(normalised if len(maps) > 1 else normalised[0])
            latents = latents if len(maps) > 1 else [latents]
        arrays = {f"feature{scale}": map[0].numpy() for scale, map in enumerate(maps)}
        arrays |= {f"latent{scale}": z[0].numpy() for scale, z in enumerate(latents)}
        np.savez(folder / f"{name}.npz", **arrays)
        largest = max(z.abs().max().item() for z in latents)
        print(f"{path}: {path.stat().st_size} bytes, latents up to {largest:.2f}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
