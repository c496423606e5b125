"""What README.md and the pages show is typed, and prints what they say it prints."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from maas_server import compiled_front
from tests.docs.page import Step, missing_line, read_blocks, read_steps
from tests.docs.terminal import Terminal
from tests.foreign import tools

PAGES = [
    "README.md",
    "docs/client.md",
    "docs/coming-from.md",
    pytest.param(
        "docs/front.md",
        # The build says why it has none.
        marks=pytest.mark.skipif(bool(compiled_front.available()), reason=compiled_front.available()),
    ),
    "docs/gpu.md",
    "docs/models.md",
    "docs/operations.md",
    "docs/overload.md",
    "docs/rest.md",
    "examples/README.md",
]

# Commands that are not typed as they stand: what is typed in their place ("" for nothing), and why.
REPLACED = {
    "make demo": ("python examples/demo/run.py", "its recipe without the build, which is what runs this test"),
    "source .venv/bin/activate": ("", "the interpreter that runs this test has its programs in PATH already"),
}

# What a program imports, and the environment of tests/foreign/ that has it.
ENVIRONMENTS = {"kserve": "kserve", "tensorflow_serving": "tensorflow", "tritonclient": "triton"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def folder(root: Path, demo: Path, tmp_path: Path) -> Path:
    """A checkout in which `make demo` was run, as far as the pages use it."""
    (tmp_path / "build").mkdir()
    shutil.copytree(demo, tmp_path / "build/demo")
    for name in ("examples", "deploy"):
        (tmp_path / name).symlink_to(root / name)
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    """The pages' ports are for readers; here each page has free ones, and a server that need not wait to stop."""
    programs = str(Path(sys.executable).parent)
    port = str(free_port())
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MAAS_")},
        "PATH": programs + os.pathsep + os.environ["PATH"],
        "PYTHONUNBUFFERED": "1",
        "MAAS_GRPC_PORT": port,
        "MAAS_HTTP_PORT": str(free_port()),
        "MAAS_ADDRESS": f"localhost:{port}",
        "MAAS_LOG_FORMAT": "pretty",
        "MAAS_DRAIN_DELAY": "0",
        "MAAS_SETTLE": "200ms",
        "MAAS_POLL_INTERVAL": "200ms",
    }


def prepare(step: Step, folder: Path, environment: Mapping[str, str]) -> str:
    """Return what to type for a step."""

    def here(text: str) -> str:
        grpc, http = environment["MAAS_GRPC_PORT"], environment["MAAS_HTTP_PORT"]
        return text.replace("localhost:8001", f"localhost:{grpc}").replace("localhost:8000", f"localhost:{http}")

    if step.program:
        name = f"line_{step.number}.py"
        (folder / name).write_text(here(step.program), encoding="utf-8")
        return f"{interpreter(step.program)} {name}"
    if step.command.startswith("curl "):
        tools.require("curl")
    typed, _ = REPLACED.get(step.command, (step.command, ""))
    return here(typed)


def interpreter(program: str) -> str:
    """The Python that has what a program imports."""
    for package in re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE):
        if name := ENVIRONMENTS.get(package):
            tools.prepare(name)
            return str(tools.ENVIRONMENTS / name / "bin/python")
    return "python"


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_happens(page: str, root: Path, folder: Path, environment: dict[str, str]) -> None:
    steps = read_steps(root / page)
    assert steps, f"{page} shows nothing to run"
    left_out: list[str] = []
    with Terminal(folder, environment) as terminal:
        for step in steps:
            try:
                typed = prepare(step, folder, environment)
            except pytest.skip.Exception as skipped:
                # The rest of the page is tried all the same.
                left_out.append(f"line {step.number}: {skipped}")
                continue
            status, missing, output = terminal.type(typed, step.expected) if typed else (0, None, "")
            where = f"{page}:{step.number}: {typed}"
            assert missing is None, f"{where}\ndid not print: {missing}\nbut:\n{output}"
            assert (status != 0) == step.may_fail(), f"{where}\nended with {status} and printed:\n{output}"
    if left_out:
        pytest.skip(f"all but these steps of {page} were typed: {'; '.join(left_out)}")


def test_a_terminal_shows_what_a_command_and_its_jobs_print(tmp_path: Path) -> None:
    with Terminal(tmp_path, os.environ) as terminal:
        assert terminal.type("echo one; false", ("one",)) == (1, None, "one\n")
        assert terminal.type("(sleep 0.1; echo later) &", ("later",)) == (0, None, "later\n")
        assert terminal.type("kill %1 2>/dev/null; cd /; X=1")[0] == 0
        assert terminal.type('echo "$PWD $X"', ("/ 1",))[:2] == (0, None)


def test_the_readme_names_commands_of_the_makefile_only(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", (root / "README.md").read_text()))
    assert named >= {"demo", "test", "bench"}
    assert named <= targets


def test_the_readme_counts_as_the_page_on_conformance_does(root: Path) -> None:
    counts = re.search(r"of (\d+), the (\d+) that", (root / "README.md").read_text())
    page = (root / "docs/conformance.md").read_text()
    assert counts is not None
    assert f"carries {counts[1]} backend tests" in page
    assert f"ONNX Runtime itself passes, {counts[2]}, is served" in page


def test_a_page_is_read_as_its_reader_reads_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- tried\n$ serve &\nready\n-->\n\n```console\n$ one\n1.5  ms\n\n$ two\n```\n\n"
        "```python\nprint(1)\n```\n\n```text\n1\n```\n<!-- not run: no such program -->\n```sh\nthree\n```\n"
        "```sh\nfour\n```\n"
    )
    steps = [(step.command, step.expected, step.program) for step in read_steps(page)]
    assert steps == [
        ("serve &", ("ready",), ""),
        ("one", ("1.5  ms",), ""),
        ("two", (), ""),
        ("", ("1",), "print(1)"),
        ("four", (), ""),
    ]
    assert [block.run for block in read_blocks(page.read_text())] == [True, True, True, True, False, True]


@pytest.mark.parametrize(
    ("expected", "output", "missing"),
    [
        (("run 0.3 ms",), "first\nrun   12 ms\n", None),
        (("run 0.3 ms",), "runs 12 ms\n", "run 0.3 ms"),
        (("a", "b"), "b\na\n", "b"),
        (("... ready ... models=['m:1']",), "12:00 [info] ready [x] port=1 models=['m:1']", None),
        (("m:2 in 0.1 ms",), "m:1 in 0.1 ms", "m:2 in 0.1 ms"),
        (("m  12*  AVAILABLE",), "m   1*  AVAILABLE\nm  11*  AVAILABLE", "m  12*  AVAILABLE"),
        (("... ready ...",), "read y", "... ready ..."),
    ],
)
def test_output_is_compared_but_for_its_figures(expected: tuple[str, ...], output: str, missing: str | None) -> None:
    assert missing_line(expected, output) == missing
