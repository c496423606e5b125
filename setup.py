"""Builds what pyproject.toml cannot say: the C++ core and the protobuf stubs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import google.rpc
import grpc_tools
from pybind11.setup_helpers import Pybind11Extension
from setuptools import Command, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
NOT_SHIPPED = ("_test.cc", "_bench.cc", "_fuzz.cc")

# Whole files are compiled for an instruction set and chosen at run time, so that one wheel runs on any x86-64.
# No other file may get these flags: a function inlined from there would run before the choice is made.
ISA_FLAGS = {
    "_avx2.cc": ["-mavx2", "-mf16c"],
    "_avx512.cc": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mf16c"],
}
COMPILE_FLAGS = [
    "-g0",
    "-ffunction-sections",  # So that the linker drops what nobody calls.
    "-fdata-sections",
    "-Wall",
    "-Wextra",
    "-fvisibility=hidden",
    "-ffp-contract=off",  # An fma rounds once where ONNX rounds twice: answers would differ from the runtime's.
]
# Packages of proto/ whose names are not ours: their stubs keep out of protobuf's default pool, see compat_pool.py.
COMPAT_PACKAGES = ("inference", "tensorflow_serving")
# What moves tensors, and reads and writes messages, is worth its space; the rest runs once per request or batch.
OPTIMIZE = {
    "csrc/maas/quant/": "-O3",
    "csrc/maas/pack/": "-O3",
    "csrc/maas/wire/": "-O2",
    "csrc/maas/http2/": "-O2",
    "csrc/maas/rpc/": "-O2",
    "csrc/maas/front/": "-O2",
    "csrc/": "-Os",
}
# Profilers want names: see benchmarks/README.md.
KEEP_SYMBOLS = bool(os.environ.get("MAAS_KEEP_SYMBOLS"))
STRIP = [] if KEEP_SYMBOLS else ["-s"]
LINK_FLAGS = [*STRIP, "-pthread", "-Wl,--gc-sections"] if sys.platform == "linux" else ["-pthread"]

# The compiled front: built where what it is made of is there (auto), never (off), or always (on: else the build fails).
BUILD_FRONT = "MAAS_BUILD_FRONT"
FRONT_FOLDERS = ("csrc/maas/net/", "csrc/maas/http2/", "csrc/maas/rpc/", "csrc/maas/front/")
FRONT_BINDING, NO_FRONT_BINDING = "csrc/bindings/bind_front.cc", "csrc/bindings/bind_no_front.cc"


# The part for NVIDIA GPUs, likewise: built where nvcc is there. Devices in between run what was compiled for the one
# before, and those after the last compile for themselves.
BUILD_CUDA = "MAAS_CUDA"
CUDA_ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
# -fmad: an fma rounds once where ONNX rounds twice, as above.
NVCC_FLAGS = [
    "-std=c++20",
    "-O3",
    "-fmad=false",
    "-Werror=all-warnings",
    "-Xcompiler=-Wall,-Wextra,-fPIC,-fvisibility=hidden",
]


@dataclass(frozen=True)
class CudaToolkit:
    """What scripts/cuda_toolkit.sh found."""

    nvcc: str
    architectures: list[str]
    host_flags: list[str]
    libraries: list[str]

    def names(self) -> str:
        """What it compiles for: sm_90 is machine code, compute_120 what devices compile for themselves."""
        return " ".join(flag.rsplit("code=", 1)[1] for flag in self.architectures)

    def command(self, source: str, target: Path, depfile: Path) -> list[str]:
        """Compiles one file."""
        threads = f"--threads={os.cpu_count() or 1}"  # Architectures at a time.
        made = ["-Icsrc", "-MMD", "-MF", str(depfile), "-c", source, "-o", str(target)]
        return [self.nvcc, *NVCC_FLAGS, threads, *self.architectures, *made]


def wish(variable: str) -> str:
    """What the environment wants of an optional part: auto, on or off."""
    wanted = os.environ.get(variable) or "auto"
    if wanted not in ("auto", "on", "off"):
        raise SystemExit(f"{variable}: expected auto, on or off, got {wanted!r}")
    return wanted


def cuda_toolkit() -> tuple[CudaToolkit | None, str]:
    """What the part for NVIDIA GPUs is built with, or why it is not built."""
    wanted = wish(BUILD_CUDA)
    if wanted == "off":
        return None, f"this build left it out ({BUILD_CUDA}=off)"
    if sys.platform != "linux":
        missing = "Linux"
    else:
        script = str(ROOT / "scripts" / "cuda_toolkit.sh")
        found = subprocess.run([script, *CUDA_ARCHITECTURES], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            nvcc, *flags = found.stdout.splitlines()
            return CudaToolkit(nvcc, *map(str.split, flags)), ""
        missing = found.stderr.strip()
    if wanted == "on":
        raise SystemExit(f"{BUILD_CUDA}=on: the part for NVIDIA GPUs needs {missing}")
    return None, f"it was not built, for want of {missing}"


def front_libraries() -> tuple[list[str], str]:
    """What the linker needs for the compiled front, or why it is not built."""
    wanted = wish(BUILD_FRONT)
    if wanted == "off":
        return [], f"this build left it out ({BUILD_FRONT}=off)"
    if sys.platform != "linux":
        missing = "Linux"
    else:
        found = subprocess.run(
            [str(ROOT / "scripts" / "front_libraries.sh"), str(ROOT / "build" / "nghttp2")],
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode == 0:
            return found.stdout.split(), ""
        missing = found.stderr.strip()
    if wanted == "on":
        raise SystemExit(f"{BUILD_FRONT}=on: the compiled front needs {missing}")
    return [], f"it was not built, for want of {missing}"


def core_sources(*, front: bool) -> list[str]:
    found = [*ROOT.glob("csrc/maas/**/*.cc"), *ROOT.glob("csrc/bindings/*.cc")]
    shipped = [str(path.relative_to(ROOT)) for path in found if not path.name.endswith(NOT_SHIPPED)]
    left_out = (NO_FRONT_BINDING,) if front else (*FRONT_FOLDERS, FRONT_BINDING)
    return sorted(source for source in shipped if not source.startswith(left_out))


def cuda_sources() -> list[str]:
    found = [*ROOT.glob("csrc/cuda/*.cc"), *ROOT.glob("csrc/cuda/*.cu")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def isa_flags(source: str) -> list[str]:
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return []
    return next((flags for suffix, flags in ISA_FLAGS.items() if source.endswith(suffix)), [])


class Build(build):
    """`build`, which also makes the stubs; editable installs run its sub-commands as well."""

    sub_commands: ClassVar = [*build.sub_commands, ("build_stubs", None)]


class BuildCore(build_ext):
    """`build_ext` that compiles in parallel and only what changed since the objects were made."""

    def run(self) -> None:
        if NO_CUDA and self.inplace:
            # What an earlier build left here would be imported all the same.
            for path in ROOT.glob("maas_server/_cuda.*so"):
                path.unlink()
        super().run()

    def build_extension(self, ext: Pybind11Extension) -> None:
        ext.define_macros.append(("MAAS_VERSION", f'"{self.distribution.get_version()}"'))
        # Not build_temp: an editable install is given a fresh one each time.
        objects_dir = ROOT / "build" / "ext" / f"{sys.implementation.cache_tag}-{platform.machine().lower()}"
        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            objects = list(pool.map(lambda source: self._compile(ext, source, objects_dir), ext.sources))
        self.compiler.link_shared_object(
            objects,
            self.get_ext_fullpath(ext.name),
            extra_postargs=ext.extra_link_args,
            target_lang="c++",
        )

    def _compile(self, ext: Pybind11Extension, source: str, objects_dir: Path) -> str:
        target = (objects_dir / source).with_suffix(".o")
        depfile, flagfile = target.with_suffix(".d"), target.with_suffix(".flags")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".cu"):
            return self._compile_cuda(source, target, depfile, flagfile)
        optimize = next(flag for prefix, flag in OPTIMIZE.items() if source.startswith(prefix))
        flags = [optimize, *ext.extra_compile_args, *isa_flags(source)]
        macros = [*ext.define_macros, *MACROS.get(source, ())]
        settings = "\n".join(
            map(str, [*self.compiler.compiler_so, *flags, macros, ext.include_dirs, self.include_dirs])
        )
        if is_current(target, depfile, flagfile, settings):
            return str(target)
        self.compiler.compile(
            [source],
            output_dir=str(objects_dir),
            macros=macros,
            include_dirs=ext.include_dirs,
            extra_postargs=[*flags, "-MMD", "-MF", str(depfile)],
        )
        flagfile.write_text(settings)
        return str(target)

    def _compile_cuda(self, source: str, target: Path, depfile: Path, flagfile: Path) -> str:
        assert CUDA is not None
        settings = "\n".join([CUDA.nvcc, *NVCC_FLAGS, *CUDA.architectures])
        if not is_current(target, depfile, flagfile, settings):
            self.compiler.spawn(CUDA.command(source, target, depfile))
            flagfile.write_text(settings)
        return str(target)


def is_current(target: Path, depfile: Path, flagfile: Path, settings: str) -> bool:
    """Whether the object is at least as new as everything that it was made from, and made in the same way."""
    if not (target.exists() and depfile.exists() and flagfile.exists() and flagfile.read_text() == settings):
        return False
    made = target.stat().st_mtime_ns
    inputs = depfile.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    return all((path := ROOT / name).exists() and path.stat().st_mtime_ns <= made for name in inputs)


class BuildStubs(Command):
    """Generates maas_server/_stubs from proto/, and lays the .proto files beside it for other languages."""

    description = "generate protobuf stubs"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self) -> None:
        assert self.build_lib is not None
        package = (ROOT if self.editable_mode else Path(self.build_lib)) / "maas_server"
        with tempfile.TemporaryDirectory() as temporary:
            generated = Path(temporary)
            generate_stubs(generated)
            if not self.editable_mode:
                for path in COMPAT_PACKAGES:
                    drop_types(generated / path)
            replace_tree(generated, package / "_stubs")
        replace_tree(ROOT / "proto", package / "protos")

    def get_source_files(self) -> list[str]:
        return [str(path.relative_to(ROOT)) for path in proto_files()]

    def get_outputs(self) -> list[str]:
        package = Path(self.build_lib or "") / "maas_server"
        outputs: list[Path] = []
        for path in proto_files():
            relative = path.relative_to(ROOT / "proto")
            stub = package / "_stubs" / relative.with_name(relative.stem + "_pb2.py")
            outputs += [stub, package / "protos" / relative]
            if relative.parts[0] not in COMPAT_PACKAGES:
                outputs.append(stub.with_suffix(".pyi"))
            outputs += [package / "_stubs" / folder / "__init__.py" for folder in relative.parents]
        return sorted({str(path) for path in outputs})

    def get_output_mapping(self) -> dict[str, str]:
        return {}


def proto_files() -> list[Path]:
    return sorted((ROOT / "proto").rglob("*.proto"))


def generate_stubs(out: Path) -> None:
    """Runs protoc into `out`, moving every import of our packages below maas_server._stubs."""
    roots = [
        ROOT / "proto",
        Path(next(iter(google.rpc.__path__))).parents[1],
        Path(grpc_tools.__file__).parent / "_proto",
    ]
    names = [str(path.relative_to(ROOT / "proto")) for path in proto_files()]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            *(f"-I{root}" for root in roots),
            f"--python_out={out}",
            f"--pyi_out={out}",
            *names,
        ],
        check=True,
    )
    packages = "|".join(sorted({name.split("/", 1)[0] for name in names}))
    ours = re.compile(rf"^from ({packages})\b", re.MULTILINE)
    for path in [*out.rglob("*_pb2.py"), *out.rglob("*_pb2.pyi")]:
        path.write_text(ours.sub(r"from maas_server._stubs.\1", path.read_text()))
    for package in COMPAT_PACKAGES:
        for path in (out / package).rglob("*_pb2.py"):
            path.write_text(into_compat_pool(path.read_text()))
    for folder in [out, *(path for path in out.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()


def drop_types(package: Path) -> None:
    """Removes the type stubs: only this package's own code uses these messages, and they are as large as the code."""
    for path in package.rglob("*.pyi"):
        path.unlink()


