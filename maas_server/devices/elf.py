"""Which shared libraries a shared library asks the loader for."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

# Of <elf.h>.
_MAGIC_64_LITTLE = b"\x7fELF\x02\x01"
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5


def needed_libraries(path: Path) -> tuple[str, ...]:
    """Return what the library at `path` names as DT_NEEDED, without loading it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no 64-bit little-endian ELF file with a dynamic section.
    """
    # Mapped, because the library may take hundreds of megabytes, and a few pages of it say this.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        if image[: len(_MAGIC_64_LITTLE)] != _MAGIC_64_LITTLE:
            raise ValueError(f"{path.name} is no 64-bit little-endian ELF file")
        try:
            return _needed(image)
        except (IndexError, struct.error) as error:
            raise ValueError(f"{path.name} is cut short: {error}") from error


def _needed(image: mmap.mmap) -> tuple[str, ...]:
    (headers,) = struct.unpack_from("<Q", image, 0x20)
    size, count = struct.unpack_from("<HH", image, 0x36)
    segments = []
    dynamic = None
    for index in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", image, headers + index * size)
        if kind == _PT_LOAD:
            segments.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, length)
    if dynamic is None:
        raise ValueError("there is no dynamic section")
    names, strings = list[int](), 0
    for at in range(dynamic[0], sum(dynamic), 16):
        tag, value = struct.unpack_from("<QQ", image, at)
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            names.append(value)
        elif tag == _DT_STRTAB:
            strings = value
    # Its entry holds where the table will lie in memory, not in the file.
    table = next(
        (strings - address + offset for address, offset, length in segments if 0 <= strings - address < length), 0
    )
    return tuple(_string(image, table + name) for name in names)


def _string(image: mmap.mmap, start: int) -> str:
    end = image.find(b"\0", start)
    if end < 0:
        raise IndexError("a name has no end")
    return image[start:end].decode("utf-8", "replace")
