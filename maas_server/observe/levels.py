"""Which levels are logged, changed while the server runs. The state is that of `logging`, so it is the process's."""

from __future__ import annotations

import logging
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Levels:
    """Whether events of each level are logged; critical ones always are."""

    debug: bool
    info: bool
    warning: bool
    error: bool


class _Gaps(logging.Filter):
    """Drops levels above the least that is logged."""

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self.levels = levels

    def filter(self, record: logging.LogRecord) -> bool:
        return _allows(self.levels, record.levelno)


def enabled_levels() -> Levels:
    """Return what is logged now."""
    root = logging.getLogger()
    gaps = _gaps()

    def enabled(number: int) -> bool:
        return root.isEnabledFor(number) and (gaps is None or _allows(gaps.levels, number))

    return Levels(*(enabled(number) for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)))


def enable_levels(levels: Levels) -> None:
    """Log these levels from now on, in whatever form the logs are."""
    least = logging.CRITICAL
    for enabled, number in (
        (levels.error, logging.ERROR),
        (levels.warning, logging.WARNING),
        (levels.info, logging.INFO),
        (levels.debug, logging.DEBUG),
    ):
        if enabled:
            least = number
    root = logging.getLogger()
    root.setLevel(least)
    for handler in root.handlers:
        for each in [each for each in handler.filters if isinstance(each, _Gaps)]:
            handler.removeFilter(each)
        handler.addFilter(_Gaps(levels))


def _gaps() -> _Gaps | None:
    for handler in logging.getLogger().handlers:
        for each in handler.filters:
            if isinstance(each, _Gaps):
                return each
    return None


def _allows(levels: Levels, number: int) -> bool:
    if number >= logging.CRITICAL:
        return True
    if number >= logging.ERROR:
        return levels.error
    if number >= logging.WARNING:
        return levels.warning
    return levels.info if number >= logging.INFO else levels.debug
