"""The execution providers of a session on a GPU: what `runner_options.providers` asks for, and whether it came.

    providers:
      - CUDAExecutionProvider: {cudnn_conv_algo_search: EXHAUSTIVE, gpu_mem_limit: 8589934592}

Names and values are those of ONNX Runtime 1.31. Where its libraries are missing, ONNX Runtime makes a session without
the provider and says nothing: hence `check_providers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maas_server.errors import LoadError

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
CPU = "CPUExecutionProvider"

_FIELD = "runner_options.providers"


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider, with its options as ONNX Runtime takes them."""

    name: str
    options: Mapping[str, str]


def gpu_providers(options: Mapping[str, Any], *, device: int, stream: int) -> tuple[Provider, ...]:
    """Return the providers of a session on a device, by `runner_options` of the model; `stream` is a cudaStream_t.

    Raises:
        LoadError: `providers` names one that this server cannot put on the stream, or an option that is not known or
            not the model's to set.
    """
    # ONNX Runtime takes the default stream for none at all, and makes one of its own, which ours do not wait for.
    assert stream != 0, "a session shares a stream with the copies before and after it"
    return tuple(_on_stream(name, given, device, stream) for name, given in _named(options.get("providers", [CUDA])))


def check_providers(asked: Sequence[str], got: Sequence[str], what: str) -> None:
    """Check that a session has the providers that were asked for; it may have the CPU's behind them.

    Raises:
        LoadError: it has not: whatever was asked for, the CPU is not served in its place.
    """
    missing = [name for name in asked if name not in got]
    if missing:
        raise LoadError(
            f"ONNX Runtime runs {what} without {', '.join(missing)}, on {', '.join(got) or 'nothing'}: it is not "
            "served so; `maas doctor` says what is missing"
        )
    if tuple(got) not in (tuple(asked), (*asked, CPU)):
        raise LoadError(f"ONNX Runtime runs {what} on {', '.join(got)}, not on {', '.join(asked)} as asked")


def _named(value: object) -> list[tuple[str, Mapping[str, object]]]:
    """Return the providers with their options as they are written: names, or mappings of one name to options."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise LoadError(f"{_FIELD}: expected a list of execution providers, got {value!r}")
    found: dict[str, Mapping[str, object]] = {}
    for entry in value:
        single = isinstance(entry, Mapping) and len(entry) == 1
        name, given = next(iter(entry.items())) if single else (entry, {})
        given = {} if given is None else given
        if not isinstance(name, str) or not isinstance(given, Mapping):
            raise LoadError(f"{_FIELD}: expected a name, or a name with a mapping of options, got {entry!r}")
        if name in found:
            raise LoadError(f"{_FIELD}: {name} is there twice")
        found[name] = given
    order = list(found)
    if order[0] == CPU or any(name not in (TENSORRT, CUDA, CPU) for name in order) or CPU in order[:-1]:
        raise LoadError(
            f"{_FIELD}: expected, for instances on a GPU, {CUDA} or {TENSORRT}, and {CPU} at most behind them, "
            f"got {', '.join(order)}"
        )
    return list(found.items())


def _on_stream(name: str, given: Mapping[str, object], device: int, stream: int) -> Provider:
    where = f"{_FIELD}.{name}"
    if name == CPU:
        if given:
            raise LoadError(f"{where}: expected no options, got {', '.join(map(str, given))}")
        return Provider(CPU, {})
    for key in given:
        if key in _OURS:
            raise LoadError(f"{where}.{key}: {_OURS[key]}")
    options = {"device_id": str(device), "user_compute_stream": str(stream)}
    if name == TENSORRT:
        return Provider(name, options | {str(key): _plain(f"{where}.{key}", value) for key, value in given.items()})
    options |= _CUDA_DEFAULTS
    for key, value in given.items():
        if key not in _CUDA_OPTIONS:
            raise LoadError(f"{where}.{key}: not known; it takes {', '.join(_CUDA_OPTIONS)}")
        options[key] = _CUDA_OPTIONS[key](f"{where}.{key}", value)
    return Provider(name, options)


def _flag(where: str, value: object) -> str:
    if isinstance(value, bool) or (type(value) is int and value in (0, 1)):
        return str(int(value))
    raise LoadError(f"{where}: expected true or false, got {value!r}")


def _whole(low: int, high: int) -> Callable[[str, object], str]:
    def check(where: str, value: object) -> str:
        if type(value) is int and low <= value <= high:
            return str(value)
        raise LoadError(f"{where}: expected a number from {low} to {high}, got {value!r}")

    return check


def _one_of(*choices: str) -> Callable[[str, object], str]:
    def check(where: str, value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise LoadError(f"{where}: expected one of {', '.join(choices)}, got {value!r}")

    return check


def _plain(where: str, value: object) -> str:
    if isinstance(value, (str, int, float)):
        return str(value)
    raise LoadError(f"{where}: expected text, a number, true or false, got {value!r}")


_MAX_INT = 2**31 - 1

_CUDA_OPTIONS: Mapping[str, Callable[[str, object], str]] = {
    "arena_extend_strategy": _one_of("kNextPowerOfTwo", "kSameAsRequested"),
    "cudnn_conv1d_pad_to_nc1d": _flag,
    "cudnn_conv_algo_search": _one_of("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "cudnn_conv_use_max_workspace": _flag,
    "enable_cuda_graph": _flag,
    "enable_cudnn": _flag,
    "enable_skip_layer_norm_strict_mode": _flag,
    "fuse_conv_bias": _flag,
    "gpu_mem_limit": _whole(1, 2**64 - 1),
    "prefer_nhwc": _flag,
    "sdpa_kernel": _whole(0, _MAX_INT),
    "tunable_op_enable": _flag,
    "tunable_op_max_tuning_duration_ms": _whole(0, _MAX_INT),
    "tunable_op_tuning_enable": _flag,
    "use_tf32": _flag,
}

# ONNX Runtime's own: a search that takes up to hundreds of ms for each new shape, and an arena that doubles.
_CUDA_DEFAULTS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}

_STREAM = "not the model's to set: sessions run on the server's streams"
_ALLOCATOR = "not the model's to set: it is an address in the process"
_OURS: Mapping[object, str] = {
    "device_id": "not the model's to set: `instances` says which devices",
    "user_compute_stream": _STREAM,
    "has_user_compute_stream": _STREAM,
    "use_ep_level_unified_stream": _STREAM,
    "do_copy_in_default_stream": _STREAM,
    "gpu_external_alloc": _ALLOCATOR,
    "gpu_external_free": _ALLOCATOR,
    "gpu_external_empty_cache": _ALLOCATOR,
}
