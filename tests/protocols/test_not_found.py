"""The sentences that Triton's clients know."""

from __future__ import annotations

import pytest

from maas_server.errors import InvalidRequest, MaasError, NotFound, Overloaded, Unavailable, Violation
from maas_server.protocols.not_found import NOT_SERVING, triton_error, with_phrase


@pytest.mark.parametrize(
    ("error", "version", "text"),
    [
        (NotFound("no model", reason="MODEL_NOT_FOUND"), "", "'m' is not found"),
        (NotFound("no version", reason="VERSION_NOT_FOUND"), "7", "'m' version 7 is not found"),
        (NotFound("no label", reason="LABEL_NOT_FOUND"), "old", "'m' version old is not found"),
        (Unavailable("none serves", reason="NO_VERSION_AVAILABLE"), "", "'m' has no available versions"),
        (Unavailable("it loads", reason="VERSION_NOT_AVAILABLE"), "7", "'m' version 7 is not at ready state"),
    ],
)
def test_a_model_that_does_not_serve_is_unknown_to_triton(error: MaasError, version: str, text: str) -> None:
    told = triton_error(error, "m", version)
    assert told.message == f"Request for unknown model: {text}: {error.message}"
    assert (type(told), told.reason) == (type(error), error.reason)


@pytest.mark.parametrize("reason", sorted(NOT_SERVING))
def test_each_reason_why_a_model_does_not_serve_has_a_sentence(reason: str) -> None:
    told = triton_error(Unavailable("ours", reason=reason), "größe", "7")
    assert told.message.startswith("Request for unknown model: 'größe' ")
    assert told.message.endswith(": ours")


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("inputs[0]: wrong", violations=[Violation("inputs[0]", "wrong")]),
        Overloaded("the queue is full", reason="QUEUE_FULL", retry_after=0.5),
        Unavailable("the version is being unloaded", reason="VERSION_NOT_AVAILABLE"),
    ],
)
def test_other_errors_stay_as_they_are(error: MaasError) -> None:
    assert triton_error(error, "m") is error


def test_a_phrase_keeps_everything_else() -> None:
    error = Overloaded("full", reason="QUEUE_FULL", violations=[Violation("a", "b")], retry_after=2.5)
    told = with_phrase(error, "not now")
    assert isinstance(told, Overloaded)
    assert told.message == "not now: full"
    assert (told.reason, told.violations, told.retry_after) == (error.reason, error.violations, error.retry_after)
