"""The kernels on a GPU: those of `python -m benchmarks.gpu`, in the same table as the rest."""

from __future__ import annotations

from benchmarks.gpu.kernels import pack, upload

__all__ = ["pack", "upload"]
