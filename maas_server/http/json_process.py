"""The process that reads and writes large JSON for the server: JSON's library does a body in one call, lock held.

It takes one job after the other from a socket, and ends when that closes, however the server ended.
"""

from __future__ import annotations

import contextlib
import gc
import pickle
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from maas_server.errors import MaasError

Job = tuple[Callable[..., Any], tuple[Any, ...]]

_COUNT_BYTES = 4
# When memory runs out this goes first, whatever it has: the server takes a new one.
_OOM_SCORE = "500"


def send(connection: Connection[Any, Any], value: object) -> None:
    """Send a value; the bytes of its Blobs are not copied before.

    Raises:
        OSError: the other side ended.
    """
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, 5, buffer_callback=buffers.append)
    connection.send_bytes(len(buffers).to_bytes(_COUNT_BYTES, "little"))
    connection.send_bytes(head)
    for buffer in buffers:
        with buffer.raw() as view:
            connection.send_bytes(view)


def receive(connection: Connection[Any, Any]) -> Any:
    """Return a value that `send` sent.

    Raises:
        EOFError: the other side ended.
        OSError: so it did.
    """
    count = int.from_bytes(connection.recv_bytes(), "little")
    head = connection.recv_bytes()
    return pickle.loads(head, buffers=[connection.recv_bytes() for _ in range(count)])


def main(descriptor: int) -> None:
    """Do jobs from the socket `descriptor` until it is closed."""
    # Whoever ends the server may tell all of its processes; what was accepted is finished first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Of millions of new lists none is garbage yet, and looking for it takes longer than all the rest.
    gc.disable()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, OSError):
        while True:
            send(connection, _outcome(receive(connection)))


def _outcome(job: Job) -> tuple[Any, Exception | None]:
    work, arguments = job
    try:
        return work(*arguments), None
    except Exception as error:
        if not isinstance(error, MaasError | UnicodeEncodeError):
            error.add_note(traceback.format_exc())
        return None, error
