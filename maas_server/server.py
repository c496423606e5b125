"""The server's life: start -> serve -> drain -> stop. Composes everything; nothing here knows of tensors."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from typing import Any

import structlog
import uvloop

from maas_server import __version__, _core
from maas_server.compiled_front import CompiledFront
from maas_server.engine import Engine
from maas_server.errors import ConfigError
from maas_server.front import Front
from maas_server.http.server import HttpServer
from maas_server.models.cpus import available_cpus
from maas_server.models.lifecycle import State
from maas_server.models.loader import Defaults
from maas_server.models.mode_watch import ModeWatch
from maas_server.models.registry import Registry
from maas_server.models.repository import Repository
from maas_server.process import leave_running, limit_malloc_arenas, set_scheduling, signals_to, threads_left
from maas_server.rpc import (
    inference_service,
    model_service,
    predict_service,
    tensorflow_model_service,
    tensorflow_service,
)
from maas_server.rpc.health import Health
from maas_server.rpc.infer_handler import tenant_reader
from maas_server.rpc.server import bind, bind_inner, build_server
from maas_server.security.tls import TlsFiles, why_wrong
from maas_server.settings import Settings

log = structlog.get_logger(__name__)

SERVICES = (
    predict_service.SERVICE,
    model_service.SERVICE,
    inference_service.SERVICE,
    tensorflow_service.SERVICE,
    tensorflow_model_service.SERVICE,
)
_EXIT_ON_SECOND_SIGNAL = 130
# After the grace nobody waits for what still runs.
_LAST_RUNS_SECONDS = 5.0
# How long callers may stay away before grpc is stopped, and how often that is waited for.
_REFUSAL_SECONDS = 0.02
_MOST_REFUSALS = 10


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status.

    Raises:
        ConfigError: the settings cannot be served: no such path, or the port is taken.
    """
    set_scheduling(settings)
    limit_malloc_arenas()
    status = uvloop.run(_serve(settings))
    if left := threads_left():
        # The interpreter would wait for some of them, and pull the others out from under C++ code that is running.
        log.warning("stopped_with_threads", threads=left)
        logging.shutdown()
        os._exit(status)
    return status


async def _serve(settings: Settings) -> int:
    # Inside the loop, because grpc.aio binds to the running one.
    return await Server(settings).run()


