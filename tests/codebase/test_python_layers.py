"""cli -> server -> rpc -> front -> engine -> _core, rpc -> protocols, server -> models -> _core: that way only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "maas_server"

# The part of models/ that others build on; the rest is its own affair, known to the server which composes it.
MODELS_PUBLIC = {"host", "plan", "registry", "runner"}

# Who may import whom. A module's room is its first name below the package.
COMMON = {"errors", "settings"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "settings": {"errors"},
    "observe": COMMON | {"observe"},
    "security": COMMON | {"security"},
    # The engine meets models only through what they publish: plans, runners, and whom a host asks.
    "lane": COMMON | {"_core", "models public", "observe"},
    "deployment": COMMON | {"_core", "lane", "models public", "observe"},
    "engine": COMMON | {"_core", "deployment", "lane", "models public", "observe"},
    "front": COMMON | {"_core", "engine"},
    "models": COMMON | {"_core", "_stubs", "observe", "models", "models public"},
    "client": {"errors", "_stubs", "client"},
    # What is said of models in the words of other protocols; for everyone who speaks one.
    "protocols": {"_core", "_stubs", "compat_pool", "errors", "models public", "protocols"},
    "rpc": COMMON | {"_core", "_stubs", "engine", "front", "models public", "observe", "protocols", "rpc", "security"},
    # Speaks to the core by a front of its own, and to the RPCs' handlers as bytes; it is nobody's but the server's.
    "http": COMMON
    | {
        "_core",
        "_stubs",
        "compat_pool",
        "engine",
        "front",
        "http",
        "models public",
        "observe",
        "protocols",
        "security",
    },
    "compiled_front": COMMON | {"_core", "engine", "models public", "security"},
    "process": COMMON,
    # What a machine has for serving: it must be told where nothing else works.
    "devices": COMMON | {"_core", "_cuda", "devices"},
    "server": COMMON
    | {
        "_core",
        "compiled_front",
        "engine",
        "front",
        "http",
        "models",
        "models public",
        "observe",
        "process",
        "rpc",
        "security",
        "server",
    },
    "cli": COMMON | {"_stubs", "client", "cli", "devices", "models", "models public", "observe", "server"},
    "__main__": {"cli"},
    "compat_pool": set(),
    "": set(),
}


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, inside functions and TYPE_CHECKING as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base]).rstrip(".")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def room(module: str) -> str:
    """The room that a dotted name below the package belongs to."""
    names = module.split(".")[1:]
    if names and names[0] == "models":
        return "models public" if len(names) > 1 and names[1] in MODELS_PUBLIC else "models"
    return names[0] if names else ""


def wrong_imports(source: str, path: Path, root: Path) -> list[str]:
    """The imports of one file that go against the arrows."""
    module = module_name(path, root)
    own = room(module).replace("models public", "models")
    wrong = []
    for line, target in imported_modules(ast.parse(source), module, path.name == "__init__.py"):
        if not target.startswith(f"{PACKAGE}."):
            continue
        wanted = room(target)
        if wanted.startswith("__"):
            continue  # __version__ and the like: facts about the package itself.
        if wanted not in ALLOWED[own]:
            wrong.append(f"{path.relative_to(root)}:{line} imports {target}, but {own or PACKAGE} may not use {wanted}")
    return wrong


def test_imports_follow_the_arrows(root: Path) -> None:
    files = [path for path in (root / PACKAGE).rglob("*.py") if "_stubs" not in path.parts]
    assert files
    unknown = {room(module_name(path, root)) for path in files} - ALLOWED.keys() - {"models public"}
    assert not unknown, f"give these rooms their arrows in ALLOWED: {sorted(unknown)}"
    wrong = [line for path in sorted(files) for line in wrong_imports(path.read_text(), path, root)]
    assert not wrong, "\n".join(wrong)


def test_nothing_outside_the_package_reaches_into_the_core(root: Path) -> None:
    wrong = [
        f"{path.relative_to(root)}:{line}"
        for folder in ("examples", "benchmarks")
        for path in (root / folder).rglob("*.py")
        for line, target in imported_modules(ast.parse(path.read_text()), module_name(path, root), False)
        if target.startswith(f"{PACKAGE}._core")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("rpc/predict.py", "from maas_server.models.repository import Repository"),
        ("rpc/predict.py", "from maas_server.models import repository"),
        ("rpc/predict.py", "from ..models.repository import Repository"),
        ("models/registry.py", "import maas_server.server"),
        ("engine.py", "from maas_server.rpc import predict"),
        ("client/_client.py", "def f():\n    from maas_server import engine"),
        ("server.py", "from maas_server.cli import main"),
        ("protocols/open_inference.py", "from maas_server.front import Front"),
        ("protocols/open_inference.py", "from maas_server.models.views import ModelView"),
        ("front.py", "from maas_server.rpc.errors import abort"),
        ("http/calls.py", "from maas_server.rpc.errors import abort"),
        ("http/models.py", "from maas_server.models.views import ModelView"),
        ("rpc/server.py", "from maas_server.http.failures import http_status"),
        ("__init__.py", "from maas_server import cli"),
    ],
)
def test_the_check_finds_an_import_against_the_arrows(file: str, source: str, root: Path) -> None:
    assert wrong_imports(source, root / PACKAGE / file, root)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("rpc/predict.py", "from maas_server.models.registry import Registry"),
        ("rpc/predict.py", "from . import handlers"),
        ("cli/serve.py", "from ..server import serve"),
        ("engine.py", "from maas_server import _core"),
        ("client/_client.py", "from maas_server import __version__"),
    ],
)
def test_the_check_lets_an_import_along_the_arrows_pass(file: str, source: str, root: Path) -> None:
    assert wrong_imports(source, root / PACKAGE / file, root) == []
