"""What a machine and its Python environment have for serving, as `maas doctor` finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Core:
    """The compiled core."""

    simd: str = ""
    """The instruction set that its kernels use."""
    no_front: str = ""
    """Why there is no compiled front; empty: there is one."""
    no_cuda: str = ""
    """Why the extension `_cuda` was not built; empty: it was."""
    failure: str = ""
    """Why it cannot be imported; empty: it can."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """The extension `_cuda`: our kernels for NVIDIA GPUs."""

    present: bool = False
    architectures: tuple[str, ...] = ()
    """What it has code for: `sm_90` is code for 9.x, `compute_120` is what a driver compiles for 12.0 and later."""
    cuda: int = 0
    """The CUDA that it is linked with: 13000 is 13.0."""
    failure: str = ""
    """Why it cannot be imported, or why it cannot list devices."""


@dataclass(frozen=True, slots=True)
class Driver:
    """NVIDIA's driver."""

    cuda: int = 0
    """The newest CUDA that it runs: 13000 is 13.0; 0: there is no driver."""
    release: str = ""
    """Its own version, "580.65.06", where the system tells."""
    failure: str = ""
    """What it answers instead of listing devices."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU that the driver shows to this process."""

    name: str
    major: int
    minor: int
    total_bytes: int
    free_bytes: int | None = None
    """None: without the extension `_cuda` nobody asks."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """ONNX Runtime."""

    distributions: Mapping[str, str] = field(default_factory=dict)
    """Installed distributions that own the folder `onnxruntime`, with their versions."""
    version: str = ""
    package: str = ""
    """The distribution that the files in the folder say they are of."""
    cuda: str = ""
    """The CUDA that it was built for, "13.0"; empty: it has no CUDA provider."""
    providers: tuple[str, ...] = ()
    failure: str = ""
    """Why it cannot be imported; empty: it can, or it is not installed."""
    missing: tuple[str, ...] = ()
    """Libraries without which the CUDA provider cannot be loaded."""
    missing_late: tuple[str, ...] = ()
    """Libraries that the CUDA provider opens when a model needs them."""
    refusals: Mapping[int, str] = field(default_factory=dict)
    """Devices on which the CUDA provider did not run a model of one node, and why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it."""

    version: str
    python: str
    core: Core = Core()
    runtime: Runtime = Runtime()
    kernels: Kernels = Kernels()
    driver: Driver = Driver()
    devices: tuple[Device, ...] = ()
    nvidia_hardware: bool = False
    """Whether there is an NVIDIA GPU on the PCI bus, with or without a driver."""
    cupy: Mapping[str, str] = field(default_factory=dict)
    """Installed distributions that own the folder `cupy`, with their versions."""
    runners: tuple[str, ...] = ()
    """Runners that other packages register."""
