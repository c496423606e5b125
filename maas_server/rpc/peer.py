"""Who the other side of a call is, whichever front it came through.

The compiled front hands calls on to this process over a Unix socket. Who the client is comes with them as metadata,
which that front takes away from clients that send it themselves. On every other connection it means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from maas_server.rpc.errors import ServicerContext

_UNIX = "unix:"
_ADDRESS = "maas-peer"
_CERTIFICATE = "maas-peer-cert-bin"
_COMMON_NAME = "maas-peer-name-bin"
_ALTERNATIVE_NAME = "maas-peer-alt-bin"


@dataclass(frozen=True, slots=True)
class Peer:
    """A client: where it is, and what its certificate says if it showed one that was verified."""

    address: str  # As gRPC writes it: "ipv4:127.0.0.1:53124", "ipv6:%5B::1%5D:53124", "unix:".
    certificate_pem: str = ""
    common_name: str = ""
    alternative_names: tuple[str, ...] = ()  # DNS names, URIs, e-mail and IP addresses.


def peer_of(context: ServicerContext) -> Peer:
    """Return who calls."""
    address = context.peer()
    if address.startswith(_UNIX):
        return _told_by_front(context) or Peer(address)
    shown = context.auth_context()
    return Peer(
        address,
        certificate_pem=_first(shown.get("x509_pem_cert", ())),
        common_name=_first(shown.get("x509_common_name", ())),
        alternative_names=tuple(_text(name) for name in shown.get("x509_subject_alternative_name", ())),
    )


def _told_by_front(context: ServicerContext) -> Peer | None:
    told: dict[str, list[str]] = {}
    for key, value in context.invocation_metadata() or ():
        if key.startswith(_ADDRESS):
            told.setdefault(key, []).append(_text(value))
    if _ADDRESS not in told:
        return None
    return Peer(
        told[_ADDRESS][0],
        certificate_pem=_first(told.get(_CERTIFICATE, ())),
        common_name=_first(told.get(_COMMON_NAME, ())),
        alternative_names=tuple(told.get(_ALTERNATIVE_NAME, ())),
    )


def _first(values: Iterable[str | bytes]) -> str:
    return next((_text(value) for value in values), "")


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
