"""Shapes that clients see: what the core takes for granted is checked where they come in."""

from __future__ import annotations

from typing import Any

import pytest

from maas_server import _core


def version(wire_shape: list[int], shape: list[int], **fields: Any) -> _core.Version:
    spec = _core.InputSpec(name="x", datatype="FP32", shape=shape, wire_shape=wire_shape, **fields)
    return _core.Version(
        model="m",
        version=1,
        inputs=[spec],
        outputs=[],
        pad_groups=[[8]],
        batching=True,
        max_batch_size=1,
        max_request_rows=1,
        max_queue_rows=1,
        max_queue_delay_us=0,
        device=_core.Device(1),
        cpus=1,
    )


@pytest.mark.parametrize(
    ("wire_shape", "shape"), [([-1, 2, 3], [-1, 6]), ([1], []), ([], []), ([2, -1, 2, -1], [1, 2, -1, 2, -1])]
)
def test_shapes_of_the_same_elements_are_taken(wire_shape: list[int], shape: list[int]) -> None:
    version(wire_shape, shape)


@pytest.mark.parametrize(
    ("wire_shape", "shape"),
    [([-1, 2], [-1, 3]), ([-1, -1], [-1]), ([4, -1], [-1, 4]), ([2], []), ([1 << 39, 4], [4, 1 << 39]), ([1] * 17, [])],
)
def test_shapes_of_other_elements_are_refused(wire_shape: list[int], shape: list[int]) -> None:
    with pytest.raises(ValueError, match="wire_shape"):
        version(wire_shape, shape)


@pytest.mark.parametrize(
    "fields", [{"pad_group": 0, "pad_axis": 1}, {"batch_axis": 1, "shape": [-1, 4], "wire_shape": [-1, 4, 1]}]
)
def test_a_reshaped_input_is_not_padded_and_its_rows_vary(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wire_shape"):
        version(**{"wire_shape": [-1, -1, 1], "shape": [-1, -1], **fields})