def into_compat_pool(stub: str) -> str:
    """The stub, registering its descriptors in our pool instead of protobuf's default one."""
    for generated, wanted in (
        ("from google.protobuf import descriptor_pool as _descriptor_pool\n", "from maas_server import compat_pool\n"),
        ("_descriptor_pool.Default()", "compat_pool.COMPAT_POOL"),
    ):
        if stub.count(generated) != 1:
            raise RuntimeError(
                f"the stub generator writes something else now: {generated!r} stands {stub.count(generated)} times"
            )
        stub = stub.replace(generated, wanted)
    return stub


def replace_tree(source: Path, target: Path) -> None:
    """Makes `target` a copy of `source`, without what an earlier build left there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


FRONT_LIBRARIES, NO_FRONT = front_libraries()
CUDA, NO_CUDA = cuda_toolkit()
# Of single sources: what differs with the GPU's part is no reason to compile the core again.
MACROS = {"csrc/bindings/module.cc": [("MAAS_NO_CUDA", f'"{NO_CUDA}"')]}

EXTENSIONS = [
    Pybind11Extension(
        "maas_server._core",
        core_sources(front=not NO_FRONT),
        include_dirs=["csrc"],
        define_macros=[("MAAS_NO_FRONT", f'"{NO_FRONT}"')],
        cxx_std=20,
        extra_compile_args=COMPILE_FLAGS,
        extra_link_args=[*LINK_FLAGS, *FRONT_LIBRARIES],
    )
]
if CUDA is not None:
    EXTENSIONS.append(
        Pybind11Extension(
            "maas_server._cuda",
            cuda_sources(),
            include_dirs=["csrc"],
            define_macros=[("MAAS_CUDA_ARCHITECTURES", f'"{CUDA.names()}"')],
            cxx_std=20,
            extra_compile_args=[*COMPILE_FLAGS, *CUDA.host_flags],
            # ONNX Runtime has a CUDA runtime of its own in the process: neither is to call the other's functions.
            extra_link_args=[*LINK_FLAGS, *CUDA.libraries, "-Wl,--exclude-libs,ALL"],
        )
    )

setup(cmdclass={"build": Build, "build_ext": BuildCore, "build_stubs": BuildStubs}, ext_modules=EXTENSIONS)
