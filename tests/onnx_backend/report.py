"""Writes docs/conformance.md and the list of cases that are left out, from what a run saw."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.onnx_backend.cases import Tensor
from tests.onnx_backend.protocols import PROTOCOLS
from tests.onnx_backend.reference import Asked
from tests.onnx_backend.walk import Results

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
LEFT_OUT = Path(__file__).with_name("left_out.txt")

_WIDTH = 120

_HEAD = """# Conformance: the ONNX project's own tests, served

The `onnx` package 1.21.0 carries {total} backend tests: a model, inputs and the outputs that ONNX expects. Those of the
kinds `node`, `simple`, `pytorch-converted` and `pytorch-operator` are tests of operators, `real` are whole networks of
image classification. Every one of them that ONNX Runtime itself passes, {served}, is served by one `maas serve` process
and asked in every protocol. An answer counts only if it is **bit for bit** what ONNX Runtime answers when it is called
directly on the same file, with one thread as the server has here; in JSON, which has one NaN, any NaN equals any other.

`make test` runs all of it and holds this page to what it sees ([tests/onnx_backend](../tests/onnx_backend)); after
`make venv build`, `.venv/bin/python -m tests.onnx_backend` writes the page anew.

## What passes

| protocol | asked | answered alike | no form for a datatype |
|---|---|---|---|
{protocols}

Typed values of the Open Inference Protocol have no form for FP16 and BF16, and JSON has none for BF16. Inputs of
TensorFlow Serving's Predict go in `tensor_content`, answers come in the datatype's own field.

Among the {served}:

| cases with | number |
|---|---|
{features}

## What is left out

{left} cases, each because ONNX Runtime does not pass it or because no protocol can carry it.
"""


def page(asked: Sequence[Asked], left_out: Mapping[str, Sequence[str]], results: Results) -> str:
    """Return docs/conformance.md."""
    left = sum(map(len, left_out.values()))
    rows = [
        f"| {each.name} | {len(asked) - results.no_form[each.name]} | {results.passed[each.name]} "
        f"| {results.no_form[each.name]} |"
        for each in PROTOCOLS
    ]
    features = [f"| {what} | {number} |" for what, number in _features(asked).items()]
    served = len({each.case.name for each in asked})
    parts = [
        _HEAD.format(
            total=served + left, served=served, left=left, protocols="\n".join(rows), features="\n".join(features)
        )
    ]
    for reason, names in sorted(left_out.items()):
        listed = ", ".join(f"`{name.removeprefix('test_')}`" for name in sorted(names))
        parts.append(f"**{reason}** {len(names)} cases, `test_` left off:\n")
        parts.append(textwrap.fill(listed, _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n")
    return "\n".join(parts)


def listing(left_out: Mapping[str, Sequence[str]]) -> str:
    """Return the list of cases that are left out: a line per case, below its reason."""
    blocks = ("\n".join([f"# {reason}", *sorted(names)]) for reason, names in sorted(left_out.items()))
    return "\n\n".join(blocks) + "\n"


def read_listing(text: str) -> dict[str, list[str]]:
    """Return what `listing` was given."""
    left_out: dict[str, list[str]] = {}
    reason = ""
    for line in text.splitlines():
        if line.startswith("# "):
            reason = line.removeprefix("# ")
        elif line:
            left_out.setdefault(reason, []).append(line)
    return left_out


def _features(asked: Sequence[Asked]) -> dict[str, int]:
    tensors = {each.case.name: [*each.data_set.inputs.values(), *each.answer.values()] for each in asked}

    def having(what: str) -> int:
        return sum(any(_has(what, tensor) for tensor in both) for both in tensors.values())

    return {
        "a scalar (rank 0)": having("rank 0"),
        "a dimension of size 0": having("size 0"),
        "strings": having("BYTES"),
        "FP16": having("FP16"),
        "BF16": having("BF16"),
        "no inputs": len({each.case.name for each in asked if not each.data_set.inputs}),
    }


def _has(what: str, tensor: Tensor) -> bool:
    if what == "rank 0":
        return tensor.array.ndim == 0
    if what == "size 0":
        return 0 in tensor.array.shape
    return tensor.datatype == what
