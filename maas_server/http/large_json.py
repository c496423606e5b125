"""Large JSON, read and written in a process of its own, so that neither this loop nor gRPC's waits for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import structlog

from maas_server.errors import Unavailable
from maas_server.http import json_process

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Text below this takes about as long to read as to hand over.
_LARGE_TEXT = 1 << 20
# Of tensors that are to be written: numbers take longer to write than to read, and are longer as text.
LARGE_TENSORS = 64 << 10
# How many jobs may wait, of either kind. Answers cost the more the later they are refused.
_READS_AT_ONCE = 8
_WRITES_AT_ONCE = 64
_RETRY_SECONDS = 1.0
# No body within the limits takes so long; whatever hangs is ended.
_JOB_SECONDS = 120.0
# The process ends after so long without a job, or so many bytes in and out of it, and its memory with it.
_IDLE_SECONDS = 10.0
_BYTES_PER_PROCESS = 256 << 20
_COMMAND = (
    "import sys; sys.path[:] = sys.argv[2:]; from maas_server.http.json_process import main; main(int(sys.argv[1]))"
)


class LargeJson:
    """Does jobs here when they are small, else one after the other in a process. Belongs to one event loop.

    Jobs are functions of modules; what they take and give is pickled, large bytes as Blobs.
    """

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes`: of an answer's JSON. Nothing is started yet."""
        self.max_bytes = max_bytes
        self._reads = threading.BoundedSemaphore(_READS_AT_ONCE)
        self._writes = threading.BoundedSemaphore(_WRITES_AT_ONCE)
        self._idle: asyncio.TimerHandle | None = None
        # The rest is touched by this one thread only.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="maas-json")
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any]
        self._done_bytes = 0

    async def read(self, size: int, work: Callable[..., T], *arguments: Any) -> T:
        """Return `work(*arguments)`, which reads JSON of `size` bytes.

        Raises:
            Unavailable: too many wait already, or the process ended.
            Exception: what `work` raises.
        """
        if size <= _LARGE_TEXT:
            return work(*arguments)
        return await self._run(self._reads, size, work, arguments)

    async def write(self, size: int, work: Callable[..., T], *arguments: Any) -> T:
        """Return `work(*arguments)`, which writes tensors of `size` bytes as JSON.

        Raises:
            Unavailable: too many wait already, or the process ended.
            Exception: what `work` raises.
        """
        if size <= LARGE_TENSORS:
            return work(*arguments)
        return await self._run(self._writes, size, work, arguments)

    async def close(self) -> None:
        """End the process. What it still does is for nobody: requests that wait are over, or were given up."""
        if self._idle is not None:
            self._idle.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)
        process = self._process
        if process is not None:
            process.kill()
        await asyncio.to_thread(self._thread.shutdown)
        self._end()

    async def _run(
        self, slots: threading.BoundedSemaphore, size: int, work: Callable[..., T], arguments: tuple[Any, ...]
    ) -> T:
        if not slots.acquire(blocking=False):
            raise Unavailable("too many large JSON bodies wait already", retry_after=_RETRY_SECONDS)
        if self._idle is not None:
            self._idle.cancel()
        future = self._thread.submit(self._do, size, work, arguments)
        # Also when the caller left before its turn; a job that has begun is finished.
        future.add_done_callback(lambda _: slots.release())
        try:
            result: T = await asyncio.wrap_future(future)
            return result
        finally:
            if self._idle is not None:
                self._idle.cancel()
            self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._thread.submit, self._end)

    def _do(self, size: int, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        if self._process is None or self._process.poll() is not None or self._done_bytes > _BYTES_PER_PROCESS:
            self._end()
            self._start()
        assert self._process is not None
        self._done_bytes += size
        watchdog = threading.Timer(_JOB_SECONDS, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            json_process.send(self._connection, (work, arguments))
            result, error = json_process.receive(self._connection)
        except (EOFError, OSError):
            log.warning("json_process_lost", exit_status=self._process.wait())
            self._end()
            raise Unavailable("the process for large JSON ended", retry_after=_RETRY_SECONDS) from None
        finally:
            watchdog.cancel()
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]  # what `work` returned, by way of the other process

    def _start(self) -> None:
        ours, theirs = Pipe()
        descriptor = theirs.fileno()
        command = [sys.executable, "-P", "-c", _COMMAND, str(descriptor), *sys.path]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[descriptor],
                    # Ctrl-C is the server's.
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            log.warning("json_process_lost", error=str(error))
            raise Unavailable("the process for large JSON does not start", retry_after=_RETRY_SECONDS) from None
        self._connection = ours
        self._done_bytes = 0

    def _end(self) -> None:
        if self._process is not None:
            self._connection.close()
            # It waits for a job, or is lost anyway.
            self._process.kill()
            self._process.wait()
            self._process = None
