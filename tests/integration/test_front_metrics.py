"""What /metrics counts of the compiled front: its calls, and whom it had to send away."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from benchmarks.open_loop import frames
from maas_server._stubs.maas.v1 import model_pb2
from tests.fronts import only_compiled
from tests.integration.fronted import PREDICT, STATUS, assert_quick, quick
from tests.integration.http2_peer import Http2Peer, framed
from tests.integration.serving import ServeProcess, eventually

# grpc counts nothing of the kind.
pytestmark = only_compiled

ENDED = "maas_front_ended_total"


def samples(server: ServeProcess) -> list[Sample]:
    port = server.wait_for_event("http_listening")["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
        families = text_string_to_metric_families(page.read().decode())
    return [sample for family in families for sample in family.samples]


def metric(server: ServeProcess, name: str, **labels: str) -> float:
    """The value of a sample; 0 where there is none yet."""
    return next((each.value for each in samples(server) if each.name == name and each.labels == labels), 0.0)


def test_calls_are_counted_by_who_serves_them(front_server: ServeProcess) -> None:
    names = ("maas_front_calls_total", "maas_front_passed_through_total", "maas_front_connections_total")
    before = [metric(front_server, name) for name in names]
    asked = model_pb2.ModelStatusRequest(model="quick").SerializeToString()
    with Http2Peer(front_server.target) as peer:
        for _ in range(5):
            assert_quick(peer.ask(PREDICT, quick()))
        for _ in range(3):
            assert peer.ask(STATUS, asked).status == 0
        assert metric(front_server, "maas_front_open_connections") >= 1
    after = [metric(front_server, name) for name in names]
    assert [now - then for now, then in zip(after, before, strict=True)] == [5, 3, 1]


def test_every_reason_to_send_somebody_away_is_in_the_page(front_server: ServeProcess, root: Path) -> None:
    page = (root / "docs/front.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\|.*\| `(\w+)` \|$", page, re.MULTILINE)) - {"maas_front_ended_total"}
    assert documented == {sample.labels["reason"] for sample in samples(front_server) if sample.name == ENDED}


def tear_a_ping(peer: Http2Peer) -> None:
    peer.try_to_send(frames.frame(frames.PING, 0, 0, bytes(7)))


def ping(peer: Http2Peer) -> None:
    for _ in range(10):
        peer.try_to_send(frames.frame(frames.PING, 0, 0, bytes(8)))


def reset(peer: Http2Peer) -> None:
    for _ in range(5000):
        stream = peer.next_stream()
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, stream, peer.headers(PREDICT))
        if not peer.try_to_send(head, frames.rst_stream(stream, frames.CANCEL)):
            break


def flood(peer: Http2Peer) -> None:
    for _ in range(40):
        if not peer.try_to_send(frames.settings({}) * 5000):
            break


def continue_headers(peer: Http2Peer) -> None:
    peer.try_to_send(frames.frame(frames.HEADERS, 0, 1, peer.headers(PREDICT)))
    for _ in range(40):
        if not peer.try_to_send(frames.frame(frames.CONTINUATION, 0, 1) * 5000):
            break


@pytest.mark.parametrize(
    ("attack", "reasons"),
    [
        (tear_a_ping, {"protocol"}),
        (ping, {"pings"}),
        (reset, {"rapid_reset"}),
        (flood, {"flood"}),
        (continue_headers, {"flood", "headers", "protocol"}),
    ],
    ids=["wrong frame", "pings", "resets", "settings", "continuations"],
)
def test_who_is_sent_away_is_counted_by_the_reason(
    attack: Callable[[Http2Peer], None], reasons: set[str], front_server: ServeProcess
) -> None:
    def ended() -> float:
        return sum(metric(front_server, ENDED, reason=reason) for reason in reasons)

    before = ended()
    with Http2Peer(front_server.target) as peer:
        attack(peer)
        eventually(lambda: ended() == before + 1, "it is counted")
        peer.until_closed()


def test_what_is_half_received_is_counted_and_let_go(front_server: ServeProcess) -> None:
    name = "maas_front_memory_bytes"
    with Http2Peer(front_server.target) as peer:
        stream = peer.open(PREDICT)
        peer.data(stream, framed(bytes(500_000))[:400_000], end=False)
        eventually(lambda: metric(front_server, name) >= 400_000, "what came is counted")
    eventually(lambda: metric(front_server, name) < 400_000, "nothing of it is kept")
