"""The grpcio server: options, services, and the port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection, reflection_pb2

from maas_server._stubs.inference import grpc_service_pb2
from maas_server._stubs.maas.v1 import model_pb2, predict_pb2
from maas_server._stubs.tensorflow_serving import model_service_pb2, prediction_service_pb2
from maas_server.errors import ConfigError
from maas_server.rpc.health import Health
from maas_server.security.tls import TlsFiles, TlsMaterial
from maas_server.settings import Settings

# The stubs of all services that a server may have.
_DESCRIBED: tuple[ModuleType, ...] = (
    model_pb2,
    predict_pb2,
    grpc_service_pb2,
    prediction_service_pb2,
    model_service_pb2,
    health_pb2,
    reflection_pb2,
)
# The largest that grpc takes; as an age it means "for ever".
_MOST_MS = 2**31 - 1
_INNER_METADATA_BYTES = 128 << 10


def server_options(settings: Settings) -> list[tuple[str, Any]]:
    """Return grpcio's channel arguments for these settings."""
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Clients find out by pings that a host is gone; the default lets them ping once in five minutes only.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _milliseconds(settings.keepalive_min_ping_interval)),
        ("grpc.keepalive_permit_without_calls", 1),
        # Without it two servers on one port would share the load without anybody having asked for it.
        ("grpc.so_reuseport", 0),
    ]
    if settings.max_connection_age > 0:
        options += [
            # grpc spreads it by 10 % each way, so that clients do not come back all at once.
            ("grpc.max_connection_age_ms", _milliseconds(settings.max_connection_age)),
            ("grpc.max_connection_age_grace_ms", _milliseconds(settings.max_connection_age_grace)),
        ]
    if settings.max_concurrent_streams > 0:
        options.append(("grpc.max_concurrent_streams", settings.max_concurrent_streams))
    return options


def inner_options(settings: Settings) -> list[tuple[str, Any]]:
    """Return the channel arguments of a server behind the compiled front, which keeps the rules for connections."""
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # What the front takes, and the client's certificate, which it adds.
        ("grpc.max_metadata_size", _INNER_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _INNER_METADATA_BYTES),
    ]


def _milliseconds(seconds: float) -> int:
    return min(int(seconds * 1000), _MOST_MS)


def build_server(
    settings: Settings, handlers: Sequence[grpc.GenericRpcHandler], services: Sequence[str], health: Health
) -> grpc.aio.Server:
    """Return a server with our handlers, health and, if wanted, reflection; not bound, not started."""
    options = server_options(settings) if settings.front == "grpcio" else inner_options(settings)
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(tuple(handlers))
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    if settings.reflection:
        names = (*services, HEALTH_SERVICE, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, pool=_joined_pool(stubs.DESCRIPTOR for stubs in _DESCRIBED))
    return server


def _joined_pool(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """Return one pool of these files and all that they import: reflection takes one pool, and ours are two."""
    pool = DescriptorPool()
    added: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        pool.AddSerializedFile(file.serialized_pb)

    for file in files:
        add(file)
    return pool


def tls_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials that show each new connection what the files say by then."""
    shown = files.material

    # The published types forget None: nothing is new.
    def renewed() -> Any:
        nonlocal shown
        if (material := files.material) is shown:
            return None
        shown = material
        return _certificates(material)

    required = files.material.client_auth == "required"
    return grpc.dynamic_ssl_server_credentials(_certificates(shown), renewed, require_client_authentication=required)


def _certificates(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    pair = (material.private_key, material.certificate_chain)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=material.client_ca or None)


def bind(server: grpc.aio.Server, settings: Settings, tls: TlsFiles | None = None) -> int:
    """Bind the port of the settings and return it, or the one that was picked for 0; encrypted if there is `tls`.

    Raises:
        ConfigError: the address cannot be had.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        address = f"{host}:{settings.grpc_port}"
        port = server.add_secure_port(address, tls_credentials(tls)) if tls else server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigError(f"cannot listen on {host}:{settings.grpc_port}: {error}") from error
    if port == 0:
        raise ConfigError(f"cannot listen on {host}:{settings.grpc_port}: the port is in use, or not ours to take")
    return port


def bind_inner(server: grpc.aio.Server, address: str) -> None:
    """Bind the Unix socket that the compiled front passes calls on to.

    Raises:
        ConfigError: there is no place for it.
    """
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigError(f"front: grpcio cannot listen on {address}, see TMPDIR: {error}") from error
