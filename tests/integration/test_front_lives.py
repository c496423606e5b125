"""How long connections live: keepalive pings, age, and the server's own end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from benchmarks.open_loop import frames
from tests.integration import fronted
from tests.integration.conftest import Serve
from tests.integration.fronted import PREDICT, STREAM, assert_quick, quick, slow
from tests.integration.http2_peer import GoAway, Http2Peer, framed
from tests.integration.serving import ServeProcess, eventually
from tests.integration.steady import SteadyLoad

MOST_STREAMS = (1 << 31) - 1


def test_a_peer_that_pings_without_end_is_sent_away_and_told_why(front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as other, Http2Peer(front_server.target) as peer:
        for _ in range(10):
            if not peer.try_to_send(frames.frame(frames.PING, 0, 0, bytes(8))):
                break
        peer.until_closed()
        goaway = peer.goaways[-1]
        assert (goaway.error, goaway.text) == (frames.ENHANCE_YOUR_CALM, b"too_many_pings")
        assert_quick(other.ask(PREDICT, quick()))


def test_pings_between_answers_are_no_offence(front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        for number in range(20):
            assert_quick(peer.ask(PREDICT, quick()))
            peer.ping(number.to_bytes(8))
        peer.until(lambda: peer.pings_answered == 20, "all pings are answered")
        assert peer.goaways == []


def test_a_connection_that_comes_of_age_loses_no_call(serve: Serve, front_models: Path) -> None:
    age = ("--max-connection-age", "700ms", "--max-connection-age-grace", "20s")
    server = serve(front_models, "--drain-delay", "0", *age)
    with SteadyLoad(server.target, "quick", resend=True) as load, Http2Peer(server.target) as peer:
        peer.answers_pings = False
        begun = peer.open(PREDICT)
        peer.until(lambda: bool(peer.goaways and peer.pings), "the connection comes of age")
        assert peer.goaways == [GoAway(MOST_STREAMS, frames.NO_ERROR, peer.goaways[0].text)]
        # As far as the server knows its word is still on its way: what begins now is served.
        assert_quick(peer.ask(PREDICT, quick()))
        for ping in peer.pings:
            peer.pong(ping)
        peer.data(begun, framed(quick()))
        assert_quick(peer.answer(begun))
        peer.until_closed()
        for _ in range(3):
            with Http2Peer(server.target) as following:
                following.until_closed()
    assert load.failures == []
    assert len(load.versions) > 100


def test_calls_that_outlast_the_age_and_its_grace_are_cut(serve: Serve, front_models: Path) -> None:
    age = ("--max-connection-age", "300ms", "--max-connection-age-grace", "300ms")
    server = serve(front_models, "--drain-delay", "0", *age)
    with Http2Peer(server.target) as peer:
        stream = peer.open(STREAM)
        peer.until_closed()
        assert peer.goaways[0].error == frames.NO_ERROR
        assert peer.answers[stream].status != 0
    with Http2Peer(server.target) as peer:
        assert_quick(peer.ask(PREDICT, quick()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_ends_says_so_and_answers_what_it_has(
    number: signal.Signals, serve: Serve, front_models: Path
) -> None:
    server = serve(front_models, "--drain-delay", "0")
    with Http2Peer(server.target) as idle, Http2Peer(server.target) as busy:
        calls = [busy.call(PREDICT, slow()) for _ in range(4)]
        eventually(lambda: fronted.counters(server, "slow")["accepted"] == 4, "all are accepted")
        server.signal(number)
        for call in calls:
            assert busy.answer(call).status == 0
        busy.until_closed()
        # Who has no call is told as well, and need not close.
        idle.until_closed()
        for peer in (busy, idle):
            assert [goaway.error for goaway in peer.goaways] == [frames.NO_ERROR] * len(peer.goaways)
            assert peer.goaways
        assert server.wait() == 0


def test_a_stream_that_nobody_ends_does_not_outlast_the_grace(serve: Serve, front_models: Path) -> None:
    server = serve(front_models, "--drain-delay", "0", "--grace", "500ms")
    with Http2Peer(server.target) as peer:
        stream = peer.open(STREAM)
        half = peer.open(PREDICT)
        peer.data(half, framed(quick())[:7], end=False)
        peer.ping()
        peer.until(lambda: peer.pings_answered == 1, "the frames are read")
        server.signal()
        peer.until_closed()
        assert peer.answers[stream].status != 0
        assert peer.answers[half].status != 0
    assert server.wait() == 0
