"""A shell that is typed into, and one transcript of all that it and its background jobs print."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from tests.docs.page import missing_line

COMMAND_SECONDS = 60.0
# How long output that a background job owes may take.
OUTPUT_SECONDS = 20.0

_LOOP = 'while IFS= read -r -d "" command; do eval "$command" </dev/null; echo "$?" >&"$1"; done'


class Terminal:
    """Runs commands one after the other in one bash, as a reader would."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._transcript = ""
        self._grew = threading.Condition()
        status_out, status_in = os.pipe()
        self._statuses = os.fdopen(status_out)
        self._bash = subprocess.Popen(
            ["bash", "-c", _LOOP, "terminal", str(status_in)],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(status_in,),
            start_new_session=True,
        )
        os.close(status_in)
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> Terminal:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # With all its jobs: the shell leads a session of its own.
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        self._reader.join()
        self._statuses.close()
        for stream in (self._bash.stdin, self._bash.stdout):
            assert stream is not None
            stream.close()

    def type(self, command: str, expected: tuple[str, ...] = ()) -> tuple[int, str | None, str]:
        """Run a command; return its exit status, the first expected line that did not come, and what was printed."""
        start = len(self._transcript)
        timer = threading.Timer(COMMAND_SECONDS, self._bash.kill)
        timer.start()
        try:
            assert self._bash.stdin is not None
            self._bash.stdin.write(command.encode() + b"\0")
            self._bash.stdin.flush()
            answer = self._statuses.readline()
        finally:
            timer.cancel()
        status = int(answer) if answer else -1

        def missing() -> str | None:
            return missing_line(expected, self._transcript[start:])

        self._wait(lambda: missing() is None, OUTPUT_SECONDS)
        return status, missing(), self._transcript[start:]

    def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._grew:
            while not condition() and (left := deadline - time.monotonic()) > 0:
                self._grew.wait(left)

    def _read(self) -> None:
        assert self._bash.stdout is not None
        output = self._bash.stdout.fileno()
        while data := os.read(output, 1 << 16):
            with self._grew:
                self._transcript += data.decode(errors="replace")
                self._grew.notify_all()
