from __future__ import annotations

import mmap

import numpy as np
import pytest

from maas_server.models.measure import choose_batch_size
from maas_server.models.memory import PeakMemory
from maas_server.models.padding import PadGroup
from maas_server.models.plan import CurvePoint
from maas_server.models.runner import Array, Signature, TensorInfo
from maas_server.models.verify import compare, pad_inputs, relative_difference

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("datatype", "one", "other", "expected"),
    [
        ("FP32", [1.0, 100.0], [1.0, 100.0], 0.0),
        ("FP32", [1.0, 100.0], [1.1, 100.0], 0.001),
        ("FP32", [0.0], [0.0], 0.0),
        ("FP32", [0.0], [1e-9], 1.0),
        ("FP32", [NAN, INF, 1.0], [NAN, INF, 1.0], 0.0),
        ("FP32", [NAN, 1.0], [0.0, 1.0], INF),
        ("FP32", [INF, 1.0], [-INF, 1.0], INF),
        ("INT64", [3], [4], INF),
        ("INT64", [3], [3], 0.0),
        ("UINT8", [3, 200], [4, 199], 0.0),
        ("INT8", [3], [5], INF),
        ("BOOL", [True], [False], INF),
    ],
)
def test_differences_are_relative_to_the_largest_magnitude(
    datatype: str, one: list[float], other: list[float], expected: float
) -> None:
    dtypes = {"FP32": np.float32, "INT64": np.int64, "UINT8": np.uint8, "INT8": np.int8, "BOOL": np.bool_}
    a: Array = np.array(one, dtypes[datatype])
    b: Array = np.array(other, dtypes[datatype])
    assert relative_difference(datatype, a, b) == pytest.approx(expected, rel=1e-3)
    assert relative_difference(datatype, b, a) == pytest.approx(expected, rel=1e-3)


def test_bf16_is_compared_as_numbers() -> None:
    def bits(values: list[float]) -> Array:
        return (np.array(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)

    assert relative_difference("BF16", bits([1.0, -2.0]), bits([1.0, -2.0])) == 0
    assert relative_difference("BF16", bits([1.0, -2.0]), bits([1.0, 2.0])) == 2


def test_strings_and_empty_outputs_compare() -> None:
    a = np.array([b"x", b"y"], object)
    assert relative_difference("BYTES", a, a.copy()) == 0
    assert relative_difference("BYTES", a, a[::-1]) == INF
    assert relative_difference("FP32", np.zeros((0, 3)), np.zeros((0, 3))) == 0


def test_shapes_must_agree() -> None:
    signature = Signature((), (TensorInfo("y", "FP32", (-1,)),))
    check = compare(signature, [np.zeros(1, np.float32)], [np.zeros(2, np.float32)], "in a batch of 2")
    assert "shape [1] alone and [2] in a batch of 2" in check.reason


def test_padding_fills_each_input_with_its_own_value() -> None:
    group = PadGroup({0: 1, 1: 0}, {0: 7, 1: 0}, (4,), None)
    ids, mask, other = np.array([[1, 2, 3]]), np.ones(3, np.int64), np.ones((1, 3))
    padded = pad_inputs((ids, mask, other), group, 4)
    assert padded[0].tolist() == [[1, 2, 3, 7]]
    assert padded[1].tolist() == [1, 1, 1, 0]
    assert padded[2] is other


def curve(*milliseconds: float) -> list[CurvePoint]:
    return [CurvePoint(1 << power, ms / 1e3) for power, ms in enumerate(milliseconds)]


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        # Constant time: every row more is free.
        ((0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01), 64),
        # Time in proportion: alone is as good as in company, but for the dispatch.
        ((10.0, 20.0, 40.0, 80.0), 1),
        ((0.06, 0.12, 0.24, 0.48, 0.96, 1.92, 3.84), 16),
        # Nothing that takes longer than a tenth of a second.
        ((60.0, 61.0, 62.0, 101.0), 4),
        ((500.0,), 1),
        ((), 1),
    ],
)
def test_the_smallest_batch_that_is_nearly_the_best_is_chosen(milliseconds: tuple[float, ...], expected: int) -> None:
    assert choose_batch_size(curve(*milliseconds)) == expected


def test_memory_grows_with_what_is_held() -> None:
    memory = PeakMemory()
    memory.reset()
    before = memory.growth()
    # Not from malloc, which may have as much at hand.
    block = mmap.mmap(-1, 8 << 20)
    block.write(b"x" * len(block))
    assert memory.growth() - before >= len(block) // 2
