"""How far the process's memory rises while something runs."""

from __future__ import annotations

from pathlib import Path


class PeakMemory:
    """Peak of the resident set above where it was at construction. 0 wherever the system does not tell.

    It is the whole process's: what others allocate meanwhile counts too.
    """

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        """`proc` is for tests."""
        self._proc = proc
        self._base = self._read("VmRSS:")

    def reset(self) -> None:
        """Let the peak start again at what is resident now."""
        try:
            # "5" resets the peak and nothing else (proc_pid_clear_refs(5)).
            (self._proc / "clear_refs").write_text("5")
        except OSError:
            return

    def growth(self) -> int:
        """Return the bytes from the base to the peak since the last reset."""
        peak = self._read("VmHWM:")
        return max(0, peak - self._base) if self._base else 0

    def _read(self, field: str) -> int:
        try:
            lines = (self._proc / "status").read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            return 0
        for line in lines:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        return 0
