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
from maas_server.errors import ConfigError, Violation, error_text
from maas_server.security.tls import TlsMaterial
from maas_server.settings import Settings

# Of what clients may make the process keep, in messages of the largest size.
_MESSAGES_IN_MEMORY = 16
_LEAST_MEMORY = 256 << 20
# Linux's <sys/un.h>: room for the path of a Unix socket, less its NUL.
_MOST_SOCKET_PATH = 107
# How long runs that returned may take to be told to the front.
_LAST_ANSWERS_SECONDS = 2.0
# The settings that the core's names for parts of TLS come from.
_TLS_SETTINGS = {"certificate_chain_pem": "tls_cert", "private_key_pem": "tls_key", "client_ca_pem": "tls_client_ca"}


def available() -> str:
    """Return why there is no compiled front in this build; empty: there is one."""
    return _core.NO_COMPILED_FRONT


class CompiledFront:
    """Owns the core's front and the folder of the inner socket. For the loop's thread."""

    def __init__(self, engine: Engine, settings: Settings, *, cpus: int) -> None:
        """Prepare; nothing listens yet. `cpus`: how many the process may use at once.

        Raises:
            ConfigError: this build has no compiled front, or there is no place for the inner socket.
        """
        if why := available():
            raise ConfigError(f"front: there is no compiled front: {why}")
        self._engine = engine
        self._settings = settings
        self._io_threads = settings.io_threads or max(1, cpus // 2)
        self._folder = _make_folder()
        self._core: _core.CompiledFront | None = None
        self._finished = asyncio.Event()
        self._idle = asyncio.Event()

    @property
    def inner_address(self) -> str:
        """Where the grpcio server is to listen."""
        # grpcio takes it for a URI.
        return f"unix:{self._socket}".replace("%", "%25")

    @property
    def _socket(self) -> Path:
        return _socket_in(self._folder.name)

    @property
    def refused(self) -> int:
        """How many calls were refused since `refuse`."""
        return 0 if self._core is None else self._core.refused

    def start(self, tls: TlsMaterial | None) -> int:
        """Listen, encrypted if there is `tls`, and return the port. The server behind takes calls already.

        Raises:
            ConfigError: the address cannot be had, or OpenSSL refuses a file of TLS.
        """
        settings = self._settings
        options = _front_options(
            tls,
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
        )
        try:
            core = _core.CompiledFront(self._engine.core, options)
        except _core.CoreError as error:
            raise ConfigError(f"cannot listen on {settings.host}:{settings.grpc_port}: {error.args[2]}") from error
        asyncio.get_running_loop().add_reader(core.fileno(), self._on_told)
        self._core = core
        return core.port

    def set_state(self, *, ready: bool, health: Mapping[str, bool]) -> None:
        """Replace what is answered about the server, and about the names that health is asked for."""
        if self._core is not None:
            self._core.set_state(ready=ready, health=health)

    def set_tls(self, tls: TlsMaterial) -> None:
        """Show the certificate to whoever connects from now on.

        Raises:
            ConfigError: OpenSSL refuses it; the one before stays in force.
        """
        if self._core is None:
            return
        try:
            self._core.set_tls(_tls_options(tls))
        except _core.CoreError as error:
            raise _wrong_tls(error) from error

    def refuse(self) -> None:
        """Refuse new calls in a way that makes callers go elsewhere; what was accepted goes on."""
        if self._core is not None:
            self._core.refuse()

    async def shut_down(self, grace: float) -> None:
        """Take no connection any more, and return when all are gone: after `grace` seconds at the latest."""
        if self._core is not None:
            self._core.shutdown(grace)
            await self._finished.wait()

    async def close(self) -> bool:
        """Cut what is open and end the threads; return False if they wait for a run that does not return.

        Then they go on: this is to be kept until the process ends, and the process to end without its interpreter.
        """
        core = self._core
        if core is None:
            self.remove_folder()
            return True
        await self.shut_down(0)
        try:
            async with asyncio.timeout(_LAST_ANSWERS_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            pass
        else:
            self._core = None
        asyncio.get_running_loop().remove_reader(core.fileno())
        self.remove_folder()
        if self._core is not None:
            return False
        await asyncio.to_thread(core.close)
        return True

    def remove_folder(self) -> None:
        """Remove the inner socket; for the end of the process."""
        self._folder.cleanup()

    def counters(self) -> Mapping[str, Any]:
        """Return what it did so far; empty before `start` and after `close`. From any thread."""
        core = self._core
        return {} if core is None else core.counters()

    def _on_told(self) -> None:
        assert self._core is not None
        self._engine.end_runs(self._core.take_interrupts())
        if self._core.finished:
            self._finished.set()
        if self._core.idle:
            self._idle.set()


def _make_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="maas-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigError(f"front: no folder for the inner socket, see TMPDIR: {error_text(error)}") from error
    length = len(bytes(_socket_in(folder.name)))
    if length <= _MOST_SOCKET_PATH:
        return folder
    folder.cleanup()
    outer = Path(folder.name).parent
    got = len(bytes(outer))
    most = got - (length - _MOST_SOCKET_PATH)
    raise ConfigError(f"front: expected a TMPDIR of at most {most} bytes, for a Unix socket, got {got}: {outer}")


def _socket_in(folder: str) -> Path:
    return Path(folder) / "grpc.sock"


def _front_options(tls: TlsMaterial | None, **others: Any) -> _core.FrontOptions:
    try:
        return _core.FrontOptions(tls=None if tls is None else _tls_options(tls), **others)
    except _core.CoreError as error:
        raise _wrong_tls(error) from error


def _wrong_tls(error: _core.CoreError) -> ConfigError:
    violations = [Violation(_TLS_SETTINGS.get(field, field), problem) for field, problem in error.args[3]]
    message = "the files of TLS are wrong" if violations else error.args[2]
    return ConfigError(message, violations=violations)


def _tls_options(tls: TlsMaterial) -> _core.TlsOptions:
    return _core.TlsOptions(
        certificate_chain=tls.certificate_chain,
        private_key=tls.private_key,
        client_ca=tls.client_ca,
        client_auth=tls.client_auth,
    )
