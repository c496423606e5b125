"""Pages agree with the code: links resolve, and every setting, key, reason and limit is written down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from maas_server import errors
from maas_server.cli.serve import _default as setting_default
from maas_server.models.config import ModelConfig
from maas_server.models.config_file import parse_config
from maas_server.models.loader import load_version
from maas_server.models.repository import Repository
from maas_server.settings import Settings
from tests.docs.page import read_blocks

PAGES = ["*.md", "docs/*.md", "docs/adr/*.md", "examples/*.md", "deploy/*.md", "benchmarks/*.md"]

# In capitals like reasons, and none: how the wire calls "no datatype", what the core calls its protocols and the bounds
# of its histograms, what the system calls one of its settings, and OpenSSL its errors.
NO_REASONS = {
    # What the front's sockets fail with; no caller is told.
    "CANNOT_LISTEN",
    "CANNOT_WATCH",
    "NOT_CONNECTED",
    "NO_SUCH_HOST",
    "NO_SUCH_SOCKET",
    # What the core tells Python of itself.
    "NOT_SERVING",
    "NO_COMPILED_FRONT",
    "NO_CUDA",
    "DATA_TYPE_UNSPECIFIED",
    "KEY_TYPE_MISMATCH",
    "KEY_VALUES_MISMATCH",
    "LATENCY_BOUNDS_SECONDS",
    "MODEL_INFER",
    "MODEL_STREAM_INFER",
    "NO_CERTIFICATE_ASSIGNED",
    "SC_CLK_TCK",
    "TENSORFLOW_PREDICT",
}


def pages(root: Path) -> list[Path]:
    return [path for pattern in PAGES for path in sorted(root.glob(pattern))]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as they are made where it is shown."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(root: Path) -> None:
    found = pages(root)
    assert len(found) > 15
    broken = []
    for page in found:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
                broken.append(f"{page.relative_to(root)}: {link}")
    assert broken == []


def test_every_page_is_linked_from_another(root: Path) -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in pages(root)}
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page, text in texts.items()
        for link in re.findall(r"\]\(([^)\s]+)\)", text)
    }
    assert [str(page) for page in texts if page.parent != root and page not in linked] == []


def keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The keys that a maas.yaml may have, as docs/models.md writes them."""
    for name, field in section.model_fields.items():
        yield prefix + name
        for part in sections_in(field.annotation):
            entry = "NAME." if name == "inputs" else ""
            yield from keys(part, f"{prefix}{name}.{entry}")


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from sections_in(part)


def test_every_key_of_a_configuration_is_in_a_table(root: Path) -> None:
    page = (root / "docs/models.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))
    assert documented == set(keys(ModelConfig))


def test_every_example_of_a_configuration_is_one(root: Path) -> None:
    blocks = [block for block in read_blocks((root / "docs/models.md").read_text()) if block.language == "yaml"]
    assert blocks
    for block in blocks:
        assert parse_config("\n".join(block.lines).encode(), "docs/models.md") != ModelConfig()


def test_the_example_of_a_runner_serves(root: Path, tmp_path: Path) -> None:
    (source,) = (block for block in read_blocks((root / "docs/models.md").read_text()) if block.language == "python")
    names: dict[str, Any] = {}
    exec("\n".join(source.lines), names)
    (tmp_path / "scaler").mkdir()
    (tmp_path / "scaler/factor.txt").write_text("3")
    (tmp_path / "scaler/maas.yaml").write_text("runner: scaler\nfile: factor.txt\n")
    model = Repository(tmp_path, settle=0.0).scan().models["scaler"]
    loaded = load_version(model.versions[1], model.config, find_runner=lambda _: names["ScalerRunner"]())
    assert loaded.description == "scaler 1.0"
    assert loaded.plan.batching, loaded.plan.batching_reason


def reasons_in_python(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    exported = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    names = {id(node) for value in exported for node in ast.walk(value)}
    for node in ast.walk(tree):
        if id(node) in names:
            continue
        if isinstance(node, ast.keyword) and node.arg == "reason" and isinstance(node.value, ast.Constant):
            yield str(node.value.value)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"[A-Z]+(_[A-Z]+)+", str(node.value)):
            yield str(node.value)


def reasons(root: Path) -> set[str]:
    """Every reason that the code gives to an error."""
    found = {each.default_reason for each in vars(errors).values() if isinstance(each, type) and is_error(each)}
    for path in (root / "maas_server").rglob("*.py"):
        # The names in __all__, and those of environment variables, are capitals as well.
        if not {"_stubs", "cli", "__init__.py", "settings.py"} & set(path.parts):
            found |= set(reasons_in_python(path.read_text(encoding="utf-8")))
    for path in (root / "csrc").rglob("*.cc"):
        if not path.stem.endswith(("_test", "_bench", "_fuzz")):
            source = path.read_text(encoding="utf-8")
            found |= set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source))
            found |= set(re.findall(r'Status\(\s*Code::k\w+,\s*"([A-Z]+)"', source))
    # TensorFlow's datatypes.
    return {each for each in found if not each.startswith("DT_")}


