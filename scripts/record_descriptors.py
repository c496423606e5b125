"""Records what other servers' clients have on the wire, for tests/rpc/test_foreign_descriptors.py to hold ours against.

    python scripts/record_descriptors.py inference            needs tritonclient[grpc]
    python scripts/record_descriptors.py tensorflow_serving   needs tensorflow-serving-api and tensorflow

Run it in an environment of its own with the packages named. Of tensorflow the files `tensorflow/**/_pb2.py` and the
`*.dist-info` of the wheel are enough, unpacked next to each other on the path, with an empty `__init__.py` in each
folder of the former.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterable
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor, ServiceDescriptor

RECORDS = Path(__file__).parents[1] / "tests" / "golden" / "descriptors"

# By record: the packages whose versions it names (alternatives joined by a bar), the modules that hold what we serve,
# and what of them to start from. SessionService is not among it: it runs parts of a TensorFlow graph.
RECORDED: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "inference": (
        ("tritonclient",),
        ("tritonclient.grpc.service_pb2",),
        ("GRPCInferenceService",),
    ),
    "tensorflow_serving": (
        ("tensorflow-serving-api", "tensorflow|tensorflow-cpu"),
        (
            "tensorflow_serving.apis.prediction_service_pb2",
            "tensorflow_serving.apis.model_service_pb2",
            "tensorflow_serving.apis.get_model_metadata_pb2",
        ),
        ("PredictionService", "ModelService", "SignatureDefMap"),
    ),
}

FIELD = descriptor_pb2.FieldDescriptorProto
NEVER_PACKED = (FIELD.TYPE_STRING, FIELD.TYPE_BYTES, FIELD.TYPE_MESSAGE, FIELD.TYPE_GROUP)


def roots(files: Iterable[FileDescriptor], names: Iterable[str]) -> list[Descriptor | ServiceDescriptor]:
    """The services and messages of these names; each must be there."""
    known: dict[str, Descriptor | ServiceDescriptor] = {}
    for file in files:
        known |= dict(file.services_by_name) | dict(file.message_types_by_name)
    return [known[name] for name in names]


def listing(starts: Iterable[Descriptor | ServiceDescriptor]) -> list[str]:
    """All that reaches the wire by these services and messages, a line for each method, field and enum value, sorted.

    Names, numbers, types, labels, presence, packing, oneofs and deprecation. Left out are options that only shape
    generated code, and the messages of google.protobuf.
    """
    lines: set[str] = set()
    seen: set[str] = set()
    waiting: list[Descriptor | EnumDescriptor | ServiceDescriptor] = list(starts)
    while waiting:
        found = waiting.pop()
        if found.full_name in seen or found.full_name.startswith("google.protobuf."):
            continue
        seen.add(found.full_name)
        if isinstance(found, ServiceDescriptor):
            lines.update(method_lines(found))
            for method in found.methods:
                waiting += [method.input_type, method.output_type]
        elif isinstance(found, EnumDescriptor):
            lines.update(enum_lines(found))
        else:
            lines.update(message_lines(found))
            for field in found.fields:
                waiting += [named for named in (field.message_type, field.enum_type) if named is not None]
    return sorted(lines)


def method_lines(service: ServiceDescriptor) -> list[str]:
    written = descriptor_pb2.ServiceDescriptorProto()
    service.CopyToProto(written)
    return [
        f"rpc {service.full_name}.{method.name}"
        f" {'stream ' * method.client_streaming}{method.input_type.lstrip('.')}"
        f" -> {'stream ' * method.server_streaming}{method.output_type.lstrip('.')}"
        for method in written.method
    ]


def enum_lines(enum: EnumDescriptor) -> list[str]:
    written = descriptor_pb2.EnumDescriptorProto()
    enum.CopyToProto(written)
    return [
        f"value {enum.full_name}.{value.name} = {value.number}{' deprecated' * value.options.deprecated}"
        for value in written.value
    ]


def message_lines(message: Descriptor) -> list[str]:
    written = descriptor_pb2.DescriptorProto()
    message.CopyToProto(written)
    map_entry = " map entry" * written.options.map_entry
    return [f"message {message.full_name}{map_entry}"] + [
        f"field {message.full_name}.{field.name} = {field.number} {kind(field)}{oneof(written, field)}"
        f"{' deprecated' * field.options.deprecated}{f' json {field.json_name}' * renamed(field)}"
        for field in written.field
    ]


def kind(field: descriptor_pb2.FieldDescriptorProto) -> str:
    type_name = field.type_name.lstrip(".") or FIELD.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.label != FIELD.LABEL_REPEATED:
        return f"{'optional ' * field.proto3_optional}{type_name}"
    # In proto3, packed is what a field is that does not say otherwise.
    packs = field.type not in NEVER_PACKED and (field.options.packed or not field.options.HasField("packed"))
    return f"repeated {'packed ' * packs}{type_name}"


def oneof(message: descriptor_pb2.DescriptorProto, field: descriptor_pb2.FieldDescriptorProto) -> str:
    real = field.HasField("oneof_index") and not field.proto3_optional
    return f" oneof {message.oneof_decl[field.oneof_index].name}" if real else ""


def renamed(field: descriptor_pb2.FieldDescriptorProto) -> bool:
    """Whether JSON has another name than the usual one; empty where the descriptor leaves it to the usual."""
    head, *tail = field.name.split("_")
    return field.json_name not in ("", head + "".join(part.capitalize() for part in tail))


def version(alternatives: str) -> str:
    for package in alternatives.split("|"):
        try:
            return f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise SystemExit(f"none of these is installed: {alternatives}")


def main(record: str) -> None:
    packages, modules, names = RECORDED[record]
    files = [importlib.import_module(module).DESCRIPTOR for module in modules]
    head = [f"# {', '.join(map(version, packages))}; made by scripts/record_descriptors.py {record}"]
    RECORDS.mkdir(parents=True, exist_ok=True)
    (RECORDS / f"{record}.txt").write_text("\n".join([*head, *listing(roots(files, names))]) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in RECORDED:
        raise SystemExit(f"usage: record_descriptors.py {'|'.join(RECORDED)}")
    main(sys.argv[1])
