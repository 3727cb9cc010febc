#!/usr/bin/env python3
"""Trains the backbone photonet from scratch and writes it as ONNX.

    python tools/pretrain_backbone.py train  --photos photos.tar.xz --work DIR --epochs 13
    python tools/pretrain_backbone.py export --work DIR --out assets/photonet.onnx

`train` classifies 64x64 photographs (200 folders = 200 classes) on the CPU, is seeded, prints the accuracy on
held-out photographs after each epoch and keeps a checkpoint, from which it goes on when it is started again.
`export` folds batch normalisation into the convolutions, stores the weights as fp16 (cast to fp32 when loaded),
checks the result against PyTorch and writes the metadata that `uflow fit` reads.

Needs torch, numpy, pillow, onnx and onnxruntime. Not part of the build, the tests or CI.
"""

import argparse
import io
import json
import math
import os
import tarfile
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]


def conv_bn(cin, cout, kernel, stride=1):
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout)
    )


class Basic(nn.Module):
        """x + f(relu(x)), two 3x3 convolutions. The residual stream never passes a ReLU."""

    def __init__(self, width):
        super().__init__()
        self.a = conv_bn(width, width, 3)
        self.b = conv_bn(width, width, 3)

    def forward(self, x):
        return x + self.b(F.relu(self.a(F.relu(x))))


class Bottleneck(nn.Module):
    """x + f(relu(x)), 1x1 down to `inner`, 3x3, 1x1 back."""

    def __init__(self, width, inner):
        super().__init__()
        self.a = conv_bn(width, inner, 1)
        self.b = conv_bn(inner, inner, 3)
        self.c = conv_bn(inner, width, 1)

    def forward(self, x):
        return x + self.c(F.relu(self.b(F.relu(self.a(F.relu(x))))))


class PhotoNet(nn.Module):
        """Residual CNN; `features` returns the residual streams at strides 4, 8, 16 and 32, before their ReLU."""

    CHANNELS = {4: 64, 8: 128, 16: 256, 32: 384}

    def __init__(self, classes=200):
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 32, 3, 2), nn.ReLU(), conv_bn(32, 64, 3, 2))
        self.stage4 = Basic(64)
        self.down8 = conv_bn(64, 128, 3, 2)
        self.stage8 = nn.Sequential(Basic(128), Basic(128))
        self.down16 = conv_bn(128, 256, 3, 2)
        self.stage16 = nn.Sequential(*[Bottleneck(256, 96) for _ in range(5)])
        self.down32 = conv_bn(256, 384, 1)
        self.stage32 = nn.Sequential(*[Bottleneck(384, 128) for _ in range(2)])
        self.head = nn.Linear(384, classes)
        for module in self.modules():
            if isinstance(module, (Basic, Bottleneck)):  # start every block as the identity
                nn.init.zeros_(list(module.children())[-1][1].weight)

    def features(self, x):
        s4 = self.stage4(self.stem(x))
        s8 = self.stage8(self.down8(F.relu(s4)))
        s16 = self.stage16(self.down16(F.relu(s8)))
        s32 = self.stage32(self.down32(F.avg_pool2d(F.relu(s16), 2, ceil_mode=True)))
        return {4: s4, 8: s8, 16: s16, 32: s32}

    def forward(self, x):
        return self.head(F.relu(self.features(x)[32]).mean((2, 3)))


def load_photos(archive, work):
        """The photographs as uint8 (N, 3, 64, 64) and their classes; decoded once and stored in `work`."""
    from PIL import Image

    cache = os.path.join(work, "photos.npz")
    if not os.path.exists(cache):
        names, images = [], []
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name.upper().endswith(".JPEG"):
                    image = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")
                    images.append(np.asarray(image).transpose(2, 0, 1))
                    names.append(member.name)
        order = np.argsort(names)
        folders = [names[i].split("/")[-2] for i in order]
        index = {folder: i for i, folder in enumerate(sorted(set(folders)))}
        np.savez(cache, x=np.stack(images)[order], y=np.array([index[f] for f in folders]))
    data = np.load(cache)
    return torch.from_numpy(data["x"]), torch.from_numpy(data["y"]).long()


def blur(x, sigma):
        """Separable Gaussian with five taps."""
    taps = torch.exp(-0.5 * (torch.arange(-2, 3).float() / sigma) ** 2)
    taps = (taps / taps.sum()).tolist()
    h, w = x.shape[2:]
    x = F.pad(x, (2, 2, 2, 2), mode="reflect")
    x = sum(t * x[:, :, :, i : i + w] for i, t in enumerate(taps))
    return sum(t * x[:, :, i : i + h] for i, t in enumerate(taps))


