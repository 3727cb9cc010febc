#!/usr/bin/env python3
"""Exports a network of timm as a backbone for U-Flow: an ONNX file with the metadata that `uflow fit` reads.

    python -m venv venv && venv/bin/pip install -r tools/export-requirements.txt
    venv/bin/python tools/export_backbone.py mcait --out mcait.onnx
    venv/bin/python tools/export_backbone.py resnet18 --out resnet18.onnx --input-size 256
    uflow fit --good parts/good --backbone resnet18.onnx --out bracket.uflow

Networks
  mcait             the paper's MS-CaiT: CaiT-M48 at 448×448 after block 40 (768×28×28) and CaiT-S24 on the image at
                    224×224 after block 20 (384×14×14), blocks counted from 0, each through its own final LayerNorm; the
                    resize (bicubic, corners aligned) is inside the graph. 1.3 GB, 0.66 GB with --fp16.
                    --networks and --layers make the same of two other CaiT networks.
  any timm model    that has features_only, by timm's name, with or without the tag of its weights: resnet18,
                    wide_resnet50_2.racm_in1k, efficientnet_b4, mvitv2_small, convnext_tiny, swin_tiny_patch4_window7_224 …
                    By default the last layer of each of the strides 4, 8 and 16, at the input size of the weights.

ReLU
  A flow fitted to values with a point mass at zero explodes on images it has not seen. Where a stage ends in a ReLU
  (ResNet and its kin) the map is therefore taken from before it. Checkpoints that were trained elsewhere, as by
  anomalib, expect the maps as timm gives them: export their backbone with --no-before-relu.

Checks
  The written file is run by ONNX Runtime on random images, one and two at a time, before it gets its name. Each map may
  differ from PyTorch's by 1e-4 of its values (with --fp16 by 1e-2, from PyTorch in float32), both in norm over norm and in
  largest difference over largest value. Only the batch's size is left open in the graph.

--fp16 computes in float16 but for LayerNorm, Softmax, sums and resizing, and takes and gives float32. It is meant for
devices that have float16; on CPUs it halves the file, not the time.

Exit codes: 0 written, 1 something failed and nothing was written, 2 wrong use.
"""

import argparse
import os
import signal
import sys
import warnings

REQUIREMENTS = "tools/export-requirements.txt"


def numbers(count=None):
    def parse(text):
        try:
            values = [int(value) for value in text.replace("x", ",").split(",")]
        except ValueError:
            raise argparse.ArgumentTypeError(f"`{text}` is not whole numbers with commas between") from None
        if count and len(values) not in count:
            raise argparse.ArgumentTypeError(f"`{text}` has {len(values)} numbers, {' or '.join(map(str, count))} are needed")
        return values

    return parse


def side(text):
    values = numbers((1, 2))(text)
    if not all(1 <= value <= 8192 for value in values):
        raise argparse.ArgumentTypeError(f"`{text}`: sides are 1 to 8192")
    return (values[0], values[-1])


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="mcait, or the name of a timm model")
    parser.add_argument("--out", required=True, metavar="FILE", help="the ONNX file to write")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--pretrained", action="store_true", help="timm's weights, downloaded from its hub (default)")
    source.add_argument(
        "--weights", nargs="+", metavar="FILE", default=[],
        help="a state dict (.pth, .pt) or safetensors file in timm's naming; two files for mcait, the fine scale's first",
    )
    source.add_argument("--random-init", type=int, metavar="SEED", help="random weights, for tests without the hub")
    parser.add_argument("--input-size", type=side, metavar="H[,W]", help="input size; default: the weights' own")
    parser.add_argument(
        "--layers", type=numbers(), metavar="N,N…", help="indices of timm's feature maps, finest first; for mcait the last blocks"
    )
    parser.add_argument("--networks", metavar="FINE,COARSE", help="mcait's two networks")
    parser.add_argument(
        "--before-relu", action=argparse.BooleanOptionalAction, default=None,
        help="take the maps before the ReLU that ends their stage; default: yes, if there is such a ReLU",
    )
    parser.add_argument("--fp16", action="store_true", help="weights and arithmetic in float16")
    parser.add_argument("--name", help="the backbone's name in the metadata; default: the network's")
    args = parser.parse_args(argv)
    if args.network == "mcait" and args.before_relu is not None:
        parser.error("--before-relu: mcait has no ReLU")
    if args.network != "mcait" and args.networks:
        parser.error("--networks is for mcait")
    if args.name is not None and not args.name.strip():
        parser.error("--name is empty")
    return args


