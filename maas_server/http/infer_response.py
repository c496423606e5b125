"""A ModelInferResponse as JSON, with or without binary data behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import InvalidRequest
from maas_server.http import tensors
from maas_server.http.infer_request import BINARY, BINARY_SIZE, REGION, Wanted
from maas_server.http.messages import OCTETS, Blob, RawJson, Response, check_size, dump_within

_PLACE = {REGION, "shared_memory_offset", "shared_memory_byte_size"}


def write_response(answer: Blob, wanted: Wanted, most: int) -> tuple[Blob, int | None]:
    """Return a body, JSON and the outputs that are wanted so behind it as binary data; and where the JSON ends.

    No length: it is JSON alone.

    Raises:
        InvalidRequest: an output has no form in JSON.
        Overloaded: the JSON would have more than `most` bytes.
    """
    head, pieces = build_answer(pb.ModelInferResponse.FromString(bytes(answer.data)), wanted, most)
    text = dump_within(head, most)
    return (Blob(b"".join((text, *pieces))), len(text)) if pieces else (Blob(text), None)


def write_outputs(answer: Blob, most: int) -> tuple[str, int, list[dict[str, Any]]]:
    """Return model, version and outputs of an answer; their data are RawJson.

    Raises:
        InvalidRequest: an output has no form in JSON.
        Overloaded: the JSON would have more than `most` bytes.
    """
    message = pb.ModelInferResponse.FromString(bytes(answer.data))
    head, _ = build_answer(message, Wanted(), most)
    for output in head["outputs"]:
        # As text it is shared by all fields that ask for it.
        output["data"] = RawJson(dump_within(output["data"], most))
    return message.model_name, int(message.model_version), head["outputs"]


def response_of(body: Blob, length: int | None) -> Response:
    """Return the response for what `write_response` returned."""
    if length is None:
        return Response(bytes(body.data))
    headers = (("Inference-Header-Content-Length", str(length)),)
    return Response(bytes(body.data), content_type=OCTETS, headers=headers)


def json_bytes(answer: pb.ModelInferResponse, wanted: Wanted) -> int:
    """Return how many bytes of tensors are to be written as JSON."""
    outputs = zip(answer.outputs, answer.raw_output_contents, strict=True)
    return sum(len(raw) for output, raw in outputs if not wanted.binary(output.name))


def build_answer(answer: pb.ModelInferResponse, wanted: Wanted, most: int) -> tuple[dict[str, Any], list[bytes]]:
    """Return the answer for JSON, and the binary data that follows it.

    Raises:
        InvalidRequest: an output has no form in JSON.
        Overloaded: the JSON would have far more than `most` bytes.
    """
    head: dict[str, Any] = {"model_name": answer.model_name, "model_version": answer.model_version}
    if answer.id:
        head["id"] = answer.id
    if answer.parameters:
        head["parameters"] = _values(answer.parameters)
    outputs = head["outputs"] = []
    pieces: list[bytes] = []
    size = 0.0
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        parameters = _values(output.parameters)
        told: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
        if REGION in parameters:
            # The caller knows where it is; Triton's own client takes any parameters for those of binary data.
            parameters = {name: value for name, value in parameters.items() if name not in _PLACE}
        elif wanted.binary(output.name):
            parameters[BINARY_SIZE] = len(raw)
            pieces.append(raw)
        else:
            size += tensors.text_size(raw, output.datatype)
            check_size(size * tensors.CERTAIN, most)
            told["data"] = _data(output, raw)
        if parameters:
            told["parameters"] = parameters
        outputs.append(told)
    return head, pieces


def _data(output: pb.ModelInferResponse.InferOutputTensor, raw: bytes) -> list[Any]:
    if output.datatype != "BYTES":
        return tensors.decode(raw, output.datatype)
    try:
        return [element.decode() for element in tensors.decode_strings(raw)]
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"output {output.name!r} has bytes that are no UTF-8, which JSON cannot carry; ask for it with "
            f'"parameters": {{"{BINARY}": true}}'
        ) from None


def _values(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        chosen = parameter.WhichOneof("parameter_choice")
        values[name] = getattr(parameter, chosen) if chosen else None
    return values
