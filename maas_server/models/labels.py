"""Names of classes: one line of a text file per element of an output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from maas_server.errors import LoadError
from maas_server.models.plain_files import read_plain

MAX_LABEL_BYTES = 4 << 20


def read_labels(folder: Path, files: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the labels of outputs, given the file of each; paths are relative to `folder`.

    Raises:
        LoadError: a file cannot be read, is too large, or is no UTF-8 text.
    """
    return {output: _read(folder / file, f"output_labels.{output}: {file}") for output, file in files.items()}


def _read(path: Path, where: str) -> tuple[str, ...]:
    try:
        data = read_plain(path, MAX_LABEL_BYTES)
    except OSError as error:
        raise LoadError(f"{where}: {error.strerror or error}") from error
    if len(data) > MAX_LABEL_BYTES:
        raise LoadError(f"{where}: expected at most {MAX_LABEL_BYTES} bytes")
    if b"\0" in data:
        raise LoadError(f"{where}: expected text, got a NUL byte at {data.index(0)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LoadError(f"{where}: not UTF-8 at byte {error.start}") from error
    # Not splitlines(): it also splits where text has other separators inside a line.
    lines = text.replace("\r\n", "\n").split("\n")
    return tuple(lines[:-1] if lines[-1] == "" else lines)
