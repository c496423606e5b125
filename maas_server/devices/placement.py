"""Which GPUs the instances of a version go to, decided from a table of them. Nothing here touches a device.

The table is as fresh as its measurement: whoever asks twice before the first version has taken its memory says in
`reserved_bytes` what was promised to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from maas_server.devices.report import Finding
from maas_server.errors import LoadError

_FIELD = "instances.gpu"
_MIB = 1 << 20
_DRIVER = "NVIDIA driver"
# Lines of the report that say why there is no GPU to be had.
_REASONS = (_DRIVER, "onnxruntime", "CUDA libraries", "CUDA provider", "CUDA kernels")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A row of the table."""

    index: int
    name: str
    total_bytes: int
    free_bytes: int
    reserved_bytes: int = 0
    """Promised to versions that have not taken it yet."""
    lost: str = ""
    """Why it can no longer be used; empty: it can."""

    def room(self) -> int:
        """Return the bytes that a version may still have here."""
        return 0 if self.lost else max(0, self.free_bytes - self.reserved_bytes)

    def __str__(self) -> str:
        """Return what messages call it."""
        return f"device {self.index} ({self.name})"


@dataclass(frozen=True, slots=True)
class Need:
    """What one instance takes of a device's memory. Each has a session of its own, and so the weights once more."""

    weight_bytes: int
    run_bytes: int = 0
    """S(n) of its largest batch; 0: nobody has measured it yet."""

    def total(self) -> int:
        """Return the bytes of one instance."""
        return self.weight_bytes + self.run_bytes

    def __str__(self) -> str:
        """Return it as messages say it."""
        if not self.run_bytes:
            return f"{_needed(self.weight_bytes)} for weights"
        return f"{_needed(self.total())} (weights {_needed(self.weight_bytes)}, runs {_needed(self.run_bytes)})"


def place(
    wanted: int | Mapping[int, int],
    need: Need,
    gpus: Sequence[Gpu],
    doctor: Callable[[], Sequence[Finding]] = tuple,
) -> tuple[int, ...]:
    """Return the device of each instance; the same table gives the same devices.

    `wanted`: how many, or of each device how many. Where it is only a number, a device has a second instance once
    every other with room has one, and of equals the one with the most room is first. `doctor` gives the report of
    this machine; it is asked only where there is no GPU.

    Raises:
        LoadError: there is no GPU, not the one that is wanted, or no room; the message says how much was needed and
            how much was free on which.
    """
    assert min(need.weight_bytes, need.run_bytes) >= 0, "memory is not negative"
    assert len({gpu.index for gpu in gpus}) == len(gpus), "a device is in the table once"
    if not gpus:
        raise _no_gpu(doctor())
    return _spread(wanted, need, gpus) if isinstance(wanted, int) else _as_named(wanted, need, gpus)


def _spread(count: int, need: Need, gpus: Sequence[Gpu]) -> tuple[int, ...]:
    working = [gpu for gpu in gpus if not gpu.lost]
    if not working:
        raise LoadError(f"{_FIELD}: expected a GPU that works, got {_listed(gpus)}")
    left = {gpu.index: gpu.room() for gpu in working}
    placed: list[int] = []
    while len(placed) < count:
        fitting = [index for index, room in left.items() if room >= need.total()]
        if not fitting:
            raise LoadError(
                f"{_FIELD}: expected room for {_instances(count)}, each {need}, got room for {len(placed)}: "
                f"{_listed(gpus)}"
            )
        index = min(fitting, key=lambda each: (placed.count(each), -left[each], each))
        left[index] -= need.total()
        placed.append(index)
    return tuple(placed)


def _as_named(wanted: Mapping[int, int], need: Need, gpus: Sequence[Gpu]) -> tuple[int, ...]:
    known = {gpu.index: gpu for gpu in gpus}
    placed: list[int] = []
    for index, count in wanted.items():
        gpu = known.get(index)
        if gpu is None:
            raise LoadError(f"{_FIELD}: there is no device {index}; there are {', '.join(map(str, gpus))}")
        if gpu.lost:
            raise LoadError(f"{_FIELD}: expected a GPU that works, got {_listed([gpu])}")
        if count * need.total() > gpu.room():
            raise LoadError(
                f"{_FIELD}: expected {_needed(count * need.total())} for {_instances(count)}, each {need}, "
                f"got {_listed([gpu])}"
            )
        placed += [index] * count
    return tuple(placed)


def _no_gpu(findings: Sequence[Finding]) -> LoadError:
    reasons = [each for each in findings if each.name in _REASONS and (each.status != "ok" or each.name == _DRIVER)]
    text = "; ".join(
        f"{each.name}: {each.found}" + (f" (remedy: {each.remedy})" if each.remedy else "") for each in reasons
    )
    says = f"`maas doctor` says: {text}" if text else "see `maas doctor`"
    return LoadError(f"{_FIELD}: expected a GPU, got none; {says}")


def _listed(gpus: Sequence[Gpu]) -> str:
    return ", ".join(_state(gpu) for gpu in sorted(gpus, key=lambda each: each.index))


def _state(gpu: Gpu) -> str:
    if gpu.lost:
        return f"{gpu}, which is lost: {gpu.lost}"
    promised = f", {_needed(gpu.reserved_bytes)} of them promised" if gpu.reserved_bytes else ""
    return f"{gpu.free_bytes // _MIB} of {gpu.total_bytes // _MIB} MiB free on {gpu}{promised}"


def _needed(count: int) -> str:
    # Rounded up, and what is free down: a need that is larger than what is free also looks it.
    return f"{-(-count // _MIB)} MiB"


def _instances(count: int) -> str:
    return f"{count} instance" + ("s" if count != 1 else "")
