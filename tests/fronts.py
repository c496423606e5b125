"""The fronts that a test may ask for."""

from __future__ import annotations

from typing import Literal, get_args

import pytest

FrontName = Literal["grpcio", "compiled"]
FRONTS: tuple[FrontName, ...] = get_args(FrontName)

only_compiled = pytest.mark.parametrize("front", ["compiled"], indirect=True)
"""For tests of what only the compiled front does; they ask for `front`, or for a server that does."""
