"""A declared set of models takes the place of the one before, while the server runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf import text_format

from maas_server._stubs.tensorflow_serving import model_server_config_pb2
from maas_server.errors import ConfigError, LoadError, MaasError, NotAvailable, NotFound, PermissionDenied
from maas_server.models.registry import Control
from tests.models.fakes import FakeRunner
from tests.models.stage import AVAILABLE, END, Stage


def config(*entries: str) -> model_server_config_pb2.ModelServerConfig:
    message = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(f"model_config_list {{ {' '.join(entries)} }}", message)
    return message


def entry(name: str, base_path: Path, more: str = "") -> str:
    return f'config {{ name: "{name}" base_path: "{base_path}" {more} }}'


@pytest.fixture(params=["poll", "explicit"])
def control(request: pytest.FixtureRequest) -> Control:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def configured(tmp_path: Path, control: Control) -> AsyncIterator[Stage]:
    """A server that was started on a models.config that names a/ as `a`."""
    file = tmp_path / "models.config"
    stage = Stage(tmp_path / "models", control, served=file)
    stage.write("a/1")
    stage.write("b/1")
    file.write_text(f"model_config_list {{ {entry('a', stage.path / 'a')} }}")
    yield stage
    FakeRunner.release.set()
    await stage.registry.stop()


def routed(stage: Stage) -> dict[str, list[int]]:
    """The versions that answer, per model that has some."""
    return {name: sorted(route.versions) for name, route in stage.host.routes.items() if route and route.versions}


async def test_a_configured_set_is_loaded_whatever_decides_else(configured: Stage) -> None:
    await configured.registry.start()
    await configured.until(lambda: routed(configured) == {"a": [1]})


@pytest.mark.parametrize("control", ["explicit"])
async def test_what_a_caller_loaded_before_the_first_set_goes_too(stage: Stage) -> None:
    for name in ("a/1", "c/1"):
        stage.write(name)
    await stage.start()
    await stage.registry.load("c")
    await stage.registry.reload(config(entry("a", stage.path / "a")))
    await stage.until(lambda: routed(stage) == {"a": [1]})


async def test_the_set_replaces_the_one_before(stage: Stage) -> None:
    for name in ("a/1", "a/2", "b/1", "c/1"):
        stage.write(name)
    await stage.start()
    await stage.registry.reload(config(entry("a", stage.path / "a"), entry("x/b:1", stage.path / "b")))
    await stage.until(lambda: routed(stage) == {"a": [2], "x/b:1": [1]})
    await stage.registry.scan()
    assert [view.name for view in stage.registry.status()] == ["a", "x/b:1"]
    await stage.registry.reload(config(entry("c", stage.path / "c")))
    await stage.until(lambda: routed(stage) == {"c": [1]})
    await stage.registry.reload(config())
    await stage.until(lambda: routed(stage) == {})


async def test_version_policies_change_without_a_gap(stage: Stage) -> None:
    for version in (1, 2, 3):
        stage.write(f"a/{version}")
    await stage.start()
    for policy, versions in (
        ("all { }", [1, 2, 3]),
        ("specific { versions: [1, 3] }", [1, 3]),
        ("latest { num_versions: 2 }", [2, 3]),
        ("latest { }", [3]),
    ):
        await stage.registry.reload(config(entry("a", stage.path / "a", f"model_version_policy {{ {policy} }}")))
        await stage.until(lambda versions=versions: routed(stage) == {"a": versions})  # type: ignore[misc]
    assert len(stage.host.deployments["a", 3]) == 1, "version 3 served all the time"


async def test_labels_move_with_the_set(stage: Stage) -> None:
    stage.write("a/1")
    stage.write("a/2")
    await stage.start()

    async def label(labels: str) -> dict[str, int]:
        more = "model_version_policy { all { } } " + labels
        await stage.registry.reload(config(entry("a", stage.path / "a", more)))
        return dict(stage.registry.status("a")[0].labels or {})

    assert await label("version_labels { key: 'stable' value: 1 }") == {"stable": 1}
    await stage.registry.set_label("a", "own", 1)
    moved = "version_labels { key: 'stable' value: 2 } version_labels { key: 'canary' value: 2 }"
    assert await label(moved) == {"stable": 2, "canary": 2}, "and a label that was set by a call is gone"
    assert await label("") == {}


async def test_what_callers_asked_for_before_is_over(stage: Stage) -> None:
    stage.write("a/1")
    await stage.start()
    await stage.registry.unload("a")
    await stage.registry.reload(config(entry("a", stage.path / "a")))
    assert routed(stage) == {"a": [1]}


async def test_another_base_path_is_another_model(stage: Stage) -> None:
    stage.write("a/1", "old")
    stage.write("b/1", "new")
    await stage.start()
    for folder, content in (("a", "old"), ("b", "new")):
        await stage.registry.reload(config(entry("m", stage.path / folder)))
        assert stage.host.deployments["m", 1][-1].runner.content == content  # type: ignore[attr-defined]
    assert routed(stage) == {"m": [1]}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("custom_model_config { }", ConfigError, "expected model_config_list"),
        ("model_config_list { config { name: 'a' base_path: 'relative' } }", ConfigError, "expected an absolute path"),
        ("model_config_list { config { name: '' base_path: '/a' } }", ConfigError, "config[0].name"),
        (
            "model_config_list { config { name: 'a' base_path: '/' } }",
            PermissionDenied,
            "base_path /: expected",
        ),
        ("model_config_list { config { name: 'a' base_path: '{path}/../b' } }", PermissionDenied, "expected a folder"),
        ("model_config_list { config { name: 'a' base_path: '{path}/none' } }", NotFound, "none: No such file"),
        (
            "model_config_list { config { name: 'a' base_path: '{path}/a' version_labels { key: 'x' value: 9 } } }",
            NotFound,
            "label 'x': model 'a' has no version 9",
        ),
    ],
)
async def test_what_is_refused_changes_nothing(stage: Stage, text: str, error: type[MaasError], message: str) -> None:
    stage.write("a/1")
    stage.write("b/1")
    await stage.start()
    await stage.registry.reload(config(entry("a", stage.path / "a")))
    request = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(text.replace("{path}", str(stage.path)), request)
    with pytest.raises(error) as caught:
        await stage.registry.reload(request)
    assert message in caught.value.message
    await stage.registry.scan()
    assert routed(stage) == {"a": [1]}


async def test_a_link_leads_to_no_other_place(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "secret/1").mkdir(parents=True)
    (stage.path / "link").symlink_to(tmp_path / "secret")
    await stage.registry.start()
    with pytest.raises(PermissionDenied):
        await stage.registry.reload(config(entry("a", stage.path / "link")))


async def test_only_places_of_the_file_may_be_named(configured: Stage) -> None:
    await configured.registry.start()
    await configured.registry.reload(config(entry("other", configured.path / "a")))
    assert routed(configured)["other"] == [1]
    with pytest.raises(PermissionDenied):
        await configured.registry.reload(config(entry("b", configured.path / "b")))


async def test_what_does_not_load_is_told_and_the_rest_serves(stage: Stage) -> None:
    stage.write("a/1", "bad")
    stage.write("b/1")
    (stage.path / "c/1").mkdir(parents=True)
    await stage.registry.start()
    entries = [entry(name, stage.path / name) for name in "abc"]
    with pytest.raises(LoadError) as caught:
        await stage.registry.reload(config(*entries))
    assert caught.value.message == "a:1: it is bad; c: version 1 waits for model.onnx"
    assert routed(stage) == {"b": [1]}


async def test_a_label_of_a_version_that_is_not_available_is_told(stage: Stage) -> None:
    stage.write("a/2")
    (stage.path / "a/1").mkdir(parents=True)
    await stage.registry.start()
    with pytest.raises(NotAvailable, match="a label moves only to an AVAILABLE version, and a:1 is not"):
        await stage.registry.reload(config(entry("a", stage.path / "a", "version_labels { key: 'x' value: 1 }")))


async def test_the_file_has_the_last_word_when_it_changes(configured: Stage) -> None:
    await configured.registry.start()
    await configured.registry.reload(config())
    await configured.registry.scan()
    assert routed(configured) == {}
    file = configured.path.parent / "models.config"
    file.write_text(f"model_config_list {{ {entry('b', configured.path / 'b')} }}")
    await configured.registry.scan()
    await configured.until(lambda: routed(configured) == {"b": [1]})


async def test_unloading_waits_for_what_was_accepted(stage: Stage) -> None:
    stage.write("a/1")
    stage.write("b/1")
    await stage.start()
    await stage.registry.reload(config(entry("a", stage.path / "a")))
    stage.host.deployments["a", 1][0].idle.clear()
    await stage.registry.reload(config(entry("b", stage.path / "b")))
    assert stage.states("a") != {1: END}
    assert stage.host.routes["a"] is None, "nothing new is taken"
    stage.host.deployments["a", 1][0].idle.set()
    await stage.until(lambda: stage.states("a") == {1: END})
    assert stage.states("b") == {1: AVAILABLE}
