"""Runs ONNX models with ONNX Runtime, through I/O binding over the engine's own buffers.

It calls the extension objects below the public wrappers (`InferenceSession`, `SessionIOBinding`): a run of a bound
batch costs 2 to 3 microseconds there, and a session is made in two steps. The memory pattern planner is off: it keeps a
plan for every combination of input shapes that it ever saw, and brings nothing measurable here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_c

from maas_server.errors import InvalidRequest, LoadError
from maas_server.models.arena import ShrinkPolicy
from maas_server.models.onnx_options import is_single_threaded, session_options
from maas_server.models.onnx_tensors import (
    ELEMENT_TYPES,
    address,
    decode_strings,
    encode_strings,
    tensor_info,
    to_numpy,
)
from maas_server.models.runner import Array, RunBatch, RunnerOptions, Signature, TensorInfo, Usual

PROVIDERS = ("CPUExecutionProvider",)

# What ONNX Runtime raises; it also raises bare RuntimeError and, for models that it half understood, others.
_LOAD_ERRORS = (
    ort_c.Fail,
    ort_c.InvalidArgument,
    ort_c.InvalidGraph,
    ort_c.InvalidProtobuf,
    ort_c.NoModel,
    ort_c.NoSuchFile,
    ort_c.NotImplemented,
    ort_c.RuntimeException,
    ort_c.EPFail,
    RuntimeError,
    ValueError,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class _Bound:
    """A binding and what each run of it needs to know."""

    binding: Any
    unbound: tuple[int, ...]
    """Outputs that ONNX Runtime allocates. They are bound again before each run, for it writes into the last
    run's memory otherwise, which the caller may still be reading."""
    nbytes: int


class _Options:
    """The options of a usual run, and of one after which the arena shrinks; both are ended as one."""

    def __init__(self) -> None:
        self.plain, self.shrinking = ort.RunOptions(), ort.RunOptions()
        self.shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def terminate(self, wanted: bool) -> None:
        for options in (self.plain, self.shrinking):
            options.terminate = wanted


