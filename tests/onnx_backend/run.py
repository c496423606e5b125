"""Runs the backend tests: through ONNX Runtime, and through a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.serving import ServeProcess
from tests.onnx_backend.cases import LeftOutError, find_cases
from tests.onnx_backend.reference import Asked, ask
from tests.onnx_backend.walk import Results, walk

# Where `make venv` puts the files of the tests.
DATA = Path(sys.prefix) / "onnx-backend"

_LOCALE = "en_US"
_LOCALE_SOURCE = Path("/usr/share/i18n/locales") / _LOCALE


@dataclass
class Selection:
    """All cases: those that ONNX Runtime passes, and why not the others."""

    asked: list[Asked] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Reason to the names of cases."""


def select() -> Selection:
    """Ask ONNX Runtime every case.

    Raises:
        FileNotFoundError: the cases are not there.
    """
    selection = Selection()
    for case in find_cases(DATA):
        try:
            selection.asked += ask(case)
        except LeftOutError as error:
            selection.left_out[str(error)].append(case.name)
    return selection


def serve_and_walk(asked: Iterable[Asked], repository: Path) -> Results:
    """Serve every model in one process, laid out in `repository`, and ask it everything."""
    asked = list(asked)
    for each in asked:
        folder = repository / each.case.name / "1"
        if not folder.exists():
            folder.mkdir(parents=True)
            shutil.copyfile(each.case.model, folder / "model.onnx")
    # As many threads as the reference has, since a sum's last bits depend on who adds what.
    process = ServeProcess((repository, "--settle", "0", "--drain-delay", "0", "--threads", "1"))
    try:
        process.start()
        http_port: int = process.wait_for_event("http_listening")["http_port"]
        results = walk(asked, process.target, http_port)
        results.peak_bytes = _peak_bytes(process.wait_for_event("listening")["pid"])
        assert process.stop() == 0, process.output[-8000:]
    finally:
        process.kill()
    return results


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


@contextmanager
def string_locale(folder: Path) -> Iterator[None]:
    """Have the locale that StringNormalizer wants, where the system has its source but not the locale itself."""
    if _has_locale() or not _LOCALE_SOURCE.exists() or shutil.which("localedef") is None:
        yield
        return
    subprocess.run(["localedef", "-i", _LOCALE, "-f", "UTF-8", folder / f"{_LOCALE}.UTF-8"], check=True)
    before = os.environ.get("LOCPATH")
    os.environ["LOCPATH"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["LOCPATH"]
        else:
            os.environ["LOCPATH"] = before


def _has_locale() -> bool:
    try:
        listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return True
    return any(line.lower().replace("-", "") == "en_us.utf8" for line in listed.splitlines())
