#!/usr/bin/env python3
"""Sends a picture with the inference client of KServe's Python SDK over REST and over gRPC, as JSON and as binary data.

    tests/clients/kserve_sdk.py GRPC_ADDRESS HTTP_ADDRESS MODEL

Not part of CI: the SDK installs some 450 MB of packages. `KSERVE=1 make clients` installs and runs it.
"""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

NAMES = ["score", "anomalous", "log10_nfa_min"]


def request(model, pixels, binary):
    tensor = InferInput("image", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[tensor], parameters={"epsilon": "1e300"})


def numbers(answer):
    return {output.name: output.as_numpy() for output in answer.outputs if output.name in NAMES}


async def main(grpc_address, http_address, model):
    pixels = np.random.default_rng(1).integers(90, 160, (1, 43, 61, 3), dtype=np.uint8)
    pixels[:, 12:28, 20:40] = 255
    rest, base = InferenceRESTClient(RESTConfig(protocol="v2")), f"http://{http_address}"
    assert await rest.is_server_live(base) and await rest.is_server_ready(base) and await rest.is_model_ready(base, model)
    grpc = InferenceGRPCClient(grpc_address)
    assert await grpc.is_server_ready() and await grpc.is_model_ready(model)
    expected = numbers(await grpc.infer(request(model, pixels, True)))
    assert sorted(expected) == sorted(NAMES)
    for binary in [False, True]:
        found = numbers(await rest.infer(base, request(model, pixels, binary), model_name=model))
        for name in NAMES:
            assert found[name].reshape(-1).astype(expected[name].dtype) == expected[name].reshape(-1), (name, found, expected)
    print(f"kserve: REST and gRPC agree: {expected}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
