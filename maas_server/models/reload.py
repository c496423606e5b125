"""Checks of a declared set of models, before and after it takes effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from maas_server.errors import LoadError, MaasError, NotAvailable, NotFound, PermissionDenied, Violation
from maas_server.models.files import is_version_name, printable
from maas_server.models.model_state import ModelState
from maas_server.models.repository import Repository
from maas_server.models.served import ServedModel


def check_places(models: Iterable[ServedModel], repository: Repository) -> None:
    """Check base paths and labels against the disk. Blocks.

    Whoever reaches the port can send a set of models, so only what lies where the operator said is served.

    Raises:
        PermissionDenied: a base path is somewhere else.
        NotFound: a base path, or a version that a label names, is not there.
    """
    for model in models:
        if not repository.holds(model.base_path):
            text = "expected a folder below the path that is served, or below a base path that the server started with"
            raise PermissionDenied(
                f"model {model.name!r}: base_path {printable(model.base_path)}: {text}",
                violations=[Violation(f"config[{model.name}].base_path", text)],
            )
        try:
            there = {int(entry.name) for entry in model.base_path.iterdir() if is_version_name(entry.name)}
        except OSError as error:
            text = f"base_path {printable(model.base_path)}: {error.strerror or error}"
            raise NotFound(f"model {model.name!r}: {text}", reason="MODEL_NOT_FOUND") from error
        for label, version in (model.labels or {}).items():
            if version not in there:
                raise NotFound(
                    f"label {label!r}: model {model.name!r} has no version {version}", reason="VERSION_NOT_FOUND"
                )


def first_problem(models: Sequence[ServedModel], states: Mapping[str, ModelState]) -> MaasError | None:
    """Return what did not come of the set, the most serious first."""
    failures = []
    for model in models:
        state = states.get(model.name)
        if state is None:
            failures.append(f"{model.name}: it was taken away again")
        elif state.source.error:
            failures.append(f"{model.name}: {state.source.error}")
        else:
            failed = [
                f"{model.name}:{slot.source.version}: {slot.reason}"
                for slot in state.slots
                if slot.failed and slot.key == state.sources().get(slot.source.version)
            ]
            failures += failed
            if not failed and not state.wanted() and not state.available():
                waiting = [f"version {version} {why}" for version, why in sorted(state.source.pending.items())]
                text = ", ".join(waiting) or "no version that its version policy wants"
                failures.append(f"{model.name}: {text}")
    if failures:
        return LoadError("; ".join(failures))
    for model in models:
        available = states[model.name].available()
        for label, version in (model.labels or {}).items():
            if version not in available:
                return NotAvailable(
                    f"label {label!r}: a label moves only to an AVAILABLE version, and {model.name}:{version} is not",
                    reason="VERSION_NOT_AVAILABLE",
                )
    return None
