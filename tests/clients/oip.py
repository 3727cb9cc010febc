#!/usr/bin/env python3
"""Tests a server with Triton's own, unmodified Python client for gRPC: every call of the client that the server supports.

    tests/clients/oip.py ADDRESS MODEL

The server must allow shared memory (--allow-shared-memory) and model control (--model-control explicit). Run by
tools/check_clients.sh, which installs the client.
"""

import json
import queue
import struct
import sys
import zlib

import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException, shared_memory

HEIGHT, WIDTH = 43, 61
OUTPUTS = ["score", "score_max", "anomalous", "log10_nfa_min", "p_value", "regions", "mask", "mask_png", "score_map", "log10_nfa_map"]
PARAMETERS = {"epsilon": 1e300}


def frame(seed):
    """A picture with a bright square in it."""
    pixels = np.random.default_rng(seed).integers(90, 160, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[12:28, 20:40] = 255
    return pixels


def png(pixels):
    """The picture as a file."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def raw_input(pixels):
    tensor = grpc.InferInput("image", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels)
    return [tensor]


def encoded_input(name, files):
    array = np.array(files, dtype=np.object_)
    tensor = grpc.InferInput(name, list(array.shape), "BYTES")
    tensor.set_data_from_numpy(array)
    return [tensor]


def wanted(names=OUTPUTS):
    return [grpc.InferRequestedOutput(name) for name in names]


def numbers(result):
    """All outputs, by name."""
    return {name: result.as_numpy(name) for name in OUTPUTS}


def same(a, b):
    for name in OUTPUTS:
        if name == "regions":
            assert [json.loads(x) for x in a[name]] == [json.loads(x) for x in b[name]]
        else:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def describes_itself(client, model):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
    assert not client.is_model_ready("there-is-no-such-model")
    server = client.get_server_metadata()
    print(f"{server.name} {server.version}: {', '.join(server.extensions)}")
    metadata = client.get_model_metadata(model)
    assert [tensor.name for tensor in metadata.inputs] == ["image"], metadata
    assert [tensor.name for tensor in metadata.outputs] == OUTPUTS, metadata
    config = client.get_model_config(model).config
    assert config.max_batch_size > 0 and not config.model_transaction_policy.decoupled, config
    assert list(config.input[0].dims) == list(metadata.inputs[0].shape)[1:]
    index = client.get_model_repository_index()
    assert any(entry.name == model and entry.state == "READY" for entry in index.models), index


def unary(client, model):
    pixels = frame(1)
    one = numbers(client.infer(model, raw_input(pixels[None]), outputs=wanted(), parameters=PARAMETERS))
    assert one["score"].shape == (1,) and one["score"].dtype == np.float32
    assert one["anomalous"].dtype == np.bool_
    assert one["mask"].shape == (1, HEIGHT, WIDTH) and one["mask"].dtype == np.uint8
    assert one["score_map"].shape == one["log10_nfa_map"].shape and one["score_map"].max() == one["score_max"][0]
    assert one["log10_nfa_map"].min() == one["log10_nfa_min"][0] and one["score"][0] == -one["log10_nfa_min"][0]
    for region in json.loads(one["regions"][0]):
        assert {"box", "area", "centroid", "log10_nfa_min", "p_value", "score_max", "scale", "outline"} <= region.keys()
    same(one, numbers(client.infer(model, raw_input(pixels), outputs=wanted(), parameters=PARAMETERS)))
    for name, files in [("image", [png(pixels)]), ("encoded_image", [[png(pixels)]])]:
        result = client.infer(model, encoded_input(name, files), outputs=wanted(), parameters=PARAMETERS)
        same(one, numbers(result))
    batch = np.stack([frame(seed) for seed in range(4)])
    answers = client.infer(model, raw_input(batch), request_id="four", priority=1, timeout=60_000_000)
    assert answers.get_response().id == "four"
    assert answers.as_numpy("score").shape == (4,) and answers.as_numpy("mask") is None
    files = [png(pixels) for pixels in batch]
    same_batch = client.infer(model, encoded_input("encoded_image", files))
    np.testing.assert_allclose(answers.as_numpy("score_max"), same_batch.as_numpy("score_max"), atol=1e-5)
    for inputs, expected in [(raw_input(batch[..., :2].copy()), "2 channels"), (encoded_input("image", [b"x"]), "decoded")]:
        try:
            client.infer(model, inputs)
            sys.exit("a request that is wrong was answered")
        except InferenceServerException as error:
            assert error.status() == "StatusCode.INVALID_ARGUMENT" and expected in error.message(), error


def asynchronous(client, model):
    answers = queue.Queue()
    for seed in range(8):
        client.async_infer(model, raw_input(frame(seed)), lambda result, error: answers.put((result, error)))
    for _ in range(8):
        result, error = answers.get(timeout=60)
        assert error is None and result.as_numpy("score").shape == (1,), error


def stream(client, model):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for seed in range(20):
        pixels = frame(seed)
        inputs = raw_input(pixels) if seed % 2 == 0 else encoded_input("image", [png(pixels)])
        if seed == 7:
            inputs = encoded_input("image", [b"not a picture"])
        client.async_stream_infer(model, inputs, request_id=str(seed))
    for seed in range(20):
        result, error = answers.get(timeout=60)
        if seed == 7:
            assert "cannot be decoded" in error.message(), error
        else:
            assert error is None and result.get_response().id == str(seed), (seed, error)
    client.stop_stream()


def statistics(client, model):
    def answered():
        return client.get_inference_statistics(model).model_stats[0].inference_stats.success.count

    before = answered()
    client.infer(model, raw_input(frame(1)))
    assert answered() == before + 1
    assert any(stats.name == model for stats in client.get_inference_statistics().model_stats)


def compressed(client, model):
    expected = numbers(client.infer(model, raw_input(frame(1)[None]), outputs=wanted(), parameters=PARAMETERS))
    for algorithm in ["deflate", "gzip"]:
        request = {"outputs": wanted(), "parameters": PARAMETERS, "compression_algorithm": algorithm}
        same(numbers(client.infer(model, raw_input(frame(1)[None]), **request)), expected)


def region_of_interest(client, model):
    """Latents, and a region of interest as a tensor beside the image."""
    image, mask = raw_input(frame(1)), np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 1
    roi = grpc.InferInput("roi", list(mask.shape), "UINT8")
    roi.set_data_from_numpy(mask)
    outputs = wanted(["mask", "latents_0"])
    found = client.infer(model, [*image, roi], outputs=outputs, parameters={"epsilon": 1e300, "reject_rate": "50%"})
    assert not found.as_numpy("mask")[..., WIDTH // 2 :].any()
    assert found.as_numpy("latents_0").ndim == 4


class Shared:
    """A region with room for a frame and for a mask, as a camera's program has it."""

    def __init__(self, client, name):
        self.client, self.name, self.pixels = client, name, frame(1)
        self.size = self.pixels.nbytes + HEIGHT * WIDTH
        self.handle = shared_memory.create_shared_memory_region(name, f"/uflow_{name}", self.size)
        client.unregister_system_shared_memory()
        client.register_system_shared_memory(name, f"/uflow_{name}", self.size)
        shared_memory.set_shared_memory_region(self.handle, [self.pixels])

    def mask(self):
        return shared_memory.get_contents_as_numpy(self.handle, np.uint8, [1, HEIGHT, WIDTH], self.pixels.nbytes)

    def close(self):
        self.client.unregister_system_shared_memory(self.name)
        shared_memory.destroy_shared_memory_region(self.handle)


def in_shared_memory(client, model):
    expected = numbers(client.infer(model, raw_input(frame(1)[None]), outputs=wanted(), parameters=PARAMETERS))
    shared = Shared(client, "grpc_frames")
    status = client.get_system_shared_memory_status().regions
    assert [region.byte_size for region in status.values()] == [shared.size], status
    image = grpc.InferInput("image", list(shared.pixels.shape), "UINT8")
    image.set_shared_memory(shared.name, shared.pixels.nbytes)
    outputs = wanted(["score", "mask"])
    outputs[1].set_shared_memory(shared.name, HEIGHT * WIDTH, shared.pixels.nbytes)
    found = client.infer(model, [image], outputs=outputs, parameters=PARAMETERS)
    assert found.as_numpy("score") == expected["score"]
    np.testing.assert_array_equal(shared.mask(), expected["mask"])
    shared.close()
    assert not client.get_system_shared_memory_status().regions
    try:
        client.infer(model, [image])
        sys.exit("a region that is not registered was read")
    except InferenceServerException as error:
        assert "register it first" in error.message(), error


def control(client, model):
    """Unloads the model and loads it again."""
    client.unload_model(model)
    assert not client.is_model_ready(model)
    client.load_model(model)
    assert client.is_model_ready(model)


def main():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} ADDRESS MODEL")
    address, model = sys.argv[1:]
    client = grpc.InferenceServerClient(address)
    checks = [describes_itself, unary, asynchronous, stream, compressed, region_of_interest, in_shared_memory, statistics, control]
    for check in checks:
        check(client, model)
        print(f"tritonclient.grpc: {check.__name__.replace('_', ' ')}: ok")


if __name__ == "__main__":
    main()
