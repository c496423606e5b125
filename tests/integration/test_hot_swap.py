"""Versions come, fail, change and go under load, and not one request fails."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from maas_server._stubs.maas.v1 import model_pb2
from tests.integration import graphs
from tests.integration.conftest import Serve
from tests.integration.serving import ServeProcess, eventually
from tests.integration.steady import SteadyLoad

MODEL = "swapped"
POLLING = ("--poll-interval", "100ms", "--settle", "200ms", "--drain-delay", "0")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    graphs.place(path, MODEL, 1, graphs.multiply(1))
    return path


def state(server: ServeProcess, version: int) -> int:
    return server.version(MODEL, version).state


def wait_for(load: SteadyLoad, version: int) -> None:
    eventually(lambda: load.answered_by(version), f"version {version} answers")


def wait_for_more(load: SteadyLoad, answers: int) -> None:
    seen = len(load.versions)
    eventually(lambda: len(load.versions) > seen + answers, "load goes on")


def test_a_new_version_takes_over_without_a_failed_request(serve: Serve, repository: Path) -> None:
    server = serve(repository, *POLLING)

    with SteadyLoad(server.target, MODEL) as load:
        wait_for(load, 1)
        graphs.place(repository, MODEL, 2, graphs.multiply(2))
        wait_for(load, 2)
        eventually(lambda: state(server, 1) == model_pb2.END, "version 1 ends")

    assert load.failures == []
    assert load.factors == {(1, 1.0), (2, 2.0)}


def test_a_version_that_does_not_load_leaves_the_old_one_serving_and_says_why(serve: Serve, repository: Path) -> None:
    server = serve(repository, *POLLING)

    with SteadyLoad(server.target, MODEL) as load:
        wait_for(load, 1)
        (repository / MODEL / "2").mkdir()
        (repository / MODEL / "2" / "model.onnx").write_bytes(b"this is no model")
        eventually(
            lambda: any(v.version == 2 and v.state == model_pb2.END for v in server.status(MODEL).versions),
            "version 2 ends",
        )
        wait_for_more(load, 50)

    assert load.failures == []
    assert set(load.versions) == {1}
    assert server.version(MODEL, 2).reason
    assert server.status(MODEL).default_version == 1


def test_a_removed_version_gives_way_to_the_one_before_it(serve: Serve, repository: Path) -> None:
    graphs.place(repository, MODEL, 2, graphs.multiply(2))
    server = serve(repository, *POLLING)

    with SteadyLoad(server.target, MODEL) as load:
        wait_for(load, 2)
        shutil.rmtree(repository / MODEL / "2")
        wait_for(load, 1)

    assert load.failures == []


def test_a_changed_configuration_is_taken_over_without_a_failed_request(serve: Serve, repository: Path) -> None:
    server = serve(repository, *POLLING)

    with SteadyLoad(server.target, MODEL) as load:
        wait_for(load, 1)
        (repository / MODEL / "maas.yaml").write_text("batching: {max_batch_size: 3}\n")
        eventually(lambda: server.version(MODEL).batching.max_batch_size == 3, "the new limit is in force")
        wait_for_more(load, 50)

    assert load.failures == []


def test_half_a_copied_file_is_not_served(serve: Serve, repository: Path) -> None:
    server = serve(repository, *POLLING, "--settle", "1s")
    content = graphs.multiply(2).SerializeToString()
    middle = len(content) // 2
    folder = repository / MODEL / "2"
    folder.mkdir()

    with SteadyLoad(server.target, MODEL) as load, (folder / "model.onnx").open("wb") as file:
        for piece in (content[:middle], content[middle:]):
            file.write(piece)
            file.flush()
            # Longer than several polls, shorter than files must rest.
            wait_for_more(load, 200)
        wait_for(load, 2)

    assert load.failures == []
    # Had half of it been tried, its failure would be on record and the whole would not have been loaded anew.
    assert server.version(MODEL, 2).state == model_pb2.AVAILABLE
    assert "load_failed" not in server.output


def test_explicit_control_swaps_versions_on_request(serve: Serve, repository: Path) -> None:
    graphs.place(repository, MODEL, 2, graphs.multiply(2))
    server = serve(repository, "--control", "explicit", "--drain-delay", "0")

    with server.client() as client:
        client.load(MODEL, 1)
        client.set_label(MODEL, "stable", 1)
        with SteadyLoad(server.target, MODEL) as load:
            wait_for(load, 1)
            client.load(MODEL, 2)
            wait_for(load, 2)
            client.set_label(MODEL, "stable", 2)
            client.unload(MODEL, 1)
            wait_for(load, 2)

        assert load.failures == []
        assert dict(client.status(MODEL)[0].labels) == {"stable": 2}
        assert not client.ready(f"{MODEL}/1")
        assert client.ready(f"{MODEL}/2")
