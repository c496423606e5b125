"""How our channels behave: balancing, retries, keepalive, limits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

DEFAULT_ADDRESS = "localhost:8001"

# Predictions are pure and reading a status changes nothing: both may be sent twice. Explicit control may not.
_RETRIED = (
    {"service": "maas.v1.PredictService"},
    {"service": "maas.v1.ModelService", "method": "ModelStatus"},
)
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# A request larger than this buffer would be sent once only; the library's default is 256 KiB. Nothing is copied.
_RETRY_BUFFER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Where to connect to, and how."""

    address: str = DEFAULT_ADDRESS
    credentials: grpc.ChannelCredentials | None = None
    """None: plain text."""
    max_message_bytes: int = -1
    """Largest answer taken; -1: any."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Sent with every call."""

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """The metadata as gRPC takes it."""
        return tuple(self.metadata.items())


def channel_options(settings: ChannelSettings, *, health_check: bool) -> Sequence[tuple[str, Any]]:
    """Return the options of a channel.

    With `health_check` calls go only to servers whose health says SERVING: right for predictions, wrong for asking
    a server that is not ready why it is not.
    """
    config: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": _RETRIED, "retryPolicy": _RETRY_POLICY}],
    }
    if health_check:
        config["healthCheckConfig"] = {"serviceName": ""}
    return (
        ("grpc.service_config", json.dumps(config)),
        ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
        # A host that vanished without a word is noticed after 15 s.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
    )