def is_error(cls: type) -> TypeGuard[type[errors.MaasError]]:
    return issubclass(cls, errors.MaasError)


def test_every_reason_of_an_error_is_in_the_table(root: Path) -> None:
    page = (root / "docs/wire.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\|[^|]*\| `([A-Z_]+)` \|", page, re.MULTILINE))
    assert documented == reasons(root) - NO_REASONS


# A row of docs/wire.md's table of limits, and the constant of the core that it tells of.
LIMITS = {
    "`id`, `model`, names of tensors": "kMaxNameBytes",
    "`label`": "kMaxLabelBytes",
    "inputs, and outputs": "kMaxTensors",
    "rank": "kMaxRank",
    "elements of a tensor": "kMaxElements",
    "scales, and zero points": "kMaxScales",
    "`timeout_us`": "kMaxTimeoutUs",
    "requests per stream message": "kMaxStreamRequests",
    "nested messages and groups": "kMaxDepth",
}


@pytest.mark.parametrize(("row", "constant"), LIMITS.items())
def test_limits_are_those_of_the_core(row: str, constant: str, root: Path) -> None:
    headers = "".join(path.read_text() for path in (root / "csrc/maas").rglob("*.h"))
    definition = re.search(rf"\b{constant} = ([^;]+);", headers)
    assert definition is not None
    value = eval(re.sub(r"\w+_t\{(\d+)\}", r"\1", definition[1]), {})
    line = re.search(rf"^\| {re.escape(row)} \| (\d+)", (root / "docs/wire.md").read_text(), re.MULTILINE)
    assert line is not None
    assert int(line[1]) == value


def test_the_request_that_is_shown_is_the_golden_one(root: Path) -> None:
    (shown,) = (block for block in read_blocks((root / "docs/wire.md").read_text()) if block.language == "hex")
    pairs = (re.match(r"((?:[0-9a-f]{2} )+)", line.strip() + " ") for line in shown.lines)
    message = b"".join(bytes.fromhex(pair[1]) for pair in pairs if pair)
    assert message == (root / "tests/golden/predict/tiny/message.bin").read_bytes()


def setting_row(name: str, field: FieldInfo) -> str:
    """The line of docs/operations.md's table for a setting."""
    assert isinstance(field.json_schema_extra, dict)
    flag = "PATH" if name == "path" else "--" + name.replace("_", "-")
    default = setting_default(field.default, str(field.json_schema_extra["unit"]))
    return f"| `{flag}` | `{default}` | {field.description} |"


def test_every_setting_is_in_the_table(root: Path) -> None:
    page = (root / "docs/operations.md").read_text(encoding="utf-8")
    rows = [setting_row(name, field) for name, field in Settings.model_fields.items()]
    assert [row for row in rows if row not in page.splitlines()] == []
    assert len(re.findall(r"^\| `(?:--|PATH)", page, re.MULTILINE)) == len(rows)


def test_every_event_that_the_page_names_is_logged(root: Path) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (root / "maas_server").rglob("*.py"))
    logged = set(re.findall(r"log\.(?:debug|info|warning|error)\(\s*\"(\w+)\"", sources))
    named = set(re.findall(r"^\| `(\w+)` \| (?:debug|info|warning|error) \|", page_text(root), re.MULTILINE))
    assert named == logged


def page_text(root: Path) -> str:
    return (root / "docs/operations.md").read_text(encoding="utf-8")
