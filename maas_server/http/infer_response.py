"""A ModelInferResponse as JSON, with or without binary data behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import InvalidRequest
from maas_server.http import tensors
from maas_server.http.infer_request import BINARY, BINARY_SIZE, REGION, Wanted
from maas_server.http.json_text import dump
from maas_server.http.messages import OCTETS, Response, json_response


def build_response(answer: pb.ModelInferResponse, wanted: Wanted) -> Response:
    """Return the answer as JSON, with the outputs that are wanted so behind it as binary data.

    Raises:
        InvalidRequest: an output has no form in JSON.
    """
    head, pieces = build_answer(answer, wanted)
    if not pieces:
        return json_response(head)
    text = dump(head)
    return Response(
        b"".join((text, *pieces)), content_type=OCTETS, headers=(("Inference-Header-Content-Length", str(len(text))),)
    )


def build_answer(answer: pb.ModelInferResponse, wanted: Wanted) -> tuple[dict[str, Any], list[bytes]]:
    """Return the answer for JSON, and the binary data that follows it.

    Raises:
        InvalidRequest: an output has no form in JSON.
    """
    head: dict[str, Any] = {"model_name": answer.model_name, "model_version": answer.model_version}
    if answer.id:
        head["id"] = answer.id
    if answer.parameters:
        head["parameters"] = _values(answer.parameters)
    outputs = head["outputs"] = []
    pieces: list[bytes] = []
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        parameters = _values(output.parameters)
        told: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
        if REGION not in parameters:
            if wanted.binary(output.name):
                parameters[BINARY_SIZE] = len(raw)
                pieces.append(raw)
            else:
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
