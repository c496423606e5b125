"""The HTTP server: a thread with a loop of its own, so that nothing that it does holds up gRPC's."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import structlog
import uvloop

from maas_server.engine import Engine
from maas_server.errors import ConfigError
from maas_server.front import Front
from maas_server.http.calls import Calls
from maas_server.http.models import Models
from maas_server.models.registry import Registry
from maas_server.settings import Settings

if TYPE_CHECKING:
    import uvicorn

    from maas_server.http.app import Application

log = structlog.get_logger(__name__)

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 60
# Of a request's head, before the parser gives up.
_MAX_HEAD_BYTES = 64 << 10


class HttpServer:
    """Serves HTTP from `start` to `stop`, which are called once each, on the main loop."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        registry: Registry,
        handlers: Sequence[grpc.GenericRpcHandler],
        *,
        ready: Callable[[], bool],
        front_counters: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Prepare; nothing is opened.

        `handlers`: of the RPCs that REST has routes for. `ready`: whether the server takes requests.
        `front_counters`: of the compiled front; empty without one. Both are called from any thread.
        """
        self._settings = settings
        self._engine = engine
        self._front = Front(engine, max_answer_bytes=settings.max_message_bytes)
        self._handlers = handlers
        self._registry = registry
        self._ready = ready
        self._front_counters = front_counters
        self._server: uvicorn.Server | None = None
        self._app: Application | None = None
        self._draining = False
        self._stopping = False
        self._follower: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self.port = 0

    def start(self, on_end: Callable[[BaseException | None], None]) -> None:
        """Bind the port and begin to serve; connections wait in the backlog until the thread is up.

        `on_end` is called on the running loop when this ends before `stop`, with the error that ended it.

        Raises:
            ConfigError: the address cannot be had.
        """
        listener = _listen(self._settings.host, self._settings.http_port)
        self.port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        models, calls = Models(self._registry, loop), Calls(self._handlers, loop, self._settings.tenant_key)
        self._follower = asyncio.create_task(models.follow())
        self._follower.add_done_callback(lambda task: None if task.cancelled() else on_end(task.exception()))
        ended = self._ended = loop.create_future()

        def end(error: BaseException | None) -> None:
            ended.set_result(None)
            if error is not None or not self._stopping:
                on_end(error)

        def run() -> None:
            error: BaseException | None = None
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(self._serve(listener, models, calls))
            except BaseException as raised:
                error = raised
            loop.call_soon_threadsafe(end, error)

        threading.Thread(target=run, name="maas-http").start()

    def drain(self) -> None:
        """Take requests as before, but let connections end with their next answer."""
        self._draining = True
        if self._app is not None:
            self._app.draining = True

    async def stop(self) -> None:
        """Take no more connections, answer what was accepted within the grace, end the thread."""
        if self._ended is None:
            return
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True
        await self._ended
        if self._follower is not None:
            self._follower.cancel()

    async def _serve(self, listener: socket.socket, models: Models, calls: Calls) -> None:
        # Here and not above: the start of gRPC does not wait for these imports.
        import uvicorn

        from maas_server.http.connection import Connection
        from maas_server.http.routes import build_application

        settings = self._settings
        self._front.attach(asyncio.get_running_loop())
        self._app = build_application(
            settings, self._front, calls, models, self._ready, self._engine.tenants, self._front_counters
        )
        config = uvicorn.Config(
            self._app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(settings.grace),
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )
        server = uvicorn.Server(config)
        # What the main loop may have said while this thread was importing.
        self._server = server
        self._app.draining = self._draining
        server.should_exit = self._stopping
        log.info("http_listening", host=settings.host, http_port=self.port)
        try:
            await server.serve(sockets=[listener])
        finally:
            await self._app.close()
            self._front.detach()


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: the address cannot be had.
    """
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = addresses[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(f"cannot listen on {shown} for HTTP: {error.strerror or error}") from error
    return listener
