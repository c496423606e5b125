"""The sentences that clients of other servers look for when a model is not there.

Some of them tell "not found" from other failures by the text, so the text that they know comes first and ours after
it; code, reason and details stay.
"""

from __future__ import annotations

from maas_server import _core
from maas_server._stubs.tensorflow_serving import model_pb2
from maas_server.errors import InvalidRequest, LoadError, MaasError, NotFound, Violation
from maas_server.models.registry import ModelView, State

NOT_SERVING = _core.NOT_SERVING
"""The reasons of the errors that these sentences are about."""


def with_phrase(error: MaasError, phrase: str) -> MaasError:
    """Return the error with `phrase` before its own text."""
    return type(error)(
        f"{phrase}: {error.message}",
        reason=error.reason,
        violations=error.violations,
        retry_after=error.retry_after,
    )


def triton_error(error: MaasError, model: str, version: str = "") -> MaasError:
    """Return the error as a client of Triton knows it, if it is about a model or version that does not serve."""
    phrase = _core.triton_phrase(error.reason, model, version)
    return with_phrase(error, phrase) if phrase else error


def tensorflow_error(error: MaasError, spec: model_pb2.ModelSpec, view: ModelView | None) -> MaasError:
    """Return the error as a client of TensorFlow Serving knows it, if it is about what does not serve.

    A version that is being loaded stays UNAVAILABLE, one that failed to load is FAILED_PRECONDITION, and any other that
    does not serve is NOT_FOUND. `view`: the model's; None: there is none.
    """
    label = spec.version_label
    if error.reason == "LABEL_NOT_FOUND":
        return _unknown_label(error, label)
    version = spec.version.value or (view.labels or {} if view else {}).get(label, 0)
    asked_for = f"Specific({spec.name}, {version})" if version else f"Latest({spec.name})"
    phrase = f"Servable not found for request: {asked_for}"
    if error.reason in ("MODEL_NOT_FOUND", "VERSION_NOT_FOUND"):
        return with_phrase(error, phrase)
    if error.reason not in ("NO_VERSION_AVAILABLE", "VERSION_NOT_AVAILABLE"):
        return error
    asked = [each for each in view.versions if version in (0, each.version)] if view else []
    if any(each.state in (State.START, State.LOADING) for each in asked):
        return with_phrase(error, phrase)
    if failed := [f"version {each.version}: {each.reason}" for each in asked if each.failed]:
        return LoadError(f"{phrase}: it failed to load: {'; '.join(failed)}")
    return NotFound(f"{phrase}: {error.message}", reason=error.reason)


def tensorflow_status_error(error: MaasError, spec: model_pb2.ModelSpec) -> MaasError:
    """Return the error of a question for a model's status as a client of TensorFlow Serving knows it."""
    if error.reason == "LABEL_NOT_FOUND":
        return _unknown_label(error, spec.version_label)
    if error.reason not in ("MODEL_NOT_FOUND", "VERSION_NOT_FOUND"):
        return error
    what = f"version {spec.version.value}" if spec.version.value else "any versions"
    return with_phrase(error, f"Could not find {what} of model {spec.name}")


def _unknown_label(error: MaasError, label: str) -> MaasError:
    text = f"Unrecognized servable version label: {label}"
    return InvalidRequest(
        f"{text}: {error.message}",
        reason=error.reason,
        violations=[Violation("model_spec.version_label", error.message)],
    )
