#!/usr/bin/env python3
"""Writes the reference of `uflow.v1`, docs/src/uflow-v1.md, from the comments of the protocol files. Nobody edits that page by hand.

    tools/proto_reference.py            writes the page
    tools/proto_reference.py --check    fails if the page is not that of the protocol files

Needs Python 3 alone. It reads the small part of the .proto language that these files use, and stops at a line that it does not know.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = ["detection", "image", "model"]
PAGE = ROOT / "docs/src/uflow-v1.md"
HEAD = """# uflow.v1

<!-- Made by tools/proto_reference.py from the comments in proto/uflow/v1. Do not edit: change the comments, then run the script. -->

The server's own protocol. It has two gRPC services: one for frames and one for models. The files are in
[proto/uflow/v1](https://github.com/uflow-rs/uflow/tree/main/proto/uflow/v1). The clients for the languages in this book have them compiled in. For other languages, compile
the files with `protoc`, or let a tool ask the server by reflection: `grpcurl -plaintext 127.0.0.1:8001 describe uflow.v1.DetectRequest`.

A field of a scalar type that is not set has the value 0, false or "". A field that is marked *optional* tells 0 from "not set".
"""
OPENING = re.compile(r"(service|message|enum|oneof) (\w+) \{(\})?$")
METHOD = re.compile(r"rpc (\w+)\((stream )?([\w.]+)\) returns \((stream )?([\w.]+)\);$")
FIELD = re.compile(r"(optional |repeated )?([\w.]+) (\w+) = (\d+);$")
VALUE = re.compile(r"(\w+) = (\d+);$")
IGNORED = re.compile(r"(syntax|package|import|option) ?")


class Block:
    """A service, message or enum: its comment and its rows."""

    def __init__(self, kind, name, comment):
        self.kind, self.name, self.comment = kind, name, comment
        self.rows = []


def paragraphs(lines):
    """The paragraphs of a comment, each one line of text."""
    text = "\n".join(lines).split("\n\n")
    return [" ".join(part.split()) for part in text if part.strip()]


def parse(path):
    """The blocks of a file, in order."""
    blocks, stack, comment, oneof = [], [], [], None
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = raw.strip()
        if line.startswith("//"):
            comment.append(line[2:].strip())
            continue
        if not line or IGNORED.match(line) and not stack:
            comment = []
            continue
        said, comment = paragraphs(comment), []
        opening, method, field, value = (pattern.match(line) for pattern in (OPENING, METHOD, FIELD, VALUE))
        if opening and opening[1] == "oneof":
            oneof = opening[2]
            stack.append("oneof")
        elif opening:
            blocks.append(Block(opening[1], opening[2], said))
            if not opening[3]:
                stack.append(opening[1])
        elif line == "}":
            oneof = None if stack.pop() == "oneof" else oneof
        elif method:
            blocks[-1].rows.append((method, said))
        elif field and blocks[-1].kind == "message":
            blocks[-1].rows.append((field, said, oneof))
        elif value and blocks[-1].kind == "enum":
            blocks[-1].rows.append((value, said))
        else:
            sys.exit(f"{path}:{number}: this script does not know the line `{line}`; teach it to tools/proto_reference.py")
    return blocks


def cell(said):
    return " ".join(said).replace("|", "\\|")


def linked(kind, known):
    return f"[{kind}](#{kind.lower()})" if kind in known else f"`{kind.removeprefix('google.protobuf.')}`"


def service(block, known):
    for method, said in block.rows:
        name, streams_in, request, streams_out, response = method.groups()
        stream = "stream of "
        yield f"### {name}\n"
        takes, gives = (stream if streams_in else "") + linked(request, known), (stream if streams_out else "") + linked(response, known)
        yield f"{takes} → {gives}\n"
        yield from (f"{paragraph}\n" for paragraph in said)


def message(block, known):
    if not block.rows:
        yield "No fields.\n"
        return
    yield "| field | number | type | meaning |\n|---|---:|---|---|"
    for field, said, oneof in block.rows:
        label, kind, name, number = field.groups()
        kind = linked(kind, known)
        if label:
            kind = f"{label.strip()} {kind}"
        if oneof:
            kind += f", one of *{oneof}*"
        yield f"| `{name}` | {number} | {kind} | {cell(said)} |"
    yield ""


def enum(block, _):
    yield "| value | number | meaning |\n|---|---:|---|"
    for value, said in block.rows:
        yield f"| `{value[1]}` | {value[2]} | {cell(said)} |"
    yield ""


def page():
    blocks = [block for name in FILES for block in parse(ROOT / f"proto/uflow/v1/{name}.proto")]
    known = {block.name for block in blocks}
    parts = [HEAD]
    for heading, kind, rows in (("Services", "service", service), ("Messages", "message", message), ("Enums", "enum", enum)):
        if kind != "service":
            parts.append(f"## {heading}\n")
        for block in (block for block in blocks if block.kind == kind):
            parts.append(f"{'##' if kind == 'service' else '###'} {block.name}\n")
            parts.extend(f"{paragraph}\n" for paragraph in block.comment)
            parts.extend(rows(block, known))
    return "\n".join(parts).rstrip() + "\n"


def main():
    made = page()
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made:
            sys.exit(f"{PAGE.relative_to(ROOT)} is not that of proto/uflow/v1: run tools/proto_reference.py and commit the page")
        return
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
