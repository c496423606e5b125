"""What the settings become for grpcio."""

from __future__ import annotations

from maas_server.rpc.server import server_options
from maas_server.settings import Settings


def test_durations_are_cut_to_what_grpc_takes() -> None:
    options = dict(
        server_options(Settings(keepalive_min_ping_interval=1e9, max_connection_age=1e9, max_connection_age_grace=1e9))
    )
    for name in (
        "grpc.http2.min_recv_ping_interval_without_data_ms",
        "grpc.max_connection_age_ms",
        "grpc.max_connection_age_grace_ms",
    ):
        assert options[name] == 2**31 - 1, name


def test_without_an_age_connections_live_for_ever() -> None:
    options = dict(server_options(Settings(max_connection_age=0)))
    assert "grpc.max_connection_age_ms" not in options
    assert "grpc.max_connection_age_grace_ms" not in options


def test_every_limit_reaches_grpc() -> None:
    options = dict(server_options(Settings(max_message_bytes=4096, max_concurrent_streams=7)))
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"] == 4096
    assert options["grpc.max_concurrent_streams"] == 7
    assert "grpc.max_concurrent_streams" not in dict(server_options(Settings()))
