"""How many CPUs this process really has."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_cpus(*, root: Path = Path("/"), affinity: int | None = None) -> int:
    """Return the CPUs that the process may use: its affinity mask, cut to the quota of its control groups.

    A quota of one and a half CPUs counts as two. `root` and `affinity` are for tests.
    """
    if affinity is None:
        affinity = len(os.sched_getaffinity(0))
    quotas = [*_quotas_v2(root), *_quotas_v1(root)]
    return max(1, min([affinity, *map(math.ceil, quotas)]))


def _quotas_v2(root: Path) -> list[float]:
    quotas = []
    for folder in _ancestors(root / "sys/fs/cgroup", _group_paths(root, "")):
        fields = _read(folder / "cpu.max").split()
        if len(fields) == 2 and fields[0] != "max":
            quotas.append(_ratio(fields[0], fields[1]))
    return [quota for quota in quotas if quota > 0]


def _quotas_v1(root: Path) -> list[float]:
    quotas = []
    for mount in ("cpu", "cpu,cpuacct"):
        for folder in _ancestors(root / "sys/fs/cgroup" / mount, _group_paths(root, "cpu")):
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            quotas.append(_ratio(quota, period))
    return [quota for quota in quotas if quota > 0]


def _ratio(quota: str, period: str) -> float:
    try:
        return int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return -1.0


def _group_paths(root: Path, controller: str) -> list[str]:
    """Return the process's paths in the hierarchy of `controller`; "" names the unified hierarchy of version 2."""
    paths = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and (controller in fields[1].split(",")):
            paths.append(fields[2])
    return paths


def _ancestors(mount: Path, paths: list[str]) -> list[Path]:
    """Return the folders from the mount point down to each path; a quota anywhere above counts too.

    Inside a container the path is often the host's and not there; the mount point itself is then the group.
    """
    folders = [mount]
    for path in paths:
        folder = mount
        for part in Path(path.lstrip("/")).parts:
            if part == "..":
                break
            folder = folder / part
            folders.append(folder)
    return folders


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
