"""Trains a Uflow of anomalib for an epoch, and compares its anomaly maps with those of the package from `uflow import`.

What benches/import.md reports. anomalib (1.2 or 2.x) with its dependencies, torch and timm must be installed; data is a
category in MVTec AD's layout. Pictures are taken at the network's size, so that neither side resizes: it is the flow that
is compared. The backbone's weights are random unless --pretrained is given (timm then fetches them).

    python tools/compare_anomalib.py pictures DATA WORK --size 256
    python tools/compare_anomalib.py train WORK --size 256 [--soft --clamp 1.5]
    python tools/compare_anomalib.py weights WORK
    python tools/export_backbone.py resnet18 --weights WORK/resnet18.pth --no-before-relu --input-size 256 --out WORK/resnet18.onnx
    uflow import WORK/model.ckpt --backbone WORK/resnet18.onnx -o WORK/model.uflow
    uflow detect --model WORK/model.uflow WORK/pictures/test --out WORK/maps --maps
    python tools/compare_anomalib.py maps WORK --size 256
"""

import argparse
from pathlib import Path

import numpy as np

BACKBONE = "resnet18"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SETTINGS = ("backbone", "flow_steps", "affine_clamp", "affine_subnet_channels_ratio", "permute_soft")
TRAINED_ON, TESTED = 24, 6


def pictures(args):
    from PIL import Image

    kind = next(kind.name for kind in sorted((args.data / "test").iterdir()) if kind.name != "good")
    for folder, count in (("train/good", TRAINED_ON), ("test/good", TESTED), (f"test/{kind}", TESTED)):
        target = args.work / "pictures" / folder
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted((args.data / folder).iterdir())[:count]:
            picture = Image.open(path).convert("RGB").resize((args.size, args.size), Image.BILINEAR)
            picture.save(target / f"{path.stem}.png")


def anomalib_without_hub(pretrained):
        """anomalib, with random weights in its backbones."""
    import timm

    create = timm.create_model
    if not pretrained:
        timm.create_model = lambda *given, **named: create(*given, **{**named, "pretrained": False})
    if not hasattr(np, "sctypes"):  # anomalib 1.2 imports imgaug, which needs NumPy before 2.
        floats, ints = [np.float16, np.float32, np.float64], [np.int8, np.int16, np.int32, np.int64]
        np.sctypes = dict(float=floats, int=ints, uint=[np.uint8, np.uint16, np.uint32, np.uint64])
        np.sctypes |= dict(complex=[np.complex64, np.complex128], others=[bool, object, bytes, str])
    import anomalib

    return anomalib


def train(args):
    import torch

    torch.manual_seed(0)
    anomalib = anomalib_without_hub(args.pretrained)
    from anomalib.data import Folder
    from anomalib.engine import Engine
    from anomalib.models import Uflow

    root = args.work / "pictures"
    kind = next(kind.name for kind in (root / "test").iterdir() if kind.name != "good")
    data = dict(name="product", root=root, normal_dir="train/good", abnormal_dir=f"test/{kind}", normal_test_dir="test/good")
    data |= dict(train_batch_size=4, eval_batch_size=4, num_workers=0)
    model = dict(backbone=BACKBONE, permute_soft=args.soft, affine_clamp=args.clamp)
    engine = dict(max_epochs=1, accelerator="cpu", devices=1, default_root_dir=args.work / "anomalib")
    if int(anomalib.__version__.split(".")[0]) >= 2:
        from anomalib.pre_processing import PreProcessor
        from torchvision.transforms.v2 import Compose, Normalize, Resize

        resize = Resize((args.size, args.size), antialias=True)
        model["pre_processor"] = PreProcessor(transform=Compose([resize, Normalize(mean=MEAN, std=STD)]))
    else:  # Always 448×448.
        data["task"] = engine["task"] = "classification"
    engine = Engine(**engine)
    engine.fit(model=Uflow(**model), datamodule=Folder(**data))
    engine.trainer.save_checkpoint(args.work / "model.ckpt")


def loaded(work):
    import torch

    return torch.load(work / "model.ckpt", map_location="cpu", weights_only=False)


def weights(args):
        """The backbone's weights under timm's names. No feature uses the layers that anomalib removes (layer4, fc): they stay random."""
    anomalib_without_hub(False)
    import timm
    import torch

    prefix = "model.feature_extractor.feature_extractor."
    state = loaded(args.work)["state_dict"]
    network = timm.create_model(BACKBONE, pretrained=False)
    own = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    missing, unexpected = network.load_state_dict(own, strict=False)
    assert not unexpected and all(name.startswith(("layer4", "fc")) for name in missing), (missing, unexpected)
    torch.save(network.state_dict(), args.work / f"{BACKBONE}.pth")


def maps(args):
    anomalib = anomalib_without_hub(False)
    import timm
    import torch
    from anomalib.models.image.uflow.torch_model import UflowModel
    from PIL import Image

    checkpoint = loaded(args.work)
    settings = {name: value for name, value in checkpoint["hyper_parameters"].items() if name in SETTINGS}
    print(f"anomalib {anomalib.__version__}, torch {torch.__version__}, timm {timm.__version__}: {settings}")
    network = UflowModel(input_size=(args.size, args.size), **settings)
    state = checkpoint["state_dict"].items()
    network.load_state_dict({name[6:]: tensor for name, tensor in state if name.startswith("model.")})
    network.eval()
    folder, worst = args.work / "pictures" / "test", 0.0
    for path in sorted(folder.rglob("*.png")):
        picture = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).float() / 255
        with torch.no_grad():
            found = network(((picture - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None])
        theirs = getattr(found, "anomaly_map", found)[0, 0].numpy()
        ours = np.load(args.work / "maps" / path.relative_to(folder).with_suffix(".score.npy"))
        assert ours.shape == theirs.shape
        difference = np.abs(ours - theirs).max()
        worst = max(worst, difference)
        print(f"{path.relative_to(folder)}: {theirs.min():.4f} to {theirs.max():.4f}, differs by {difference:.1e}")
    print(f"largest difference {worst:.1e}; 1e-3 is allowed")
    assert worst <= 1e-3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run in (pictures, train, weights, maps):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        if run is pictures:
            command.add_argument("data", type=Path)
        command.add_argument("work", type=Path)
        command.add_argument("--size", type=int, default=256)
        if run is train:
            command.add_argument("--soft", action="store_true")
            command.add_argument("--clamp", type=float, default=2.0)
            command.add_argument("--pretrained", action="store_true")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
