"""Shapes that clients see and shapes that the model has."""

from __future__ import annotations

import pytest

from maas_server.models.declared import DeclaredTensor, Shape, reshape_problem, to_model_shape


@pytest.mark.parametrize(
    ("wire", "shape"),
    [
        ((4, 1), (4,)),
        ((1,), ()),
        ((), ()),
        ((2, 3, 4), (6, 4)),
        ((-1, 1), (-1,)),
        ((2, -1, 6), (1, 2, -1, 2, 3)),
        ((-1, 4, -1), (-1, 2, 2, -1)),
    ],
)
def test_shapes_of_the_same_elements_agree(wire: Shape, shape: Shape) -> None:
    assert reshape_problem(wire, shape) == reshape_problem(shape, wire) == ""


@pytest.mark.parametrize(
    ("wire", "shape"),
    [
        ((4,), (5,)),
        ((), (2,)),
        ((-1,), (4,)),
        ((-1, -1), (-1,)),
        # The same number of fixed elements, on another side of what varies.
        ((4, -1), (-1, 4)),
        ((-1, 4, -1), (-1, -1, 4)),
    ],
)
def test_shapes_of_other_elements_do_not(wire: Shape, shape: Shape) -> None:
    assert reshape_problem(wire, shape)


@pytest.mark.parametrize(
    ("declared", "shape", "sent", "given"),
    [
        ((-1, 2, 4), (-1, 8), (3, 2, 4), (3, 8)),
        ((1,), (), (1,), ()),
        ((-1, -1, 1), (-1, -1), (3, 7, 1), (3, 7)),
        ((-1, 1, -1), (1, -1, -1), (3, 1, 7), (1, 3, 7)),
    ],
)
def test_varying_sizes_are_carried_over(declared: Shape, shape: Shape, sent: Shape, given: Shape) -> None:
    assert to_model_shape(DeclaredTensor("x", "FP32", declared, shape), sent) == given
