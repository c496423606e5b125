"""How far the process's memory rises while something runs, and how far it may."""

from __future__ import annotations

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
# Where nothing tells what is there to be had.
_UNKNOWN = 1 << 30


class PeakMemory:
    """Peak of the resident set above where it was at construction. 0 wherever the system does not tell.

    It is the whole process's: what others allocate meanwhile counts too. Where the system does not let the peak start
    again, what is resident at the moment stands for it.
    """

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        """`proc` is for tests."""
        self._proc = proc
        self._field = "VmRSS:"
        self._base = self._read(self._field)

    def reset(self) -> None:
        """Let the peak start again at what is resident now."""
        try:
            # "5" resets the peak and nothing else (proc_pid_clear_refs(5)).
            (self._proc / "clear_refs").write_text("5")
        except OSError:
            self._field = "VmRSS:"
        else:
            self._field = "VmHWM:"

    def growth(self) -> int:
        """Return the bytes from the base to the peak since the last reset."""
        return max(0, self._read(self._field) - self._base) if self._base else 0

    def _read(self, field: str) -> int:
        return _kilobytes(self._proc / "status", field)


def available_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int:
    """Return what the process may still allocate before the system or its control group runs out.

    The paths are for tests.
    """
    left = [value for value in (_kilobytes(meminfo, "MemAvailable:"),) if value]
    for limit, used, inactive in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        allowed, taken = _number(cgroup / limit), _number(cgroup / used)
        if allowed is not None and taken is not None:
            # Cached files are given up before anybody is killed.
            cached = _statistic((cgroup / used).with_name("memory.stat"), inactive)
            left.append(max(0, allowed - taken + cached))
    return min(left, default=_UNKNOWN)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _statistic(path: Path, name: str) -> int:
    for line in _lines(path):
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdecimal():
            return int(value)
    return 0


def _kilobytes(path: Path, field: str) -> int:
    """Return a field that is given in KiB, in bytes; 0 when it is not there."""
    for line in _lines(path):
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
