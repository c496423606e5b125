"""`python -m tests.onnx_backend`: runs the backend tests and writes what they show into docs/conformance.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.onnx_backend import report
from tests.onnx_backend.reference import NO_LOCALE
from tests.onnx_backend.run import select, serve_and_walk, string_locale


def main() -> int:
    """Return the exit status: 1 if something failed, and then nothing is written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with string_locale(folder):
            selection = select()
            results = serve_and_walk(selection.asked, folder / "models")
    failures = [f"{protocol}: {failure}" for protocol, each in results.failed.items() for failure in each]
    failures += selection.left_out.get(NO_LOCALE, [])
    if failures:
        sys.stderr.write("\n".join(failures) + "\n")
        return 1
    report.LEFT_OUT.write_text(report.listing(selection.left_out))
    report.PAGE.write_text(report.page(selection.asked, selection.left_out, results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
