"""Tests of tools/export_backbone.py: `make export-test`. Uses random weights; downloads nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import timm
import torch

TOOLS = Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS))

import backbone_networks as networks  # noqa: E402
import backbone_onnx as onnx_file  # noqa: E402
import export_backbone  # noqa: E402

TINY = "cait_xxs24_224"
SEED = networks.Weights(seed=7)


def tiny_mcait():
    """Two CaiT networks of four and three blocks, on 64×64 and 32×32."""
    return networks.build_mcait(SEED, (64, 64), [TINY, TINY], [3, 2])


def tiny_resnet(before_relu=None):
    return networks.build("resnet18", SEED, (64, 64), before_relu=before_relu)


def described(network):
    args = export_backbone.arguments([network.name, "--out", "x"])
    return export_backbone.description_of(network, networks.strides(network), args)


def written(network, folder, half=False):
    description = described(network)
    model = onnx_file.to_onnx(network.exported, network.size, description["outputs"], half)
    onnx_file.describe(model, description)
    path = str(folder / "backbone.onnx")
    onnx_file.write(model, path, lambda temporary: None)
    return path, description


@pytest.fixture(scope="module", params=["mcait", "resnet18"])
def exported(request, tmp_path_factory):
    network = tiny_mcait() if request.param == "mcait" else tiny_resnet()
    return network, *written(network, tmp_path_factory.mktemp(request.param))


def blocks_of(network):
    if isinstance(network.reference, networks.TwoScales):
        return [*network.reference.fine.net.blocks, *network.reference.coarse.net.blocks]
    return [block for layer in (1, 2, 3) for block in network.reference.net[f"layer{layer}"]]


def test_the_file_computes_what_pytorch_computes(exported):
    network, path, description = exported
    errors, seconds = onnx_file.check_parity(onnx_file.open_session(path), network.reference, description, 1e-4, (1, 2, 5))
    assert list(errors) == description["outputs"] and seconds > 0


def test_a_change_of_any_one_block_is_seen(exported):
    network, path, description = exported
    session = onnx_file.open_session(path)
    for index, block in enumerate(blocks_of(network)):
        kept = {name: tensor.clone() for name, tensor in block.state_dict().items()}
        for parameter in block.parameters():
            parameter.data.mul_(1.01)
        with pytest.raises(onnx_file.ParityError, match="differs from PyTorch's"):
            onnx_file.check_parity(session, network.reference, description, onnx_file.BOUND)
            pytest.fail(f"block {index} was changed and nobody saw it")
        block.load_state_dict(kept)
    onnx_file.check_parity(session, network.reference, description, onnx_file.BOUND)


def test_a_change_of_one_parameter_of_the_attention_is_seen(tmp_path):
    network = tiny_mcait()
    path, description = written(network, tmp_path)
    session = onnx_file.open_session(path)
    attention = network.reference.coarse.net.blocks[1].attn
    for name in ("qkv.weight", "proj_l.weight", "proj_w.weight", "proj_w.bias", "proj.bias"):
        parameter = attention.get_parameter(name)
        kept = parameter.data.clone()
        parameter.data.mul_(1.5)
        with pytest.raises(onnx_file.ParityError):
            onnx_file.check_parity(session, network.reference, description, onnx_file.BOUND)
            pytest.fail(f"{name} was changed and nobody saw it")
        parameter.data.copy_(kept)


def changes(net, size):
        """Relative change of the tokens' norm by each block."""
    found = []
    hooks = [
        block.register_forward_hook(lambda block, inputs, y: found.append(((y - inputs[0]).norm() / inputs[0].norm()).item()))
        for block in net.blocks
    ]
    with torch.no_grad():
        networks.CaitTokens(net)(torch.randn(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return found


def test_random_cait_blocks_are_not_the_identity():
    torch.manual_seed(0)
    net = timm.create_model(TINY, num_classes=0, img_size=(32, 32)).eval()
    net.prune_intermediate_layers([22], prune_norm=False, prune_head=True)
    assert max(changes(net, (32, 32))) < 1e-3, "timm's own start is nearly the identity"
    networks.draw(net, 7, (32, 32))
    assert len(changes(net, (32, 32))) == 23 and min(changes(net, (32, 32))) > 0.01
    scales = torch.cat([p for name, p in net.named_parameters() if "gamma" in name])
    assert 0.1 <= scales.min() < 0.15 and 0.95 < scales.max() <= 1


def test_random_residual_branches_do_something():
    for block in blocks_of(tiny_resnet()):
        assert block.bn2.weight.abs().min() > 0.1


def test_a_seed_gives_the_same_weights_again():
    first, again = tiny_mcait().reference.state_dict(), tiny_mcait().reference.state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_the_attention_is_timms():
    torch.manual_seed(3)
    attention = timm.models.cait.TalkingHeadAttn(24, num_heads=4, qkv_bias=True).eval()
    x = torch.randn(2, 9, 24)
    with torch.no_grad():
        torch.testing.assert_close(networks.TalkingHeads(attention)(x), attention(x), rtol=1e-5, atol=1e-6)


def test_mcait_is_cut_where_the_paper_cuts_it():
    with torch.device("meta"):
        for (name, layer), (channels, side) in zip(networks.MCAIT, ((768, 28), (384, 14))):
            net = timm.create_model(name, num_classes=0)
            assert len(net.blocks) > layer + 1
            net.prune_intermediate_layers([layer], prune_norm=False, prune_head=True)
            assert len(net.blocks) == layer + 1
            assert (net.embed_dim, net.patch_embed.grid_size) == (channels, (side, side))
            assert isinstance(net.norm, torch.nn.LayerNorm)


def test_only_the_batch_is_dynamic_and_the_weights_are_inside(exported):
    network, path, description = exported
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(path)
    (image,) = model.graph.input
    for value in (image, *model.graph.output):
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param and all(dim.dim_value > 0 for dim in rest), value.name
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert image.name == "image" and [output.name for output in model.graph.output] == description["outputs"]
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": onnx_file.OPSET}


def test_the_resize_inside_mcait_is_bicubic_with_aligned_corners(tmp_path):
    model = onnx.load(written(tiny_mcait(), tmp_path)[0])
    (resize,) = [node for node in model.graph.node if node.op_type == "Resize"]
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in resize.attribute}
    assert attributes["mode"] == b"cubic" and attributes["coordinate_transformation_mode"] == b"align_corners"
    assert not attributes.get("antialias", 0) and attributes["cubic_coeff_a"] == -0.75


def test_the_description_goes_round(exported):
    network, path, _ = exported
    (entry,) = [entry for entry in onnx.load(path).metadata_props if entry.key == "uflow.backbone"]
    description = json.loads(entry.value)
    mcait = isinstance(network.reference, networks.TwoScales)
    assert description["name"] == (f"{TINY}+{TINY}" if mcait else "resnet18")
    assert description["strides"] == ([16, 32] if mcait else [4, 8, 16])
    assert description["outputs"] == [f"feature{i}" for i in range(len(description["strides"]))]
    assert description["mean"] == [0.485, 0.456, 0.406] and description["std"] == [0.229, 0.224, 0.225]
    assert description["input_size"] == 64 and description["resize"] == "bicubic"
    assert description["trained_on"] == "nothing: random weights, seed 7" and "random" in description["licence"]
    assert description["features"] == ("after the final LayerNorm" if mcait else "before the last ReLU")


def test_maps_before_the_relu_become_those_after_it():
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before, after = tiny_resnet().reference(image), tiny_resnet(False).reference(image)
    assert len(before) == 3
    for early, late in zip(before, after):
        assert early.min() < 0 <= late.min()
        assert torch.equal(early.relu(), late)


@pytest.mark.parametrize(
    "name, strides",
    [("efficientnet_b0", [4, 8, 16]), ("mvitv2_tiny", [4, 8, 16]), ("swin_tiny_patch4_window7_224", [4, 8, 16]), ("wide_resnet50_2", [4, 8, 16])],
)
def test_defaults_give_maps_that_the_flow_can_join(name, strides):
    network = networks.build(name, SEED)
    assert network.size == (224, 224) and networks.strides(network) == strides
    assert (network.features == "before the last ReLU") == (name == "wide_resnet50_2")


def test_float16_inside_float32_outside(tmp_path):
    network = tiny_mcait()
    path, description = written(network, tmp_path, half=True)
    model = onnx.load(path)
    types = {tensor.data_type for tensor in model.graph.initializer if np.prod(tensor.dims) > 1000}
    assert types == {onnx.TensorProto.FLOAT16}
    session = onnx_file.open_session(path)
    onnx_file.check_parity(session, network.reference, description, onnx_file.HALF_BOUND)
    with pytest.raises(onnx_file.ParityError):
        onnx_file.check_parity(session, network.reference, description, 1e-6)
    kinds = {info.name: info.type.tensor_type.elem_type for info in onnx.shape_inference.infer_shapes(model).graph.value_info}
    for node in model.graph.node:
        if node.op_type in ("LayerNormalization", "Softmax", "Resize"):
            assert kinds.get(node.output[0], onnx.TensorProto.FLOAT) == onnx.TensorProto.FLOAT, node.op_type


def test_more_than_two_gibibytes_are_refused():
    with pytest.raises(onnx_file.ExportError, match="2.50 GiB.*use --fp16"):
        onnx_file.check_size(5 * 2**29, half=False)
    onnx_file.check_size(5 * 2**29, half=True)
    with pytest.raises(onnx_file.ExportError, match="earlier layers"):
        onnx_file.check_size(5 * 2**30, half=True)


def run(*argv):
        """The command's error output and exit code."""
    with pytest.raises(SystemExit) as exit:
        export_backbone.main([str(word) for word in argv])
    code = exit.value.code
    return (code, 1) if isinstance(code, str) else ("", code)


def test_nothing_is_left_where_parity_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "BOUND", 1e-12)
    message, code = run("resnet18", "--random-init", 1, "--input-size", 64, "--out", tmp_path / "out.onnx")
    assert code == 1 and "differs from PyTorch's" in message and os.listdir(tmp_path) == []


