#!/usr/bin/env python3
"""Checks Kubernetes manifests against schemas that come from package registries, without a cluster.

    tools/check_manifests.py --kserve WHEEL --others FILE MANIFEST…

- Kubernetes' own kinds: the strict schemas of the package kubernetes-validate, for the oldest and the newest version below.
- KServe's kinds: the generated classes in the wheel of KServe's Python SDK, read as text. Their names of fields, types, and required fields
  count; the fields that they take from Kubernetes are checked with Kubernetes' schemas.
- Other kinds are appended to FILE as lines of JSON, for a check elsewhere.

An unknown field is an error everywhere. tools/check_deploy.sh runs this in a virtual environment that has kubernetes-validate.
"""

import argparse
import ast
import json
import re
import sys
import zipfile

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

VERSIONS = ["1.28", "1.34"]
# Kinds of KServe, and the modules and classes of the SDK.
KSERVE = {"ClusterServingRuntime": "V1alpha1ClusterServingRuntime", "InferenceService": "V1beta1InferenceService"}
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object, "ResourceQuantity": (str, int, float)}


class Kubernetes:
    """Definitions of Kubernetes' types by their short names."""

    def __init__(self):
        folder = f"kubernetes-json-schema/v{VERSIONS[-1]}.0-local-strict"
        contents = schema_contents(f"{folder}/_definitions.json", VERSIONS[-1])
        self.names = {name.rsplit(".", 1)[1]: name for name in contents["$defs"] if re.search(r"\.(core|meta)\.v1\.\w+$", name)}
        self.types = contents["$id"]
        self.registry = Resource.from_contents(contents) @ Registry()

    def check(self, value, kind):
        """Yields what is wrong with a value of a type."""
        schema = {"$ref": f"{self.types}#/$defs/{self.names[kind]}"}
        for error in jsonschema.Draft202012Validator(schema, registry=self.registry).iter_errors(value):
            yield "/".join(map(str, error.absolute_path)), error.message


class KServe:
    """The classes of KServe's SDK, as tables of fields."""

    def __init__(self, wheel, kubernetes):
        self.kubernetes = kubernetes
        self.classes = {}
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if re.fullmatch(r"kserve/models/\w+\.py", name):
                    self.read(archive.read(name).decode())

    def read(self, text):
        """Reads the tables of the classes in a module, without running it."""
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                tables = {item.targets[0].id: ast.literal_eval(item.value) for item in node.body if isinstance(item, ast.Assign)}
                required = set(re.findall(r"Invalid value for `(\w+)`, must not be `None`", text))
                fields = {tables["attribute_map"][name]: (kind, name in required) for name, kind in tables["openapi_types"].items()}
                self.classes[node.name] = fields

    def check(self, value, kind, path=""):
        """Yields what is wrong with a value of a type of the SDK."""
        inner = re.fullmatch(r"(list\[|dict\(str, )(.+)[\])]", kind)
        if kind in PLAIN:
            if not isinstance(value, PLAIN[kind]) or (kind == "int" and isinstance(value, bool)):
                yield path, f"{value!r} is not of the type {kind}"
        elif inner:
            if not isinstance(value, list if kind.startswith("list") else dict):
                yield path, f"{value!r} is not of the type {kind}"
                return
            for key, item in enumerate(value) if isinstance(value, list) else value.items():
                yield from self.check(item, inner[2], f"{path}/{key}")
        elif kind in self.classes:
            yield from self.check_object(value, self.classes[kind], path)
        else:
            for below, message in self.kubernetes.check(value, re.sub(r"^V1", "", kind)):
                yield f"{path}/{below}", message

    def check_object(self, value, fields, path):
        if not isinstance(value, dict):
            yield path, f"{value!r} is not an object"
            return
        for key, item in value.items():
            if key in fields:
                yield from self.check(item, fields[key][0], f"{path}/{key}")
            else:
                yield f"{path}/{key}", f"unknown field; known are {', '.join(sorted(fields))}"
        for key, (_, required) in fields.items():
            # The SDK requires a name of every container; KServe's controller sets that of `model`.
            if required and key not in value and not (key == "name" and path.endswith("/model")):
                yield f"{path}/{key}", "missing"


def problems(document, kserve, others):
    """Yields what is wrong with one document."""
    group, kind = document["apiVersion"].rpartition("/")[0], document["kind"]
    if group == "serving.kserve.io":
        yield from kserve.check(document, KSERVE[kind])
    elif group.endswith((".com", ".sh")):
        others.append(document)
    else:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except jsonschema.ValidationError as error:
                yield "/".join(map(str, error.absolute_path)), f"{error.message} (Kubernetes {version})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kserve", required=True, help="wheel of KServe's Python SDK")
    parser.add_argument("--others", required=True, help="receives documents of other kinds")
    parser.add_argument("manifests", nargs="+")
    options = parser.parse_args()
    kserve = KServe(options.kserve, Kubernetes())
    checked, wrong, others = 0, 0, []
    for path in options.manifests:
        with open(path, encoding="utf-8") as file:
            documents = [document for document in yaml.safe_load_all(file) if document]
        for document in documents:
            checked += 1
            for place, message in problems(document, kserve, others):
                wrong += 1
                print(f"{path}: {document['kind']} {document['metadata']['name']}: {place}: {message}")
    with open(options.others, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(document) + "\n" for document in others)
    print(f"{checked - len(others)} manifests checked, {wrong} errors; {len(others)} of other kinds")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
