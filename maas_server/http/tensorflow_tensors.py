"""TensorFlow Serving's JSON: instances and inputs to tensors, and tensors to predictions and outputs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server._stubs.tensorflow_serving import tensor_pb2
from maas_server.errors import InternalError, InvalidRequest
from maas_server.http import tensors
from maas_server.http.messages import Blob, check_size, dump_within, invalid, parse_object, wrong
from maas_server.models.runner import NUMPY_DTYPES, Signature, TensorInfo
from maas_server.protocols.tensorflow import DATATYPES

_DATATYPES = {number: name for name, number in DATATYPES.items()}
_B64 = "b64"
# Outputs that are called so are bytes, not text.
_BYTES_SUFFIX = "_bytes"


def read_predict(text: Blob, signature: Signature) -> tuple[Blob, bool, str]:
    """Return the inputs as a serialized PredictRequest, whether they came row by row, and the signature's name.

    Raises:
        InvalidRequest: the text is no JSON, or a field is missing or wrong.
    """
    body = parse_object(text.data)
    name = signature_name(body)
    values, rows = columns(body, signature)
    infos = {info.name: info for info in signature.inputs}
    message = pb.PredictRequest()
    for input_name, given in values.items():
        path = f"inputs[{input_name!r}]"
        if input_name not in infos:
            raise invalid(path, f"the model has no such input; it has {', '.join(infos)}")
        encode(given, infos[input_name], path, message.inputs[input_name])
    return Blob(message.SerializeToString()), rows, name


def signature_name(body: Mapping[str, Any]) -> str:
    """Return the name of the signature that a body asks for.

    Raises:
        InvalidRequest: it is no string.
    """
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise wrong("signature_name", "a string", name)
    return name


def write_predicted(answer: Blob, most: int, rows: bool) -> Blob:
    """Return a serialized PredictResponse as JSON.

    Raises:
        InvalidRequest: an output has no form in JSON, or no rows where rows are wanted.
        Overloaded: the JSON would have more than `most` bytes.
    """
    outputs = pb.PredictResponse.FromString(bytes(answer.data)).outputs
    size = 0.0
    for name, proto in outputs.items():
        size += tensors.text_size(proto.tensor_content, _DATATYPES[proto.dtype]) or proto.ByteSize()
        if rows and len(outputs) > 1:
            size += len(name) * next(iter(_shape(proto)), 0)
    check_size(size * tensors.CERTAIN, most)
    if rows:
        return Blob(dump_within({"predictions": predictions(outputs)}, most))
    values = {name: decode(name, proto) for name, proto in sorted(outputs.items())}
    return Blob(dump_within({"outputs": next(iter(values.values())) if len(values) == 1 else values}, most))


def columns(body: Mapping[str, Any], signature: Signature) -> tuple[dict[str, Any], bool]:
    """Return the values of the inputs by name, and whether they came row by row ("instances").

    Raises:
        InvalidRequest: they came in neither way, or in both, or rows differ in what they have.
    """
    if ("instances" in body) == ("inputs" in body):
        raise InvalidRequest('expected either "instances" or "inputs"')
    if "inputs" in body:
        inputs = body["inputs"]
        named = isinstance(inputs, dict) and not is_b64(inputs)
        return (inputs if named else {_only_input(signature, "inputs"): inputs}), False
    rows = body["instances"]
    if not isinstance(rows, list) or not rows:
        raise wrong("instances", "an array that is not empty", rows)
    if not isinstance(rows[0], dict) or is_b64(rows[0]):
        return {_only_input(signature, "instances"): rows}, True
    names = rows[0].keys()
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != names:
            raise invalid(f"instances[{index}]", f"expected an object with {', '.join(names)}, as the first has")
    return {name: [row[name] for row in rows] for name in names}, True


def _only_input(signature: Signature, path: str) -> str:
    if len(signature.inputs) != 1:
        names = ", ".join(info.name for info in signature.inputs)
        raise invalid(path, f"the model has several inputs ({names}); name them")
    return signature.inputs[0].name


def is_b64(value: object) -> bool:
    """Whether the value is {"b64": "..."}."""
    return isinstance(value, dict) and value.keys() == {_B64} and isinstance(value[_B64], str)


def from_b64(value: Mapping[str, str], path: str) -> bytes:
    """Return the bytes in {"b64": "..."}.

    Raises:
        InvalidRequest: that is no base64.
    """
    try:
        return base64.b64decode(value[_B64], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(path, f"not base64: {error}") from None


def encode(values: object, info: TensorInfo, path: str, proto: tensor_pb2.TensorProto) -> None:
    """Write one input's values into a TensorProto, with the shape that they have.

    Raises:
        InvalidRequest: they have none, or are not of the input's datatype.
    """
    shape, flat = tensors.flatten(values, path)
    proto.dtype = DATATYPES[info.datatype]
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    if info.datatype == "BYTES":
        proto.string_val.extend(_string(value, path) for value in flat)
    else:
        proto.tensor_content = tensors.encode_flat(flat, info.datatype, path)


def _string(value: object, path: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and is_b64(value):
        return from_b64(value, path)
    raise wrong(path, f'strings or {{"{_B64}": "..."}}', value)


def predictions(outputs: Mapping[str, tensor_pb2.TensorProto]) -> list[Any]:
    """Return the outputs row by row: the values of the only one, or an object of them.

    Raises:
        InvalidRequest: they do not have one row each per instance.
    """
    shapes = {name: _shape(proto) for name, proto in outputs.items()}
    if len({shape[:1] for shape in shapes.values()}) != 1 or () in shapes.values():
        told = ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items()))
        raise InvalidRequest(f'the outputs do not have a row per instance ({told}); send "inputs" instead')
    if len(outputs) == 1:
        ((name, proto),) = outputs.items()
        return list(decode(name, proto))
    by_name = {name: decode(name, proto) for name, proto in sorted(outputs.items())}
    return [dict(zip(by_name, row, strict=True)) for row in zip(*by_name.values(), strict=True)]


def decode(name: str, proto: tensor_pb2.TensorProto) -> Any:
    """Return an output's values, nested to its shape; bytes that are no text as {"b64": "..."}.

    Raises:
        InvalidRequest: its datatype has no form in JSON.
    """
    flat: Sequence[Any]
    datatype = _DATATYPES[proto.dtype]
    if datatype == "BYTES":
        flat = [_json_string(name, value) for value in proto.string_val]
    elif proto.tensor_content:
        flat = tensors.decode(proto.tensor_content, datatype)
    else:
        flat = _typed_values(proto, datatype)
    return tensors.nest(list(flat), _shape(proto))


def _typed_values(proto: tensor_pb2.TensorProto, datatype: str) -> list[Any]:
    match datatype:
        case "FP32":
            return list(proto.float_val)
        case "FP64":
            return list(proto.double_val)
        case "INT64":
            return list(proto.int64_val)
        case "UINT32":
            return list(proto.uint32_val)
        case "UINT64":
            return list(proto.uint64_val)
        case "BOOL":
            return list(proto.bool_val)
        case "FP16":
            return tensors.decode(np.array(proto.half_val, np.uint16).tobytes(), datatype)
        case "BF16":
            return tensors.decode(b"", datatype)
        case _ if NUMPY_DTYPES[datatype].kind in "iu":
            return list(proto.int_val)
        case _:
            raise InternalError(f"an answer has the datatype {datatype}")


def _json_string(name: str, value: bytes) -> object:
    if not name.endswith(_BYTES_SUFFIX):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {_B64: base64.b64encode(value).decode()}


def _shape(proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    return tuple(dim.size for dim in proto.tensor_shape.dim)
