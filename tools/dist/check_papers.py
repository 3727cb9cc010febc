#!/usr/bin/env python3
"""Checks the licences and the list of parts in an unpacked archive of tools/dist/build.sh.

    tools/dist/check_papers.py FOLDER
"""

import hashlib
import json
import pathlib
import re
import sys

# Data for which the terms allow non-commercial use only (assets/NOTICE.md).
NON_COMMERCIAL = ["assets/photonet.onnx"]


def fail(message):
    sys.exit(f"{sys.argv[0]}: {message}")


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def check_parts(folder, bom):
    """All parts have licences that are allowed, and the files have the hashes that the list says."""
    allowed = set(re.findall(r'"([^"]+)"', re.search(r"accepted = \[(.*?)\]", pathlib.Path("tools/dist/about.toml").read_text(), re.DOTALL)[1]))
    files = {digest(file): file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()}
    for part in bom["components"]:
        expressions = [entry.get("expression") or entry["license"].get("id") or entry["license"].get("name") for entry in part.get("licenses", [])]
        if not expressions:
            fail(f"{part['name']} {part['version']} has no licence")
        for expression in expressions:
            # `OR` and the older `/` let us choose; each part of `AND` must be allowed.
            choices = [choice.strip(" ()") for choice in re.split(r" OR |/", expression)]
            if not any(all(term.strip(" ()") in allowed for term in choice.split(" AND ")) for choice in choices):
                fail(f"{part['name']} {part['version']} is under {expression}")
        if part["type"] == "machine-learning-model" or part["name"] == "onnxruntime":
            for entry in part["hashes"]:
                if entry["content"] not in files:
                    fail(f"no file has the hash of {part['name']}")
    return files


def main():
    folder = pathlib.Path(sys.argv[1])
    papers = folder / "share/doc/uflow"
    for name in ("LICENSE-MIT", "LICENSE-APACHE", "LICENSES-crates.md", "NOTICE-weights.md", "onnxruntime-LICENSE", "onnxruntime-ThirdPartyNotices.txt"):
        if not (papers / name).is_file() or (papers / name).stat().st_size == 0:
            fail(f"{papers / name} is missing")
    bom = json.loads((papers / "uflow.cdx.json").read_text(encoding="utf-8"))
    files = check_parts(folder, bom)
    crates = (papers / "LICENSES-crates.md").read_text(encoding="utf-8")
    missing = [part["name"] for part in bom["components"] if part.get("purl", "").startswith("pkg:cargo/") and f"- {part['name']} {part['version']}" not in crates]
    if missing:
        fail(f"LICENSES-crates.md lacks {', '.join(missing)}")
    for name in NON_COMMERCIAL:
        if digest(pathlib.Path(name)) in files:
            fail(f"{files[digest(pathlib.Path(name))]} is {name}: its terms do not allow commercial use")
    for model in folder.rglob("*.onnx"):
        if not any(entry["content"] == digest(model) for part in bom["components"] for entry in part.get("hashes", [])):
            fail(f"{model} is not in the list of parts")
    if str(pathlib.Path.cwd()) in json.dumps(bom):
        fail("the list of parts holds a path of this machine")
    print(f"   {folder.name}: {len(bom['components'])} parts, licences of all")


if __name__ == "__main__":
    main()
