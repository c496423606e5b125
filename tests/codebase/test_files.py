"""What holds for every file: size, no environment behind the settings' back, nothing generated, no machine's paths."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

MAX_LINES = 500
CODE = {".py", ".cc", ".h", ".cu"}

# Modules that read the environment, each with its reason.
ENVIRONMENT_READERS = {"settings.py": "settings come from flags, environment and file, and are gathered here"}

# Folders that belong to one machine or person. Their names stand apart so that this file passes its own check.
PRIVATE_FOLDERS = ("home", "root", "Users", "work")
PRIVATE_PATH = re.compile(rf"(?<![\w.$}})*-])/(?:{'|'.join(PRIVATE_FOLDERS)})/\w")


def reads_environment(source: str) -> bool:
    """Whether a module touches the environment, under any of its names in `os`."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr in names:
                return True
        elif isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names}:
            return True
    return False


def test_no_file_is_longer_than_the_limit(committed: list[Path], root: Path) -> None:
    code = [path for path in committed if path.suffix in CODE]
    assert code
    lengths = {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in code}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_only_the_settings_read_the_environment(root: Path) -> None:
    package = root / "maas_server"
    files = [path for path in package.rglob("*.py") if "_stubs" not in path.parts]
    readers = {str(path.relative_to(package)) for path in files if reads_environment(path.read_text())}
    assert readers <= ENVIRONMENT_READERS.keys()


@pytest.mark.parametrize(
    "source",
    ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ", "from os import getenv"],
)
def test_the_check_finds_a_reader_of_the_environment(source: str) -> None:
    assert reads_environment(source)


def test_nothing_built_or_generated_is_committed(committed: list[Path], root: Path) -> None:
    generated = re.compile(r"(_pb2(_grpc)?\.pyi?|\.so|\.o|\.a|\.py[cod])$")
    names = [str(path.relative_to(root)) for path in committed]
    assert [name for name in names if generated.search(name) or name.startswith(("build/", "dist/"))] == []


def test_no_file_names_a_path_of_the_machine_it_was_made_on(committed: list[Path], root: Path) -> None:
    found = []
    for path in committed:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if PRIVATE_PATH.search(line):
                found.append(f"{path.relative_to(root)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", PRIVATE_FOLDERS)
def test_the_check_finds_a_path_of_a_machine(folder: str) -> None:
    assert PRIVATE_PATH.search(f"see /{folder}/someone/notes")
    assert not PRIVATE_PATH.search(f"see docs/{folder}/someone")


def test_text_files_end_with_one_newline(committed: list[Path], root: Path) -> None:
    suffixes = CODE | {".md", ".toml", ".proto", ".sh", ".txt", ".yaml", ".yml"}
    texts = [(path, path.read_bytes()) for path in committed if path.suffix in suffixes]
    assert [
        str(p.relative_to(root)) for p, text in texts if text and (text[-1:] != b"\n" or text[-2:] == b"\n\n")
    ] == []


def test_the_map_of_models_names_every_file_once(root: Path) -> None:
    folder = root / "maas_server/models"
    text = (folder / "__init__.py").read_text()
    entries = re.findall(r"^ {4}([a-z_]+(?:, [a-z_]+)*)(?: {2,}.*)?$", text, re.MULTILINE)
    listed = [name for entry in entries for name in entry.split(", ")]
    assert sorted(listed) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
