"""Loads that bring a configuration or files of their own."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from maas_server._stubs.tensorflow_serving import model_server_config_pb2
from maas_server.errors import ConfigError, InvalidRequest, LoadError, NotAvailable, NotFound
from maas_server.models.registry import LoadOverrides
from tests.models.fakes import FakeRunner
from tests.models.stage import AVAILABLE, END, LOADING, UNLOADING, Stage

explicit = pytest.mark.parametrize("control", ["explicit"])
removed = threading.Condition()


def config(**fields: Any) -> str:
    return json.dumps({"backend": "onnxruntime", **fields})


def brought(files: dict[str, bytes], **fields: Any) -> LoadOverrides:
    return LoadOverrides(config(**fields), files)


def content(stage: Stage, version: int = 1, model: str = "m") -> str:
    """What the runner that answers for a version has read."""
    route = stage.host.routes[model]
    assert route is not None
    return str(route.versions[version].runner.content)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the private folders; `removed` is notified when one of them has gone."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    remove = shutil.rmtree

    def remove_and_tell(path: Path, ignore_errors: bool) -> None:
        remove(path, ignore_errors)
        with removed:
            removed.notify_all()

    monkeypatch.setattr(shutil, "rmtree", remove_and_tell)


def private_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).iterdir())


async def only_left(expected: set[Path]) -> None:
    def wait() -> bool:
        with removed:
            return removed.wait_for(lambda: private_folders() == expected, 10)

    assert await asyncio.to_thread(wait), private_folders()


async def begin_held(stage: Stage, model: str = "m", content: bytes = b"held bad") -> asyncio.Task[Any]:
    """Begin a load that does not end before `FakeRunner.release` is set."""
    FakeRunner.release.clear()
    load = asyncio.create_task(stage.registry.load(model, overrides=brought({"5/model.onnx": content})))
    await stage.until(lambda: stage.states(model).get(5) == LOADING)
    return load


@pytest.mark.parametrize("control", ["poll", "explicit"])
async def test_a_configuration_replaces_the_folders_until_the_next_load(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("m/2")
    stage.write("m/config.pbtxt", "instance_group { count: 2 }")
    await stage.start()
    await stage.registry.load("m")
    view = await stage.registry.load("m", overrides=LoadOverrides(config(version_policy={"all": {}})))
    assert {each.version: each.state for each in view.versions} == {1: AVAILABLE, 2: AVAILABLE}
    plan = view.versions[0].plan
    assert plan is not None
    assert plan.instances == 1
    await stage.scan()
    assert stage.states() == {1: AVAILABLE, 2: AVAILABLE}, "a scan takes nothing back"
    view = await stage.registry.load("m")
    await stage.until(lambda: stage.states()[1] == END)
    plan = view.versions[0].plan
    assert plan is not None
    assert plan.instances == 2


@explicit
async def test_files_replace_the_folders_until_the_next_load(stage: Stage) -> None:
    before = private_folders()
    stage.write("m/1", "from disk")
    stage.write("m/2", "from disk")
    await stage.start()
    await stage.registry.load("m")
    await stage.registry.load("m", overrides=brought({"7/model.onnx": b"from a call", "7/weights/w": b"w"}))
    await stage.until(lambda: stage.states()[2] == END)
    assert content(stage, 7) == "from a call"
    (folder,) = private_folders() - before
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "7/weights/w").read_bytes() == b"w"
    await stage.registry.load("m")
    await stage.until(lambda: stage.states()[7] == END)
    assert content(stage, 2) == "from disk"
    await only_left(before)


@explicit
async def test_a_model_can_come_from_a_call_alone(stage: Stage) -> None:
    before = private_folders()
    await stage.start()
    view = await stage.registry.load("team/new:model", overrides=brought({"1/model.onnx": b"new"}))
    assert view.versions[0].state == AVAILABLE
    await stage.registry.scan()
    with pytest.raises(NotFound, match="it was loaded from a call"):
        await stage.registry.load("team/new:model")
    assert content(stage, 1, "team/new:model") == "new"
    await stage.registry.unload("team/new:model")
    await stage.registry.scan()
    assert stage.registry.status() == ()
    await only_left(before)


@explicit
async def test_what_does_not_load_leaves_everything_as_it_was(stage: Stage) -> None:
    before = private_folders()
    stage.write("m/1", "from disk")
    await stage.start()
    await stage.registry.load("m")
    with pytest.raises(LoadError, match="it is bad"):
        await stage.registry.load("m", overrides=brought({"2/model.onnx": b"bad"}))
    await stage.registry.scan()
    assert stage.states()[1] == AVAILABLE
    assert content(stage) == "from disk"
    assert len(stage.host.deployments["m", 1]) == 1
    with pytest.raises(LoadError, match="it is bad"):
        await stage.registry.load("n", overrides=brought({"1/model.onnx": b"bad"}))
    await stage.registry.scan()
    assert [view.name for view in stage.registry.status()] == ["m"]
    await only_left(before)


@explicit
async def test_one_override_follows_another(stage: Stage) -> None:
    await stage.start()
    for word in (b"one", b"two", b"three"):
        await stage.registry.load("m", overrides=brought({"1/model.onnx": word}))
        assert content(stage) == word.decode()
    with pytest.raises(LoadError):
        await stage.registry.load("m", overrides=brought({"1/model.onnx": b"bad"}))
    assert content(stage) == "three"


@explicit
async def test_one_that_fails_does_not_take_back_the_one_that_waited_for_it(stage: Stage) -> None:
    stage.write("m/1", "from disk")
    await stage.start()
    await stage.registry.load("m")
    first = await begin_held(stage)
    second = asyncio.create_task(stage.registry.load("m", overrides=brought({"5/model.onnx": b"good"})))
    for _ in range(20):  # It could begin by then, and must not.
        await stage.registry.scan()
    FakeRunner.release.set()
    with pytest.raises(LoadError, match="held bad"):
        await first
    await second
    assert content(stage, 5) == "good"
    await stage.until(lambda: stage.states()[1] == END)


@explicit
async def test_two_at_once_that_both_fail_leave_everything_as_it_was(stage: Stage) -> None:
    before = private_folders()
    stage.write("m/1", "from disk")
    await stage.start()
    await stage.registry.load("m")
    first = await begin_held(stage)
    second = asyncio.create_task(stage.registry.load("m", overrides=brought({"5/model.onnx": b"bad too"})))
    for _ in range(20):  # It could begin by then, and must not.
        await stage.registry.scan()
    FakeRunner.release.set()
    for load, why in ((first, "held bad"), (second, "bad too")):
        with pytest.raises(LoadError, match=why):
            await load
    await only_left(before)
    assert content(stage) == "from disk"
    stage.write("m/2")
    await stage.registry.scan()
    assert 2 in stage.states(), "what counts is on disk"


@explicit
async def test_one_that_fails_does_not_take_back_an_unload(stage: Stage) -> None:
    stage.write("m/1", "from disk")
    await stage.start()
    await stage.registry.load("m")
    load = await begin_held(stage)
    unload = asyncio.create_task(stage.registry.unload("m"))
    await stage.until(lambda: stage.states()[1] == END)
    FakeRunner.release.set()
    with pytest.raises(LoadError):
        await load
    await unload
    await stage.registry.scan()
    assert set(stage.states().values()) == {END}


@explicit
async def test_one_that_fails_leaves_everything_as_it_was_also_when_its_caller_is_gone(stage: Stage) -> None:
    before = private_folders()
    stage.write("m/1", "from disk")
    await stage.start()
    await stage.registry.load("m")
    load = await begin_held(stage)
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    await stage.registry.scan()
    assert private_folders() != before, "the load goes on"
    FakeRunner.release.set()
    await only_left(before)
    assert content(stage) == "from disk"
    await stage.registry.load("m", overrides=LoadOverrides(config()))


@explicit
async def test_files_stay_while_somebody_uses_them(stage: Stage) -> None:
    before = private_folders()
    stage.write("m/1", "from disk")
    await stage.start()
    await stage.registry.load("m", overrides=brought({"7/model.onnx": b"from a call"}))
    (deployment,) = stage.host.deployments["m", 7]
    deployment.idle.clear()
    await stage.registry.load("m")
    await stage.until(lambda: stage.states()[7] == UNLOADING)
    for _ in range(20):  # Folders are removed by a thread.
        await stage.registry.scan()
    assert private_folders() != before
    deployment.idle.set()
    await only_left(before)


@explicit
async def test_a_configuration_may_name_another_model_file(stage: Stage) -> None:
    stage.write("m/1", "from disk")
    (stage.path / "m/1/other.onnx").write_text("the other")
    await stage.start()
    await stage.registry.load("m")
    await stage.registry.load("m", overrides=LoadOverrides(config(default_model_filename="other.onnx")))
    assert content(stage) == "the other"
    with pytest.raises(LoadError, match=r"no version: expected m/<version>/third\.onnx"):
        await stage.registry.load("m", overrides=LoadOverrides(config(default_model_filename="third.onnx")))
    assert content(stage) == "the other"
    with pytest.raises(NotFound, match="no version 3"):
        await stage.registry.load("m", 3, overrides=LoadOverrides(config()))
    assert content(stage) == "the other"


@explicit
async def test_a_configuration_serves_where_that_on_disk_is_wrong(stage: Stage) -> None:
    stage.write("m/1", "from disk")
    stage.write("m/config.pbtxt", "nonsense")
    await stage.start()
    with pytest.raises(LoadError, match="nonsense"):
        await stage.registry.load("m")
    await stage.registry.load("m", overrides=LoadOverrides(config()))
    assert content(stage) == "from disk"


@explicit
async def test_files_that_a_configuration_names_are_read_anew(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("m/labels.txt", "a\n")
    await stage.start()
    output = {"name": "y", "data_type": "TYPE_FP32", "dims": [1], "label_filename": "labels.txt"}
    overrides = LoadOverrides(config(max_batch_size=4, output=[output]))
    for labels in (("a",), ("b", "c")):
        stage.write("m/labels.txt", "\n".join(labels))
        plan = (await stage.registry.load("m", overrides=overrides)).versions[0].plan
        assert plan is not None
        assert plan.outputs[0].labels == labels


@pytest.mark.parametrize("control", ["poll", "explicit"])
async def test_a_set_of_models_goes_on_to_decide_about_versions_and_labels(stage: Stage) -> None:
    for version in (1, 2):
        stage.write(f"m/{version}")
    await stage.start()
    message = model_server_config_pb2.ModelServerConfig()
    entry = message.model_config_list.config.add(name="x", base_path=str(stage.path / "m"))
    entry.model_version_policy.all.SetInParent()
    entry.version_labels["stable"] = 1
    await stage.registry.reload(message)
    view = await stage.registry.load("x", overrides=LoadOverrides(config(instance_group=[{"count": 2}])))
    assert {each.version: each.plan and each.plan.instances for each in view.versions} == {1: 2, 2: 2}
    await stage.registry.scan()
    assert stage.states("x") == {1: AVAILABLE, 2: AVAILABLE}
    assert stage.registry.status("x")[0].labels == {"stable": 1}


@explicit
async def test_a_configuration_may_call_the_model_as_its_folder_is_called(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    message = model_server_config_pb2.ModelServerConfig()
    message.model_config_list.config.add(name="x", base_path=str(stage.path / "m"))
    await stage.registry.reload(message)
    for name in ("m", "x"):
        await stage.registry.load("x", overrides=LoadOverrides(config(name=name)))
    with pytest.raises(ConfigError, match="got 'other'"):
        await stage.registry.load("x", overrides=LoadOverrides(config(name="other")))


@explicit
async def test_unloading_ends_an_override(stage: Stage) -> None:
    stage.write("m/1", "from disk")
    await stage.start()
    await stage.registry.load("m", overrides=brought({"1/model.onnx": b"from a call"}))
    view = await stage.registry.unload("m")
    assert {each.state for each in view.versions} == {END}
    await stage.registry.load("m")
    assert content(stage) == "from disk"


async def test_unloading_an_override_holds_where_the_policy_decides(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    await stage.registry.load("m", overrides=LoadOverrides(config()))
    await stage.registry.unload("m")
    await stage.scan(v1=END)
    assert stage.host.routes["m"] is not None
    assert stage.host.routes["m"].versions == {}


async def test_files_come_only_where_callers_decide_what_is_loaded(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    with pytest.raises(NotAvailable, match="--control explicit"):
        await stage.registry.load("m", overrides=brought({"1/model.onnx": b"new"}))


@explicit
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"../1/model.onnx": b""}, "expected <version>/<name>"),
        ({"/1/model.onnx": b""}, "expected <version>/<name>"),
        ({"1/../../model.onnx": b""}, "expected <version>/<name>"),
        ({"1//model.onnx": b""}, "expected <version>/<name>"),
        ({"1/model.onnx\0": b""}, "expected <version>/<name>"),
        ({"1/a/b/c/d/model.onnx": b""}, "expected <version>/<name>"),
        ({"": b""}, "expected <version>/<name>"),
        ({"1": b"", "1/model.onnx": b""}, "it is a folder of another file"),
        ({"1/other.onnx": b""}, "1/model.onnx.*missing"),
        ({"model.onnx": b""}, "expected a file <version>/model.onnx"),
        ({"01/model.onnx": b""}, "expected a file <version>/model.onnx"),
        ({f"{n}/model.onnx": b"" for n in range(1, 1002)}, "expected at most 1000 files, got 1001"),
    ],
)
async def test_wrong_files_are_refused(stage: Stage, files: dict[str, bytes], message: str) -> None:
    before = private_folders()
    await stage.start()
    with pytest.raises(InvalidRequest, match=message):
        await stage.registry.load("m", overrides=brought(files))
    assert stage.registry.status() == ()
    assert private_folders() == before


@explicit
async def test_wrong_calls_are_refused(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    with pytest.raises(InvalidRequest, match="files need the parameter config"):
        await stage.registry.load("m", overrides=LoadOverrides(None, {"1/model.onnx": b""}))
    with pytest.raises(ConfigError, match="the configuration of the call for 'm'"):
        await stage.registry.load("m", overrides=LoadOverrides("{"))
    with pytest.raises(ConfigError, match="platform: 'tensorrt_plan' is not served here"):
        await stage.registry.load("m", overrides=LoadOverrides(json.dumps({"platform": "tensorrt_plan"})))
    with pytest.raises(NotFound):
        await stage.registry.load("unknown", overrides=LoadOverrides(config()))
    with pytest.raises(InvalidRequest, match="printable"):
        await stage.registry.load("a\nb", overrides=brought({"1/model.onnx": b""}))
    assert stage.states() == {1: END}


@explicit
async def test_nothing_is_left_when_the_server_ends(stage: Stage) -> None:
    await stage.start()
    await stage.registry.load("m", overrides=brought({"1/model.onnx": b"new"}))
    assert private_folders()
    await stage.registry.stop()
    assert not private_folders()
