"""The compiled front: gRPC on threads of the core, without Python on the path of a request.

It listens on the public port. What it does not serve by itself it passes on to the grpcio server of this process, over
a Unix socket that only this user may open.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maas_server import _core
from maas_server.engine import Engine
from maas_server.errors import ConfigError
from maas_server.security.tls import TlsMaterial
from maas_server.settings import Settings

# Of what clients may make the process keep, in messages of the largest size.
_MESSAGES_IN_MEMORY = 16
_LEAST_MEMORY = 256 << 20


def available() -> str:
    """Return why there is no compiled front in this build; empty: there is one."""
    return _core.NO_COMPILED_FRONT


class CompiledFront:
    """Owns the core's front and the folder of the inner socket. For the loop's thread."""

    def __init__(self, engine: Engine, settings: Settings, *, cpus: int) -> None:
        """Prepare; nothing listens yet. `cpus`: how many the process may use at once.

        Raises:
            ConfigError: this build has no compiled front.
        """
        if why := available():
            raise ConfigError(f"front: there is no compiled front: {why}")
        self._engine = engine
        self._settings = settings
        self._io_threads = settings.io_threads or max(1, cpus // 2)
        self._folder = tempfile.TemporaryDirectory(prefix="maas-", ignore_cleanup_errors=True)
        self._core: _core.CompiledFront | None = None
        self._finished = asyncio.Event()

    @property
    def inner_address(self) -> str:
        """Where the grpcio server is to listen."""
        return f"unix:{self._socket}"

    @property
    def _socket(self) -> Path:
        return Path(self._folder.name) / "grpc.sock"

    @property
    def refused(self) -> int:
        """How many calls were refused since `refuse`."""
        return 0 if self._core is None else self._core.refused

    def start(self, tls: TlsMaterial | None) -> int:
        """Listen, encrypted if there is `tls`, and return the port. The server behind takes calls already.

        Raises:
            ConfigError: the address cannot be had.
        """
        settings = self._settings
        options = _core.FrontOptions(
            host=settings.host,
            port=settings.grpc_port,
            io_threads=self._io_threads,
            max_message_bytes=settings.max_message_bytes,
            max_concurrent_streams=settings.max_concurrent_streams,
            min_ping_interval=settings.keepalive_min_ping_interval,
            max_connection_age=settings.max_connection_age,
            max_connection_age_grace=settings.max_connection_age_grace,
            memory_limit=max(_LEAST_MEMORY, _MESSAGES_IN_MEMORY * settings.max_message_bytes),
            tenant_key=settings.tenant_key,
            socket_path=bytes(self._socket),
            tls=None if tls is None else _tls_options(tls),
        )
        try:
            self._core = _core.CompiledFront(self._engine.core, options)
        except _core.CoreError as error:
            raise ConfigError(f"cannot listen on {settings.host}:{settings.grpc_port}: {error.args[2]}") from error
        asyncio.get_running_loop().add_reader(self._core.fileno(), self._on_told)
        return self._core.port

    def set_state(self, *, ready: bool, health: Mapping[str, bool]) -> None:
        """Replace what is answered about the server, and about the names that health is asked for."""
        if self._core is not None:
            self._core.set_state(ready=ready, health=health)

    def set_tls(self, tls: TlsMaterial) -> None:
        """Show the certificate to whoever connects from now on."""
        if self._core is not None:
            self._core.set_tls(_tls_options(tls))

    def refuse(self) -> None:
        """Refuse new calls in a way that makes callers go elsewhere; what was accepted goes on."""
        if self._core is not None:
            self._core.refuse()

    async def shut_down(self, grace: float) -> None:
        """Take no connection any more, and return when all are gone: after `grace` seconds at the latest."""
        if self._core is not None:
            self._core.shutdown(grace)
            await self._finished.wait()

    async def close(self) -> None:
        """End the threads. Nothing that was submitted may be under way any more."""
        core, self._core = self._core, None
        if core is not None:
            asyncio.get_running_loop().remove_reader(core.fileno())
            await asyncio.to_thread(core.close)
        self._folder.cleanup()

    def counters(self) -> Mapping[str, Any]:
        """Return what it did so far; empty before `start`. From any thread."""
        core = self._core
        return {} if core is None else core.counters()

    def _on_told(self) -> None:
        assert self._core is not None
        self._engine.end_runs(self._core.take_interrupts())
        if self._core.finished:
            self._finished.set()


def _tls_options(tls: TlsMaterial) -> _core.TlsOptions:
    return _core.TlsOptions(
        certificate_chain=tls.certificate_chain,
        private_key=tls.private_key,
        client_ca=tls.client_ca,
        client_auth=tls.client_auth,
    )
