"""ONNX Runtime's session options from `runner_options` of a model's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnxruntime as ort

from maas_server.errors import LoadError
from maas_server.models.runner import RunnerOptions

_OPTIMIZATION_LEVELS = {
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_EXECUTION_MODES = {
    "sequential": ort.ExecutionMode.ORT_SEQUENTIAL,
    "parallel": ort.ExecutionMode.ORT_PARALLEL,
}
_MAX_THREADS = 1024


def session_options(options: RunnerOptions) -> Any:
    """Return the options of a session.

    Raises:
        LoadError: one is not known, or its value is wrong.
    """
    session = ort.SessionOptions()
    session.intra_op_num_threads = max(1, options.threads)
    session.inter_op_num_threads = 1
    session.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    session.enable_mem_pattern = False
    # Every refused request would print a line otherwise; the exception says the same.
    session.log_severity_level = 4
    entries = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}
    for name, value in options.options.items():
        if name == "session_config":
            if not isinstance(value, Mapping):
                raise LoadError(f"runner_options.session_config: expected a mapping, got {type(value).__name__}")
            entries.update({str(key): str(entry) for key, entry in value.items()})
        elif name in _SETTERS:
            _SETTERS[name](session, value)
        # The outputs are the runner's own affair.
        elif name != "outputs":
            known = ", ".join((*_SETTERS, "outputs", "session_config"))
            raise LoadError(f"runner_options.{name}: not known; the onnx runner takes {known}")
    for key, entry in entries.items():
        session.add_session_config_entry(key, entry)
    return session


def is_single_threaded(session: Any) -> bool:
    """Whether a session of these options has no threads of its own."""
    parallel = session.execution_mode == ort.ExecutionMode.ORT_PARALLEL and session.inter_op_num_threads != 1
    return bool(session.intra_op_num_threads == 1 and not parallel)


def _set_optimization(session: Any, value: object) -> None:
    session.graph_optimization_level = _choice("optimization", _OPTIMIZATION_LEVELS, value)


def _set_execution_mode(session: Any, value: object) -> None:
    session.execution_mode = _choice("execution_mode", _EXECUTION_MODES, value)


def _set_inter_op_threads(session: Any, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_THREADS:
        raise LoadError(f"runner_options.inter_op_threads: expected a number from 0 to {_MAX_THREADS}, got {value!r}")
    session.inter_op_num_threads = value


def _set_memory_arena(session: Any, value: object) -> None:
    if not isinstance(value, bool):
        raise LoadError(f"runner_options.memory_arena: expected true or false, got {value!r}")
    session.enable_cpu_mem_arena = value


_SETTERS: Mapping[str, Callable[[Any, object], None]] = {
    "optimization": _set_optimization,
    "execution_mode": _set_execution_mode,
    "inter_op_threads": _set_inter_op_threads,
    "memory_arena": _set_memory_arena,
}


def _choice(name: str, choices: Mapping[str, Any], value: object) -> Any:
    found = choices.get(value) if isinstance(value, str) else None
    if found is None:
        raise LoadError(f"runner_options.{name}: expected one of {', '.join(choices)}, got {value!r}")
    return found
