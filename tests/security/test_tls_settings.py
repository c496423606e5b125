"""Settings of TLS that do not go together are refused, by the name of what is missing or too much."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_server.errors import ConfigError, Violation
from maas_server.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*Settings.model_fields, "config"]:
        monkeypatch.delenv(f"MAAS_{name.upper()}", raising=False)


def wrong(flags: dict[str, str], config: Path | None = None) -> tuple[Violation, ...]:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags, config)
    return caught.value.violations


def test_without_a_certificate_nothing_is_encrypted() -> None:
    settings = Settings()
    assert (settings.tls_cert, settings.tls_key, settings.tls_client_ca) == ("", "", "")


def test_a_certificate_without_a_key_misses_it() -> None:
    expected = "expected tls_cert and tls_key together, got tls_cert alone"
    assert wrong({"tls_cert": "a.crt"}) == (Violation("tls_key", expected),)


def test_a_key_without_a_certificate_is_named_by_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = "expected tls_cert and tls_key together, got tls_key alone"
    assert wrong({"tls_key": "a.key"}) == (Violation("--tls-key", expected),)
    config = tmp_path / "maas.yaml"
    config.write_text("tls_key: a.key\n")
    assert wrong({}, config) == (Violation(f"{config}: tls_key", expected),)
    monkeypatch.setenv("MAAS_TLS_KEY", "a.key")
    assert wrong({}) == (Violation("MAAS_TLS_KEY", expected),)


def test_an_authority_for_clients_needs_a_certificate_to_go_with() -> None:
    expected = "expected tls_cert as well, without which no client is asked, got 'ca.crt'"
    assert wrong({"tls_client_ca": "ca.crt"}) == (Violation("--tls-client-ca", expected),)
