#!/usr/bin/env python3
"""Tests a server with Triton's own, unmodified Python client for HTTP, and compares its numbers with those over gRPC.

    tests/clients/oip_http.py GRPC_ADDRESS HTTP_ADDRESS MODEL

The server must allow shared memory (--allow-shared-memory) and model control (--model-control explicit). Run by
tools/check_clients.sh, which installs the client.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

from oip import HEIGHT, OUTPUTS, PARAMETERS, WIDTH, Shared, encoded_input, frame, numbers, png, raw_input, same, wanted

OVER_GRPC = {}


def image(pixels, binary=True):
    tensor = http.InferInput("image", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels, binary_data=binary)
    return [tensor]


def asked(names=OUTPUTS, binary=True):
    """The outputs. A mask as a file is no text, so it is binary here."""
    return [http.InferRequestedOutput(name, binary_data=binary or name == "mask_png") for name in names]


def describes_itself(client, model):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
    assert not client.is_model_ready("there-is-no-such-model")
    server = client.get_server_metadata()
    assert {"binary_tensor_data", "system_shared_memory", "statistics"} <= set(server["extensions"]), server
    metadata = client.get_model_metadata(model)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["image"], metadata
    assert [tensor["name"] for tensor in metadata["outputs"]] == OUTPUTS, metadata
    config = client.get_model_config(model)
    assert config["max_batch_size"] > 0 and config["input"][0]["data_type"] == "TYPE_UINT8", config
    index = client.get_model_repository_index()
    assert any(entry["name"] == model and entry["state"] == "READY" for entry in index), index


def inference(client, model):
    """JSON and binary data, with and without compression: the numbers of gRPC."""
    pixels = frame(1)
    for binary in [False, True]:
        found = client.infer(model, image(pixels[None], binary), outputs=asked(binary=binary), parameters=PARAMETERS)
        same(numbers(found), OVER_GRPC["raw"])
    for algorithm in ["deflate", "gzip"]:
        compression = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
        found = client.infer(model, image(pixels[None]), outputs=asked(), parameters=PARAMETERS, **compression)
        same(numbers(found), OVER_GRPC["raw"])
    files = http.InferInput("encoded_image", [1], "BYTES")
    files.set_data_from_numpy(np.array([png(pixels)], dtype=np.object_))
    same(numbers(client.infer(model, [files], outputs=asked(), parameters=PARAMETERS)), OVER_GRPC["file"])
    answer = client.infer(model, image(np.stack([frame(seed) for seed in range(4)])), request_id="four", priority=1)
    assert answer.get_response()["id"] == "four" and answer.as_numpy("score").shape == (4,)
    for inputs, expected in [(image(pixels[..., :2].copy()), "2 channels"), (image(pixels[0, 0]), "has the shape [3]")]:
        try:
            client.infer(model, inputs)
            sys.exit("a request that is wrong was answered")
        except InferenceServerException as error:
            assert error.status() == "400" and expected in error.message(), error


def asynchronous(client, model):
    for request in [client.async_infer(model, image(frame(seed))) for seed in range(8)]:
        assert request.get_result().as_numpy("score").shape == (1,)


def region_of_interest(client, model):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 1
    roi = http.InferInput("roi", list(mask.shape), "UINT8")
    roi.set_data_from_numpy(mask)
    found = client.infer(model, [*image(frame(1)), roi], outputs=asked(["mask", "latents_0"]), parameters=PARAMETERS)
    assert not found.as_numpy("mask")[..., WIDTH // 2 :].any() and found.as_numpy("latents_0").ndim == 4


def in_shared_memory(client, model):
    shared = Shared(client, "http_frames")
    status = client.get_system_shared_memory_status()
    assert [region["byte_size"] for region in status] == [shared.size], status
    tensor = http.InferInput("image", list(shared.pixels.shape), "UINT8")
    tensor.set_shared_memory(shared.name, shared.pixels.nbytes)
    outputs = asked(["score", "mask"])
    outputs[1].set_shared_memory(shared.name, HEIGHT * WIDTH, shared.pixels.nbytes)
    found = client.infer(model, [tensor], outputs=outputs, parameters=PARAMETERS)
    assert found.as_numpy("score") == OVER_GRPC["raw"]["score"]
    assert found.get_output("mask")["shape"] == [1, HEIGHT, WIDTH] and "data" not in found.get_output("mask")
    np.testing.assert_array_equal(shared.mask(), OVER_GRPC["raw"]["mask"])
    shared.close()
    assert client.get_system_shared_memory_status() == []


def statistics(client, model):
    def answered():
        return client.get_inference_statistics(model)["model_stats"][0]["inference_stats"]["success"]["count"]

    before = answered()
    client.infer(model, image(frame(1)))
    assert answered() == before + 1
    assert any(stats["name"] == model for stats in client.get_inference_statistics()["model_stats"])


def control(client, model):
    client.unload_model(model)
    assert not client.is_model_ready(model)
    client.load_model(model)
    assert client.is_model_ready(model)


def main(grpc_address, http_address, model):
    over_grpc = grpc.InferenceServerClient(grpc_address)
    for name, inputs in [("raw", raw_input(frame(1)[None])), ("file", encoded_input("encoded_image", [png(frame(1))]))]:
        OVER_GRPC[name] = numbers(over_grpc.infer(model, inputs, outputs=wanted(), parameters=PARAMETERS))
    assert json.loads(OVER_GRPC["raw"]["regions"][0]), "some regions are there to be compared"
    client = http.InferenceServerClient(http_address, concurrency=4)
    checks = [describes_itself, inference, asynchronous, region_of_interest, in_shared_memory, statistics, control]
    for check in checks:
        check(client, model)
        print(f"tritonclient.http: {check.__name__.replace('_', ' ')}: ok")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} GRPC_ADDRESS HTTP_ADDRESS MODEL")
    main(*sys.argv[1:])