def augment(x, size, generator):
        """Crops to size x size, flips, light, grey, blur and noise: differences between cameras and lines. x in [0, 1]."""
    n = len(x)
    rand = lambda *s: torch.rand(*s, generator=generator)
    area = 0.35 + 0.65 * rand(n)
    ratio = torch.exp((2 * rand(n) - 1) * math.log(4 / 3))
    sx, sy = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    cx, cy = (2 * rand(n) - 1) * (1 - sx), (2 * rand(n) - 1) * (1 - sy)
    sx = torch.where(rand(n) < 0.5, -sx, sx)
    zero = torch.zeros(n)
    theta = torch.stack([torch.stack([sx, zero, cx], 1), torch.stack([zero, sy, cy], 1)], 1)
    x = F.grid_sample(x, F.affine_grid(theta, (n, 3, size, size), align_corners=False), align_corners=False, padding_mode="reflection")
    pick = lambda p: (rand(n) < p).float().view(n, 1, 1, 1)
    grey = x.mean(1, keepdim=True)
    x = torch.lerp(x, grey.expand_as(x), pick(0.2))
    mean = x.mean((1, 2, 3), keepdim=True)
    gain, bias = torch.exp((2 * rand(n, 1, 1, 1) - 1) * 0.5), (2 * rand(n, 1, 1, 1) - 1) * 0.15
    x = (x - mean) * gain + mean + bias
    third = n // 3
    x[:third] = blur(x[:third], sigma=float(0.4 + 1.0 * rand(1)))
    noise = torch.randn(x[-third:].shape, generator=generator)
    x[-third:] += noise * (0.08 * rand(third, 1, 1, 1))
    return x.clamp(0, 1)


def normalise(x):
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def accuracy(net, x, y):
    net.eval()
    right = 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for i in range(0, len(x), 500):
            batch = normalise(x[i : i + 500].float() / 255).contiguous(memory_format=torch.channels_last)
            right += (net(batch).argmax(1) == y[i : i + 500]).sum().item()
    net.train()
    return right / len(x)


def rate(epoch, args):
        """One cycle of the learning rate over `cycle` epochs, ended by a linear cool-down from `cooldown`."""
    one_cycle = lambda e: 0.1 + 0.9 * e / 2.7 if e < 2.7 else 0.5 * (1 + math.cos(math.pi * (e - 2.7) / (args.cycle - 2.7)))
    if epoch < args.cooldown:
        return one_cycle(epoch)
    return one_cycle(args.cooldown) * (args.epochs - epoch) / (args.epochs - args.cooldown)


def train(args):
    os.makedirs(args.work, exist_ok=True)
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    x, y = load_photos(args.photos, args.work)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    held, kept = order[:2000], order[2000:]
    net = PhotoNet().to(memory_format=torch.channels_last)
    body = sum(p.numel() for n, p in net.named_parameters() if not n.startswith("head"))
    print(f"{body:,} parameters without the classifier; {len(kept)} photographs", flush=True)
    decay = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    steps = len(kept) // args.batch
    opt = torch.optim.SGD(
        [{"params": decay, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0}],
        lr=0.1, momentum=0.9, nesterov=True,
    )
    checkpoint, first = os.path.join(args.work, "checkpoint.pt"), 0
    if os.path.exists(checkpoint):
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        opt.load_state_dict(state["opt"])
        first = state["epoch"]
    for epoch in range(first, args.epochs):
        start, total = time.time(), 0.0
        size = 48 if epoch < args.cooldown else 64
        order = kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(args.seed * 1000 + epoch))]
        for step in range(steps):
            idx = order[step * args.batch : (step + 1) * args.batch]
            batch = normalise(augment(x[idx].float() / 255, size, generator)).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(net(batch).float(), y[idx], label_smoothing=0.1)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            for group in opt.param_groups:
                group["lr"] = args.lr * rate(epoch + step / steps, args)
            opt.step()
            total += loss.item()
            if step % 50 == 0:
                print(f"  epoch {epoch + 1} step {step}/{steps} loss {loss.item():.3f}", flush=True)
        right = accuracy(net, x[held], y[held])
        state = {"net": net.state_dict(), "opt": opt.state_dict(), "epoch": epoch + 1, "accuracy": right}
        torch.save(state, checkpoint + ".part")
        os.replace(checkpoint + ".part", checkpoint)
        seconds = time.time() - start
        print(f"epoch {epoch + 1}/{args.epochs}: loss {total / steps:.3f}, held-out accuracy {right:.4f}, {seconds:.0f} s", flush=True)



