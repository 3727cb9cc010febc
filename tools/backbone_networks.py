"""timm's networks as backbones: their feature maps, and the facts about their weights.

Every network comes twice: `reference`, computed by timm's own code, and `exported`, which may compute the same in a
form that ONNX Runtime runs faster. They share their weights. The export is held to the reference.
"""

import contextlib
import copy
import dataclasses
import difflib
import math
import os

import timm
import torch
import torch.nn as nn
import torch.nn.functional as F
from timm.models.cait import TalkingHeadAttn

from backbone_onnx import ExportError

# The paper's MS-CaiT: network and last block of the fine and of the coarse scale.
MCAIT = (("cait_m48_448", 40), ("cait_s24_224", 20))
STRIDES = (4, 8, 16)
DATA = {
    "in1k": "ImageNet-1k", "in12k": "ImageNet-12k", "in21k": "ImageNet-21k", "inw21k": "ImageNet-21k (winter)",
    "in22k": "ImageNet-22k", "laion2b": "LAION-2B", "openai": "OpenAI's image and text pairs", "jft": "JFT-300M",
    "lvd142m": "LVD-142M", "cc12m": "CC12M", "ig1b": "Instagram-1B", "yfcc": "YFCC-100M",
}


@dataclasses.dataclass
class Network:
    """A backbone before it is exported. Outputs are finest first."""

    name: str
    reference: nn.Module
    exported: nn.Module
    size: tuple
    labels: list
    mean: list
    std: list
    resize: str
    trained_on: str
    licence: str
    features: str


@dataclasses.dataclass
class Weights:
        """The source of the weights: files, else a seed, else timm's hub."""

    files: list = dataclasses.field(default_factory=list)
    seed: int = None


def configuration(name):
        """timm's record of the pretrained weights of `name`. The name may have a tag (`resnet18.a1_in1k`)."""
    if not timm.is_model(name):
        known = timm.list_models() + ["mcait"]
        close = difflib.get_close_matches(name.split(".")[0], known, 5, 0.5)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ExportError(f"timm {timm.__version__} has no model `{name}`{hint} (all: timm.list_models())")
    try:
        record = timm.get_pretrained_cfg(name)
    except RuntimeError:
        record = None
    if record is None:
        tags = ", ".join(timm.list_pretrained(name.split(".")[0] + ".*")) or "none"
        raise ExportError(f"timm {timm.__version__} has no pretrained weights by the name of `{name}`; it has {tags}")
    return record


def create(name, weights, file=None, **options):
        """timm.create_model in evaluation mode with the requested weights. Checks that all weights were loaded."""
    if weights.seed is not None:
        torch.manual_seed(weights.seed)
        return timm.create_model(name, pretrained=False, **options).eval()
    if file is not None and not os.path.isfile(file):
        raise ExportError(f"--weights {file}: there is no such file")
    overlay = {"pretrained_cfg_overlay": {"file": file}} if file else {}
    try:
        with recorded_loads() as missing:
            net = timm.create_model(name, pretrained=True, **overlay, **options)
    except Exception as error:  # from the hub, the network, pickle, safetensors or load_state_dict
        reason = " ".join(str(error).split()) or type(error).__name__
        if file:
            raise ExportError(f"--weights {file} cannot be loaded into `{name}`: {reason}") from error
        raise ExportError(
            f"cannot load the pretrained weights of `{name}`: {reason}. Give a state dict or safetensors file with "
            "--weights FILE, or use --random-init SEED for an untrained network of the same shape"
        ) from error
    heads = configuration(name).classifier or ()
    heads = (heads,) if isinstance(heads, str) else heads
    lost = [key for key in missing if not key.startswith(tuple(heads) or ("head.", "fc.", "classifier."))]
    if lost:
        raise ExportError(f"{file or 'the hub'} lacks {len(lost)} tensors of `{name}`, the first is `{lost[0]}`")
    return net.eval()


