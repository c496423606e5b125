"""A JSON inference request, with or without binary data, to a ModelInferRequest.

The binary data is moved once, into the message, and never seen as numbers here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import InvalidRequest
from maas_server.http import tensors
from maas_server.http.messages import Blob, invalid, parse_object, wrong

# Parameters of REST alone; the rest goes to the core as it came.
BINARY_SIZE = "binary_data_size"
BINARY = "binary_data"
_ALL_BINARY = "binary_data_output"
REGION = "shared_memory_region"

_RAW_CONTENTS = 7  # The field number of ModelInferRequest.raw_input_contents.
_MAX_INT64 = (1 << 63) - 1
_MAX_UINT64 = (1 << 64) - 1


@dataclass(slots=True)
class Wanted:
    """Which outputs go out as binary data."""

    by_default: bool = False
    outputs: dict[str, bool] = field(default_factory=dict)

    def binary(self, output: str) -> bool:
        """Whether this one does."""
        return self.outputs.get(output, self.by_default)


def build_request(model: str, version: str, body: Mapping[str, Any], binary: memoryview) -> tuple[bytes, Wanted]:
    """Return the serialized ModelInferRequest, and how its outputs are wanted.

    Raises:
        InvalidRequest: a field is missing or wrong; the violation names it.
    """
    request = pb.ModelInferRequest(model_name=model, model_version=version)
    request.id = _text(body, "id", "id") if body.get("id") is not None else ""
    wanted = Wanted()
    for name, value in _parameters(body, "parameters"):
        if name == _ALL_BINARY:
            wanted.by_default = _boolean(value, f"parameters[{name!r}]")
        else:
            _set(request.parameters[name], value, f"parameters[{name!r}]")
    raw = _RawContents(binary)
    for index, given in enumerate(_list(body, "inputs", required=True)):
        _add_input(request, given, f"inputs[{index}]", raw)
    raw.check_all_taken()
    for index, given in enumerate(_list(body, "outputs")):
        _add_output(request, given, f"outputs[{index}]", wanted)
    return b"".join((request.SerializeToString(), *raw.pieces)), wanted


def read_request(model: str, version: str, text: Blob, binary: Blob) -> tuple[Blob, Wanted]:
    """Return what `build_request` does, for JSON that is still text.

    Raises:
        InvalidRequest: it is no JSON, or a field is missing or wrong.
    """
    raw, wanted = build_request(model, version, parse_object(text.data), memoryview(binary.data))
    return Blob(raw), wanted


class _RawContents:
    """The encoded field raw_input_contents, and what is left of the binary data behind the JSON."""

    def __init__(self, binary: memoryview) -> None:
        self._binary = binary
        self.pieces: list[bytes | memoryview] = []

    def add(self, data: bytes | memoryview) -> None:
        self.pieces += (_varint(_RAW_CONTENTS << 3 | 2), _varint(len(data)), data)

    def take(self, size: int, path: str) -> None:
        if size > len(self._binary):
            raise invalid(path, f"{size} bytes of binary data are announced, {len(self._binary)} are left")
        self.add(self._binary[:size])
        self._binary = self._binary[size:]

    def check_all_taken(self) -> None:
        if self._binary:
            raise InvalidRequest(f"{len(self._binary)} bytes of binary data belong to no input")


def _add_input(request: pb.ModelInferRequest, given: object, path: str, raw: _RawContents) -> None:
    if not isinstance(given, dict):
        raise wrong(path, "an object", given)
    name = _text(given, "name", f"{path}.name")
    datatype = _text(given, "datatype", f"{path}.datatype")
    shape = shape_of(given.get("shape"), f"{path}.shape")
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    size = None
    shared = False
    for key, value in _parameters(given, f"{path}.parameters"):
        if key == BINARY_SIZE:
            size = _size(value, f"{path}.parameters[{key!r}]")
            continue
        shared = shared or key == REGION
        _set(tensor.parameters[key], value, f"{path}.parameters[{key!r}]")
    if size is not None:
        if "data" in given:
            raise invalid(f"{path}.data", f"there is binary data as well, by {BINARY_SIZE}")
        raw.take(size, f"{path}.parameters[{BINARY_SIZE!r}]")
    elif "data" in given:
        raw.add(tensors.encode(given["data"], datatype, shape, f"{path}.data"))
    elif not shared:
        raise invalid(f"{path}.data", "missing")


def _add_output(request: pb.ModelInferRequest, given: object, path: str, wanted: Wanted) -> None:
    if not isinstance(given, dict):
        raise wrong(path, "an object", given)
    output = request.outputs.add(name=_text(given, "name", f"{path}.name"))
    for key, value in _parameters(given, f"{path}.parameters"):
        if key == BINARY:
            wanted.outputs[output.name] = _boolean(value, f"{path}.parameters[{key!r}]")
        else:
            _set(output.parameters[key], value, f"{path}.parameters[{key!r}]")


def _set(parameter: pb.InferParameter, value: object, path: str) -> None:
    match value:
        case bool():
            parameter.bool_param = value
        case int() if -_MAX_INT64 - 1 <= value <= _MAX_INT64:
            parameter.int64_param = value
        case int() if 0 <= value <= _MAX_UINT64:
            parameter.uint64_param = value
        case float():
            parameter.double_param = value
        case str():
            parameter.string_param = value
        case _:
            raise wrong(path, "a boolean, a 64-bit number or a string", value)


def _parameters(given: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    parameters = given.get("parameters")
    if parameters is None:
        return iter(())
    if not isinstance(parameters, dict):
        raise wrong(path, "an object", parameters)
    return iter(parameters.items())


def _list(given: Mapping[str, Any], name: str, *, required: bool = False) -> list[Any]:
    value = given.get(name)
    if value is None and not required:
        return []
    if not isinstance(value, list):
        raise invalid(name, "missing") if value is None else wrong(name, "an array", value)
    return value


def _text(given: Mapping[str, Any], name: str, path: str) -> str:
    value = given.get(name)
    if value is None:
        raise invalid(path, "missing")
    if not isinstance(value, str):
        raise wrong(path, "a string", value)
    return value


def shape_of(value: object, path: str) -> list[int]:
    """Return a tensor's shape.

    Raises:
        InvalidRequest: it is none.
    """
    if value is None:
        raise invalid(path, "missing")
    if not isinstance(value, list):
        raise wrong(path, "an array of whole numbers", value)
    if len(value) > tensors.MAX_RANK:
        raise invalid(path, f"expected at most {tensors.MAX_RANK} dimensions, got {len(value)}")
    for size in value:
        if type(size) is not int or not 0 <= size <= _MAX_INT64:
            raise wrong(path, "whole numbers from 0", size)
    return value


def _boolean(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(path, "true or false", value)
    return value


def _size(value: object, path: str) -> int:
    if type(value) is not int or value < 0:
        raise wrong(path, "a number of bytes", value)
    return value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
