"""Configurations of other servers with random damage: they are read, or refused, and nothing else happens."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from google.protobuf import json_format

from maas_server.errors import ConfigError
from maas_server.models.folder_config import make_folder_config
from maas_server.models.served import read_served
from maas_server.models.triton_config import parse_triton_config, parse_triton_json

TRITON = b"""
name: "m" platform: "onnxruntime_onnx" max_batch_size: 8 version_policy { specific { versions: [ 1, 3 ] } }
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ -1, 2, 2 ] } optional: true } ]
output [ { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } label_filename: "l.txt" } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] priority_levels: 2 default_priority_level: 1
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 7 max_queue_size: 9 }
  priority_queue_policy { key: 2 value { allow_timeout_override: true } } max_queue_delay_microseconds: 100 }
instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0 ] } ] optimization { graph { level: 1 } cuda { graphs: true } }
parameters { key: "execution_mode" value { string_value: "1" } }
model_warmup { name: "s" batch_size: 2 count: 3
  inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 3, 4 ] input_data_file: "x.bin" } } }
"""
SERVED = b"""
model_config_list { config { name: "a/b" base_path: "/m/a" model_platform: "tensorflow"
  model_version_policy { specific { versions: [ 1, 2 ] } } version_labels { key: "stable" value: 1 } } }
"""
# What numbers, names and nesting go wrong with.
PIECES = (b"-1", b"0", b"99999999999999999999", b"{", b"}", b'"', b"[", b"]", b":", b"\0", b"\xff", b"..", b"/", b"nan")


def damaged(content: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        end = at + rng.choice((0, 1, 2, 8))
        data[at:end] = rng.choice((b"", rng.choice(PIECES), bytes(data[at:end]) * 2))
    return bytes(data)


def refusals(read: Callable[[bytes], object], content: bytes, seeds: range) -> list[str]:
    """What was said to the damaged contents that were refused; any other error ends the test."""
    messages = []
    for seed in seeds:
        try:
            read(damaged(content, seed))
        except ConfigError as error:
            messages.append(error.message)
    return messages


def test_a_damaged_config_pbtxt_is_read_or_refused() -> None:
    def read(data: bytes) -> object:
        return make_folder_config(parse_triton_config(data, "c"), ("m",), "c")

    messages = refusals(read, TRITON, range(300))
    assert 0 < len(messages) < 300
    assert all(message.startswith("c") for message in messages)


def test_damaged_json_is_read_or_refused() -> None:
    def read(data: bytes) -> object:
        return make_folder_config(parse_triton_json(data.decode(errors="surrogateescape"), "c"), ("m",), "c")

    whole = json_format.MessageToJson(parse_triton_config(TRITON, "c")).encode()
    messages = refusals(read, whole, range(100))
    assert len(messages) > 0
    assert all(message.startswith("c") for message in messages)


def test_a_damaged_models_config_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "models.config"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return read_served(path)

    messages = refusals(read, SERVED, range(200))
    assert 0 < len(messages) < 200
    assert all(message.startswith(str(path)) for message in messages)
