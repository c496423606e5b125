"""Reads a maas.yaml: safe YAML of bounded size, and errors that name file, line and field."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from maas_server.errors import ConfigError, Violation, error_text
from maas_server.models.config import ModelConfig, known_keys
from maas_server.models.plain_files import read_plain

MAX_CONFIG_BYTES = 256 << 10


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without anchors and aliases (so nothing can multiply) and without duplicate keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not allowed", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"expected a name as key, got {key!r}", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"{key!r} is there twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_config(path: Path) -> ModelConfig:
    """Read and check the configuration file at `path`.

    Raises:
        ConfigError: it cannot be read, is no YAML, or says something wrong; the violations name the fields.
    """
    return validate_config(read_document(path), str(path))


def parse_config(data: bytes, where: str) -> ModelConfig:
    """Check configuration text; `where` names it in messages.

    Raises:
        ConfigError: as `read_config`.
    """
    return validate_config(parse_document(data, where), where)


def read_document(path: Path) -> dict[str, Any]:
    """Return the keys of the file at `path`, unchecked.

    Raises:
        ConfigError: it cannot be read, or is no YAML mapping.
    """
    try:
        data = read_plain(path, MAX_CONFIG_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    return parse_document(data, str(path))


def parse_document(data: bytes, where: str) -> dict[str, Any]:
    """Return the keys that configuration text has, unchecked.

    Raises:
        ConfigError: it is too long, or no YAML mapping.
    """
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{where}: expected at most {MAX_CONFIG_BYTES} bytes")
    try:
        # _StrictLoader is a SafeLoader: it constructs plain values only.
        document = yaml.load(data.decode(), Loader=_StrictLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not UTF-8 at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{where}{line}: {error.problem or error.context}") from error
    # PyYAML lets anything through that its constructors stumble over: KeyError for `!!bool x`, AttributeError for
    # `!!timestamp x`, ValueError for a 31st of February, RecursionError.
    except Exception as error:
        problem = error_text(error).splitlines()[0]
        raise ConfigError(f"{where}: not usable YAML: {type(error).__name__}: {problem}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{where}: expected a mapping of keys, got {type(document).__name__}")
    return document


def validate_config(document: dict[str, Any], where: str, names: Mapping[str, str] | None = None) -> ModelConfig:
    """Return the configuration that the keys make; `names`: what messages call a key that came by another name.

    Raises:
        ConfigError: a key is unknown, or its value wrong; the violations name them.
    """
    try:
        return ModelConfig.model_validate(document)
    except ValidationError as error:
        violations = [
            Violation((names or {}).get(violation.field, violation.field), violation.description)
            for violation in _violations(error)
        ]
        text = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
        raise ConfigError(f"{where}: {text}", violations=violations) from error


def _violations(error: ValidationError) -> list[Violation]:
    # A union reports each branch that failed, under the field's own path: the first one says enough.
    found: dict[str, Violation] = {}
    for detail in error.errors(include_url=False, include_context=False):
        location = detail["loc"]
        field = ".".join(str(part) for part in location)
        if detail["type"] == "extra_forbidden":
            description = "unknown key"
            close = difflib.get_close_matches(str(location[-1]), known_keys(location), n=1, cutoff=0.5)
            if close:
                description += f"; did you mean {close[0]!r}?"
        else:
            message = detail["msg"].removeprefix("Value error, ")
            value = repr(detail["input"])
            description = f"{message}, got {value if len(value) <= 80 else value[:77] + '...'}"
        found.setdefault(field, Violation(field, description))
    return list(found.values())