@contextlib.contextmanager
def recorded_loads():
        """Collects the keys that load_state_dict did not find. timm only logs them."""
    missing, original = [], nn.Module.load_state_dict

    def load(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        missing.extend(result.missing_keys)
        return result

    nn.Module.load_state_dict = load
    try:
        yield missing
    finally:
        nn.Module.load_state_dict = original


def draw(net, seed, size):
        """Random weights with which every block has an effect.

    Training starts from blocks that are nearly the identity (layer-scales of 1e-6, last normalisations of zero, biases
    of zero) and from attention that is nearly even, on which a comparison with PyTorch would prove nothing.
    Layer-scales are drawn from [0.1, 1], linear layers so that they keep the variance; batch normalisation gets the
    statistics of random images, so that deep networks neither explode nor die out.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    for module in net.modules():
        for name, parameter in module.named_parameters(recurse=False):
            values = parameter.data
            if name.startswith("gamma"):
                values.uniform_(0.1, 1, generator=generator)
            elif isinstance(module, norms) and name == "weight":
                values.uniform_(0.5, 1.5, generator=generator)
            elif isinstance(module, norms):
                values.normal_(0, 0.1, generator=generator)
            elif isinstance(module, nn.Linear) and name == "weight":
                values.normal_(0, values.shape[1] ** -0.5, generator=generator)
            elif values.numel() > 0 and values.min() == values.max():
                values.normal_(0, 0.02, generator=generator)
    batch = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if batch:
        momenta = [module.momentum for module in batch]
        for module in batch:
            module.momentum = 1.0
            module.train()
        with torch.no_grad():
            net(torch.randn(2, 3, *size, generator=generator))
        for module, momentum in zip(batch, momenta):
            module.momentum = momentum
            module.eval()


def facts(record, name, weights, file=None):
        """The data that the weights were trained on, and their licence."""
    if weights.seed is not None:
        return f"nothing: random weights, seed {weights.seed}", "none: random weights"
    if file:
        return f"unknown: weights from {os.path.basename(file)}", "unknown: that of the weights' source"
    name = name.split(".")[0]
    data = [DATA[part] for part in (record.tag or "").replace("ft_", "").split("_") if part in DATA]
    source = f"timm's weights {name}.{record.tag}" if record.tag else f"timm's weights of {name}"
    return f"{' then '.join(data) or 'see the source'} ({source})", record.license or "not stated by timm"


# The filters that `uflow` implements, as timm and its own metadata spell them.
RESIZE_FILTERS = ("bilinear", "bicubic")


def resize_filter(record):
    """The filter that timm evaluates these weights with; one that `uflow` does not implement is refused, not replaced."""
    if record.interpolation not in RESIZE_FILTERS:
        known = ", ".join(RESIZE_FILTERS)
        raise ExportError(f"timm resizes for these weights by `{record.interpolation}`; uflow implements {known}")
    return record.interpolation


class Maps(nn.Module):
        """timm's feature maps. Where requested, a map is taken before the ReLU that ends its stage."""

    def __init__(self, net, ends):
        super().__init__()
        self.net, self.ends = net, ends

    def forward(self, image):
        before = {}
        keep = lambda index: lambda module, inputs: before.update({index: inputs[0]})
        hooks = [end.register_forward_pre_hook(keep(i)) for i, end in enumerate(self.ends) if end is not None]
        maps = self.net(image)
        for hook in hooks:
            hook.remove()
        last = str(getattr(self.net, "output_fmt", "")).endswith("NHWC")
        maps = [before.get(i, map) for i, map in enumerate(maps)]
        return tuple(map.permute(0, 3, 1, 2) if last else map for map in maps)


def last_relus(net, size):
        """For each map, the ReLU whose output it is, or None."""
    for module in net.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    given, hooks = {}, []
    for module in net.modules():
        if isinstance(module, (nn.ReLU, nn.ReLU6)):
            hooks.append(module.register_forward_hook(lambda module, inputs, output: given.update({module: output})))
    with torch.no_grad():
        maps = net(torch.zeros(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return [next((module for module, output in given.items() if output is map), None) for map in maps]


def choose_layers(info, layers, name):
        """Indices of the maps: the requested ones, else the last one for each of the strides 4, 8 and 16."""
    if layers is None:
        last = {entry["reduction"]: index for index, entry in enumerate(info)}
        return [last[stride] for stride in STRIDES if stride in last] or [len(info) - 1]
    wrong = [layer for layer in layers if not 0 <= layer < len(info)]
    if wrong:
        listed = ", ".join(f"{i} ({entry['module']}, stride {entry['reduction']})" for i, entry in enumerate(info))
        raise ExportError(f"`{name}` has no layer {wrong[0]}; it has {listed}")
    if any(finer >= coarser for finer, coarser in zip(layers, layers[1:])):
        raise ExportError(f"--layers {','.join(map(str, layers))}: indices must increase, finest first")
    return layers


def build(name, weights, size=None, layers=None, before_relu=None):
        """Any timm model that supports `features_only`."""
    record = configuration(name)
    size = size or tuple(record.input_size[1:])
    fixed = {"img_size": size} if record.fixed_input_size else {}
    try:
        with torch.device("meta"):
            info = timm.create_model(name, features_only=True, **fixed).feature_info.info
    except Exception as error:  # from the network's own code, for a size that it does not support
        at = f" at {size[0]}×{size[1]}"
        raise ExportError(f"timm's `{name}` gives no features{at}: {' '.join(str(error).split())}") from error
    layers = choose_layers(info, layers, name)
    file = one_file(weights, 1)[0]
    net = create(name, weights, file, features_only=True, out_indices=tuple(layers), **fixed)
    try:
        if weights.seed is not None:
            draw(net, weights.seed, size)
        ends = last_relus(net, size)
    except Exception as error:
        raise ExportError(f"`{name}` does not run on images of {size[0]}×{size[1]}: {' '.join(str(error).split())}") from error
    if before_relu and not any(ends):
        raise ExportError(f"--before-relu: no map of `{name}` ends in a ReLU; leave the option out")
    if before_relu is False or not any(ends):
        ends = [None] * len(ends)
    maps = Maps(net, ends)
    labels = [f"layer {layer} ({info[layer]['module']})" for layer in layers]
    trained_on, licence = facts(record, name, weights, file)
    return Network(
        name, maps, faster(maps), size, labels, list(record.mean), list(record.std), resize_filter(record), trained_on, licence,
        "before the last ReLU" if any(ends) else "as timm gives them",
    )


def one_file(weights, count):
    if not weights.files:
        return [None] * count
    if len(weights.files) != count:
        raise ExportError(f"--weights: {count} file{'s are' if count > 1 else ' is'} needed, {len(weights.files)} given")
    return weights.files


class TalkingHeads(nn.Module):
    """timm's TalkingHeadAttn without its four transposes of (heads, tokens, tokens): figures in benches/backbones.md.

    The mix over heads is one product with a (heads, heads) matrix. The scale of the queries moves into the first
    mix; that mix's bias is the same for all keys, so softmax takes it out; the second mix's bias b adds
    b · Σ v to the product with the values.
    """

    def __init__(self, attention):
        super().__init__()
        self.heads, self.qkv, self.proj = attention.num_heads, attention.qkv, attention.proj
        self.before = nn.Parameter(attention.proj_l.weight.detach() * attention.scale)
        self.after = attention.proj_w.weight
        self.bias = nn.Parameter(attention.proj_w.bias.detach().clone().view(-1, 1, 1))

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mix = lambda weight, a: (weight @ a.flatten(2)).unflatten(2, (tokens, tokens))
        weights = mix(self.after, mix(self.before, q @ k.transpose(-2, -1)).softmax(-1))
        x = weights @ v + self.bias * v.sum(-2, keepdim=True)
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, width))


class Gelu(nn.Module):
        """nn.GELU, with its products in the order in which ONNX Runtime fuses them with the bias into one operator."""

    def forward(self, x):
        return x * (1 + torch.erf(x / 2**0.5)) * 0.5


def faster(module):
        """The same network with the same weights in memory, with attention and GELU in a form that suits ONNX Runtime."""
    twin = copy.deepcopy(module, {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())})
    for parent in list(twin.modules()):
        for name, child in parent.named_children():
            if isinstance(child, TalkingHeadAttn):
                setattr(parent, name, TalkingHeads(child))
            elif isinstance(child, (nn.GELU, timm.layers.GELU)) and getattr(child, "approximate", "none") == "none":
                setattr(parent, name, Gelu())
    return twin


