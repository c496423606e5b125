"""docs/clients-in-other-languages.md shows the commands that the clients here are made and run with."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.docs.page import read_blocks
from tests.foreign import tools

PAGE = tools.ROOT / "docs/clients-in-other-languages.md"
SOURCES = {"cpp": "cpp/client.cc", "go": "go/client.go", "java": "java/Client.java"}


def shown(heading: str) -> list[str]:
    """The commands under a heading."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    return [line for block in read_blocks(section[1]) for line in block.lines]


def made(client: str) -> str:
    """The commands that make a client, with the names that the page gives to files and folders."""
    names = ["protos=$$protos", "common=$$common", f"{client}=build"]
    command = ["make", "--dry-run", "--always-make", "-f", "tests/foreign/Makefile", client, *names]
    commands = subprocess.run(command, cwd=tools.ROOT, check=True, capture_output=True, text=True).stdout
    source = SOURCES[client]
    return commands.replace(f"tests/foreign/{source}", source.partition("/")[2])


@pytest.mark.parametrize(("heading", "client"), [("C++", "cpp"), ("Go", "go"), ("Java", "java")])
def test_the_commands_of_a_language_are_those_that_are_tried(heading: str, client: str) -> None:
    packages, folder, *commands, run = shown(heading)
    assert set(packages.removeprefix("apt-get install ").split()) == set(tools.NEEDS[client].values()) - {"g++"}
    assert folder.removeprefix("mkdir -p ") in made(client)
    assert commands
    assert [command for command in commands if command not in made(client).splitlines()] == []
    assert run.endswith(" localhost:8001 digits < numbers.txt")
