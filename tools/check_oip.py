#!/usr/bin/env python3
"""Compares proto/inference with the protocol in Triton's own client, to keep both compatible on the wire.

Run by hand after a change of these files, in any environment with the two packages:

    pip install 'tritonclient[grpc]==2.46.0' grpcio-tools
    tools/check_oip.py

Everything declared here must be there under the same name with the same number, type, label and oneof; the other way
round, what is left out of a message must be reserved in it (else the number could be given to something new), and the
calls left out of the service are listed.
"""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from tritonclient.grpc import model_config_pb2, service_pb2

PROTO = Path(__file__).resolve().parent.parent / "proto"
PACKAGE = "inference"
TYPES = {number: name for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()}
LABELS = {number: name for name, number in descriptor_pb2.FieldDescriptorProto.Label.items()}


def ours():
    """The files of proto/inference, compiled."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/set"
        names = sorted(str(path.relative_to(PROTO)) for path in (PROTO / PACKAGE).glob("*.proto"))
        if protoc.main(["protoc", f"-I{PROTO}", f"--descriptor_set_out={out}", *names]) != 0:
            sys.exit("proto/inference does not compile")
        return descriptor_pb2.FileDescriptorSet.FromString(Path(out).read_bytes()).file


def theirs():
    """The files inside tritonclient."""
    for module in (model_config_pb2, service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        yield file


def fields(message):
    """The properties that decide how each field of a message is written, by the field's name."""
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
        packed = field.options.packed if field.options.HasField("packed") else None
        yield field.name, {
            "number": field.number,
            "type": TYPES[field.type],
            "type_name": field.type_name,
            "label": LABELS[field.label],
            "oneof": oneof,
            "proto3_optional": field.proto3_optional,
            "packed": packed,
        }


def collect(files):
    """Messages, enums and methods of a set of files, by full name."""
    messages, enums, methods = {}, {}, {}

    def message(scope, item):
        name = f"{scope}.{item.name}"
        messages[name] = item
        for enum in item.enum_type:
            enums[f"{name}.{enum.name}"] = {value.name: value.number for value in enum.value}
        for nested in item.nested_type:
            message(name, nested)

    for file in files:
        assert (file.package, file.syntax) == (PACKAGE, "proto3"), file.name
        for enum in file.enum_type:
            enums[f"{PACKAGE}.{enum.name}"] = {value.name: value.number for value in enum.value}
        for item in file.message_type:
            message(PACKAGE, item)
        for service in file.service:
            for method in service.method:
                methods[f"{PACKAGE}.{service.name}/{method.name}"] = (
                    method.input_type,
                    method.output_type,
                    method.client_streaming,
                    method.server_streaming,
                )
    return messages, enums, methods


def main():
    messages, enums, methods = collect(ours())
    their_messages, their_enums, their_methods = collect(theirs())
    faults, count = [], 0

    for name, message in messages.items():
        if name not in their_messages:
            faults.append(f"{name}: no such message")
            continue
        reference = dict(fields(their_messages[name]))
        if message.options.map_entry != their_messages[name].options.map_entry:
            faults.append(f"{name}: a map on one side only")
        own = dict(fields(message))
        count += len(own)
        for field, declared in own.items():
            if field not in reference:
                faults.append(f"{name}.{field}: no such field")
            elif declared != reference[field]:
                faults.append(f"{name}.{field}: {declared} here, {reference[field]} there")
        reserved = {number for span in message.reserved_range for number in range(span.start, span.end)}
        used = {field["number"] for key, field in reference.items() if key not in own}
        for number in sorted(used - reserved):
            faults.append(f"{name}: {number} is left out and not reserved")

    for name, values in enums.items():
        if values != their_enums.get(name):
            faults.append(f"{name}: {values} here, {their_enums.get(name)} there")
    for name, method in methods.items():
        if method != their_methods.get(name):
            faults.append(f"{name}: {method} here, {their_methods.get(name)} there")

    for fault in faults:
        print(fault, file=sys.stderr)
    left_out = sorted(name.rsplit("/", 1)[1] for name in their_methods.keys() - methods.keys())
    print(
        f"tritonclient {version('tritonclient')}: {len(methods)} methods, {len(messages)} messages, {count} fields and "
        f"{len(enums)} enums compared, {len(faults)} faults; left out: {', '.join(left_out)}"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
