"""Writes a PyTorch network as ONNX and compares it with PyTorch before the file gets its name.

Invariants: one file, weights inside; only the batch is dynamic; float32 in and out, also where it computes in float16;
the file is written beside its destination, run by ONNX Runtime, compared, and only then renamed.
"""

import gc
import json
import os
import time

import numpy as np
import torch

OPSET = 18
KEY = "uflow.backbone"
# Protocol buffers hold at most 2 GiB; a part of this is not weights.
LARGEST = 2**31 - 2**24
# Largest error of a map against PyTorch in float32, relative to its norm and to its largest value.
BOUND = 1e-4
# The same if the file computes in float16 (11 bits, some hundred layers), still relative to float32.
HALF_BOUND = 1e-2
# Sums and exponentials that would overflow or lose precision in float16. The rest of the default list has no float16 form.
KEPT_FLOAT = ["LayerNormalization", "Softmax", "ReduceSum", "ReduceMean", "InstanceNormalization", "GroupNormalization", "Resize"]


class ExportError(Exception):
    """What was wrong, where, and what to do."""


class ParityError(ExportError):
    """The ONNX file does not compute what PyTorch computes."""


def to_onnx(module, size, outputs, half=False):
    """The module as an ONNX model in memory: `image` (batch, 3, H, W) to the named outputs."""
    program = torch.onnx.export(
        module.eval(), (torch.rand(2, 3, *size),), dynamo=True, verbose=False, opset_version=OPSET, external_data=False,
        input_names=["image"], output_names=outputs, dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
    )
    check_size(sum(tensor.const_value.nbytes for tensor in program.model.graph.initializers.values()), half)
    model = program.model_proto
    del program
    gc.collect()
    if half:
        model = to_half(model)
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for described in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        described.doc_string = ""
        del described.metadata_props[:]
    del model.graph.metadata_props[:]
    return model


def check_size(weights, half):
        """Refuses weights (bytes in float32) that do not fit in one ONNX file."""
    stored = weights // 2 if half else weights
    if stored > LARGEST:
        advice = "choose earlier layers" if half else "use --fp16, which halves them, or choose earlier layers"
        raise ExportError(
            f"the weights take {stored / 2**30:.2f} GiB, and an ONNX file holds {LARGEST / 2**30:.2f} GiB at most; {advice}"
        )


def to_half(model):
    """Weights and arithmetic in float16, input and outputs in float32."""
    from onnxruntime.transformers import float16

    return float16.convert_float_to_float16(
        model, keep_io_types=True, disable_shape_infer=True, op_block_list=float16.DEFAULT_OP_BLOCK_LIST + KEPT_FLOAT
    )


def describe(model, description):
        """Adds the metadata that `uflow` reads."""
    import onnx

    model.producer_name, model.producer_version = "export_backbone.py", "1"
    onnx.helper.set_model_props(model, {KEY: json.dumps(description)})


def random_images(batch, size, description, seed):
    """Normalised images with structure at two scales."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 8, 8, generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    image = 0.7 * image + 0.3 * torch.rand(batch, 3, *size, generator=generator)
    mean, std = (torch.tensor(description[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (image - mean) / std


def open_session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def check_parity(session, reference, description, bound, batches=(1, 2)):
        """Compares the session with PyTorch. Returns the largest error of each output, and ONNX Runtime's seconds per image.

    The error is the larger of two: the norm of the difference over the norm, and the largest difference over the
    largest value. Several sizes of batch prove that no size is baked into the graph.
    """
    size = description["input_size"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    errors, seconds = dict.fromkeys(description["outputs"], 0.0), []
    for seed, batch in enumerate(batches):
        images = random_images(batch, size, description, seed)
        with torch.no_grad():
            expected = [map.numpy() for map in reference(images)]
        start = time.perf_counter()
        try:
            actual = session.run(description["outputs"], {"image": images.numpy()})
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise ParityError(f"ONNX Runtime cannot run the exported network on a batch of {batch}: {error}") from error
        seconds.append((time.perf_counter() - start) / batch)
        for name, ours, theirs in zip(description["outputs"], actual, expected):
            errors[name] = max(errors[name], distance(name, ours, theirs))
    for name, error in errors.items():
        if not error <= bound:
            raise ParityError(
                f"output `{name}` of the exported network differs from PyTorch's by {error:.1e} of its values, "
                f"{bound:.0e} is allowed; nothing was written"
            )
    return errors, min(seconds)


def distance(name, ours, theirs):
    if ours.shape != theirs.shape or ours.dtype != np.float32:
        raise ParityError(f"output `{name}` is {ours.dtype} {ours.shape}, PyTorch's is {theirs.dtype} {theirs.shape}")
    if not np.isfinite(theirs).all():
        raise ParityError(f"PyTorch's own output `{name}` is not finite")
    if not np.isfinite(ours).all():
        raise ParityError(f"output `{name}` of the exported network is not finite: values left the range of its type")
    difference = ours.astype(np.float64) - theirs
    norm = np.linalg.norm(difference) / max(np.linalg.norm(theirs.astype(np.float64)), 1e-30)
    return max(norm, np.abs(difference).max() / max(np.abs(theirs).max(), 1e-30))


def write(model, path, check):
        """Writes the model to a temporary file next to `path`, calls `check` with it, and renames it. Leaves nothing if that fails."""
    temporary = os.path.join(os.path.dirname(path) or ".", f".{os.path.basename(path)}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(model.SerializeToString())
            file.flush()
            os.fsync(file.fileno())
        model.Clear()  # frees memory for the check
        gc.collect()
        result = check(temporary)
        os.replace(temporary, path)
        return result
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
