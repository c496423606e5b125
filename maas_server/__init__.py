"""Model serving: models go in as files, predictions come out over gRPC and HTTP."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
