"""The public surface: names, stubs, versions."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import types
from pathlib import Path

import pytest

import maas_server
from maas_server import _core


@pytest.mark.parametrize("name", ["maas_server", "maas_server.client"])
def test_all_lists_exactly_the_public_names(name: str) -> None:
    module = importlib.import_module(name)
    public = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and not isinstance(value, types.ModuleType) and key != "annotations"
    }
    listed = list(module.__all__)
    assert len(listed) == len(set(listed))
    assert {key for key in listed if not key.startswith("_")} == public
    assert all(hasattr(module, key) for key in listed)


def test_python_core_and_metadata_have_one_version() -> None:
    assert maas_server.__version__ == _core.__version__ == importlib.metadata.version("maas-server")


def test_the_changelog_begins_with_this_version(root: Path) -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == maas_server.__version__


def declared(body: list[ast.stmt]) -> set[str]:
    """The public names that a stub's block declares."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


# What the core has only where the compiled front was built.
FRONT_NAMES = {"CompiledFront", "FrontOptions", "TlsOptions"}


def stub(root: Path) -> list[ast.stmt]:
    body = ast.parse((root / "maas_server" / "_core.pyi").read_text()).body
    absent = FRONT_NAMES if _core.NO_COMPILED_FRONT else set()
    return [node for node in body if not (isinstance(node, ast.ClassDef) and node.name in absent)]


def test_the_stub_of_the_core_declares_exactly_its_names(root: Path) -> None:
    # A TypeAlias or a Protocol is for those who read the stub; the module has no such name.
    body = [node for node in stub(root) if not is_alias(node) and not is_protocol(node)]
    assert declared(body) == {name for name in vars(_core) if not name.startswith("_")}


def is_alias(node: ast.stmt) -> bool:
    """Whether a statement only names a type for the stub's own use."""
    return isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).split(".")[-1] == "TypeAlias"


def test_the_stub_of_the_core_declares_exactly_the_members_of_its_classes(root: Path) -> None:
    classes = [node for node in stub(root) if isinstance(node, ast.ClassDef) and not is_protocol(node)]
    assert classes
    for node in classes:
        cls = getattr(_core, node.name)
        own = {name for name in vars(cls) if not name.startswith("_")}
        # A stub may narrow what a base class has, such as an exception's `args`.
        assert own <= declared(node.body) <= set(dir(cls)), node.name


def is_protocol(node: ast.stmt) -> bool:
    """Whether a class of the stub describes what callers pass in."""
    return isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