def require():
        """Says what to install instead of printing a traceback."""
    missing = []
    for module in ("numpy", "torch", "timm", "onnx", "onnxscript", "onnxruntime", "safetensors"):
        try:
            __import__(module)
        except ImportError as error:
            missing.append(f"{module} ({error})")
    if missing:
        sys.exit(f"error: missing: {', '.join(missing)}. Install them: pip install -r {REQUIREMENTS}")


def check_out(args):
    from backbone_onnx import ExportError

    if os.path.isdir(args.out):
        raise ExportError(f"--out {args.out} is a folder; name a file")
    if os.path.exists(args.out) and not args.force:
        raise ExportError(f"--out {args.out} exists; --force replaces it")
    folder = os.path.dirname(args.out) or "."
    if not os.path.isdir(folder):
        raise ExportError(f"--out {args.out}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise ExportError(f"--out {args.out}: the folder {folder} cannot be written to")


def network_of(args):
    import backbone_networks as networks

    weights = networks.Weights(args.weights, args.random_init)
    if args.network == "mcait":
        pair = args.networks.split(",") if args.networks else None
        return networks.build_mcait(weights, args.input_size, pair, args.layers)
    return networks.build(args.network, weights, args.input_size, args.layers, args.before_relu)


def description_of(network, strides, args):
    import timm
    import torch

    height, width = network.size
    return {
        "name": args.name or network.name, "mean": network.mean, "std": network.std,
        "input_size": height if height == width else [height, width], "resize": network.resize,
        "outputs": [f"feature{i}" for i in range(len(strides))], "strides": strides,
        "trained_on": network.trained_on, "licence": network.licence, "layers": network.labels, "features": network.features,
        "precision": "fp16" if args.fp16 else "fp32", "made_with": f"timm {timm.__version__}, torch {torch.__version__}",
    }


def export(args):
    import backbone_networks as networks
    import backbone_onnx as onnx_file

    check_out(args)
    print(f"{args.network}: building", flush=True)
    network = network_of(args)
    description = description_of(network, networks.strides(network), args)
    print(f"{args.network}: exporting ({network.features})", flush=True)
    model = onnx_file.to_onnx(network.exported, network.size, description["outputs"], args.fp16)
    onnx_file.describe(model, description)
    bound = onnx_file.HALF_BOUND if args.fp16 else onnx_file.BOUND
    shapes = [tuple(dim.dim_value for dim in output.type.tensor_type.shape.dim[1:]) for output in model.graph.output]

    def check(path):
        print(f"{args.network}: comparing with PyTorch", flush=True)
        return onnx_file.check_parity(onnx_file.open_session(path), network.reference, description, bound)

    errors, seconds = onnx_file.write(model, args.out, check)
    for (name, error), shape, label, stride in zip(errors.items(), shapes, network.labels, description["strides"]):
        print(f"{name}: {'×'.join(map(str, shape))}, stride {stride}, {label}; differs by {error:.1e}, {bound:.0e} is allowed")
    print(f"{args.out}: {os.path.getsize(args.out):,} bytes; {seconds:.3f} s an image in ONNX Runtime on this CPU")
    print(f"trained on {network.trained_on}; licence {network.licence}")


def main(argv=None):
    args = arguments(argv)
    require()
    from backbone_onnx import ExportError

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    warnings.filterwarnings("ignore")  # the exporter's own deprecations
    try:
        export(args)
    except (ExportError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
