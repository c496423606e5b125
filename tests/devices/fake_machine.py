"""A machine with whatever GPUs, drivers, libraries and distributions a test wants."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from maas_server.devices.facts import Device
from maas_server.devices.find import Machine

GIB = 1 << 30
H200 = Device("NVIDIA H200", 9, 0, 140 * GIB)
CUDA_13_LIBRARIES = ("libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudart.so.13")
LATE_LIBRARIES = ("libcudnn.so.9", "libcufft.so.12", "libnvrtc.so.13")


class FakeDriver:
    """libcuda.so.1, as far as it is asked."""

    def __init__(self, cuda: int, devices: Sequence[Device] = (), *, init: int = 0, fails: str = "") -> None:
        self._cuda = cuda
        self._devices = devices
        self._init = init
        self._fails = fails

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cu") and name == object.__getattribute__(self, "_fails"):
            return lambda *_: 999
        return object.__getattribute__(self, name)

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self._cuda
        return 0

    def cuInit(self, flags: int) -> int:
        return self._init

    def cuGetErrorName(self, code: int, name: Any) -> int:
        known = {802: b"CUDA_ERROR_SYSTEM_NOT_READY", 999: b"CUDA_ERROR_UNKNOWN"}
        name._obj.value = known.get(code)
        return 0 if code in known else 1

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self._devices)
        return 0

    def cuDeviceGet(self, handle: Any, index: int) -> int:
        handle._obj.value = index + 100
        return 0

    def cuDeviceGetName(self, name: Any, size: int, handle: Any) -> int:
        name.value = self._devices[handle.value - 100].name.encode()[: size - 1]
        return 0

    def cuDeviceTotalMem_v2(self, total: Any, handle: Any) -> int:
        total._obj.value = self._devices[handle.value - 100].total_bytes
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, handle: Any) -> int:
        device = self._devices[handle.value - 100]
        value._obj.value = {75: device.major, 76: device.minor}[attribute]
        return 0


@dataclass
class FakeMachine:
    """What is installed; `machine` is how it is asked."""

    folder: Path
    driver: FakeDriver | None = None
    libraries: set[str] = field(default_factory=set)
    modules: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def machine(self) -> Machine:
        return Machine(
            import_module=self._import,
            load_library=self._load,
            owners=lambda folder: self.distributions.get(folder, {}),
            driver_file=self.folder / "version",
            pci=self.folder / "pci",
        )

    def add_onnxruntime(
        self, package: str = "onnxruntime", *, cuda: str = "", late: bool = False, **names: Any
    ) -> SimpleNamespace:
        """Install a distribution of ONNX Runtime, with a CUDA provider that needs what the real one does."""
        capi = self.folder / "onnxruntime/capi"
        capi.mkdir(parents=True, exist_ok=True)
        providers = ["CPUExecutionProvider"]
        if cuda:
            providers.insert(0, "CUDAExecutionProvider")
            needed = [*CUDA_13_LIBRARIES, *(LATE_LIBRARIES if late else ()), "libcuda.so.1", "libc.so.6"]
            (capi / "libonnxruntime_providers_cuda.so").write_bytes(elf_file(needed))
            self.libraries.add("libc.so.6")
        module = SimpleNamespace(
            __version__="1.31.1",
            __file__=str(self.folder / "onnxruntime/__init__.py"),
            package_name=package,
            cuda_version=cuda,
            get_available_providers=lambda: providers,
            set_default_logger_severity=lambda severity: None,
            SessionOptions=SimpleNamespace,
            InferenceSession=session_class(),
        )
        vars(module).update(names)
        self.modules["onnxruntime"] = module
        self.distributions["onnxruntime"] = {package: "1.31.1"}
        return module

    def add_hardware(self, vendor: str = "0x10de", kind: str = "0x030200") -> None:
        device = self.folder / "pci" / f"0000:{len(list(self.folder.glob('pci/*'))):02x}:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")

    def _import(self, name: str) -> Any:
        found = self.modules.get(name)
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r}")
        if isinstance(found, Exception):
            raise found
        return found

    def _load(self, name: str) -> Any:
        if name == "libcuda.so.1" and self.driver is not None:
            return self.driver
        if name not in self.libraries:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        return None


def session_class(provider: str = "CUDAExecutionProvider", run: Callable[[], None] = lambda: None) -> type:
    """An InferenceSession that got a provider, and whose runs do something."""

    class Session:
        def __init__(self, model: bytes, options: Any, providers: Sequence[Any]) -> None:
            assert model
            assert providers[0][0] == "CUDAExecutionProvider"
            self.device = providers[0][1]["device_id"]

        def get_providers(self) -> list[str]:
            return [provider]

        def run(self, outputs: None, inputs: Mapping[str, Any]) -> list[Any]:
            run()
            return list(inputs.values())

    return Session


def core(no_front: str = "", no_cuda: str = "") -> SimpleNamespace:
    return SimpleNamespace(simd=lambda: "avx2", NO_COMPILED_FRONT=no_front, NO_CUDA=no_cuda)


def kernels(*free: int, architectures: tuple[str, ...] = ("sm_80", "sm_90", "compute_120")) -> SimpleNamespace:
    return SimpleNamespace(
        architectures=lambda: architectures,
        runtime_version=lambda: 13000,
        devices=lambda: [{"free_bytes": each} for each in free],
    )


def elf_file(needed: Sequence[str], *, address: int = 0x4000) -> bytes:
    """A shared library of nothing but names that it needs, mapped at another place than it has in the file."""
    names = [b"", *(name.encode() for name in needed)]
    strings = b"\0".join(names) + b"\0"
    offsets = [sum(len(each) + 1 for each in names[:index]) for index in range(len(names))]
    at = 64 + 2 * 56
    tags = [(1, offset) for offset in offsets[1:]] + [(5, address), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 4, at, address, address, len(strings), len(strings), 8)
    start = at + len(strings)
    head += struct.pack("<IIQQQQQQ", 2, 6, start, 0, 0, len(dynamic), len(dynamic), 8)
    return head + strings + dynamic
