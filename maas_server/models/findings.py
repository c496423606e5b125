"""What is found wrong, or without effect, while a configuration of another server is read."""

from __future__ import annotations

from dataclasses import dataclass

from maas_server.errors import Violation


@dataclass(frozen=True, slots=True)
class NotHonoured:
    """A field that is read and has no effect, none on answers either."""

    field: str
    why: str


class Findings:
    """Collects what is refused and what is not honoured."""

    def __init__(self) -> None:
        """Nothing found yet."""
        self.violations: list[Violation] = []
        self.notes: list[NotHonoured] = []

    def refuse(self, field: str, why: str) -> None:
        """The configuration cannot be served."""
        self.violations.append(Violation(field, why))

    def note(self, field: str, why: str) -> None:
        """The field has no effect."""
        self.notes.append(NotHonoured(field, why))
