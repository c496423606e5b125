"""The fronts that a test may ask for."""

from __future__ import annotations

from typing import Literal, get_args

FrontName = Literal["grpcio", "compiled"]
FRONTS: tuple[FrontName, ...] = get_args(FrontName)
