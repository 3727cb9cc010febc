"""The figures in benches/backbones.md: variants of CaiT's attention, and ONNX Runtime's speed with an exported backbone.

    python tools/bench_backbone.py forms --width 768 --heads 16 --tokens 784
    python tools/bench_backbone.py graph mcait.onnx
    python tools/bench_backbone.py run mcait.onnx

`forms`: one talking-heads attention of the given size, exported in every form, checked against the first, and run in
turns so that a busy machine is as busy for all of them. `graph`: operators as written, and after the optimisation that
sessions do. `run`: seconds to load, seconds an image, peak memory. Run with tools/export-requirements.txt.
"""

import argparse
import collections
import os
import resource
import statistics
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn
import torch.nn.functional as F


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.before, self.after = nn.Linear(heads, heads), nn.Linear(heads, heads)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = self.attend(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, width))


class Linear(Attention):
        """As in timm: heads on the last axis, a linear layer over them, and back, twice."""

    def attend(self, q, k, v):
        a = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        a = self.before(a.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).softmax(-1)
        return self.after(a.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) @ v


class Folded(Attention):
        """No transposes; the scale in the first mix, no first bias (softmax removes it), the second one after the product."""

    def attend(self, q, k, v):
        a = self.mix(self.before.weight * q.shape[-1] ** -0.5, q @ k.transpose(-2, -1)).softmax(-1)
        return self.mix(self.after.weight, a) @ v + self.after.bias[:, None, None] * v.sum(-2, keepdim=True)


class MatMul(Folded):
    """One product (heads, heads) x (heads, tokens x tokens)."""

    def mix(self, weight, a):
        return (weight @ a.flatten(2)).reshape(a.shape)


class Conv(Folded):
    """A 1x1 convolution over the maps of the heads."""

    def mix(self, weight, a):
        return F.conv2d(a, weight[:, :, None, None])


class Einsum(Folded):
    def mix(self, weight, a):
        return torch.einsum("gh,bhqk->bgqk", weight, a)


def forms(args):
    torch.manual_seed(0)
    sessions, x = {}, torch.randn(1, args.tokens, args.width)
    state = Linear(args.width, args.heads).state_dict()
    for form in (Linear, MatMul, Conv, Einsum):
        net = form(args.width, args.heads).eval()
        net.load_state_dict(state)
        program = torch.onnx.export(
            net, (torch.randn(2, args.tokens, args.width),), dynamo=True, verbose=False, opset_version=18,
            input_names=["x"], output_names=["y"], dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
        )
        model = program.model_proto.SerializeToString()
        sessions[form.__name__] = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    expected, seconds = None, {name: [] for name in sessions}
    for _ in range(args.rounds):
        for name, session in sessions.items():
            start = time.perf_counter()
            (y,) = session.run(None, {"x": x.numpy()})
            seconds[name].append(time.perf_counter() - start)
            expected = y if expected is None else expected
            assert np.abs(y - expected).max() < 1e-4 * np.abs(expected).max(), name
    for name, times in seconds.items():
        print(f"{name:8} least {1e3 * min(times):6.1f} ms, middle {1e3 * statistics.median(times):6.1f} ms")


def graph(args):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(args.file))) as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = os.path.join(folder, "optimised.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(args.file, options, providers=["CPUExecutionProvider"])
        for title, path in (("as written", args.file), ("optimised", options.optimized_model_filepath)):
            model = onnx.load(path)
            counts = collections.Counter(node.op_type for node in model.graph.node)
            print(f"{title}: {sum(counts.values())} nodes: {', '.join(f'{count} {name}' for name, count in counts.most_common())}")
            del model


def run(args):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(args.file, options, providers=["CPUExecutionProvider"])
    loaded = time.perf_counter() - start
    x = np.random.default_rng(0).standard_normal((1, *session.get_inputs()[0].shape[1:]), dtype=np.float32)
    seconds = []
    for _ in range(args.rounds):
        start = time.perf_counter()
        session.run(None, {"image": x})
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{args.file}: {os.path.getsize(args.file) / 1e6:.0f} MB, loaded in {loaded:.1f} s; an image takes {min(seconds):.3f} s "
        f"at least, {statistics.median(seconds):.3f} s in the middle of {args.rounds}; peak {peak:.0f} MiB with Python"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    command = sub.add_parser("forms")
    command.add_argument("--width", type=int, default=768)
    command.add_argument("--heads", type=int, default=16)
    command.add_argument("--tokens", type=int, default=784)
    command.add_argument("--rounds", type=int, default=20)
    command.set_defaults(run=forms)
    command = sub.add_parser("graph")
    command.add_argument("file")
    command.set_defaults(run=graph)
    command = sub.add_parser("run")
    command.add_argument("file")
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--threads", type=int, default=0)
    command.set_defaults(run=run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
