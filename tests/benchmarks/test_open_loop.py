"""The open-loop generator against a real grpcio server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
import pytest_asyncio

from benchmarks.open_loop.arrivals import Arrivals, merged, poisson
from benchmarks.open_loop.generator import offer
from benchmarks.open_loop.kind import Kind
from benchmarks.open_loop.outcome import Outcome
from tests.benchmarks.echo_server import ECHO, EXPLAIN, LARGE, LARGE_BYTES, REFUSE, STALL, EchoServer

PATIENT = 30.0
FRAME_HEAD = 5


@pytest_asyncio.fixture
async def server() -> AsyncIterator[EchoServer]:
    async with EchoServer() as running:
        yield running


async def ask(server: EchoServer, kinds: Sequence[Kind], arrivals: Arrivals, connections: int = 2) -> Outcome:
    return await asyncio.to_thread(offer, server.target, kinds, arrivals, connections=connections)


def at_once(count: int, kind: int = 0) -> Arrivals:
    return Arrivals(np.zeros(count), np.full(count, kind), 1.0)


async def test_every_request_is_answered_and_written_down(server: EchoServer) -> None:
    size = 3000 + FRAME_HEAD
    kind = Kind("echo", ECHO, bytes(3000), PATIENT, (("x-tenant", "a"),), (size, size))

    outcome = await ask(server, [kind], poisson(400, 0.5, seed=1))

    count = len(outcome.due)
    assert outcome.by_status() == {0: count}
    assert outcome.good().all()
    assert np.all(outcome.received == size)
    assert np.all(outcome.due <= outcome.started)
    assert np.all(outcome.sent <= outcome.ended)
    assert len(server.seen) == count
    assert {each["x-tenant"] for each in server.seen} == {"a"}
    assert all(remaining is not None and remaining <= PATIENT for remaining in server.remaining)


async def test_a_request_without_a_deadline_has_none_at_the_server(server: EchoServer) -> None:
    await ask(server, [Kind("echo", ECHO, b"x")], at_once(3))
    assert server.remaining == [None] * 3


async def test_answers_of_the_wrong_size_are_no_good_ones(server: EchoServer) -> None:
    kind = Kind("echo", ECHO, bytes(10), PATIENT, reply_bytes=(10, 10))
    with pytest.raises(RuntimeError, match="answers to echo: expected 10 to 10 bytes, got 15 to 15"):
        await ask(server, [kind], at_once(2))


async def test_refusals_come_as_trailers_alone(server: EchoServer) -> None:
    outcome = await ask(server, [Kind("refused", REFUSE, b"\xff\0", PATIENT)], at_once(5))

    assert outcome.by_status() == {8: 5}
    assert outcome.refused().all()
    assert not outcome.received.any()
    sample = outcome.samples[8]
    assert (sample[":status"], sample["grpc-message"]) == ("200", "full")
    assert outcome.since_sent(outcome.refused(), 0.99) > 0


async def test_a_status_after_a_message_counts(server: EchoServer) -> None:
    outcome = await ask(server, [Kind("explained", EXPLAIN, b"x", PATIENT)], at_once(5))
    assert outcome.by_status() == {14: 5}
    assert not outcome.good().any()


async def test_an_unknown_method_is_unimplemented(server: EchoServer) -> None:
    outcome = await ask(server, [Kind("unknown", "/t/Unknown", b"x", PATIENT)], at_once(3))
    assert outcome.by_status() == {12: 3}


async def test_callers_give_up_at_their_deadlines_and_the_server_hears_of_it(server: EchoServer) -> None:
    kinds = [Kind("short", STALL, b"x", 0.1), Kind("long", STALL, b"x", 0.3)]
    arrivals = merged(at_once(10, 0), at_once(10, 1))

    outcome = await ask(server, kinds, arrivals)

    # The server, which knows the deadline as well, may be a little faster.
    assert outcome.by_status() == {4: 20}
    for kind, deadline in enumerate((0.1, 0.3)):
        ended = outcome.ended[outcome.kind == kind]
        assert np.all(ended >= deadline * 0.9)
        assert not outcome.good(kind).any()
    async with asyncio.timeout(PATIENT):
        for _ in range(20):
            await server.cancelled.acquire()


async def test_deadlines_of_one_kind_do_not_touch_another(server: EchoServer) -> None:
    kinds = [Kind("stalled", STALL, b"x", 0.1), Kind("echo", ECHO, b"x", PATIENT)]
    outcome = await ask(server, kinds, merged(at_once(8, 0), poisson(100, 0.5, 1, seed=3)))
    assert outcome.share_good(0) == 0
    assert outcome.share_good(1) == 1


async def test_messages_larger_than_the_windows_pass() -> None:
    async with EchoServer({"grpc.max_receive_message_length": 64 << 20, "grpc.max_send_message_length": -1}) as server:
        size = 5_000_000 + FRAME_HEAD
        large = Kind("large", ECHO, bytes(5_000_000), PATIENT, (), (size, size))
        small = Kind("small", ECHO, b"x", PATIENT, (), (1 + FRAME_HEAD, 1 + FRAME_HEAD))
        outcome = await ask(server, [large, small], merged(at_once(6, 0), at_once(20, 1)))
        assert outcome.good().all()


async def test_large_answers_are_read_whole(server: EchoServer) -> None:
    size = LARGE_BYTES + FRAME_HEAD
    outcome = await ask(server, [Kind("large", LARGE, b"x", PATIENT, (), (size, size))], at_once(10))
    assert outcome.good().all()


async def test_a_message_that_is_refused_while_it_is_sent_ends_its_stream() -> None:
    async with EchoServer({"grpc.max_receive_message_length": 1000}) as server:
        kinds = [Kind("large", ECHO, bytes(1 << 20), PATIENT), Kind("small", ECHO, b"x", PATIENT)]
        outcome = await ask(server, kinds, merged(at_once(4, 0), at_once(4, 1)), connections=1)
        assert outcome.by_status() == {0: 4, 8: 4}


async def test_no_more_streams_are_open_than_the_server_allows() -> None:
    async with EchoServer({"grpc.max_concurrent_streams": 3}) as server:
        outcome = await ask(server, [Kind("echo", ECHO, bytes(100), PATIENT)], at_once(200), connections=1)
        assert outcome.good().all()


async def test_callers_give_up_requests_that_never_got_a_stream() -> None:
    async with EchoServer({"grpc.max_concurrent_streams": 2}) as server:
        outcome = await ask(server, [Kind("stalled", STALL, b"x", 0.2)], at_once(10), connections=1)
        assert outcome.by_status() == {4: 10}
        assert outcome.lateness().held >= 2


async def test_a_server_that_goes_leaves_its_requests_unavailable() -> None:
    async with EchoServer() as server:
        asked = asyncio.create_task(ask(server, [Kind("stalled", STALL, b"x", PATIENT)], poisson(200, 1.0, seed=5)))
        for _ in range(20):
            await server.stalled.acquire()
    outcome = await asked
    assert set(outcome.by_status()) <= {14, 1, 13}
    assert outcome.by_status()[14] > 0
    assert not np.isnan(outcome.ended).any()


def test_a_peer_that_speaks_something_else_is_refused() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(OSError, match="does not speak HTTP/2"):
        offer(f"127.0.0.1:{listener.getsockname()[1]}", [Kind("echo", ECHO, b"x")], at_once(1))
    thread.join()
    listener.close()