class Server:
    """One process's server. `run` it once."""

    def __init__(self, settings: Settings) -> None:
        """Compose; nothing is started."""
        self._settings = settings
        cpus = available_cpus()
        self._engine = Engine(cpus=cpus, tenants=settings.tenants, runs_yield=settings.scheduling == "batch")
        self._front = Front(self._engine, max_answer_bytes=settings.max_message_bytes)
        self._registry = Registry(
            Repository(settings.path, settle=settings.settle),
            self._engine,
            control=settings.control,
            poll_interval=settings.poll_interval,
            defaults=Defaults(
                threads=settings.threads or cpus,
                max_batch_size=settings.max_batch_size,
                max_queue_rows=settings.max_queue_rows,
            ),
        )
        self._port = 0
        self._status = 0
        self.listening = asyncio.Event()
        self._told_to_stop = asyncio.Event()
        self._stopping = asyncio.Event()  # The drain's delay is over: what would go on for ever ends now.
        self._health = Health(SERVICES, self._stopping)
        tenant_of = tenant_reader(settings.tenant_key)
        handlers = [
            predict_service.predict_handler(self._front, self._stopping, tenant_of),
            model_service.model_handler(self._registry, self._stopping),
            inference_service.inference_handler(
                self._front,
                self._registry,
                self._health,
                self._stopping,
                shared_memory=self._engine if settings.allow_shared_memory else None,
                tenant_of=tenant_of,
            ),
            tensorflow_service.tensorflow_handler(self._front, self._registry, tenant_of),
            tensorflow_model_service.tensorflow_model_handler(self._registry),
        ]
        self._server = build_server(settings, handlers, SERVICES, self._health)
        self._tls = TlsFiles(settings) if settings.tls_cert else None
        self._compiled = CompiledFront(self._engine, settings, cpus=cpus) if settings.front == "compiled" else None
        self._http = HttpServer(
            settings,
            self._engine,
            self._registry,
            handlers,
            ready=lambda: self._health.ready,
            front_counters=self._front_counters,
        )

    def _front_counters(self) -> Mapping[str, Any]:
        return {} if self._compiled is None else self._compiled.counters()

    @property
    def port(self) -> int:
        """The gRPC port; 0 until `listening` is set."""
        return self._port

    @property
    def http_port(self) -> int:
        """The HTTP port; 0 until `listening` is set, and without HTTP."""
        return self._http.port

    def stop(self) -> None:
        """Begin to drain, as SIGTERM does; `run` returns when all is done."""
        self._told_to_stop.set()

    async def run(self) -> int:
        """Start, serve until told to stop, drain; return the exit status."""
        with signals_to(self._on_signal):
            try:
                await self._start()
            except Exception:
                await asyncio.gather(self._server.stop(None), self._http.stop())
                await self._close_front()
                raise
            follower = asyncio.create_task(self._follow_models())
            follower.add_done_callback(self._on_follower_done)
            watch = asyncio.create_task(ModeWatch(self._registry.modes).run())
            watch.add_done_callback(_on_watch_done)
            certificates = asyncio.create_task(self._follow_certificates())
            certificates.add_done_callback(_on_certificates_done)
            await self._told_to_stop.wait()
            await self._drain()
            for task in (follower, watch, certificates):
                task.cancel()
        return self._status

    def _on_follower_done(self, follower: asyncio.Task[None]) -> None:
        # Health that follows the models no more would lie sooner or later; rather end, in order, and be restarted.
        if not follower.cancelled() and (error := follower.exception()) is not None:
            log.error("health_lost", exc_info=error)
            self._status = 1
            self.stop()

    def _on_http_end(self, error: BaseException | None) -> None:
        log.error("http_lost", exc_info=error)
        self._status = 1
        self.stop()

    async def _start(self) -> None:
        settings = self._settings
        self._front.attach(asyncio.get_running_loop())
        await self._health.start()
        if self._compiled is None:
            self._port = bind(self._server, settings, self._tls)
            await self._server.start()
        else:
            bind_inner(self._server, self._compiled.inner_address)
            await self._server.start()
            self._port = self._compiled.start(self._tls.material if self._tls else None)
            self._tell_front()
        log.info(
            "listening",
            host=settings.host,
            grpc_port=self._port,
            front=settings.front,
            server_version=__version__,
            path=str(settings.path),
            simd=_core.simd(),
            pid=os.getpid(),
        )
        if settings.http:
            self._http.start(self._on_http_end)
        self.listening.set()
        await self._registry.start()

    async def _close_front(self) -> None:
        if self._compiled is not None and not await self._compiled.close():
            leave_running("maas-io", self._compiled)

    async def _follow_models(self) -> None:
        started = False
        async for _ in self._registry.watch():
            await self._update_health()
            ready = self._registry.ready()
            await self._health.set_ready(ready)
            self._tell_front()
            if ready and not started:
                started = True
                log.info("ready", grpc_port=self._port, models=self._available())

    async def _follow_certificates(self) -> None:
        if self._tls is None:
            return
        async for material in self._tls.watch():
            # grpcio asks for them whenever somebody connects.
            if self._compiled is None:
                continue
            try:
                self._compiled.set_tls(material)
            except ConfigError as error:
                log.error("tls_reload_failed", reason=why_wrong(error))

    async def _update_health(self) -> None:
        serving: dict[str, bool] = {}
        for model in self._registry.status():
            serving[model.name] = model.default_version != 0
            for version in model.versions:
                serving[f"{model.name}/{version.version}"] = version.state == State.AVAILABLE
        await self._health.set_models(serving)

    def _tell_front(self) -> None:
        if self._compiled is not None:
            self._compiled.set_state(ready=self._health.ready, health=self._health.serving())

    def _available(self) -> list[str]:
        return [
            f"{model.name}:{version.version}"
            for model in self._registry.status()
            for version in model.versions
            if version.state == State.AVAILABLE
        ]

    async def _drain(self) -> None:
        settings = self._settings
        log.info("drain_started", delay_seconds=settings.drain_delay, grace_seconds=settings.grace)
        await self._health.drain()
        self._tell_front()
        self._http.drain()
        # Load balancers go on sending until they have seen that: requests are taken as before.
        await asyncio.sleep(settings.drain_delay)
        self._stopping.set()
        await self._send_callers_away()
        # GOAWAY: nothing new is taken, what was accepted is answered.
        await asyncio.gather(self._stop_grpc(settings.grace), self._http.stop())
        await self._registry.stop(_LAST_RUNS_SECONDS)
        await self._close_front()
        self._engine.unregister_shared_memory()
        self._front.detach()
        log.info("stopped")

    async def _stop_grpc(self, grace: float) -> None:
        if self._compiled is None:
            await self._server.stop(grace)
            return
        # What grpcio serves belongs to connections of the front: when they are gone, nobody waits for it.
        await self._compiled.shut_down(grace)
        await self._server.stop(None)

    async def _send_callers_away(self) -> None:
        # What reaches grpc while it shuts down, it ends with CANCELLED, which nobody tries again. So callers who are
        # still here are refused first, in a way that makes them go elsewhere, for as long as they come.
        self._front.close()
        if self._compiled is not None:
            self._compiled.refuse()
        for _ in range(_MOST_REFUSALS):
            refused = self._refused
            await asyncio.sleep(_REFUSAL_SECONDS)
            if self._refused == refused:
                return

    @property
    def _refused(self) -> int:
        return self._front.refused + (0 if self._compiled is None else self._compiled.refused)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._told_to_stop.is_set():
            log.warning("stopped_at_once", signal=number.name)
            if self._compiled is not None:
                self._compiled.remove_folder()
            os._exit(_EXIT_ON_SECOND_SIGNAL)
        log.info("signal", signal=number.name)
        self.stop()


def _on_certificates_done(certificates: asyncio.Task[None]) -> None:
    if not certificates.cancelled() and (error := certificates.exception()) is not None:
        log.error("tls_watch_lost", exc_info=error)


def _on_watch_done(watch: asyncio.Task[None]) -> None:
    if not watch.cancelled() and (error := watch.exception()) is not None:
        log.error("mode_watch_lost", exc_info=error)
