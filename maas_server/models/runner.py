"""What runs a model: the interface that ONNX Runtime implements first, and that others may.

A package of yours registers one by an entry point in the group `maas_server.runners`:

    [project.entry-points."maas_server.runners"]
    myformat = "mypackage.runner:MyRunner"

and a model asks for it with `runner: myformat` in its maas.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Where other packages register their runners.
ENTRY_POINT_GROUP = "maas_server.runners"

# Datatype (Open Inference Protocol spelling) to the numpy dtype of its arrays. numpy has no bfloat16, so BF16
# arrays hold the 16 bits as uint16; BYTES arrays hold `bytes` objects.
NUMPY_DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output of a model."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1 for a dimension that may vary."""
    dim_names: tuple[str, ...] = ()
    """The model's own names for its dimensions, "" where it gives none; as many as `shape`, or none at all."""
    optional: bool = False
    """The server fills it when a request leaves it out."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Names, datatypes and shapes of a model's inputs and outputs."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """What a runner may use."""

    threads: int = 1
    """CPU threads for one run."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """`runner_options` of the model's maas.yaml, passed on as they are."""


@dataclass(frozen=True, slots=True)
class RunBatch:
    """The tensors of one run, in the signature's order."""

    key: int
    """Not 0: the arrays of every batch with this key are the very same memory and shapes, until `Runner.forget` names
    the key, so whatever a runner derives from them (an I/O binding) may be kept. 0: keep nothing."""
    inputs: tuple[Array, ...]
    outputs: tuple[Array | None, ...]
    """Where to write; None where the shape is not known before the run. Written outputs may be returned as they are."""


class Runner(Protocol):
    """Runs one version of a model. `run` is called from several threads at once, the rest from one at a time."""

    def load(self, path: Path, options: RunnerOptions) -> None:
        """Load the model file at `path`.

        Raises:
            LoadError: it cannot be loaded; the message says why.
        """

    def signature(self) -> Signature:
        """Return the model's inputs and outputs as the file declares them."""

    def run(self, batch: RunBatch) -> Sequence[Array]:
        """Run once and return the outputs, dense and in the signature's order.

        Raises:
            InvalidRequest: the values are at fault (an index out of range, say).
            Exception: anything else; every request of the batch fails with INTERNAL.
        """

    def forget(self, keys: Sequence[int]) -> None:
        """Drop what was kept for these keys: their memory is about to go."""

    def describe(self) -> str:
        """Return what runs the model, for ModelStatus: "onnxruntime 1.31.1 CPUExecutionProvider"."""

    def close(self) -> None:
        """Free everything. No run is under way, and none follows."""


@runtime_checkable
class Interruptible(Protocol):
    """What a runner may offer besides, so that example values that ask for too much end soon."""

    def interrupt(self) -> None:
        """Make the runs under way fail as soon as possible; from any thread. Later runs are as always."""

    def reset(self) -> None:
        """Give back the memory that runs took. No run is under way; more may follow."""


class RunnerLane(Protocol):
    """A runner as one thread uses it, whose run others may end."""

    def run(self, batch: RunBatch) -> Sequence[Array]:
        """As `Runner.run`, never twice at once."""

    def cancel(self) -> None:
        """Make the run under way, or about to begin, fail as soon as possible; from any thread. It may also succeed."""

    def renew(self) -> None:
        """After a run that was cancelled ended: later runs are as always."""


@runtime_checkable
class Cancellable(Protocol):
    """What a runner may offer besides, so that a run ends soon once all its callers have gone.

    Without it such a run goes on to its end, and its outputs are thrown away.
    """

    def lane(self) -> RunnerLane:
        """Return a new lane over the loaded model, for a thread that calls its `run` in place of the runner's."""


Usual = Callable[[Callable[[], Any]], Any]
"""Calls its argument in a thread of usual priority, waits, and returns or raises what it does."""


@runtime_checkable
class BackgroundLoading(Protocol):
    """What a runner may offer besides, so that loading it, and trying it out, takes nothing from models that serve.

    A runner without it is loaded and tried in a thread of usual priority.
    """

    def load_in_background(self, path: Path, options: RunnerOptions, usual: Usual) -> None:
        """As `load`, in a thread of the lowest priority, from which the first calls of `run` will come too.

        What such a thread starts is as slow as it is, for good: start the threads that run the model by `usual`.

        Raises:
            LoadError: it cannot be loaded; the message says why.
        """

    def computes_alone(self) -> bool:
        """Whether a run computes in the thread that calls it and nowhere else: CPU time is then what it takes."""