def test_the_command_writes_and_does_not_overwrite(tmp_path, capsys):
    words = ["resnet18", "--random-init", "1", "--input-size", "64,96", "--layers", "2,3", "--out", str(tmp_path / "out.onnx")]
    export_backbone.main(words + ["--name", "mine"])
    text = capsys.readouterr().out
    assert "128×8×12, stride 8" in text and "256×4×6, stride 16" in text
    assert os.listdir(tmp_path) == ["out.onnx"]
    description = json.loads(onnx.load(tmp_path / "out.onnx").metadata_props[0].value)
    assert description["input_size"] == [64, 96] and description["name"] == "mine"
    assert "exists; --force replaces it" in run(*words)[0]
    export_backbone.main(words + ["--force"])


@pytest.mark.parametrize(
    "words, text",
    [
        (["resnet81"], "did you mean .*resnet18"),
        (["resnet18.no_such_tag"], "no pretrained weights by the name"),
        (["resnet18", "--layers", "1,9"], r"has no layer 9; it has 0 \(act1, stride 2\)"),
        (["resnet18", "--layers", "1,3"], r"exactly twice.*layer 1 \(layer1\): 56×56, layer 3 \(layer3\): 14×14"),
        (["resnet18", "--layers", "2,1"], "must increase, finest first"),
        (["resnet18", "--input-size", "225"], r"57×57.*29×29.*15×15.*a multiple of 16: --input-size 224"),
        (["resnet18", "--input-size", "226"], "--input-size 224"),
        (["efficientnet_b0", "--before-relu"], "no map of `efficientnet_b0` ends in a ReLU"),
        (["mcait", "--input-size", "440"], "not a multiple of 32"),
        (["mcait", "--networks", "resnet18,resnet18"], "made of CaiT networks"),
        (["mcait", "--networks", TINY], "two networks and two layers"),
        (["mcait", "--networks", f"{TINY},{TINY}", "--layers", "24,2", "--input-size", "64"], "has no block 24; it has 0 to 23"),
        (["mvitv2_tiny", "--input-size", "230"], "multiple of 16|does not run|no features"),
    ],
)
def test_wrong_choices_say_what_is_wrong(tmp_path, words, text):
    message, code = run(*words, "--random-init", 1, "--out", tmp_path / "out.onnx")
    assert code == 1 and message.startswith("error: ")
    import re

    assert re.search(text, message), message
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "words",
    [
        ["resnet18", "--pretrained", "--random-init", "1"],
        ["resnet18", "--input-size", "0"],
        ["resnet18", "--input-size", "1,2,3"],
        ["resnet18", "--layers", "a"],
        ["resnet18", "--networks", "a,b"],
        ["resnet18", "--name", " "],
        ["mcait", "--no-before-relu"],
    ],
)
def test_wrong_use_is_exit_code_2(tmp_path, words):
    assert run(*words, "--out", tmp_path / "out.onnx")[1] == 2


