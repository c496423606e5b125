"""`instances` of a maas.yaml: how many lanes of execution a version has, and on what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maas_server.errors import LoadError

MAX_INSTANCES = 64


@dataclass(frozen=True, slots=True)
class GpuInstances:
    """Instances on GPUs."""

    gpu: int | Mapping[int, int]
    """How many, wherever there is room; or of each device how many."""


Instances = int | GpuInstances
"""A number is of the CPU."""


def parse_instances(value: object) -> Instances:
    """Turn {cpu: 2} into 2, and {gpu: ...} into the numbers that it stands for; keys may be text.

    Raises:
        ValueError: it is none of these; the message says what was expected.
    """
    if isinstance(value, GpuInstances):
        return value
    if isinstance(value, Mapping):
        if len(value) != 1 or not {"cpu", "gpu"} & set(value):
            raise ValueError("expected either {cpu: N} or {gpu: ...}")
        return GpuInstances(_on_gpus(value["gpu"])) if "gpu" in value else _number(value["cpu"], "cpu: ")
    return _number(value, "", " of the CPU, {cpu: N} or {gpu: ...}")


def count_instances(instances: Instances) -> int:
    """Return how many there are, wherever they run."""
    if not isinstance(instances, GpuInstances):
        return instances
    return instances.gpu if isinstance(instances.gpu, int) else sum(instances.gpu.values())


def require_runner(instances: Instances) -> None:
    """Ask what runs these instances here. On the CPU runners do; on a GPU nothing in this build does.

    Raises:
        LoadError: nothing does.
    """
    if isinstance(instances, GpuInstances):
        count = count_instances(instances)
        raise LoadError(
            f"instances.gpu: expected instances on the CPU, got {count} on a GPU: this build has no runner for GPUs; "
            f"`instances: {count}` runs as many on the CPU"
        )


def _on_gpus(value: object) -> int | Mapping[int, int]:
    if isinstance(value, Mapping):
        devices = {_device(key): _number(count, f"gpu: {key}: ") for key, count in value.items()}
    elif isinstance(value, Sequence) and not isinstance(value, str):
        devices = {_device(each): 1 for each in value}
    else:
        return _number(value, "gpu: ", ", a list of devices, or a mapping of devices to numbers")
    if not devices or len(devices) != len(value):
        raise ValueError("gpu: expected one or more different devices")
    if sum(devices.values()) > MAX_INSTANCES:
        raise ValueError(f"gpu: expected at most {MAX_INSTANCES} instances")
    return devices


def _device(value: object) -> int:
    """Return a device's index; keys of a maas.yaml are text."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,3}", value):
        return int(value)
    if type(value) is int and 0 <= value <= 999:
        return value
    raise ValueError("gpu: expected devices by their indices, 0, 1 and so on")


def _number(value: object, where: str, or_else: str = "") -> int:
    if type(value) is int and 1 <= value <= MAX_INSTANCES:
        return value
    raise ValueError(f"{where}expected 1 to {MAX_INSTANCES} instances{or_else}")
