"""Reads what a page shows: commands with their output, programs with theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NOT_RUN = re.compile(r"<!-- not run: \S.* -->")
_FENCE = re.compile(r"```(\w*)")
# Figures differ from machine to machine and from run to run; versions, as in `digits:2` and `2*`, do not.
_NUMBER = re.compile(r"(?<![a-z]:)(?<!\d)\d+(\.\d+)?(e[+-]?\d+)?(?![\d*])")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, or a comment `<!-- tried ... -->`, which is a console block that readers do not see."""

    language: str
    lines: tuple[str, ...]
    number: int
    """The line of the page that it begins at."""
    run: bool
    """False under a `<!-- not run: reason -->`."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to type, or a program to run, and the output that the page shows."""

    command: str
    number: int
    expected: tuple[str, ...] = ()
    program: str = ""
    """Python source; the command is empty then."""

    def may_fail(self) -> bool:
        """Whether the page shows a command that fails."""
        return any(line.startswith(("Error:", "error  ")) for line in self.expected)


def read_blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = text.splitlines()
    position = 0
    while position < len(lines):
        start = position
        fence = _FENCE.fullmatch(lines[position])
        end_mark = "```" if fence else "-->" if lines[position] == "<!-- tried" else ""
        position += 1
        if not end_mark:
            continue
        while lines[position] != end_mark:
            position += 1
        before = lines[start - 1] if start else ""
        language = fence[1] if fence else "console"
        yield Block(language, tuple(lines[start + 1 : position]), start + 1, _NOT_RUN.fullmatch(before) is None)
        position += 1


def read_steps(page: Path) -> list[Step]:
    """Return what a page tells its reader to do, in order."""
    steps: list[Step] = []
    program: Block | None = None
    for block in read_blocks(page.read_text(encoding="utf-8")):
        if program is not None:
            shown = block.lines if block.language == "text" else ()
            steps.append(Step("", program.number, shown, "\n".join(program.lines)))
            program = None
        if not block.run:
            continue
        if block.language == "python":
            program = block
        elif block.language == "sh":
            steps += [Step(line, block.number) for line in block.lines if line]
        elif block.language == "console":
            steps += _console_steps(block)
    if program is not None:
        steps.append(Step("", program.number, (), "\n".join(program.lines)))
    return steps


def _console_steps(block: Block) -> Iterator[Step]:
    command, number, expected = "", block.number, list[str]()
    for offset, line in enumerate(block.lines, start=1):
        if line.startswith("$ "):
            if command:
                yield Step(command, number, tuple(expected))
            command, number, expected = line[2:], block.number + offset, []
        elif line.strip():
            expected.append(line)
    if command:
        yield Step(command, number, tuple(expected))


def missing_line(expected: tuple[str, ...], output: str) -> str | None:
    """Return the first expected line that does not come, in order, in the output; None: all do.

    Numbers equal each other, so do runs of blanks, and `...` stands for anything.
    """
    lines = iter([_normal(line) for line in output.splitlines()])
    for line in expected:
        parts = [re.escape(_normal(part)) for part in line.split("...")]
        pattern = re.compile(r"\s?.*\s?".join(parts))
        if not any(pattern.fullmatch(each) for each in lines):
            return line
    return None


def _normal(line: str) -> str:
    return " ".join(_NUMBER.sub("0", line).split())
