"""Inference over REST: in JSON, or with tensors behind it as binary data."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from maas_server._core import CoreError
from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import InvalidRequest, NotFound, Unavailable
from maas_server.front import Front, Protocol, core_error
from maas_server.http import infer_raw
from maas_server.http.caller import Caller, in_time
from maas_server.http.failures import HttpError
from maas_server.http.infer_request import build_request, read_request
from maas_server.http.infer_response import json_bytes, response_of, write_response
from maas_server.http.large_json import LARGE_TENSORS
from maas_server.http.messages import Blob, Request, Response, whole_number
from maas_server.http.models import Models
from maas_server.models.registry import VersionView
from maas_server.protocols.not_found import triton_error
from maas_server.protocols.open_inference import serving_versions

T = TypeVar("T")

HEADER_LENGTH = "inference-header-content-length"


async def while_present(request: Request, work: Awaitable[T]) -> T:
    """Return what `work` does; it is cancelled when the caller goes away.

    Raises:
        HttpError: the caller went away.
        Exception: what `work` raises.
    """
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.gone())
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise HttpError(499, "the caller went away", close=True)
        return answer.result()
    finally:
        gone.cancel()
        answer.cancel()


async def infer(front: Front, caller: Caller, protocol: Protocol, raw: bytes) -> bytes:
    """Return the serialized answer to a serialized request of the caller.

    Raises:
        DeadlineExceeded: it was not there in time.
        CoreError: refused or failed.
    """
    return await in_time(caller, front.infer(protocol, raw, caller.seconds(), caller.tenant))


async def model_infer(front: Front, models: Models, request: Request) -> Response:
    """Answer `POST /v2/models/{model}/infer`.

    Raises:
        InvalidRequest: the body is no inference request.
        MaasError: refused or failed.
    """
    caller = request.caller()
    body = await request.read()
    model, version = request.params["model"], request.params.get("version", "")
    text, binary = split_body(body, request.headers)
    try:
        if HEADER_LENGTH in request.headers and not text:
            head, body = infer_raw.describe(body, _serving(models, model, version))
            raw, wanted = build_request(model, version, head, memoryview(body))
        else:
            reading = request.large.read(len(text), read_request, model, version, Blob(text), Blob(binary))
            blob, wanted = await while_present(request, reading)
            raw = bytes(blob.data)
        answer = await while_present(request, infer(front, caller, Protocol.MODEL_INFER, raw))
    except CoreError as error:
        raise triton_error(core_error(error), model, version) from None
    except (NotFound, Unavailable) as error:
        raise triton_error(error, model, version) from None
    size = len(answer)
    if size > LARGE_TENSORS:
        size = json_bytes(pb.ModelInferResponse.FromString(answer), wanted)
    writing = request.large.write(size, write_response, Blob(answer), wanted, request.large.max_bytes)
    return response_of(*await while_present(request, writing))


def _serving(models: Models, model: str, version: str) -> VersionView:
    view = models.seen(model)
    if view is None:
        raise NotFound(f"no model {model!r}", reason="MODEL_NOT_FOUND")
    return serving_versions(view, version)[0]


def split_body(body: bytes, headers: Mapping[str, str]) -> tuple[memoryview, memoryview]:
    """Return the JSON and what follows it.

    Raises:
        InvalidRequest: the header that says where the JSON ends lies.
    """
    view = memoryview(body)
    length = headers.get(HEADER_LENGTH)
    if length is None:
        return view, view[:0]
    end = whole_number(length, len(body))
    if end is None:
        raise InvalidRequest(f"{HEADER_LENGTH}: expected at most the body's {len(body)} bytes, got {length[:64]!r}")
    return view[:end], view[end:]
