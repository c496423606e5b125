"""Reads a Triton model configuration: config.pbtxt in protobuf's text format, or JSON that a load request brings."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import json_format, text_format
from google.protobuf.message import Message

from maas_server._stubs.inference import model_config_pb2
from maas_server.errors import ConfigError, error_text
from maas_server.models.plain_files import read_plain

TRITON_CONFIG_NAME = "config.pbtxt"
MAX_TRITON_CONFIG_BYTES = 1 << 20


def read_triton_config(path: Path) -> model_config_pb2.ModelConfig:
    """Read the configuration file at `path`.

    Raises:
        ConfigError: it cannot be read, or is no configuration; the message names line and column.
    """
    try:
        data = read_plain(path, MAX_TRITON_CONFIG_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    return parse_triton_config(data, str(path))


def parse_triton_config(data: bytes, where: str) -> model_config_pb2.ModelConfig:
    """Return what the text says; `where` names it in messages. Unknown fields are errors.

    Raises:
        ConfigError: as `read_triton_config`.
    """
    message = model_config_pb2.ModelConfig()
    parse_text(data, message, where, MAX_TRITON_CONFIG_BYTES)
    return message


def parse_triton_json(text: str, where: str) -> model_config_pb2.ModelConfig:
    """Return what JSON says. Unknown fields are errors.

    Raises:
        ConfigError: it is too long, no JSON, or no configuration.
    """
    if len(text) > MAX_TRITON_CONFIG_BYTES:
        raise ConfigError(f"{where}: expected at most {MAX_TRITON_CONFIG_BYTES} bytes, got {len(text)}")
    try:
        return json_format.Parse(text, model_config_pb2.ModelConfig())
    # Not only ParseError: numbers out of range and deep nesting come as ValueError and RecursionError.
    except Exception as error:
        raise ConfigError(f"{where}: {_first_line(error)}") from error


def parse_text(data: bytes, message: Message, where: str, limit: int) -> None:
    """Fill a protobuf message from its text format.

    Raises:
        ConfigError: it is over `limit` bytes, no text, or says something that the message does not have.
    """
    if len(data) > limit:
        raise ConfigError(f"{where}: expected at most {limit} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not UTF-8 at byte {error.start}") from error
    if "\0" in text:
        raise ConfigError(f"{where}:{text[: text.index(chr(0))].count(chr(10)) + 1}: a NUL byte is in it")
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        line, column = error.GetLine(), error.GetColumn()
        place = f":{line}" + (f":{column}" if column else "") if line else ""
        problem = _first_line(error)
        if place:
            problem = problem.removeprefix(f"{line}:{column} : ").removeprefix(f"{line}:{column}: ")
        raise ConfigError(f"{where}{place}: {problem}") from error
    # A number that its field cannot hold, or text nested too deeply, comes as another error.
    except Exception as error:
        raise ConfigError(f"{where}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = error_text(error).splitlines()
    return lines[0] if lines else type(error).__name__
