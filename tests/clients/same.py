#!/usr/bin/env python3
"""Sends one picture with Triton's Python client and compares the numbers with `uflow detect --json`, bit for bit.

    tests/clients/same.py ADDRESS MODEL PICTURE COMMAND.json

Run by tools/check_server.sh.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as grpc


def main(address, model, picture, command):
    with open(picture, "rb") as file:
        data = np.array([file.read()], dtype=np.object_)
    with open(command, encoding="utf-8") as file:
        expected = json.load(file)
    image = grpc.InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(data)
    found = grpc.InferenceServerClient(address).infer(model, [image])
    for name in ["score", "log10_nfa_min"]:
        value = found.as_numpy(name)[0]
        assert value == np.float32(expected[name]), f"{name}: {value} by OIP, {expected[name]} by the command"
    assert bool(found.as_numpy("anomalous")[0]) == expected["anomalous"]
    assert json.loads(found.as_numpy("regions")[0]) == expected["regions"]
    print(f"OIP: score {found.as_numpy('score')[0]}, {len(expected['regions'])} regions, as the command says")


if __name__ == "__main__":
    main(*sys.argv[1:])
