"""From a model file to everything that serving it needs: load, inspect, check, measure, plan.

All of it blocks; call it from a worker thread.
"""

from __future__ import annotations

import hashlib
import mmap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

import structlog

from maas_server.errors import LoadError, error_text
from maas_server.models.background import Background, cpu_clock
from maas_server.models.config import ModelConfig
from maas_server.models.files import fingerprint_of
from maas_server.models.inspect import Inspection, inspect
from maas_server.models.instances import count_instances, require_runner
from maas_server.models.labels import read_labels
from maas_server.models.measure import MAX_INFERRED_BATCH, Clock, choose_batch_size, measure_curve
from maas_server.models.memory import PeakMemory
from maas_server.models.padding import resolve_padding
from maas_server.models.plain_files import open_plain
from maas_server.models.plan import CurvePoint, VersionPlan
from maas_server.models.planning import Declared, refined, with_optional
from maas_server.models.prober import RunFailed
from maas_server.models.runner import ENTRY_POINT_GROUP, BackgroundLoading, Runner, RunnerOptions, Signature
from maas_server.models.sources import VersionSource
from maas_server.models.triton_model import ONNX_PLATFORM, TritonModel
from maas_server.models.verify import check_padding, check_rows
from maas_server.models.warmup_runs import run_samples

try:
    from maas_server.models.onnx_runner import OnnxRunner
except ImportError as error:
    # Which distribution of ONNX Runtime there is, is the extras' choice; and other packages' runners do without one.
    _no_onnx = error_text(error)
else:
    _no_onnx = ""

log = structlog.get_logger(__name__)

# For the measurement and for the check, each; slow models get fewer sizes, never no check.
MEASURE_SECONDS = 0.4
CHECK_SECONDS = 0.3
_PIECE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a model's own configuration says nothing."""

    threads: int = 1
    max_batch_size: int = 0
    """0: chosen by measurement."""
    max_queue_rows: int = 4096

    def apply(self, config: ModelConfig) -> ModelConfig:
        """Return the configuration with these in its gaps."""
        batching = config.batching
        filled = batching.model_copy(
            update={
                "max_batch_size": batching.max_batch_size or self.max_batch_size or None,
                "max_queue_rows": batching.max_queue_rows or self.max_queue_rows,
            }
        )
        return config.model_copy(update={"threads": config.threads or self.threads, "batching": filled})


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """One version, ready to be deployed. Its owner closes the runner."""

    runner: Runner
    signature: Signature
    plan: VersionPlan
    digest: str
    """SHA-256 of the files, as "sha256:" and 64 hexadecimal digits."""
    description: str
    """What the runner says of itself; it outlives the runner."""
    platform: str = ""
    """In Triton's terms, where it has one."""
    max_batch_size: int = 0
    """As clients of Triton understand it: above 0, the first dimension of every tensor counts rows."""
    triton_config: bytes = b""
    """The inference.ModelConfig that was read; empty: none was."""


def load_version(
    source: VersionSource,
    config: ModelConfig,
    *,
    folder: Path | None = None,
    triton: TritonModel | None = None,
    defaults: Defaults | None = None,
    find_runner: Callable[[str], Runner] | None = None,
    quiet: bool = False,
) -> LoadedVersion:
    """Load, check and measure one version.

    `folder`: the model's, for the files that its configuration names; the version's by default. `triton`: what a
    config.pbtxt says beyond `config`. `quiet`: this thread ends after it, and where the runner permits is given the
    lowest priority.

    Raises:
        LoadError: it cannot be loaded, or its configuration does not fit it; the message says why.
    """
    config = (defaults or Defaults()).apply(config)
    require_runner(config.instances)
    runner = (find_runner or make_runner)(config.runner)
    options = RunnerOptions(config.threads or 1, config.runner_options)
    with _loading(runner, quiet) as load:
        try:
            digest = digest_files(source.files)
            load(source.path, options)
            memory = PeakMemory()
            folder = folder or source.path.parent
            declared = Declared(triton, read_labels(folder, config.output_labels))
            signature, plan = _plan(source, config, runner, memory, declared, folder)
            description = runner.describe()
            if not isinstance(description, str):
                raise LoadError(f"the runner describes itself as {type(description).__name__}, expected str")
            if fingerprint_of(source.files) != source.fingerprint:
                raise LoadError("its files changed while it was loaded")
        except LoadError:
            close_runner(runner, source)
            raise
        # A runner of another package may raise anything, SystemExit too; it must not end the server.
        except BaseException as error:
            close_runner(runner, source)
            log.warning("load_raised", model=source.model, version=source.version, exc_info=True)
            raise LoadError(f"{type(error).__name__}: {error_text(error)}") from error
    return LoadedVersion(
        runner,
        signature,
        plan,
        digest,
        description,
        platform=ONNX_PLATFORM if config.runner == "onnx" else config.runner,
        max_batch_size=_client_batch_size(plan, triton),
        triton_config=triton.message if triton is not None else b"",
    )


@contextmanager
def _loading(runner: Runner, quiet: bool) -> Iterator[Callable[[Path, RunnerOptions], None]]:
    """Give what loads the runner, with this thread at the priority that it takes."""
    if quiet and isinstance(runner, BackgroundLoading):
        with Background() as background:
            yield partial(runner.load_in_background, usual=background.at_usual_priority)
    else:
        yield runner.load


