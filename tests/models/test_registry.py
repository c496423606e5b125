"""The registry over a fake engine, stepped by hand: nothing polls unless a test says so."""

from __future__ import annotations

import asyncio
import queue
import shutil
import threading
from pathlib import Path

import pytest

from maas_server.errors import ConfigError, InvalidRequest, LoadError, NotAvailable, NotFound
from maas_server.models.registry import Registry
from maas_server.models.repository import Repository
from maas_server.models.sources import Snapshot
from tests.models.fakes import FakeRunner
from tests.models.stage import AVAILABLE, END, LOADING, UNLOADING, Stage
from tests.turns import turn

explicit = pytest.mark.parametrize("control", ["explicit"])


async def test_the_newest_version_is_loaded_and_answers(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("m/2")
    await stage.start()
    assert stage.states() == {1: END, 2: AVAILABLE}
    assert stage.reason(1) == "not loaded"
    route = stage.host.routes["m"]
    assert route is not None
    assert (set(route.versions), route.default, set(route.known_versions)) == ({2}, 2, {1})
    (view,) = stage.registry.status("m", 2)
    version = view.versions[0]
    assert version.runner == "fake 1"
    assert version.counters.accepted == 3
    assert version.digest.startswith("sha256:")
    assert version.plan is not None
    assert version.plan.batching
    assert stage.registry.ready()


async def test_a_new_version_takes_over_without_a_gap(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    old = stage.host.deployments["m", 1][0]
    old.idle.clear()
    stage.write("m/2", "held")
    await stage.scan(v1=AVAILABLE, v2=LOADING)
    assert stage.host.defaults[-1] == 1
    FakeRunner.release.set()
    await stage.until(lambda: stage.states() == {1: UNLOADING, 2: AVAILABLE})
    assert stage.host.defaults[-2:] == [1, 2]
    route = stage.host.routes["m"]
    assert route is not None
    assert set(route.versions) == {2}
    old.idle.set()
    await stage.until(lambda: stage.states() == {1: END, 2: AVAILABLE})
    assert old.drained
    assert getattr(old.runner, "closed", False)


async def test_a_version_that_fails_says_why_and_leaves_the_old_one_serving(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    stage.write("m/2", "bad luck")
    await stage.scan(v1=AVAILABLE, v2=END)
    assert stage.reason(2) == "it is bad luck"
    await stage.scan(v1=AVAILABLE, v2=END)
    assert len(stage.host.deployments) == 1
    stage.write("m/2", "good")
    await stage.scan(v1=END, v2=AVAILABLE)
    assert 0 not in stage.host.defaults[1:]


async def test_a_broken_newest_version_leaves_its_place_to_the_next_one_at_start(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("m/2", "bad")
    await stage.start()
    await stage.until(lambda: stage.states() == {1: AVAILABLE, 2: END})
    assert stage.registry.ready()


async def test_an_engine_that_cannot_take_a_version_is_a_failed_load(stage: Stage) -> None:
    stage.write("m/1", "refused")
    await stage.start()
    assert stage.states() == {1: END}
    assert "the engine cannot take it: RuntimeError: no room" in stage.reason(1)


async def test_files_replaced_in_place_are_loaded_beside_the_old_ones(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    stage.write("m/1", "better")
    await stage.scan()
    await stage.until(lambda: len(stage.host.deployments["m", 1]) == 2 and stage.states() == {1: AVAILABLE})
    old, new = stage.host.deployments["m", 1]
    await stage.until(lambda: old.drained)
    route = stage.host.routes["m"]
    assert route is not None
    assert route.versions[1] is new
    assert 0 not in stage.host.defaults[1:]


async def test_a_bad_replacement_leaves_the_old_files_serving(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    stage.write("m/1", "bad replacement")
    await stage.scan()
    await stage.until(lambda: "its changed files do not load: it is bad replacement" in stage.reason(1))
    assert stage.states() == {1: AVAILABLE}
    assert not stage.host.deployments["m", 1][0].drained


async def test_removed_versions_and_models_are_unloaded(stage: Stage) -> None:
    stage.write("m/maas.yaml", "versions: all")
    stage.write("m/1")
    stage.write("m/2")
    await stage.start()
    assert stage.states() == {1: AVAILABLE, 2: AVAILABLE}
    shutil.rmtree(stage.path / "m/2")
    await stage.scan(v1=AVAILABLE, v2=END)
    shutil.rmtree(stage.path / "m")
    await stage.scan(v1=END)
    await stage.registry.scan()
    assert stage.registry.status() == ()
    assert stage.host.routes["m"] is None
    with pytest.raises(NotFound, match="no model 'm'"):
        stage.registry.status("m")


async def test_a_changed_configuration_is_loaded_anew(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    stage.write("m/maas.yaml", "batching: {max_batch_size: 3}")
    await stage.scan()
    await stage.until(lambda: len(stage.host.deployments["m", 1]) == 2)
    assert stage.host.deployments["m", 1][1].plan.max_batch_size == 3


async def test_a_changed_version_policy_loads_only_what_is_missing(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("m/2")
    await stage.start()
    stage.write("m/maas.yaml", "versions: all\nlabels: {stable: 1}")
    await stage.scan(v1=AVAILABLE, v2=AVAILABLE)
    assert len(stage.host.deployments["m", 2]) == 1
    route = stage.host.routes["m"]
    assert route is not None
    assert (route.labels, route.default) == ({"stable": 1}, 2)


async def test_a_bad_configuration_leaves_everything_as_it_is(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    stage.write("m/maas.yaml", "instanses: 2")
    stage.write("m/2")
    await stage.scan(v1=AVAILABLE)
    (view,) = stage.registry.status("m")
    assert "did you mean 'instances'" in view.reason
    assert stage.states()[2] == END
    (stage.path / "m/maas.yaml").unlink()
    await stage.scan(v1=END, v2=AVAILABLE)
    assert stage.registry.status("m")[0].reason == ""


async def test_labels_move_to_available_versions_only(stage: Stage) -> None:
    stage.write("m/maas.yaml", "versions: {latest: 2}")
    for name in ("m/1", "m/2", "m/3"):
        stage.write(name)
    await stage.start()
    view = await stage.registry.set_label("m", "stable", 2)
    assert view.labels == {"stable": 2}
    with pytest.raises(NotAvailable, match="m:1 is END"):
        await stage.registry.set_label("m", "stable", 1)
    with pytest.raises(NotFound, match="no version 9"):
        await stage.registry.set_label("m", "stable", 9)
    with pytest.raises(NotFound, match="no model 'x'"):
        await stage.registry.set_label("x", "stable", 1)
    with pytest.raises(NotFound, match="no label 'canary'"):
        await stage.registry.set_label("m", "canary", 0)
    for label in ("", "12", "a b", "x" * 129):
        with pytest.raises(InvalidRequest, match="not only digits"):
            await stage.registry.set_label("m", label, 2)
    assert (await stage.registry.set_label("m", "stable", 0)).labels == {}


async def test_a_labelled_version_stays_when_newer_ones_come(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    await stage.registry.set_label("m", "stable", 1)
    stage.write("m/2")
    await stage.scan(v1=AVAILABLE, v2=AVAILABLE)
    await stage.registry.set_label("m", "stable", 2)
    await stage.until(lambda: stage.states() == {1: END, 2: AVAILABLE})


async def test_bad_models_do_not_keep_the_good_ones_from_being_ready(stage: Stage) -> None:
    stage.write("bad/1", "bad")
    stage.write("broken/1")
    stage.write("broken/maas.yaml", "nonsense: 1")
    stage.write("empty/readme/x")
    stage.write("größe/1")
    await stage.start()
    assert not stage.registry.ready()
    stage.write("good/1")
    await stage.registry.scan()
    await stage.until(stage.registry.ready)
    assert [view.name for view in stage.registry.status()] == ["bad", "broken", "empty", "good"]
    assert "must match" in stage.registry.rejected()[0][1]


async def test_an_empty_repository_is_ready(stage: Stage) -> None:
    await stage.start()
    assert stage.registry.ready()
    assert stage.registry.status() == ()


async def test_callers_overrule_the_policy_until_the_model_changes(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("m/2")
    await stage.start()
    await stage.registry.load("m", 1)
    assert stage.states() == {1: AVAILABLE, 2: AVAILABLE}
    await stage.registry.unload("m", 2)
    assert stage.states() == {1: AVAILABLE, 2: END}
    assert stage.reason(2) == "unloaded"
    await stage.scan(v1=AVAILABLE, v2=END)
    stage.write("m/3")
    await stage.scan(v1=END, v2=END, v3=AVAILABLE)


async def test_an_explicit_load_tries_a_failed_version_again(stage: Stage) -> None:
    stage.write("m/1", "bad")
    await stage.start()
    with pytest.raises(LoadError, match="m:1: it is bad"):
        await stage.registry.load("m", 1)
    with pytest.raises(LoadError, match="m:1: it is bad"):
        await stage.registry.load("m")
    with pytest.raises(NotFound, match="no version 4"):
        await stage.registry.load("m", 4)
    with pytest.raises(NotFound, match="no model 'x'"):
        await stage.registry.load("x")


@explicit
async def test_under_explicit_control_only_callers_decide(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    assert stage.states() == {1: END}
    assert stage.registry.ready()
    view = await stage.registry.load("m")
    assert view.default_version == 1
    stage.write("m/2")
    await stage.scan(v1=AVAILABLE, v2=END)
    stage.write("m/1", "changed")
    await stage.registry.scan()
    assert len(stage.host.deployments["m", 1]) == 1
    await stage.registry.load("m")
    await stage.until(lambda: stage.states() == {1: END, 2: AVAILABLE})
    view = await stage.registry.unload("m")
    assert view.default_version == 0
    assert stage.states() == {1: END, 2: END}
    await stage.registry.unload("m", 2)


@explicit
async def test_under_explicit_control_removed_files_unload_nothing(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    await stage.registry.load("m", 1)
    shutil.rmtree(stage.path / "m")
    await stage.scan(v1=AVAILABLE)
    await stage.registry.unload("m", 1)
    await stage.registry.scan()
    assert stage.registry.status() == ()


@explicit
async def test_an_explicit_load_of_changed_files_replaces_the_old_ones(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    await stage.registry.load("m", 1)
    stage.write("m/1", "changed")
    await stage.registry.load("m", 1)
    await stage.until(lambda: stage.host.deployments["m", 1][0].drained)
    assert stage.states() == {1: AVAILABLE}


async def test_unloading_waits_for_what_was_accepted(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    stage.host.deployments["m", 1][0].idle.clear()
    unloading = asyncio.create_task(stage.registry.unload("m"))
    await stage.until(lambda: stage.states() == {1: UNLOADING})
    assert not unloading.done()
    route = stage.host.routes["m"]
    assert route is not None
    assert route.default == 0
    stage.host.deployments["m", 1][0].idle.set()
    await asyncio.wait_for(unloading, 10)


async def test_stopping_drains_everything(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("n/1")
    await stage.start()
    await stage.registry.stop()
    for deployments in stage.host.deployments.values():
        assert deployments[0].drained
        assert getattr(deployments[0].runner, "closed", False)
    assert stage.host.routes == {"m": None, "n": None}


async def test_stopping_does_not_wait_longer_than_it_may(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    stuck = stage.host.deployments["m", 1][0]
    stuck.idle.clear()
    await asyncio.wait_for(stage.registry.stop(timeout=0.05), 10)
    assert not getattr(stuck.runner, "closed", False)


async def test_a_load_does_not_hold_up_the_loop(stage: Stage) -> None:
    stage.write("m/1", "held")
    await asyncio.wait_for(stage.registry.start(), 5)
    assert stage.states() == {1: LOADING}
    assert not stage.registry.ready()
    FakeRunner.release.set()
    await stage.until(stage.registry.ready)
    assert stage.states() == {1: AVAILABLE}


async def test_polling_finds_new_versions_by_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "poll")
    repository = Repository(tmp_path, settle=0.05)
    registry = Registry(repository, stage.host, poll_interval=0.01, find_runner=lambda _: FakeRunner())
    stage.registry = registry
    stage.write("m/1")
    await registry.start()
    assert not registry.ready()  # It was written just now, and is waited for.
    await stage.until(registry.ready)
    assert stage.states() == {1: AVAILABLE}
    stage.write("m/2")
    await stage.until(lambda: stage.states() == {1: END, 2: AVAILABLE})
    await registry.stop()


async def test_polling_survives_a_repository_that_is_away_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "repository"
    stage = Stage(path, "poll")
    stage.write("m/1")
    repository = Repository(path, settle=0.02)
    failures = queue.SimpleQueue[ConfigError]()

    def scan() -> Snapshot:
        try:
            return Repository.scan(repository)
        except ConfigError as error:
            failures.put(error)
            raise

    monkeypatch.setattr(repository, "scan", scan)
    registry = Registry(repository, stage.host, poll_interval=0.01, find_runner=lambda _: FakeRunner())
    stage.registry = registry
    await registry.start()
    await stage.until(registry.ready)
    path.rename(tmp_path / "away")
    for _ in range(2):  # By the second the first was survived.
        await asyncio.to_thread(failures.get, timeout=10)
    assert stage.states() == {1: AVAILABLE}
    (tmp_path / "away").rename(path)
    stage.write("m/2")
    await stage.until(lambda: stage.states().get(2) == AVAILABLE)
    await registry.stop()


async def test_polling_survives_mistakes_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, "poll")
    stage.write("m/1")
    repository = Repository(tmp_path, settle=0.02)
    registry = Registry(repository, stage.host, poll_interval=0.01, find_runner=lambda _: FakeRunner())
    stage.registry = registry
    await registry.start()
    await stage.until(registry.ready)
    tried = threading.Event()

    def mistake() -> None:
        tried.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(repository, "scan", mistake)
        assert await asyncio.to_thread(tried.wait, 10)
    stage.write("m/2")
    await stage.until(lambda: stage.states().get(2) == AVAILABLE)
    await registry.stop()


async def test_watchers_hear_of_changes_once(stage: Stage) -> None:
    stage.write("m/1")
    await stage.start()
    changes = stage.registry.watch()
    await anext(changes)
    waiting = asyncio.ensure_future(anext(changes))
    await turn()
    assert not waiting.done()
    await stage.registry.set_label("m", "a", 1)
    await stage.registry.set_label("m", "b", 1)
    await asyncio.wait_for(waiting, 10)
    waiting = asyncio.ensure_future(anext(changes))
    await turn()
    assert not waiting.done()
    waiting.cancel()


async def test_a_version_needs_its_models_name(stage: Stage) -> None:
    await stage.start()
    with pytest.raises(InvalidRequest):
        stage.registry.status("", 3)
