"""ONNX Runtime's distributions, and what their CUDA provider lacks."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import onnx
import onnxruntime
import pytest

from maas_server.devices import runtime as module_under_test
from maas_server.devices.facts import Runtime
from maas_server.devices.runtime import TINY_MODEL, find_runtime
from tests.devices.fake_machine import CUDA_13_LIBRARIES, LATE_LIBRARIES, FakeMachine, session_class


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def found(fake: FakeMachine, devices: int = 0) -> Runtime:
    machine = fake.machine()
    return find_runtime(machine.owners("onnxruntime"), machine.import_module, machine.load_library, devices)


def test_one_that_is_not_installed_is_no_failure(fake: FakeMachine) -> None:
    assert found(fake) == Runtime()


def test_one_that_is_installed_and_cannot_be_imported_is(fake: FakeMachine) -> None:
    fake.distributions["onnxruntime"] = {"onnxruntime-gpu": "1.31.1"}
    fake.modules["onnxruntime"] = ImportError("undefined symbol")
    assert found(fake) == Runtime({"onnxruntime-gpu": "1.31.1"}, failure="undefined symbol")


def test_that_for_the_cpu_is_asked_for_no_library(fake: FakeMachine) -> None:
    fake.add_onnxruntime()
    assert found(fake, devices=1) == Runtime(
        {"onnxruntime": "1.31.1"}, "1.31.1", "onnxruntime", "", ("CPUExecutionProvider",)
    )


def test_libraries_that_the_provider_names_are_missing_one_by_one(fake: FakeMachine) -> None:
    fake.add_onnxruntime("onnxruntime-gpu", cuda="13.0")
    fake.libraries |= {*CUDA_13_LIBRARIES[2:], *LATE_LIBRARIES}
    got = found(fake)
    assert got.missing == ("libcublasLt.so.13", "libcublas.so.13")
    assert got.missing_late == ()


def test_libraries_that_the_provider_opens_later_are_told_apart(fake: FakeMachine) -> None:
    fake.add_onnxruntime("onnxruntime-gpu", cuda="13.0")
    fake.libraries |= {*CUDA_13_LIBRARIES, *LATE_LIBRARIES[1:]}
    got = found(fake)
    assert (got.missing, got.missing_late) == ((), ("libcudnn.so.9",))


def test_a_provider_that_names_cudnn_to_the_loader_cannot_be_loaded_without_it(fake: FakeMachine) -> None:
    fake.add_onnxruntime("onnxruntime-gpu", cuda="13.0", late=True)
    fake.libraries |= {*CUDA_13_LIBRARIES, *LATE_LIBRARIES[1:]}
    got = found(fake)
    assert (got.missing, got.missing_late) == (("libcudnn.so.9",), ())


def test_libraries_that_onnxruntime_loads_itself_are_there(
    fake: FakeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    def preload() -> None:
        sys.stdout.write("Failed to load something optional\n")
        fake.libraries |= {*CUDA_13_LIBRARIES, *LATE_LIBRARIES}

    fake.add_onnxruntime("onnxruntime-gpu", cuda="13.0", preload_dlls=preload)
    got = found(fake)
    assert (got.missing, got.missing_late) == ((), ())
    assert capsys.readouterr().out == ""


def test_the_drivers_library_is_not_missed(fake: FakeMachine) -> None:
    fake.add_onnxruntime("onnxruntime-gpu", cuda="13.0")
    assert fake.driver is None
    assert "libcuda.so.1" not in found(fake).missing


def test_a_provider_whose_file_is_gone_is_missing_itself(fake: FakeMachine) -> None:
    fake.add_onnxruntime("onnxruntime-gpu", cuda="13.0")
    (fake.folder / "onnxruntime/capi/libonnxruntime_providers_cuda.so").unlink()
    assert found(fake).missing == ("libonnxruntime_providers_cuda.so",)


def complete(fake: FakeMachine, session: type) -> Runtime:
    fake.add_onnxruntime("onnxruntime-gpu", cuda="13.0", InferenceSession=session)
    fake.libraries |= {*CUDA_13_LIBRARIES, *LATE_LIBRARIES}
    return found(fake, devices=2)


def test_a_provider_that_runs_on_each_device_is_refused_by_none(fake: FakeMachine) -> None:
    assert complete(fake, session_class()).refusals == {}


def test_a_session_that_fell_back_to_the_cpu_is_a_refusal(fake: FakeMachine) -> None:
    why = "the session fell back to CPUExecutionProvider"
    assert complete(fake, session_class("CPUExecutionProvider")).refusals == {0: why, 1: why}


def test_a_run_that_fails_is_a_refusal(fake: FakeMachine) -> None:
    def run() -> None:
        raise RuntimeError("no kernel image is available for execution on the device")

    assert complete(fake, session_class(run=run)).refusals[1].startswith("no kernel image")


def test_what_the_package_warns_of_when_imported_stays_unsaid(fake: FakeMachine) -> None:
    module = fake.add_onnxruntime()

    def import_with_warning(name: str) -> object:
        warnings.warn("unsupported platform", stacklevel=1)
        return module

    assert find_runtime({}, import_with_warning, fake.machine().load_library, 0).version == "1.31.1"


def test_the_tiny_model_is_one_that_onnxruntime_runs() -> None:
    onnx.checker.check_model(onnx.load_from_string(TINY_MODEL))
    session = onnxruntime.InferenceSession(TINY_MODEL, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["x"]


def test_the_installed_onnxruntime_refuses_a_device_that_is_not_there() -> None:
    if module_under_test.CUDA_PROVIDER in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime may well have the device")
    # Without the module's warning about the unknown provider, which it writes as a Python warning.
    with warnings.catch_warnings(action="ignore"):
        why = module_under_test._refusal(onnxruntime, 0)
    assert "CPUExecutionProvider" in why
