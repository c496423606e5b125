"""Opening files that others put into a repository: only plain ones, for anything else may never end, or never begin."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def open_plain(path: Path) -> BufferedReader:
    """Open a file for reading; it and what it links to are no device, pipe or folder.

    Raises:
        OSError: it cannot be read, or is none.
    """
    # Without O_NONBLOCK a pipe would be waited for, as long as nobody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, limit: int) -> bytes:
    """Return a file's content; one byte more than `limit` where it has more.

    Raises:
        OSError: as `open_plain`.
    """
    with open_plain(path) as file:
        return file.read(limit + 1)
