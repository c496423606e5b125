"""The compiled core. Source: csrc/bindings/."""

from collections.abc import Mapping, Sequence
from typing import Any

from maas_server.models.runner import Array

__version__: str
NEVER: int
LATENCY_BOUNDS_SECONDS: tuple[float, ...]

def simd() -> str: ...

class CoreError(Exception):
    args: tuple[int, str, str, tuple[tuple[str, str], ...], int, bytes]

class InputSpec:
    def __init__(
        self,
        *,
        name: str,
        datatype: str,
        shape: Sequence[int],
        batch_axis: int | None = None,
        pad_group: int | None = None,
        pad_axis: int | None = None,
        pad_value: bytes = b"",
        auto_fill: str = "none",
        wire_shape: Sequence[int] | None = None,
    ) -> None: ...

class OutputSpec:
    def __init__(
        self,
        *,
        name: str,
        datatype: str,
        shape: Sequence[int],
        sources: Sequence[tuple[int, int] | None],
        batch_axis: int | None = None,
        pad_group: int | None = None,
        pad_axis: int | None = None,
        labels: Sequence[str] = (),
        wire_shape: Sequence[int] | None = None,
        any_shape: bool = False,
    ) -> None: ...

class QueuePolicy:
    def __init__(
        self,
        *,
        default_timeout_us: int = 0,
        allow_timeout_override: bool = False,
        timeout_action: str = "reject",
        max_queue_size: int = 0,
    ) -> None: ...

class Priorities:
    def __init__(
        self, *, levels: int = 1, default: int = 1, policy: QueuePolicy = ..., by_level: Mapping[int, QueuePolicy] = ...
    ) -> None: ...

class Version:
    def __init__(
        self,
        *,
        model: str,
        version: int,
        inputs: Sequence[InputSpec],
        outputs: Sequence[OutputSpec],
        pad_groups: Sequence[Sequence[int]],
        batching: bool,
        max_batch_size: int,
        max_request_rows: int,
        max_queue_rows: int,
        max_queue_delay_us: int,
        priorities: Priorities = ...,
        preferred_batch_sizes: Sequence[int] = (),
        cpus: int,
    ) -> None: ...
    def counters(self) -> dict[str, Any]: ...
    def record_run(self, rows: int, ns: int) -> None: ...
    def close(self) -> None: ...
    def abort(self, code: int, reason: str, message: str) -> None: ...

class Instance:
    def __init__(self, version: Version) -> None: ...
    def next(self) -> int | None: ...
    def arrays(self) -> tuple[tuple[Array, ...], tuple[Array | None, ...]]: ...
    def forgotten(self) -> list[int]: ...
    def finish(self, outputs: Sequence[Array] | None) -> int | None: ...
    def fail(self, code: int, reason: str, message: str) -> int | None: ...

class Engine:
    def __init__(self) -> None: ...
    def set_route(
        self, model: str, versions: Mapping[int, Version], labels: Mapping[str, int], default: int, known: set[int]
    ) -> None: ...
    def drop_route(self, model: str) -> None: ...
    def register_shared_memory(self, name: str, key: str, offset: int, byte_size: int) -> None: ...
    def unregister_shared_memory(self, name: str) -> None: ...
    def unregister_all_shared_memory(self) -> None: ...
    def shared_memory(self) -> list[tuple[str, str, int, int]]: ...

class Protocol:
    PREDICT: Protocol
    MODEL_INFER: Protocol
    MODEL_STREAM_INFER: Protocol
    TENSORFLOW_PREDICT: Protocol
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class Front:
    def __init__(self, engine: Engine, max_answer_bytes: int = ...) -> None: ...
    def submit(self, protocol: Protocol, raw: bytes, deadline_ns: int, future: object) -> int: ...
    def submit_stream(self, raw: bytes, deadline_ns: int, stream: object, group: int) -> tuple[int, list[bytes]]: ...
    def close(self) -> None: ...
    @property
    def refused(self) -> int: ...
    def cancel(self, ticket: int) -> None: ...
    def cancel_stream(self, stream: object) -> None: ...
    def drain(self) -> tuple[list[Any], list[tuple[Any, int, list[bytes]]]]: ...
    def fileno(self) -> int: ...
