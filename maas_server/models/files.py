"""Files of models: which there are, which count, and whether they changed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from maas_server.errors import LoadError
from maas_server.models.folder_config import CONFIG_NAMES

_VERSION = re.compile(r"[1-9][0-9]{0,18}")
_MAX_FILES = 10_000
_MAX_DEPTH = 4

Files = tuple[tuple[str, Path], ...]


def fingerprint_of(files: Sequence[tuple[str, Path]]) -> str:
    """Return a text that changes whenever a file is written, replaced, added or removed."""
    parts = []
    for name, path in files:
        try:
            stat = path.stat()
        except OSError:
            parts.append(f"{name}:gone")
            continue
        parts.append(f"{name}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_dev}:{stat.st_ino}")
    return "\n".join(parts)


def newest_change(path: Path) -> float:
    """Return when a file changed last, its name and place included; infinity when it cannot be told."""
    try:
        stat = path.stat()
    except OSError:
        return float("inf")
    return max(stat.st_mtime, stat.st_ctime)


def entries(folder: Path) -> list[Path]:
    """Return the folder's entries that count, sorted.

    Raises:
        OSError: it cannot be read.
    """
    return sorted(entry for entry in folder.iterdir() if not _is_temporary(entry.name))


def is_version_name(name: str) -> bool:
    """Whether a name is a version's: a positive integer below 2^63 without leading zeros."""
    return _VERSION.fullmatch(name) is not None and int(name) < 2**63


def is_version(entry: Path) -> bool:
    """Whether this is a version's folder."""
    return is_version_name(entry.name) and entry.is_dir()


def version_folders(folder: Path, file: str, rejected: list[tuple[str, str]]) -> dict[int, tuple[Path, Path]]:
    """Return the version's root and model file per version; a model file beside no version folder is version 1."""
    try:
        found = entries(folder)
    except OSError as error:
        rejected.append((printable(folder), error.strerror or str(error)))
        return {}
    versions = {int(entry.name): (entry, entry / file) for entry in found if is_version(entry)}
    for entry in found:
        if entry.is_dir() and not is_version(entry) and entry.name.isascii() and entry.name.isdigit():
            rejected.append((printable(entry), "a version is a positive integer below 2^63 without leading zeros"))
    if not versions and (folder / file).is_file():
        return {1: (folder, folder / file)}
    return versions


def files_below(root: Path) -> Files:
    """Return every file below `root` (or `root` itself), by name; configurations are not the version's.

    Raises:
        LoadError: there are too many.
    """
    if root.is_file():
        return ((root.name, root),)
    found: list[tuple[str, Path]] = []
    for folder, folders, names in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if not _is_temporary(name)) if depth < _MAX_DEPTH else []
        for name in names:
            # A download in progress beside the model counts: the version is not complete while it changes.
            if not name.startswith(".") and not (depth == 0 and name in CONFIG_NAMES):
                path = Path(folder) / name
                found.append((str(path.relative_to(root)), path))
        if len(found) > _MAX_FILES:
            raise LoadError(f"{root}: expected at most {_MAX_FILES} files in a version")
    return tuple(sorted(found))


def printable(path: Path) -> str:
    """Return the path as text that can be sent and logged."""
    return str(path).encode(errors="backslashreplace").decode()[:512]


def _is_temporary(name: str) -> bool:
    return name.startswith((".", "_")) or name.endswith((".tmp", ".part", ".partial", "~"))
