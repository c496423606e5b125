"""A foreign client that is missing is skipped with a reason, and is a failure where it is required."""

from __future__ import annotations

import pytest

from tests.foreign import tools


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any of the programs."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(tools.REQUIRE, raising=False)


def test_what_is_missing_is_named_with_its_package(bare: None) -> None:
    assert tools.missing("curl") == {"curl": "curl"}
    assert tools.missing("java").items() >= {("javac", "default-jdk-headless"), ("protoc", "protobuf-compiler")}
    assert tools.missing("triton") == {}


def test_a_client_that_is_missing_is_skipped_with_the_command_to_type(bare: None) -> None:
    with pytest.raises(pytest.skip.Exception, match="curl missing: apt-get install curl"):
        tools.require("curl")


def test_a_client_that_is_missing_is_a_failure_where_it_is_required(
    bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tools.REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match="curl missing"):
        tools.require("curl")
