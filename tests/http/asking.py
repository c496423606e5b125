"""Requests of the Open Inference Protocol, and what came back."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np

LENGTH = "Inference-Header-Content-Length"


def tensor(name: str, datatype: str, shape: list[int], data: Any, **fields: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **fields}


def binary_body(head: dict[str, Any], *blobs: bytes) -> tuple[bytes, dict[str, str]]:
    """The body of a request with binary data, and its headers."""
    text = json.dumps(head).encode()
    return b"".join((text, *blobs)), {LENGTH: str(len(text))}


def binary_tensor(name: str, datatype: str, array: np.ndarray[Any, Any]) -> dict[str, Any]:
    size = {"binary_data_size": array.nbytes}
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "parameters": size}


def binary_outputs(response: httpx.Response) -> dict[str, bytes]:
    """The binary data of an answer by output."""
    length = int(response.headers[LENGTH])
    rest = response.content[length:]
    found = {}
    for output in json.loads(response.content[:length])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            found[output["name"]], rest = rest[:size], rest[size:]
    assert rest == b""
    return found


def violations(response: httpx.Response) -> dict[str, str]:
    """Field to description, of a refusal."""
    body = response.json()
    assert body["error"]
    return {each["field"]: each["description"] for each in body.get("violations", [])}
