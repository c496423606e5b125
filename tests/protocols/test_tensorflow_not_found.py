"""Which words and codes TensorFlow Serving's clients get for a version that does not serve."""

from __future__ import annotations

import pytest

from maas_server.errors import (
    InternalError,
    InvalidRequest,
    LoadError,
    MaasError,
    NotFound,
    Unavailable,
)
from maas_server.models.registry import ModelView, State, VersionView
from maas_server.protocols.not_found import tensorflow_error, tensorflow_status_error
from tests.rpc.tensorflow import spec

FAILED = VersionView(1, State.END, "no such operator", failed=True)
UNLOADED = VersionView(1, State.END, "unloaded")
LOADING = VersionView(2, State.LOADING)
NONE = Unavailable("model 'm' has no version that serves", reason="NO_VERSION_AVAILABLE")
NOT_THIS = Unavailable("m:1 is END", reason="VERSION_NOT_AVAILABLE")


@pytest.mark.parametrize(
    ("error", "versions", "version", "kind", "text"),
    [
        (NONE, (LOADING, FAILED), None, Unavailable, "Servable not found for request: Latest(m): model 'm' has no"),
        (NONE, (FAILED,), None, LoadError, "Latest(m): it failed to load: version 1: no such operator"),
        (NONE, (UNLOADED,), None, NotFound, "Servable not found for request: Latest(m): model 'm' has no"),
        (NONE, (), None, NotFound, "Servable not found for request: Latest(m): "),
        (NOT_THIS, (LOADING, FAILED), 1, LoadError, "Specific(m, 1): it failed to load: version 1: no such operator"),
        (NOT_THIS, (LOADING, UNLOADED), 1, NotFound, "Servable not found for request: Specific(m, 1): m:1 is END"),
        (NOT_THIS, (LOADING,), 2, Unavailable, "Servable not found for request: Specific(m, 2): "),
    ],
    ids=str,
)
def test_the_state_of_the_versions_that_were_meant_decides(
    error: MaasError, versions: tuple[VersionView, ...], version: int | None, kind: type[MaasError], text: str
) -> None:
    explained = tensorflow_error(error, spec("m", version=version), ModelView("m", versions))
    assert type(explained) is kind
    assert text in explained.message


def test_a_label_stands_for_its_version() -> None:
    view = ModelView("m", (LOADING, FAILED), labels={"steady": 1})
    explained = tensorflow_error(NOT_THIS, spec("m", label="steady"), view)
    assert type(explained) is LoadError
    assert "Specific(m, 1)" in explained.message


def test_an_unknown_label_is_an_invalid_argument() -> None:
    error = NotFound("model 'm' has no label 'x'", reason="LABEL_NOT_FOUND")
    for explained in (
        tensorflow_error(error, spec("m", label="x"), None),
        tensorflow_status_error(error, spec("m", label="x")),
    ):
        assert type(explained) is InvalidRequest
        assert explained.message == "Unrecognized servable version label: x: model 'm' has no label 'x'"
        assert explained.reason == "LABEL_NOT_FOUND"
        assert explained.violations[0].field == "model_spec.version_label"


def test_other_errors_stay_as_they_are() -> None:
    error = InternalError("the run failed", reason="RUN_FAILED")
    assert tensorflow_error(error, spec("m"), ModelView("m")) is error
    assert tensorflow_status_error(error, spec("m")) is error