class CaitTokens(nn.Module):
        """One CaiT up to its last kept block and through its final LayerNorm, as a map; uses timm's own forward."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, image):
        return self.net.forward_intermediates(image, indices=1, norm=True, intermediates_only=True)[0]


class TwoScales(nn.Module):
    """The image, and the image at half its size (bicubic, corners aligned), each through its own network."""

    def __init__(self, fine, coarse, size):
        super().__init__()
        self.fine, self.coarse, self.size = fine, coarse, size

    def forward(self, image):
        half = F.interpolate(image, size=self.size, mode="bicubic", align_corners=True)
        return self.fine(image), self.coarse(half)


def build_mcait(weights, size=None, networks=None, layers=None):
    """Two CaiT networks as the two scales of one backbone."""
    networks = networks or [name for name, _ in MCAIT]
    layers = layers or [layer for _, layer in MCAIT]
    if len(networks) != 2 or len(layers) != 2:
        raise ExportError("mcait takes two networks and two layers, the fine scale's first")
    records = [configuration(name) for name in networks]
    size = size or tuple(records[0].input_size[1:])
    if any(side % 32 for side in size):
        raise ExportError(f"the input size {size[0]}×{size[1]} is not a multiple of 32, the coarse scale's stride")
    if (records[0].mean, records[0].std) != (records[1].mean, records[1].std):
        raise ExportError(f"{networks[0]} and {networks[1]} take differently normalised images")
    half = tuple(side // 2 for side in size)
    parts, trained_on, licences = [], [], []
    for name, layer, record, side, file in zip(networks, layers, records, (size, half), one_file(weights, 2)):
        if not name.startswith("cait_"):
            raise ExportError(f"mcait is made of CaiT networks (timm.list_models('cait_*')), not `{name}`")
        net = create(name, weights, file, num_classes=0, img_size=side)
        if not 0 <= layer < len(net.blocks):
            raise ExportError(f"`{name}` has no block {layer}; it has 0 to {len(net.blocks) - 1}")
        net.prune_intermediate_layers([layer], prune_norm=False, prune_head=True)
        if weights.seed is not None:
            draw(net, weights.seed, side)
        parts.append(CaitTokens(net))
        facts_of_one = facts(record, name, weights, file)
        trained_on.append(facts_of_one[0])
        licences.append(facts_of_one[1])
    once = lambda texts: "; ".join(dict.fromkeys(texts))
    labels = [f"{name} after block {layer}" for name, layer in zip(networks, layers)]
    pair = TwoScales(*parts, half)
    usual = list(zip(networks, layers)) == list(MCAIT)
    return Network(
        "mcait" if usual else "+".join(networks), pair, faster(pair), size, labels,
        list(records[0].mean), list(records[0].std), resize_filter(records[0]), once(trained_on), once(licences),
        "after the final LayerNorm",
    )


def strides(network):
        """Input pixels per feature of every map. Refuses maps that the flow cannot connect."""
    with torch.no_grad():
        maps = network.reference(torch.zeros(1, 3, *network.size))
    odd = [map for map in maps if map.ndim != 4]
    if odd:
        raise ExportError(f"`{network.name}` gives features of the shape {tuple(odd[0].shape)}, not maps (batch, C, H, W)")
    sides = [tuple(map.shape[2:]) for map in maps]
    listed = ", ".join(f"{label}: {h}×{w}" for label, (h, w) in zip(network.labels, sides))
    if any(fine != (2 * h, 2 * w) for fine, (h, w) in zip(sides, sides[1:])):
        raise ExportError(
            "each map must be exactly twice as high and wide as the next coarser one, finest first, for the flow to join "
            f"them; at {network.size[0]}×{network.size[1]} they are {listed}. {advice(network, sides)}"
        )
    if any(size % side for map in sides for size, side in zip(network.size, map)):
        raise ExportError(
            f"the input size {network.size[0]}×{network.size[1]} is not a multiple of the maps' sizes ({listed}). "
            f"{advice(network, sides)}"
        )
    uneven = [map for map in sides if network.size[0] // map[0] != network.size[1] // map[1]]
    if uneven:
        raise ExportError(f"the maps are not scaled alike in height and width: {listed}")
    return [network.size[0] // height for height, _ in sides]


def advice(network, sides):
        """A size near the requested one that is a multiple of the coarsest stride, and the other option."""
    stride = 2 ** round(math.log2(network.size[0] / sides[-1][0]))
    near = [max(stride, round(side / stride) * stride) for side in network.size]
    size = f"--input-size {near[0]}" if near[0] == near[1] else f"--input-size {near[0]},{near[1]}"
    return "Choose other --layers" + ("" if near == list(network.size) else f", or a multiple of {stride}: {size}")