def test_places_that_cannot_be_written_to(tmp_path):
    assert "is a folder" in run("resnet18", "--random-init", 1, "--out", tmp_path)[0]
    assert "there is no folder" in run("resnet18", "--random-init", 1, "--out", tmp_path / "no" / "out.onnx")[0]


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    torch.manual_seed(11)
    net = timm.create_model("resnet18").eval()
    networks.draw(net, 11, (64, 64))
    path = str(tmp_path / f"mine.{suffix}")
    if suffix == "pth":
        torch.save({"state_dict": net.state_dict()}, path)
    else:
        from safetensors.torch import save_file

        save_file(net.state_dict(), path)
    network = networks.build("resnet18", networks.Weights([path]), (64, 64), before_relu=False)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        stem = net.maxpool(net.act1(net.bn1(net.conv1(image))))
        torch.testing.assert_close(network.reference(image)[0], net.layer1(stem))
    assert network.trained_on == f"unknown: weights from mine.{suffix}"


def test_weights_that_do_not_fit(tmp_path):
    state = timm.create_model("resnet18").state_dict()
    out = ["--out", tmp_path / "out.onnx"]
    torch.save({key: value for key, value in state.items() if "layer2.0" not in key}, tmp_path / "part.pth")
    assert "lacks 15 tensors of `resnet18`, the first is `layer2.0.conv1.weight`" in run("resnet18", "--weights", tmp_path / "part.pth", *out)[0]
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "other.pth")
    assert "cannot be loaded into `resnet18`" in run("resnet18", "--weights", tmp_path / "other.pth", *out)[0]
    (tmp_path / "text.pth").write_text("not weights")
    assert "cannot be loaded into" in run("resnet18", "--weights", tmp_path / "text.pth", *out)[0]
    torch.save(os.system, tmp_path / "code.pth")
    assert "cannot be loaded into" in run("resnet18", "--weights", tmp_path / "code.pth", *out)[0]
    assert "there is no such file" in run("resnet18", "--weights", tmp_path / "none.pth", *out)[0]
    assert "2 files are needed, 1 given" in run("mcait", "--weights", tmp_path / "part.pth", *out)[0]
    assert not (tmp_path / "out.onnx").exists()


