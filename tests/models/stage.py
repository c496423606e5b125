"""A registry over a fake engine and files of one word, stepped by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from maas_server.models.lifecycle import State
from maas_server.models.registry import Control, Registry
from maas_server.models.repository import Repository
from tests.models.fakes import FakeHost, FakeRunner

START, LOADING, AVAILABLE, UNLOADING, END = State.START, State.LOADING, State.AVAILABLE, State.UNLOADING, State.END


class Stage:
    """A repository on disk, whose files count at once, and a registry over it."""

    def __init__(self, path: Path, control: Control, served: Path | None = None) -> None:
        """`served`: a models.config to serve in place of the folder `path`."""
        self.path = path
        self.host = FakeHost()
        # A clock that is far ahead makes every file old; settle is what a removed version still stays for.
        repository = Repository(served or path, settle=0.0, now=lambda: time.time() + 100)
        self.registry = Registry(
            repository, self.host, control=control, poll_interval=0, find_runner=lambda _: FakeRunner()
        )

    def write(self, name: str, content: str = "good") -> None:
        path = self.path / name
        if path.suffix not in (".yaml", ".pbtxt", ".config", ".txt"):
            path = path / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def states(self, model: str = "m") -> dict[int, State]:
        return {view.version: view.state for view in self.registry.status(model)[0].versions}

    def reason(self, version: int, model: str = "m") -> str:
        return self.registry.status(model, version)[0].versions[0].reason

    async def start(self) -> None:
        """Start, and wait until nothing is on its way any more."""
        await self.registry.start()
        await self.until(lambda: not self.coming())

    def coming(self) -> bool:
        return any(view.state in (START, LOADING) for model in self.registry.status() for view in model.versions)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            async for _ in self.registry.watch():
                if condition():
                    return

    async def scan(self, **expected: State) -> None:
        """Scan, then wait for states given as v<version>=state."""
        await self.registry.scan()
        wanted = {int(name.removeprefix("v")): state for name, state in expected.items()}
        await self.until(lambda: wanted.items() <= self.states().items())
