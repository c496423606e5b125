"""When a memory arena should give back what only a peak needed."""

from __future__ import annotations


class ShrinkPolicy:
    """Says which run is to return the arena's unused memory to the system.

    An arena grows to what the largest run needed and stays there. Shrinking it after every run would make each run
    fault its pages in anew, so it shrinks once when a whole window saw only runs a quarter as large as the peak.
    Time is an argument. Threads: calls may overlap; a lost update only delays a shrink by a window.
    """

    def __init__(self, *, window: float = 10.0, ratio: int = 4, floor: int = 64 << 10) -> None:
        """`window` in seconds; peaks below `floor` bytes of inputs and outputs are not worth a shrink."""
        self._window = window
        self._ratio = ratio
        self._floor = floor
        self._peak = 0
        self._window_peak = 0
        self._window_end = 0.0

    def should_shrink(self, nbytes: int, now: float) -> bool:
        """Note a run over `nbytes` of inputs and outputs; True when it is the one that should shrink the arena."""
        if nbytes > self._window_peak:
            self._window_peak = nbytes
            if nbytes > self._peak:
                self._peak = nbytes
        if now < self._window_end:
            return False
        first = self._window_end == 0.0
        self._window_end = now + self._window
        if first:
            return False
        recent, self._window_peak = self._window_peak, 0
        if self._peak <= self._floor or self._peak <= self._ratio * recent:
            return False
        self._peak = recent
        return True
