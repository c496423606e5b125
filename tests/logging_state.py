"""The logging of the process, put back as it was after a test that configured it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def restored_logging() -> Iterator[None]:
    """Undo what happens to the root logger and to structlog inside the block."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    # pytest's own handlers live as long as the run, with whatever filters a test leaves on them.
    filters = [list(handler.filters) for handler in handlers]
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for handler, before in zip(handlers, filters, strict=True):
            handler.filters[:] = before
        root.setLevel(level)
        structlog.reset_defaults()
