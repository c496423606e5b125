"""A models.config as text and as what is on disk."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from maas_server.errors import ConfigError
from maas_server.models.config import VersionPolicy
from maas_server.models.repository import Repository
from maas_server.models.served import MAX_SERVED_BYTES, ServedModel, is_model_name, read_served
from maas_server.models.sources import Snapshot


def entry(name: str, base_path: Path | str, more: str = "") -> str:
    return f'config {{ name: "{name}" base_path: "{base_path}" {more} }}\n'


def write(path: Path, *entries: str) -> Path:
    path.write_text(f"model_config_list {{\n{''.join(entries)}}}\n")
    return path


def model(folder: Path, *versions: int, file: str = "model.onnx") -> Path:
    for version in versions:
        (folder / str(version)).mkdir(parents=True, exist_ok=True)
        (folder / str(version) / file).write_bytes(b"model")
    return folder


def scan(path: Path) -> Snapshot:
    return Repository(path, settle=0.0, now=lambda: time.time() + 100).scan()


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        scan(path)
    return caught.value.message


def test_entries_are_read(tmp_path: Path) -> None:
    more = (
        "model_version_policy { latest { num_versions: 2 } } version_labels { key: 'stable' value: 3 }",
        "model_version_policy { specific { versions: [5, 3, 5] } }",
        "model_version_policy { all { } }",
        "model_version_policy { latest { } }",
        "model_platform: 'tensorflow' logging_config { }",
    )
    path = write(tmp_path / "models.config", *(entry(f"m{n}", f"/m/{n}", each) for n, each in enumerate(more)))
    found = read_served(path)
    assert found[0] == ServedModel("m0", Path("/m/0"), VersionPolicy(latest=2), {"stable": 3})
    assert [each.versions for each in found[1:]] == [
        VersionPolicy(specific=(5, 3)),
        VersionPolicy(all=True),
        VersionPolicy(latest=1),
        None,
    ]
    assert [each.field for each in found[4].not_honoured] == ["model_platform", "logging_config"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config { nothing: 1 } }", 'models.config:1:30: Message type "tensorflow.serving'),
        ("model_config_list {", "models.config:1:"),
        ("\0", "a NUL byte is in it"),
        ("custom_model_config { }", "custom_model_config: expected model_config_list"),
        ("model_config_list { config { } }", "config[0].name: expected 1 to 128 printable bytes, got ''"),
        ("model_config_list { config { name: 'a' } }", "config[0].base_path: expected a path, got ''"),
        ("model_config_list { config { name: 'a' base_path: '/x\\000y' } }", "base_path: expected a path"),
        (
            "model_config_list { config { name: 'a' base_path: 's3://a/b' } }",
            "base_path: expected a folder of a local file system, got 's3://a/b'",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' } config { name: 'a' base_path: '/b' } }",
            "config[1].name: 'a' is there twice",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' model_platform: 'other' } }",
            "model_platform: expected none or 'tensorflow', got 'other'",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' version_labels { key: '7' value: 1 } } }",
            "version_labels: expected letters",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' version_labels { key: 'b' value: 0 } } }",
            "version_labels[b]: expected a version from 1 on, got 0",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' model_version_policy { specific { } } } }",
            "specific.versions: expected versions from 1 on, got none",
        ),
        ("#" * (MAX_SERVED_BYTES + 1), "expected at most 4194304 bytes"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "models.config").write_text(text)
    assert message in refusal(tmp_path / "models.config")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "models.config")


@pytest.mark.parametrize("name", ["a", "team/net:v2.1", "half plus two", "-x", "ä" * 64])
def test_names_are_wider_than_folders(name: str) -> None:
    assert is_model_name(name)


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a\0", "a" * 129, "ä" * 65, "\u202e"])
def test_names_can_be_printed(name: str) -> None:
    assert not is_model_name(name)


def test_exactly_the_named_models_are_there(tmp_path: Path) -> None:
    model(tmp_path / "here/half", 1, 123)
    model(tmp_path / "elsewhere", 7)
    model(tmp_path / "here/other", 1)
    path = write(
        tmp_path / "models.config",
        entry("half/plus:two.0", tmp_path / "here/half", "model_version_policy { all { } }"),
        entry("relative", "elsewhere", "version_labels { key: 'stable' value: 7 }"),
    )
    found = scan(path).models
    assert {name: sorted(each.versions) for name, each in found.items()} == {
        "half/plus:two.0": [1, 123],
        "relative": [7],
    }
    assert found["half/plus:two.0"].config.versions.all
    assert found["relative"].config.labels == {"stable": 7}
    assert found["relative"].versions[7].path == tmp_path / "elsewhere/7/model.onnx"


def test_a_base_path_that_is_not_there_hides_no_other_model(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = write(
        tmp_path / "models.config",
        entry("good", model(tmp_path / "good", 1)),
        entry("gone", tmp_path / "gone"),
        entry("loop", tmp_path / "loop"),
    )
    found = scan(path).models
    assert found["good"].error == ""
    assert found["gone"].error == f"base_path {tmp_path}/gone is no folder"
    assert found["loop"].error == f"base_path {tmp_path}/loop is no folder"


def test_a_saved_model_is_told_apart(tmp_path: Path) -> None:
    base = model(tmp_path / "half", 1, file="saved_model.pb")
    found = scan(write(tmp_path / "models.config", entry("half", base))).models["half"]
    assert found.pending[1].startswith("waits for model.onnx; it has saved_model.pb, a SavedModel")


def test_policy_and_labels_of_the_file_come_before_those_of_the_folder(tmp_path: Path) -> None:
    base = model(tmp_path / "m", 1, 2)
    (base / "maas.yaml").write_text("{versions: all, labels: {a: 1}, instances: 3}")
    said = "model_version_policy { specific { versions: 2 } } version_labels { key: 'b' value: 2 }"
    path = write(tmp_path / "models.config", entry("said", base, said), entry("unsaid", base))
    found = scan(path).models
    assert (found["said"].config.versions.specific, found["said"].config.labels) == ((2,), {"b": 2})
    assert (found["unsaid"].config.versions.all, found["unsaid"].config.labels) == (True, {"a": 1})
    assert found["said"].config.instances == found["unsaid"].config.instances == 3


def test_a_config_pbtxt_may_call_itself_after_its_folder(tmp_path: Path) -> None:
    base = model(tmp_path / "net", 1)
    (base / "config.pbtxt").write_text('name: "net"')
    found = scan(write(tmp_path / "models.config", entry("team/net", base))).models["team/net"]
    assert found.error == ""
    assert found.triton is not None


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "models.config", entry("a", model(tmp_path / "a", 1)))
    repository = Repository(path, settle=0.0, now=lambda: time.time() + 100)
    assert list(repository.scan().models) == ["a"]
    write(path, entry("b", model(tmp_path / "b", 1)))
    assert list(repository.scan().models) == ["b"]
    path.write_text("model_config_list {")
    snapshot = repository.scan()
    assert list(snapshot.models) == ["b"], "what was read last holds"
    assert snapshot.rejected[0][0] == str(path)


def test_places_may_be_below_what_is_served(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "loop").symlink_to("loop")
    folder = Repository(tmp_path)
    assert folder.holds(tmp_path)
    assert folder.holds(tmp_path / "inside/deeper")
    for outside in (tmp_path.parent, tmp_path / "..", tmp_path / "link/etc", tmp_path / "loop", Path("/")):
        assert not folder.holds(outside)
    served = Repository(write(tmp_path / "models.config", entry("a", tmp_path / "inside")))
    assert not served.holds(tmp_path / "inside")
    served.scan()
    assert served.holds(tmp_path / "inside/deeper")
    assert not served.holds(tmp_path)


def test_what_is_named_no_more_is_gone_at_once(tmp_path: Path) -> None:
    later = [time.time() + 100]
    repository = Repository(
        write(tmp_path / "models.config", entry("a", model(tmp_path / "a", 1))), now=lambda: later[0]
    )
    repository.scan()
    served = tuple(ServedModel(name, model(tmp_path / name, 1)) for name in ("a", "b"))
    repository.serve(served)
    assert repository.scan().models.keys() == {"a", "b"}
    repository.serve(served[:1])
    later[0] += 0.1  # Less than a folder that is being replaced may be away.
    assert repository.scan().models.keys() == {"a"}


def test_another_place_has_its_own_configuration(tmp_path: Path) -> None:
    now = [time.time() + 100]
    one, other = model(tmp_path / "one", 1), model(tmp_path / "other", 1)
    (one / "maas.yaml").write_text("instances: 2")
    repository = Repository(write(tmp_path / "models.config", entry("m", one)), now=lambda: now[0])
    assert repository.scan().models["m"].config.instances == 2
    now[0] = time.time()
    (other / "maas.yaml").write_text("threads: 3")
    repository.serve([ServedModel("m", other)])
    changing = repository.scan().models["m"]
    assert (changing.config.instances, changing.settling) == (1, True)
    now[0] += 100
    assert repository.scan().models["m"].config.threads == 3
