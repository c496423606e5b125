"""Triton's raw request: no JSON at all, the body is the only input, and its shape follows from its length."""

from __future__ import annotations

import math
import struct
from typing import Any

from maas_server.errors import InvalidRequest
from maas_server.http.infer_request import BINARY_SIZE
from maas_server.models.registry import VersionView
from maas_server.models.runner import NUMPY_DTYPES, TensorInfo


def describe(body: bytes, view: VersionView) -> tuple[dict[str, Any], bytes]:
    """Return the JSON that the request stands for, and its binary data: one row, all outputs as binary data.

    Raises:
        InvalidRequest: the model has several inputs, or the length leaves the shape open.
    """
    inputs = view.signature.inputs if view.signature is not None else ()
    if len(inputs) != 1:
        raise InvalidRequest(f"a request without JSON needs a model with one input; this one has {len(inputs)}")
    (info,) = inputs
    if info.datatype == "BYTES":
        body = struct.pack("<I", len(body)) + body
        count = 1
    else:
        count, rest = divmod(len(body), NUMPY_DTYPES[info.datatype].itemsize)
        if rest:
            raise InvalidRequest(f"{len(body)} bytes are no whole number of {info.datatype} elements")
    tensor = {
        "name": info.name,
        "datatype": info.datatype,
        "shape": _shape(info, count, batched=view.max_batch_size > 0),
        "parameters": {BINARY_SIZE: len(body)},
    }
    return {"inputs": [tensor], "parameters": {"binary_data_output": True}}, body


def _shape(info: TensorInfo, count: int, *, batched: bool) -> list[int]:
    shape = list(info.shape)
    if batched:
        shape[0] = 1
    open_axes = [axis for axis, size in enumerate(shape) if size < 0]
    if len(open_axes) > 1:
        raise InvalidRequest(f"a request without JSON leaves the shape {list(info.shape)} of {info.name!r} open")
    if open_axes:
        # A length that does not come out even is refused later, with what it should be.
        shape[open_axes[0]] = count // max(math.prod(size for size in shape if size >= 0), 1)
    return shape
