"""Settings: sources and their order, units, and errors that say where the wrong value came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from maas_server.errors import ConfigError, Violation
from maas_server.settings import Settings, TenantLimits, load_settings, parse_duration, parse_size


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*Settings.model_fields, "config"]:
        monkeypatch.delenv(f"MAAS_{name.upper()}", raising=False)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_flags_beat_the_environment_which_beats_the_file_which_beats_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path / "maas.yaml", "grpc_port: 1\nthreads: 1\ngrace: 1s\n")
    monkeypatch.setenv("MAAS_GRPC_PORT", "2")
    monkeypatch.setenv("MAAS_THREADS", "2")
    settings = load_settings({"grpc_port": "3"}, config)
    assert (settings.grpc_port, settings.threads, settings.grace, settings.drain_delay) == (3, 2, 1.0, 3.0)


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAAS_CONFIG", str(write(tmp_path / "maas.yaml", "control: explicit\n")))
    assert load_settings({}).control == "explicit"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAAS_GRPC_PORT", "")
    assert load_settings({}).grpc_port == 8001


def test_making_settings_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAAS_GRPC_PORT", "2")
    assert Settings().grpc_port == 8001


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().grpc_port = 1


def test_there_are_few_settings_and_each_says_what_it_is() -> None:
    assert len(Settings.model_fields) <= 30
    assert all(field.description for field in Settings.model_fields.values())


def test_the_defaults_are_valid_and_safe() -> None:
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.max_message_bytes == 64 << 20
    assert settings.keepalive_min_ping_interval <= 10


@pytest.mark.parametrize(
    ("text", "close"),
    [("grpc_prot: 1", "grpc_port"), ("pollinterval: 1", "poll_interval"), ("loglevel: x", "log_level")],
)
def test_an_unknown_key_names_the_closest_known_one(tmp_path: Path, text: str, close: str) -> None:
    with pytest.raises(ConfigError, match="unknown settings") as caught:
        load_settings({}, write(tmp_path / "maas.yaml", text))
    (violation,) = caught.value.violations
    assert violation == Violation(text.split(":")[0], f"no such setting; did you mean {close}?")


def test_a_key_like_no_other_is_just_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({}, write(tmp_path / "maas.yaml", "zzzzzzzz: 1"))
    assert caught.value.violations == (Violation("zzzzzzzz", "no such setting"),)


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text", "a: [", "\x00", "a: 2024-02-31", "a: !!bool x"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"maas\.yaml"):
        load_settings({}, write(tmp_path / "maas.yaml", text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_settings({}, tmp_path / "none.yaml")


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert load_settings({}, write(tmp_path / "maas.yaml", "# nothing\n")) == Settings()


def test_wrong_values_name_their_source_and_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path / "maas.yaml", "threads: -1\n")
    monkeypatch.setenv("MAAS_CONTROL", "sometimes")
    with pytest.raises(ConfigError) as caught:
        load_settings({"grpc_port": "70000", "grace": "5 parsecs"}, config)
    found = {each.field: each.description for each in caught.value.violations}
    assert found.keys() == {"--grpc-port", "--grace", "MAAS_CONTROL", f"{config}: threads"}
    assert "65535" in found["--grpc-port"]
    assert "70000" in found["--grpc-port"]
    assert found["--grace"] == 'expected a duration such as 5, "5s" or "500ms", got "5 parsecs"'
    assert "'explicit'" in found["MAAS_CONTROL"]
    assert "-1" in found[f"{config}: threads"]


@pytest.mark.parametrize(
    ("flags", "source"),
    [
        ({"poll_interval": 0}, "--poll-interval"),
        ({"settle": -1}, "--settle"),
        ({"grace": "inf"}, "--grace"),
        ({"grace": float("nan")}, "--grace"),
        ({"max_message_bytes": 0}, "--max-message-bytes"),
        ({"max_message_bytes": "3GiB"}, "--max-message-bytes"),
        ({"grpc_port": "http"}, "--grpc-port"),
        ({"max_batch_size": 65537}, "--max-batch-size"),
        ({"max_queue_rows": (1 << 24) + 1}, "--max-queue-rows"),
        ({"threads": 1025}, "--threads"),
        ({"host": ""}, "--host"),
        ({"log_level": "loud"}, "--log-level"),
    ],
)
def test_values_out_of_range_are_refused(flags: dict[str, Any], source: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags)
    assert [each.field for each in caught.value.violations] == [source]


@pytest.mark.parametrize("key", ["x-tenant", "authority", "a", "x_y.z-1", "k" * 64, ""])
def test_a_tenant_key_is_a_key_of_metadata(key: str) -> None:
    assert load_settings({"tenant_key": key}).tenant_key == key


@pytest.mark.parametrize(
    "key", ["X-Tenant", "grpc-tenant", "tenant-bin", "a b", ":path", "k" * 65, "schlüssel", "a\n", "-bin"]
)
def test_a_tenant_key_that_no_caller_could_send_is_refused(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"tenant_key": key, "tenants": '{"a": {}}'})
    (violation,) = caught.value.violations
    assert violation.field == "--tenant-key"
    assert violation.description.startswith("expected at most 64 of a-z")
    assert violation.description.endswith(f"got {key!r}")


def test_tenants_are_a_mapping_in_the_file_and_json_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(
        tmp_path / "c.yaml",
        'tenant_key: t\ntenants:\n  acme: {weight: 2, max_rows_in_flight: 10}\n  "*": {max_rows_per_second: 0.5}\n',
    )
    assert load_settings({}, config).tenants == {
        "acme": TenantLimits(weight=2, max_rows_in_flight=10),
        "*": TenantLimits(max_rows_per_second=0.5),
    }
    monkeypatch.setenv("MAAS_TENANTS", '{"zoe": {"weight": 3}}')
    assert load_settings({}, config).tenants == {"zoe": TenantLimits(weight=3)}
    assert load_settings({"tenants": "{}"}, config).tenants == {}


@pytest.mark.parametrize(
    ("tenants", "field", "part"),
    [
        ('{"a": {"weight": 0}}', ".a.weight", "greater than or equal to 0.001, got 0"),
        ('{"a": {"weight": 1e999}}', ".a.weight", "got inf"),
        ('{"a": {"weight": NaN}}', ".a.weight", "got nan"),
        ('{"a": {"max_rows_in_flight": -1}}', ".a.max_rows_in_flight", "got -1"),
        ('{"a": {"max_rows_in_flight": 1.5}}', ".a.max_rows_in_flight", "fractional part"),
        ('{"a": {"max_rows_per_second": -0.1}}', ".a.max_rows_per_second", "got -0.1"),
        ('{"a": {"rows": 1}}', ".a.rows", "not permitted"),
        ('{"a": 3}', ".a", "got 3"),
        ('{"": {}}', ".", "got ''"),
        ('{" a": {}}', ". a", "got ' a'"),
        ('{"h\u00e9": {}}', ".hé", "got 'hé'"),
        ("[1]", "", "expected a JSON object, got '[1]'"),
        ('{"a"', "", "expected a JSON object"),
        ("[" * 100_000, "", "expected a JSON object, got '[[["),
    ],
)
def test_tenants_that_are_wrong_are_refused_by_name(tenants: str, field: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"tenant_key": "t", "tenants": tenants})
    (violation,) = caught.value.violations
    assert violation.field == "--tenants" + field
    assert part in violation.description


def test_a_tenants_name_in_a_file_is_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({}, write(tmp_path / "c.yaml", "tenant_key: t\ntenants: {7: {}}\n"))
    assert caught.value.violations == (
        Violation(f"{tmp_path}/c.yaml: tenants.7", "Input should be a valid string, got 7"),
    )


def test_named_tenants_need_a_key_and_limits_for_all_do_not() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"tenants": '{"acme": {}, "*": {}}'})
    expected = "expected tenant_key as well, which tells tenants apart, got 'acme'"
    assert caught.value.violations == (Violation("--tenants", expected),)
    limits = load_settings({"tenants": '{"*": {"max_rows_in_flight": 5}}'}).tenants
    assert limits == {"*": TenantLimits(max_rows_in_flight=5)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("5s", 5.0), (" 500 ms ", 0.5), ("1.5m", 90.0), ("2h", 7200.0), ("20us", 2e-5), (7, 7), (0.25, 0.25)],
)
def test_durations_have_units(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("64MiB", 64 << 20), ("1.5 KiB", 1536), ("2MB", 2_000_000), ("1GiB", 1 << 30), ("7B", 7), (9, 9)],
)
def test_sizes_have_units(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "s", "5 days", "-5s", "1e3", "5s5s", "\N{ARABIC-INDIC DIGIT FIVE}"])
def test_text_that_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_clear_error(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            value = parse(text)
        except ValueError as error:
            assert str(error).startswith("expected a")  # noqa: PT017 - both ends are fine here
        else:
            assert isinstance(value, int | float)
            assert value >= 0