def make_runner(name: str) -> Runner:
    """Return a new runner: our own `onnx`, or one that an installed package registers.

    Raises:
        LoadError: nothing of that name is registered, or it, or what it needs, cannot be imported.
    """
    if name == "onnx":
        if _no_onnx:
            raise LoadError(f"runner 'onnx': {_no_onnx}; pip install \"maas-server[cpu]\", or see `maas doctor`")
        return OnnxRunner()
    found = metadata.entry_points(group=ENTRY_POINT_GROUP)
    for entry in found:
        if entry.name == name:
            try:
                runner: Runner = entry.load()()
            except BaseException as error:
                raise LoadError(
                    f"runner {name!r} ({entry.value}) cannot be made: {type(error).__name__}: {error_text(error)}"
                ) from error
            return runner
    known = ", ".join(sorted({"onnx", *(entry.name for entry in found)}))
    raise LoadError(f"runner: {name!r} is not registered; known are {known}")


def close_runner(runner: Runner, source: VersionSource) -> None:
    """Close a runner; one that raises has only that logged, for there is nothing more to be done with it."""
    try:
        runner.close()
    except BaseException:
        log.warning("close_raised", model=source.model, version=source.version, exc_info=True)


def digest_files(files: Sequence[tuple[str, Path]]) -> str:
    """Return the SHA-256 of one file's bytes, or of several files' digests and names as `sha256sum` lists them.

    Raises:
        LoadError: a file cannot be read.
    """
    digests = []
    for name, path in files:
        try:
            with open_plain(path) as file:
                digests.append((_digest(file), name))
        except OSError as error:
            raise LoadError(f"{name}: {error.strerror or error}") from error
    if len(digests) == 1:
        return f"sha256:{digests[0][0]}"
    listing = "".join(f"{digest}  {name}\n" for digest, name in digests)
    return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    # Pieces so large that the interpreter's lock, free meanwhile, is asked for a few hundred times a gigabyte; not from
    # malloc, which after freeing one would keep all that is smaller.
    with mmap.mmap(-1, _PIECE_BYTES) as buffer, memoryview(buffer) as piece:
        while count := file.readinto(piece):  # type: ignore[attr-defined]  # All that `open_plain` opens have it.
            digest.update(piece[:count])
    return digest.hexdigest()


def _plan(
    source: VersionSource, config: ModelConfig, runner: Runner, memory: PeakMemory, declared: Declared, folder: Path
) -> tuple[Signature, VersionPlan]:
    config, signature = declared.fit_inputs(config, runner.signature())
    groups = resolve_padding(config.padding, signature)
    started = time.monotonic()
    clock = _clock(runner)
    found = inspect(runner, signature, config, groups, clock=clock)
    signature, found = declared.fit_outputs(refined(signature, found), found)
    if declared.triton is not None and config.warmup.enabled:
        run_samples(runner, signature, declared.triton.inputs, declared.triton.warmups, folder)
    curve, reason = _measure(runner, config, found, memory, clock)
    batching = config.batching
    size = batching.max_batch_size or choose_batch_size(curve)
    difference = -1.0
    if not reason and found.recipe is not None:
        check = check_rows(runner, found.recipe, found.outputs, size, budget=CHECK_SECONDS, clock=clock)
        difference, reason = check.difference, check.reason
    if reason and not found.reason:
        found = replace(found, reason=reason)
    note = reason
    if found.recipe is not None:
        for index in range(len(groups)):
            check = check_padding(runner, found.recipe, found.outputs, groups, index)
            difference = max(difference, check.difference)
            if check.reason:
                groups, note = (), "; ".join(filter(None, (reason, f"padding is off: {check.reason}")))
                break
    if batching.enabled is True and reason:
        raise LoadError(f"batching.enabled is true, but {reason}")
    if not reason and batching.enabled is False:
        reason = "turned off by the configuration"
        note = "; ".join(filter(None, (reason, note)))
    signature = with_optional(signature, groups)
    inputs, outputs = declared.plans(signature, found, groups, counts_rows=declared.counts_rows(config, found))
    plan = VersionPlan(
        model=source.model,
        version=source.version,
        inputs=inputs,
        outputs=outputs,
        pad_groups=tuple(group.buckets for group in groups),
        batching=not reason,
        batching_reason=note,
        max_batch_size=1 if reason else size,
        max_request_rows=batching.max_request_rows,
        max_queue_rows=batching.max_queue_rows or 1,
        max_queue_delay_us=batching.max_queue_delay_us,
        queue=batching.queue_plan(),
        instances=count_instances(config.instances),
        threads=config.threads or 1,
        default_deadline_us=config.default_deadline,
        weight=config.weight,
        curve=curve,
        row_difference=difference,
    )
    log.debug(
        "version_checked", model=source.model, version=source.version, seconds=round(time.monotonic() - started, 3)
    )
    return declared.wire_signature(signature), plan


def _clock(runner: Runner) -> Clock:
    """Return what tells how long runs take, whatever else keeps the processors busy, as far as that can be told."""
    return cpu_clock() if isinstance(runner, BackgroundLoading) and runner.computes_alone() else time.perf_counter


def _client_batch_size(plan: VersionPlan, triton: TritonModel | None) -> int:
    if triton is not None and triton.batched:
        return triton.max_batch_size
    axes = {each.batch_axis for each in plan.inputs} | {each.batch_axis for each in plan.outputs}
    return plan.max_batch_size if plan.batching and axes == {0} else 0


def _measure(
    runner: Runner, config: ModelConfig, found: Inspection, memory: PeakMemory, clock: Clock
) -> tuple[tuple[CurvePoint, ...], str]:
    """Return the curve, and why rows are not batched (empty when they are)."""
    if found.recipe is None:
        return (), found.reason
    wanted = config.batching.max_batch_size or MAX_INFERRED_BATCH
    rows = 1 if found.reason or config.batching.enabled is False else wanted
    try:
        curve = measure_curve(
            runner, found.recipe, found.outputs, rows, budget=MEASURE_SECONDS, memory=memory, clock=clock
        )
    except RunFailed as failed:
        return (), found.reason or f"its batches do not run: {failed}"
    return curve, found.reason
