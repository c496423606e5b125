"""Says in the log when the predictions of a version cease to hold, and when they hold again; run by the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from maas_server.models.host import Mode

log = structlog.get_logger(__name__)

_SECONDS = 1.0
_REASONS: Mapping[Mode, str] = {
    "predictive": "predictions hold again",
    "work_conserving": "runs do not take what was predicted; nothing is refused because of a prediction",
}

Modes = Iterable[tuple[str, int, Mode]]


class ModeWatch:
    """Looks at the modes of all versions that serve, once a second. Loop thread only."""

    def __init__(self, modes: Callable[[], Modes]) -> None:
        """`modes`: model, version and mode of all versions that serve."""
        self._modes = modes
        self._seen: dict[tuple[str, int], Mode] = {}

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            self.look()
            await asyncio.sleep(_SECONDS)

    def look(self) -> None:
        """Log what changed since the last look; the first mode of a version is no change."""
        seen: dict[tuple[str, int], Mode] = {}
        for model, version, mode in self._modes():
            seen[model, version] = mode
            if self._seen.get((model, version), mode) == mode:
                continue
            bound = {"model": model, "version": version, "mode": mode, "reason": _REASONS[mode]}
            if mode == "predictive":
                log.info("scheduling_mode", **bound)
            else:
                log.warning("scheduling_mode", **bound)
        self._seen = seen
