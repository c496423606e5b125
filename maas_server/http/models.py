"""The registry as seen from the HTTP thread. It belongs to the main loop, so that is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from maas_server.models.registry import ModelView, Registry

T = TypeVar("T")


class Models:
    """What routes may do with models; for the HTTP thread, but for `follow`."""

    def __init__(self, registry: Registry, main_loop: asyncio.AbstractEventLoop) -> None:
        """`main_loop`: the one that the registry belongs to."""
        self._registry = registry
        self._main_loop = main_loop
        # Replaced as a whole by the main thread.
        self._seen: Mapping[str, ModelView] = {}

    async def follow(self) -> None:
        """Keep `seen` up to date, for ever. On the main loop."""
        async for _ in self._registry.watch():
            self._look()

    def _look(self) -> None:
        self._seen = {view.name: view for view in self._registry.status()}

    async def refresh(self) -> None:
        """Bring `seen` up to date now: changes are told of some moments after they took place."""
        await self.on_main(lambda _: self._look())

    def seen(self, model: str) -> ModelView | None:
        """Return the model as of the last change; its counters are as old."""
        return self._seen.get(model)

    async def on_main(self, function: Callable[[Registry], T]) -> T:
        """Call `function` on the main loop and return its result.

        Raises:
            Exception: what the function raises.
        """

        async def call() -> T:
            return function(self._registry)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self._main_loop))

    async def status(self, model: str = "", version: int = 0) -> tuple[ModelView, ...]:
        """Return what `Registry.status` does.

        Raises:
            NotFound: the named model or version is not known.
        """
        return await self.on_main(lambda registry: registry.status(model, version))