def command(*words, before="pass", **variables):
    code = f"import sys; sys.path.insert(0, {str(TOOLS)!r}); {before}; import export_backbone; export_backbone.main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, env={**os.environ, **variables}
    )


def test_missing_packages_are_named(tmp_path):
    done = command("resnet18", "--out", tmp_path / "out.onnx", before="sys.modules['timm'] = sys.modules['torch'] = None")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "missing: torch" in done.stderr and "timm" in done.stderr and "pip install -r tools/export-requirements.txt" in done.stderr


def test_pretrained_without_a_network(tmp_path):
    done = command("resnet18", "--out", tmp_path / "out.onnx", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hub"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "cannot load the pretrained weights of `resnet18`" in done.stderr
    assert "--weights FILE" in done.stderr and "--random-init SEED" in done.stderr
    assert not (tmp_path / "out.onnx").exists()


def test_the_resize_filter_is_timm_s_and_an_unknown_one_is_refused():
    record = lambda interpolation: SimpleNamespace(interpolation=interpolation)
    assert [networks.resize_filter(record(name)) for name in ("bilinear", "bicubic")] == ["bilinear", "bicubic"]
    with pytest.raises(onnx_file.ExportError, match="by `lanczos`; uflow implements bilinear, bicubic"):
        networks.resize_filter(record("lanczos"))
