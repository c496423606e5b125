"""Which values models are tried with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maas_server.models.inspect import make_layout
from maas_server.models.runner import Array, Signature, TensorInfo
from maas_server.models.samples import LEVELS, MAX_ELEMENTS, make_inputs


def values(*infos: TensorInfo, level: int, size: int = 8) -> tuple[Array, ...]:
    """The inputs of a model whose rows, if it has any, share all of them."""
    layout = make_layout(Signature(infos, ()), (None,) * len(infos), ())
    return make_inputs(layout, 1, dict.fromkeys(layout.free_symbols(), size), level, {})


@pytest.mark.parametrize("name", ["sr", "sample_rate", "audio.rate", "fs"])
def test_what_is_called_a_rate_is_tried_with_that_of_speech(name: str) -> None:
    assert values(TensorInfo(name, "INT64", ()), level=1)[0] == 16000


@pytest.mark.parametrize(
    "info", [TensorInfo("n", "INT64", ()), TensorInfo("iterations", "INT32", (1,)), TensorInfo("rate", "INT64", (2,))]
)
def test_nothing_else_is(info: TensorInfo) -> None:
    for level in range(LEVELS):
        assert values(info, level=level)[0].max() <= 8


@pytest.mark.parametrize("level", range(LEVELS))
@pytest.mark.parametrize("count", [1, 2, 4, 8, 32, 576])
def test_integers_multiply_to_no_more_than_the_limit(level: int, count: int) -> None:
    """They may be the sizes of a tensor, or how often each dimension of one is repeated."""
    shape, repeats, image = values(
        TensorInfo("shape", "INT64", (count,)),
        TensorInfo("repeats", "INT32", (2,)),
        TensorInfo("image", "FP32", (3, 224, 224)),
        level=level,
    )
    asked = math.prod(int(value) for value in (*shape, *repeats))
    assert asked * image.size <= MAX_ELEMENTS or asked <= 1


def test_small_integers_stay_as_telling_as_they_can_be() -> None:
    assert values(TensorInfo("n", "INT64", ()), level=4)[0] == 8
    assert values(TensorInfo("shape", "INT64", (4,)), level=4)[0].tolist() == [8, 8, 8, 8]
    assert values(TensorInfo("shape", "INT64", (16,)), level=3)[0].tolist() == [2] * 16
    assert values(TensorInfo("indices", "INT64", (100,)), level=4)[0].tolist() == [1] * 100


def test_the_last_values_are_axes_that_differ() -> None:
    assert values(TensorInfo("axes", "INT64", (3,)), level=LEVELS - 1)[0].tolist() == [0, 1, 2]


def test_quantized_data_is_no_size() -> None:
    for level in range(LEVELS):
        assert np.all(values(TensorInfo("q", "INT8", (100,)), level=level)[0] == 1)