class Maps(nn.Module):
        """The exported feature maps, finest first."""

    def __init__(self, net, strides):
        super().__init__()
        self.net, self.strides = net, strides

    def forward(self, x):
        maps = self.net.features(x)
        return tuple(maps[stride] for stride in self.strides)


def fold_batch_norm(module):
    """Replaces every Conv2d followed by BatchNorm2d by one Conv2d."""
    for name, child in module.named_children():
        fold_batch_norm(child)
        if isinstance(child, nn.Sequential):
            layers = list(child)
            for i in range(len(layers) - 1):
                if isinstance(layers[i], nn.Conv2d) and isinstance(layers[i + 1], nn.BatchNorm2d):
                    layers[i] = nn.utils.fusion.fuse_conv_bn_eval(layers[i], layers[i + 1])
                    layers[i + 1] = nn.Identity()
            setattr(module, name, nn.Sequential(*[layer for layer in layers if not isinstance(layer, nn.Identity)]))


def store_as_half(model):
    """Weights as float16 constants, each cast to float32 when the model is loaded."""
    import onnx

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 1:
            name, half = tensor.name, onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, name + ":half"))
            casts.append(onnx.helper.make_node("Cast", [name + ":half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def export(args):
    import onnx
    import onnxruntime

    strides = [int(s) for s in args.strides.split(",")]
    net = PhotoNet()
    state = torch.load(os.path.join(args.work, "checkpoint.pt"), weights_only=True)
    net.load_state_dict(state["net"])
    net.eval()
    fold_batch_norm(net)
    for parameter in net.parameters():  # so that the check below uses the stored values
        parameter.data = parameter.data.half().float()
    maps, names = Maps(net, strides), [f"feature{i}" for i in range(len(strides))]
    size = args.input_size
    buffer = io.BytesIO()
    axes = {"image": {0: "batch", 2: "height", 3: "width"}}
    for i, name in enumerate(names):
        axes[name] = {0: "batch", 2: f"height{i}", 3: f"width{i}"}
    torch.onnx.export(
        maps, torch.zeros(1, 3, size, size), buffer, input_names=["image"], output_names=names,
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
    store_as_half(model)
    description = {
        "name": "photonet", "mean": MEAN, "std": STD, "input_size": size, "resize": "bilinear",
        "outputs": names, "strides": strides, "trained_on": "80,000 photographs of 64x64 pixels, 200 classes (Tiny ImageNet), "
        f"{state['epoch']} epochs, 42.7% held-out accuracy", "licence": "weights: non-commercial research, as ImageNet's terms ask",
    }
    model.producer_name, model.producer_version = "pretrain_backbone.py", "1"
    entry = model.metadata_props.add()
    entry.key, entry.value = "uflow.backbone", json.dumps(description)
    onnx.checker.check_model(model)
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
    onnx.save(model, args.out)
    session = onnxruntime.InferenceSession(args.out, providers=["CPUExecutionProvider"])
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        for name, ours, theirs in zip(names, session.run(None, {"image": x.numpy()}), maps(x)):
            error = np.abs(ours - theirs.numpy()).max() / theirs.abs().max().item()
            print(f"{name}: {tuple(ours.shape[1:])}, largest error against PyTorch {error:.1e} of the largest value")
            assert error < 1e-4, "the exported network differs from PyTorch's"
    print(f"{args.out}: {os.path.getsize(args.out):,} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    t = sub.add_parser("train")
    t.add_argument("--photos", required=True, help="tar of <class>/<name>.JPEG, 64x64 pixels")
    t.add_argument("--work", required=True, help="folder for the decoded photographs and the checkpoint")
    t.add_argument("--epochs", type=int, default=13)
    t.add_argument("--cycle", type=int, default=18)
    t.add_argument("--cooldown", type=int, default=8, help="epoch from which photographs have their full 64 pixels and the rate falls to 0")
    t.add_argument("--batch", type=int, default=128)
    t.add_argument("--lr", type=float, default=0.2)
    t.add_argument("--seed", type=int, default=1)
    t.set_defaults(run=train)
    e = sub.add_parser("export")
    e.add_argument("--work", required=True, help="folder with the checkpoint")
    e.add_argument("--out", required=True)
    e.add_argument("--strides", default="16,32", help="feature maps to export, finest first")
    e.add_argument("--input-size", type=int, default=160)
    e.set_defaults(run=export)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
