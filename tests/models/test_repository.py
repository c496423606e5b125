from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from maas_server.errors import ConfigError
from maas_server.models import files
from maas_server.models.repository import Repository
from maas_server.models.sources import Snapshot

SETTLE = 1.0


class Clock:
    """Wall time that stands still but for `advance`; it starts with the files of the test in the recent past."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        probe = path / ".probe"
        probe.touch()
        self.seconds = probe.stat().st_ctime

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def clock(path: Path) -> Clock:
    return Clock(path)


@pytest.fixture
def scan(path: Path, clock: Clock) -> Callable[[], Snapshot]:
    return Repository(path, settle=SETTLE, now=clock).scan


def write(path: Path, content: bytes = b"model") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def versions(snapshot: Snapshot) -> dict[str, list[int]]:
    return {name: sorted(model.versions) for name, model in snapshot.models.items()}


def settled(path: Path, clock: Clock) -> Repository:
    clock.advance(10)
    return Repository(path, settle=SETTLE, now=clock)


def test_finds_models_and_versions(path: Path, clock: Clock) -> None:
    for name in ("a/1", "a/12", "b/3"):
        write(path / name / "model.onnx")
    snapshot = settled(path, clock).scan()
    assert versions(snapshot) == {"a": [1, 12], "b": [3]}
    assert snapshot.models["a"].versions[12].path == path / "a/12/model.onnx"


def test_a_file_is_a_model_of_its_own_name(path: Path, clock: Clock) -> None:
    file = write(path / "digits.onnx")
    assert versions(settled(file, clock).scan()) == {"digits": [1]}


def test_a_models_folder_can_be_served_alone(path: Path, clock: Clock) -> None:
    write(path / "2/model.onnx")
    write(path / "maas.yaml", b"versions: all")
    snapshot = settled(path, clock).scan()
    assert versions(snapshot) == {"repository": [2]}
    assert snapshot.models["repository"].config.versions.all


def test_a_model_file_without_version_folder_is_version_one(path: Path, clock: Clock) -> None:
    write(path / "a/model.onnx")
    assert versions(settled(path, clock).scan()) == {"a": [1]}
    write(path / "model.onnx")
    assert versions(settled(path, clock).scan()) == {"repository": [1]}


def test_an_empty_repository_is_fine_and_a_missing_one_is_not(path: Path, clock: Clock) -> None:
    assert settled(path, clock).scan() == Snapshot({})
    with pytest.raises(ConfigError, match="No such file"):
        Repository(path / "none").scan()


def test_a_fresh_version_waits_until_it_kept_still(path: Path, clock: Clock, scan: Callable[[], Snapshot]) -> None:
    write(path / "a/1/model.onnx")
    snapshot = scan()
    assert versions(snapshot) == {"a": []}
    assert snapshot.models["a"].pending == {1: "its files are still changing"}
    clock.advance(SETTLE / 2)
    assert versions(scan()) == {"a": []}
    clock.advance(SETTLE)
    assert versions(scan()) == {"a": [1]}


def test_each_write_starts_the_wait_anew(path: Path, clock: Clock, scan: Callable[[], Snapshot]) -> None:
    file = write(path / "a/1/model.onnx")
    scan()
    for size in range(3):
        clock.advance(SETTLE * 0.9)
        write(file, b"m" * (size + 10))
        os.utime(file, (clock.seconds, clock.seconds))
        assert versions(scan()) == {"a": []}
    clock.advance(SETTLE * 1.1)
    assert versions(scan()) == {"a": [1]}


def test_old_modification_times_do_not_hide_a_copy_in_progress(
    path: Path, clock: Clock, scan: Callable[[], Snapshot]
) -> None:
    file = write(path / "a/1/model.onnx")
    os.utime(file, (1, 1))  # As `cp -p` does.
    assert versions(scan()) == {"a": []}


def test_a_version_without_its_model_file_is_not_visible(path: Path, clock: Clock) -> None:
    write(path / "a/1/weights.bin")
    snapshot = settled(path, clock).scan()
    assert snapshot.models["a"].pending == {1: "waits for model.onnx"}


@pytest.mark.parametrize("name", [".a", "_a", "a.tmp", "a.part", "a.partial", "a~"])
def test_temporary_names_are_left_alone(path: Path, clock: Clock, name: str) -> None:
    write(path / name / "1/model.onnx")
    write(path / "b" / name / "model.onnx")
    write(path / "b/1/model.onnx")
    assert settled(path, clock).scan().rejected == ()
    assert versions(settled(path, clock).scan()) == {"b": [1]}


@pytest.mark.parametrize("name", ["-rf", "a b", "größe", "a\nb", "x" * 129, "\udcff"])
def test_bad_model_names_are_told_and_harm_nobody(path: Path, clock: Clock, name: str) -> None:
    write(path / name / "1/model.onnx")
    write(path / "good/1/model.onnx")
    snapshot = settled(path, clock).scan()
    assert versions(snapshot) == {"good": [1]}
    ((where, why),) = snapshot.rejected
    assert "must match" in why
    where.encode()


@pytest.mark.parametrize("name", ["0", "01", "9223372036854775808", "99999999999999999999"])
def test_bad_version_names_are_told(path: Path, clock: Clock, name: str) -> None:
    write(path / "a" / name / "model.onnx")
    write(path / "a/7/model.onnx")
    snapshot = settled(path, clock).scan()
    assert versions(snapshot) == {"a": [7]}
    assert "positive integer" in snapshot.rejected[0][1]


def test_other_folders_beside_versions_are_nobodys_business(path: Path, clock: Clock) -> None:
    write(path / "a/docs/readme.md")
    write(path / "a/1/model.onnx")
    assert settled(path, clock).scan().rejected == ()


def test_a_changed_version_stays_as_it_was_until_the_change_is_stable(
    path: Path, clock: Clock, scan: Callable[[], Snapshot]
) -> None:
    file = write(path / "a/1/model.onnx")
    clock.advance(10)
    before = scan().models["a"].versions[1]
    write(file, b"another model")
    os.utime(file, (clock.seconds, clock.seconds))
    model = scan().models["a"]
    assert model.versions[1] == before
    assert model.pending
    clock.advance(SETTLE)
    after = scan().models["a"].versions[1]
    assert after.fingerprint != before.fingerprint


def test_a_folder_that_is_replaced_never_looks_removed(path: Path, clock: Clock, scan: Callable[[], Snapshot]) -> None:
    write(path / "a/1/model.onnx")
    clock.advance(10)
    scan()
    shutil.rmtree(path / "a")
    assert versions(scan()) == {"a": [1]}
    clock.advance(SETTLE / 2)
    write(path / "a/1/model.onnx")
    clock.advance(SETTLE / 2)
    assert versions(scan()) == {"a": [1]}


def test_a_removed_version_is_gone_after_a_while(path: Path, clock: Clock, scan: Callable[[], Snapshot]) -> None:
    write(path / "a/1/model.onnx")
    write(path / "a/2/model.onnx")
    clock.advance(10)
    scan()
    shutil.rmtree(path / "a/1")
    scan()
    clock.advance(SETTLE)
    assert versions(scan()) == {"a": [2]}
    shutil.rmtree(path / "a")
    scan()
    clock.advance(SETTLE)
    assert versions(scan()) == {}


def test_a_bad_configuration_is_told_and_the_last_good_one_stays(
    path: Path, clock: Clock, scan: Callable[[], Snapshot]
) -> None:
    write(path / "a/1/model.onnx")
    config = write(path / "a/maas.yaml", b"instances: 2")
    clock.advance(10)
    assert scan().models["a"].config.instances == 2
    write(config, b"instanses: 3")
    clock.advance(10)
    model = scan().models["a"]
    assert model.config.instances == 2
    assert "did you mean 'instances'" in model.error
    config.unlink()
    model = scan().models["a"]
    assert (model.config.instances, model.error) == (1, "")


def test_links_are_followed(path: Path, clock: Clock, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/1/model.onnx")
    (path / "a").symlink_to(tmp_path / "elsewhere")
    (path / "b").symlink_to(tmp_path / "nowhere")
    assert versions(settled(path, clock).scan()) == {"a": [1]}


def test_a_loop_of_links_ends(path: Path, clock: Clock) -> None:
    write(path / "a/1/model.onnx")
    (path / "a/1/self").symlink_to(path / "a/1")
    source = settled(path, clock).scan().models["a"].versions[1]
    assert [name for name, _ in source.files] == ["model.onnx"]


def test_every_file_of_a_version_counts(path: Path, clock: Clock, scan: Callable[[], Snapshot]) -> None:
    write(path / "a/1/model.onnx")
    weights = write(path / "a/1/data/weights.bin")
    clock.advance(10)
    before = scan().models["a"].versions[1]
    assert [name for name, _ in before.files] == ["data/weights.bin", "model.onnx"]
    write(weights, b"other weights")
    clock.advance(10)
    scan()
    clock.advance(10)
    assert scan().models["a"].versions[1].fingerprint != before.fingerprint


def test_the_configuration_can_name_another_model_file(path: Path, clock: Clock) -> None:
    write(path / "a/1/net.onnx")
    write(path / "a/maas.yaml", b"file: net.onnx")
    assert settled(path, clock).scan().models["a"].versions[1].path.name == "net.onnx"


def test_a_model_that_cannot_be_read_keeps_its_versions_and_hides_no_other(
    path: Path, clock: Clock, scan: Callable[[], Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path / "a/1/model.onnx")
    write(path / "b/1/model.onnx")
    clock.advance(10)
    scan()
    monkeypatch.setattr(files, "_MAX_FILES", 2)
    for number in range(3):
        write(path / "a/1" / str(number))
    snapshot = scan()
    assert versions(snapshot) == {"a": [1], "b": [1]}
    assert "expected at most 2 files" in snapshot.models["a"].error