class OnnxRunner:
    """One ONNX Runtime session, shared by all instances of a model version.

    `runner_options` are docs/models.md's: optimization, execution_mode, inter_op_threads, memory_arena, outputs and
    session_config.
    """

    def __init__(self) -> None:
        """Make a runner without a model."""
        self._session: Any = None
        self._signature = Signature((), ())
        self._bindings: dict[int, _Bound] = {}
        self._has_strings = False
        self._device = ort_c.OrtDevice(ort_c.OrtDevice.cpu(), ort_c.OrtDevice.default_memory(), 0)
        self._options = _Options()
        self._arena: ShrinkPolicy | None = ShrinkPolicy()
        self._loaded: tuple[Path, RunnerOptions, Usual] | None = None
        self._alone = False

    def load(self, path: Path, options: RunnerOptions) -> None:
        """Load the ONNX file at `path`; external data must lie in its folder.

        Raises:
            LoadError: it cannot be loaded; the message says why.
        """
        self.load_in_background(path, options, lambda work: work())

    def load_in_background(self, path: Path, options: RunnerOptions, usual: Usual) -> None:
        """As `load`; a session that has threads is begun by `usual`, and reads the file there.

        Raises:
            LoadError: it cannot be loaded; the message says why.
        """
        settings = session_options(options)
        self._alone = is_single_threaded(settings)
        if not settings.enable_cpu_mem_arena:
            self._arena = None
        begin = partial(ort_c.InferenceSession, settings, str(path), True, False)
        try:
            session = begin() if self._alone else usual(begin)
            session.initialize_session(list(PROVIDERS), [{}], set())
            got = tuple(session.get_providers())
            inputs = tuple(tensor_info("input", node) for node in session.inputs_meta)
            outputs = _chosen(options.options.get("outputs"), session.outputs_meta)
        except _LOAD_ERRORS as error:
            raise LoadError(f"ONNX Runtime cannot load {path.name}: {_clean(error)}") from error
        if got != PROVIDERS:
            raise LoadError(f"ONNX Runtime runs {path.name} on {got}, not on {PROVIDERS} as asked")
        datatypes = {info.datatype for info in (*inputs, *outputs)}
        self._has_strings = "BYTES" in datatypes
        if self._has_strings and "BF16" in datatypes:
            raise LoadError(
                f"{path.name} has both string and BF16 tensors, which ONNX Runtime takes from Python only apart"
            )
        self._signature = Signature(inputs, outputs)
        self._session = session
        self._loaded = (path, options, usual)

    def signature(self) -> Signature:
        """Return the model's inputs and outputs as the file declares them."""
        return self._signature

    def run(self, batch: RunBatch) -> Sequence[Array]:
        """Run once; strings travel through Python objects, everything else stays where it is.

        Raises:
            InvalidRequest: ONNX Runtime finds the values at fault.
            RuntimeError: the run failed for another reason.
        """
        return self.run_with(batch, self._options)

    def run_with(self, batch: RunBatch, options: _Options) -> Sequence[Array]:
        """As `run`, ended by whoever ends what runs with these options."""
        if self._has_strings:
            return self._run_copying(batch, options)
        bound = self._bindings.get(batch.key) if batch.key else None
        if bound is None:
            bound = self._bind(batch)
            if batch.key:
                self._bindings[batch.key] = bound
        binding = bound.binding
        for index in bound.unbound:
            binding.bind_output(self._signature.outputs[index].name, self._device)
        shrink = self._arena is not None and self._arena.should_shrink(bound.nbytes, time.monotonic())
        try:
            self._session.run_with_iobinding(binding, options.shrinking if shrink else options.plain)
        except RuntimeError as error:
            if options.plain.terminate:
                raise
            self._raise_typed(batch, error, options)
        if not bound.unbound:
            return batch.outputs  # type: ignore[return-value]  # None only stands where `unbound` says.
        values = binding.get_outputs()
        return [to_numpy(values[index]) if array is None else array for index, array in enumerate(batch.outputs)]

    def forget(self, keys: Sequence[int]) -> None:
        """Drop the bindings of these keys."""
        for key in keys:
            self._bindings.pop(key, None)

    def interrupt(self) -> None:
        """End the runs under way, each after the node that it is at."""
        under_way, self._options = self._options, _Options()
        under_way.terminate(True)

    def computes_alone(self) -> bool:
        """Return whether the session has no threads of its own."""
        return self._alone

    def lane(self) -> OnnxLane:
        """Return a lane over the session."""
        return OnnxLane(self)

    def reset(self) -> None:
        """Load the model anew: nothing else makes an arena give back what it holds without a run."""
        assert self._loaded is not None, "only a loaded model has anything to give back"
        self.close()
        self.load_in_background(*self._loaded)

    def describe(self) -> str:
        """Return ONNX Runtime's version and the execution provider."""
        return f"onnxruntime {ort.__version__} {PROVIDERS[0]}"

    def close(self) -> None:
        """Free the session and all bindings."""
        self._bindings.clear()
        self._session = None

    def _bind(self, batch: RunBatch) -> _Bound:
        binding = ort_c.SessionIOBinding(self._session)
        device = self._device
        nbytes = 0
        for info, array in zip(self._signature.inputs, batch.inputs, strict=True):
            binding.bind_input(info.name, device, ELEMENT_TYPES[info.datatype], array.shape, address(array))
            nbytes += array.nbytes
        unbound = []
        for index, (info, out) in enumerate(zip(self._signature.outputs, batch.outputs, strict=True)):
            if out is None:
                unbound.append(index)
                # `get_outputs` has them in the order in which they were first bound.
                binding.bind_output(info.name, device)
            else:
                binding.bind_output(info.name, device, ELEMENT_TYPES[info.datatype], out.shape, address(out))
                nbytes += out.nbytes
        return _Bound(binding, tuple(unbound), nbytes)

    def _run_copying(self, batch: RunBatch, options: _Options) -> list[Array]:
        feeds = {}
        for info, array in zip(self._signature.inputs, batch.inputs, strict=True):
            feeds[info.name] = decode_strings(info.name, array) if info.datatype == "BYTES" else array
        names = [info.name for info in self._signature.outputs]
        try:
            values = self._session.run(names, feeds, options.plain)
        except ort_c.InvalidArgument as error:
            raise InvalidRequest(f"the model refuses these values: {_clean(error)}") from error
        return [
            encode_strings(value) if info.datatype == "BYTES" else np.ascontiguousarray(value).reshape(value.shape)
            for info, value in zip(self._signature.outputs, values, strict=True)
        ]

    def _raise_typed(self, batch: RunBatch, error: RuntimeError, options: _Options) -> None:
        # A run through a binding raises RuntimeError whatever the reason; only a plain run tells bad values apart.
        if any(info.datatype == "BF16" for info in self._signature.inputs):
            raise error
        feeds = {info.name: array for info, array in zip(self._signature.inputs, batch.inputs, strict=True)}
        try:
            self._session.run([self._signature.outputs[0].name], feeds, options.plain)
        except ort_c.InvalidArgument as typed:
            raise InvalidRequest(f"the model refuses these values: {_clean(typed)}") from typed
        except (*_LOAD_ERRORS, TypeError):
            raise error from None
        raise error


class OnnxLane:
    """Implements `RunnerLane`: its runs are ended by options of its own, each after the node that it is at."""

    def __init__(self, runner: OnnxRunner) -> None:
        """`runner` may be loaded anew, but outlives this."""
        self._runner = runner
        self._options = _Options()

    def run(self, batch: RunBatch) -> Sequence[Array]:
        """As `OnnxRunner.run`."""
        return self._runner.run_with(batch, self._options)

    def cancel(self) -> None:
        """End the run under way, or about to begin."""
        self._options.terminate(True)

    def renew(self) -> None:
        """Let later runs be."""
        self._options.terminate(False)


def _chosen(wanted: object, nodes: Sequence[Any]) -> tuple[TensorInfo, ...]:
    """Return the outputs that are wanted, in their order; None: all of them, as the model has them."""
    if wanted is None:
        return tuple(tensor_info("output", node) for node in nodes)
    known = {node.name: node for node in nodes}
    chosen = []
    for name in wanted if isinstance(wanted, Sequence) else ():
        if name not in known:
            raise LoadError(f"output {name!r}: the model has {', '.join(map(repr, known))}")
        chosen.append(tensor_info("output", known[name]))
    if not chosen or len({info.name for info in chosen}) != len(chosen) or isinstance(wanted, str):
        raise LoadError(f"runner_options.outputs: expected a list of different outputs, got {wanted!r}")
    return tuple(chosen)


def _clean(error: BaseException) -> str:
    """Return ONNX Runtime's message on one line, without its prefix and of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return text if len(text) <= 400 else text[:397] + "..."
