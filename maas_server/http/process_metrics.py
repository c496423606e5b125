"""What every Prometheus client says of its process, from /proc; nothing where there is no /proc."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from maas_server.http.exposition import Family

_PROC = Path("/proc/self")
_TICKS = os.sysconf("SC_CLK_TCK")


def process_families() -> list[Family]:
    """Return CPU time, memory, open files and the time of the start."""
    try:
        # The name, second and in parentheses, may hold anything.
        stat = (_PROC / "stat").read_text().rpartition(")")[2].split()
        open_files = sum(1 for _ in (_PROC / "fd").iterdir())
    except OSError:
        return []
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(stat[19]) / _TICKS
    return [
        _family("process_cpu_seconds_total", "User and system CPU time.", (int(stat[11]) + int(stat[12])) / _TICKS),
        _family("process_virtual_memory_bytes", "Virtual memory.", int(stat[20])),
        _family("process_resident_memory_bytes", "Resident memory.", int(stat[21]) * resource.getpagesize()),
        _family("process_start_time_seconds", "Unix time of the start.", round(started, 2)),
        _family("process_open_fds", "Open file descriptors.", open_files),
        _family("process_max_fds", "Most open file descriptors.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        _family("process_threads", "Threads.", int(stat[17])),
    ]


def _family(name: str, text: str, value: float) -> Family:
    family = Family(name, "counter" if name.endswith("_total") else "gauge", text)
    family.add(value)
    return family
