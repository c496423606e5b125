"""Asks one server every case in every protocol, and compares with what ONNX Runtime answered."""

from __future__ import annotations

import asyncio
import http.client
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from tests.onnx_backend.cases import Tensor
from tests.onnx_backend.protocols import GRPC_PROTOCOLS, HTTP_PROTOCOLS, GrpcProtocol, HttpProtocol, Protocol, RestJson
from tests.onnx_backend.reference import Asked

_AT_ONCE = 16
_SECONDS = 60.0
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@dataclass
class Results:
    """What the walk saw, by the protocol's name."""

    passed: Counter[str] = field(default_factory=Counter)
    no_form: Counter[str] = field(default_factory=Counter)
    """Requests whose datatypes the protocol has no form for."""
    failed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    peak_bytes: int = 0
    """The most memory that the server had."""

    def note(self, protocol: Protocol, asked: Asked, failure: str) -> None:
        """Take in one answer; an empty failure means that it is right."""
        if failure:
            self.failed[protocol.name].append(f"{asked.case.name}: {failure}")
        else:
            self.passed[protocol.name] += 1


def walk(asked: Sequence[Asked], grpc_target: str, http_port: int) -> Results:
    """Ask everything."""
    results = Results()
    asyncio.run(_walk_grpc(asked, grpc_target, results))
    connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=_SECONDS)
    try:
        for protocol in HTTP_PROTOCOLS:
            for each in _carried(protocol, asked, results):
                results.note(protocol, each, _ask_http(connection, protocol, each))
    finally:
        connection.close()
    return results


def _carried(protocol: Protocol, asked: Sequence[Asked], results: Results) -> list[Asked]:
    carried = [each for each in asked if protocol.carries(each.data_set.inputs, each.answer)]
    results.no_form[protocol.name] = len(asked) - len(carried)
    return carried


async def _walk_grpc(asked: Sequence[Asked], target: str, results: Results) -> None:
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        for protocol in GRPC_PROTOCOLS:
            left = iter(_carried(protocol, asked, results))
            # Some at a time, so that neither side waits for the other.
            await asyncio.gather(*(_ask_grpc(channel, protocol, left, results) for _ in range(_AT_ONCE)))


async def _ask_grpc(channel: grpc.aio.Channel, protocol: GrpcProtocol, left: Iterator[Asked], results: Results) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(protocol.method)
    for each in left:
        request = protocol.write(each.case.name, each.data_set.inputs)
        try:
            failure = difference(each.answer, protocol.read(await call(request, timeout=_SECONDS)))
        except grpc.aio.AioRpcError as error:
            failure = f"{error.code().name}: {error.details()}"
        # What does not decode is wrong too, and says why.
        except (ValueError, AssertionError, DecodeError) as error:
            failure = f"the answer does not decode: {error!r}"
        results.note(protocol, each, failure)


def _ask_http(connection: http.client.HTTPConnection, protocol: HttpProtocol, asked: Asked) -> str:
    path, body, headers = protocol.write(asked.case.name, asked.data_set.inputs)
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != http.client.OK:
        return f"{response.status}: {answer[:400].decode(errors='replace')}"
    json_size = int(response.headers.get("Inference-Header-Content-Length") or len(answer))
    try:
        got = protocol.read(answer, json_size)
    except (ValueError, AssertionError) as error:
        return f"the answer does not decode: {error!r}"
    # JSON has one NaN; binary answers keep its bits.
    return difference(asked.answer, got, nan_bits=not isinstance(protocol, RestJson))


def difference(expected: Mapping[str, Tensor], got: Mapping[str, Tensor], *, nan_bits: bool = True) -> str:
    """Return how an answer differs from what is expected; empty: in no bit.

    Without `nan_bits` any NaN equals any other.
    """
    if expected.keys() != got.keys():
        return f"expected the outputs {sorted(expected)}, got {sorted(got)}"
    for name, want in expected.items():
        have = got[name]
        if (have.datatype, have.array.shape) != (want.datatype, want.array.shape):
            return (
                f"output {name!r}: expected {want.datatype} {list(want.array.shape)}, "
                f"got {have.datatype} {list(have.array.shape)}"
            )
        if _bits(want, nan_bits) != _bits(have, nan_bits):
            return f"output {name!r} has other values"
    return ""


def _bits(tensor: Tensor, nan_bits: bool) -> object:
    if tensor.datatype == "BYTES":
        return tensor.array.ravel().tolist()
    array = tensor.array
    if not nan_bits and array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array.tobytes()
