"""Peers that mean harm, or are broken: the others are served on, and memory stays bounded."""

from __future__ import annotations

import resource
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from benchmarks.open_loop import frames
from tests.fronts import FrontName, only_compiled
from tests.integration import fronted
from tests.integration.conftest import Serve
from tests.integration.fronted import LIMIT, PREDICT, assert_quick, quick
from tests.integration.http2_peer import Http2Peer, framed
from tests.integration.serving import ServeProcess, eventually

# What an attack may make a server of this size keep, the allocator's slack included.
MOST_GROWTH = 64 << 20
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(192)


@contextmanager
def unharmed(server: ServeProcess, most_growth: int = MOST_GROWTH) -> Iterator[None]:
    """Whatever happens inside: a connection from before and a new one are served, during it and after it."""
    with Http2Peer(server.target) as before:
        assert_quick(before.ask(PREDICT, quick()))
        memory = server.resident_bytes()
        yield
        for _ in range(20):
            assert_quick(before.ask(PREDICT, quick()))
        with Http2Peer(server.target) as after:
            assert_quick(after.ask(PREDICT, quick()))
        assert server.resident_bytes() - memory <= most_growth


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        TLS_HELLO,
        np.random.default_rng(7).bytes(1 << 20),
        bytes(1 << 20),
        frames.PREFACE[:-1] + b"X",
        frames.PREFACE + frames.frame(frames.PING, 0, 0, bytes(8)),
        frames.PREFACE + np.random.default_rng(8).bytes(1 << 20),
    ],
    ids=["HTTP/1.1", "TLS", "noise", "zeros", "last byte", "no SETTINGS", "noise after it"],
)
def test_what_is_no_http2_is_closed(garbage: bytes, front_server: ServeProcess) -> None:
    with unharmed(front_server), Http2Peer(front_server.target, greet=False) as peer:
        peer.try_to_send(garbage)
        peer.until_closed()


@pytest.mark.parametrize("sent", [0, 1, 10, len(frames.PREFACE)])
def test_a_peer_that_never_finishes_its_greeting_holds_up_nobody(sent: int, front_server: ServeProcess) -> None:
    with unharmed(front_server), ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(Http2Peer(front_server.target, greet=False)).send(frames.PREFACE[:sent])


def idle_streams(peer: Http2Peer) -> bytes:
    return frames.frame(frames.DATA, 0, 1, b"x")


def bad_index(peer: Http2Peer) -> bytes:
    return frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\x07")


def even_stream(peer: Http2Peer) -> bytes:
    return frames.frame(frames.HEADERS, frames.END_HEADERS, 2, peer.headers(PREDICT))


def headers_of_nobody(peer: Http2Peer) -> bytes:
    return frames.frame(frames.HEADERS, frames.END_HEADERS, 0, peer.headers(PREDICT))


def too_large(peer: Http2Peer) -> bytes:
    return frames.frame(frames.SETTINGS, 0, 0, bytes(6 * 400_000))


def torn_settings(peer: Http2Peer) -> bytes:
    return frames.frame(frames.SETTINGS, 0, 0, bytes(5))


def torn_ping(peer: Http2Peer) -> bytes:
    return frames.frame(frames.PING, 0, 0, bytes(7))


def torn_reset(peer: Http2Peer) -> bytes:
    return frames.frame(frames.RST_STREAM, 0, 1, bytes(3))


def continuation_of_nothing(peer: Http2Peer) -> bytes:
    return frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, peer.headers(PREDICT))


def interrupted_headers(peer: Http2Peer) -> bytes:
    return frames.frame(frames.HEADERS, 0, 1, peer.headers(PREDICT)) + frames.frame(frames.PING, 0, 0, bytes(8))


def window_of_two_gigabytes(peer: Http2Peer) -> bytes:
    return frames.window_update(0, (1 << 31) - 1)


def window_setting(peer: Http2Peer) -> bytes:
    return frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 31})


@pytest.mark.parametrize(
    "wrong",
    [
        idle_streams,
        bad_index,
        even_stream,
        headers_of_nobody,
        too_large,
        torn_settings,
        torn_ping,
        torn_reset,
        continuation_of_nothing,
        interrupted_headers,
        window_of_two_gigabytes,
        window_setting,
    ],
)
def test_frames_that_the_protocol_forbids_harm_no_other_connection(
    wrong: Callable[[Http2Peer], bytes], front: FrontName, front_server: ServeProcess
) -> None:
    with unharmed(front_server), Http2Peer(front_server.target) as peer:
        peer.try_to_send(wrong(peer))
        # grpc overlooks some of them.
        if front == "compiled":
            peer.until_closed()
            assert peer.goaways
            assert peer.goaways[-1].error != frames.NO_ERROR


def test_streams_reset_as_fast_as_they_are_opened(front: FrontName, front_server: ServeProcess) -> None:
    # grpc begins as many calls as it reads, and drops them later.
    growth = 4 * MOST_GROWTH if front == "grpcio" else MOST_GROWTH
    with unharmed(front_server, growth), Http2Peer(front_server.target) as peer:
        body = frames.frame_start(len(framed(quick())), frames.DATA, frames.END_STREAM)
        for _ in range(40):
            attack = []
            for _ in range(500):
                stream = peer.next_stream()
                attack.append(frames.frame(frames.HEADERS, frames.END_HEADERS, stream, peer.headers(PREDICT)))
                attack.append(body + frames.stream_id(stream) + framed(quick()))
                attack.append(frames.rst_stream(stream, frames.CANCEL))
            if not peer.try_to_send(*attack):
                break
    eventually(lambda: fronted.counters(front_server, "quick")["pending"] == 0, "nothing is left of it")


@pytest.mark.parametrize(
    "flood",
    [
        frames.settings({frames.INITIAL_WINDOW_SIZE: 65_535}),
        frames.settings({}),
        frames.frame(frames.PING, 0, 0, bytes(8)),
        frames.frame(frames.SETTINGS, frames.ACK, 0),
        frames.frame(0x2, 0, 1, bytes(5)),
        frames.frame(0xF0, 0, 0, bytes(100)),
    ],
    ids=["SETTINGS", "empty SETTINGS", "PING", "SETTINGS ACK", "PRIORITY", "unknown"],
)
def test_floods_of_frames_whose_answers_nobody_reads(flood: bytes, front_server: ServeProcess) -> None:
    with unharmed(front_server), Http2Peer(front_server.target, receive_buffer=4096) as peer:
        # A peer that is not read any more is as good as one that is closed.
        peer.socket.settimeout(2.0)
        for _ in range(40):
            if not peer.try_to_send(flood * 5000):
                break


@pytest.mark.parametrize("size", [0, 1, 16_000])
def test_header_blocks_that_never_end(size: int, front_server: ServeProcess) -> None:
    with unharmed(front_server), Http2Peer(front_server.target) as peer:
        peer.try_to_send(frames.frame(frames.HEADERS, 0, 1, peer.headers(PREDICT)))
        # Literals without indexing, of a name and a value of one byte each; cut where a frame ends.
        part = (b"\x00\x01a\x01b" * (size // 5 + 1))[:size]
        for _ in range(40):
            if not peer.try_to_send(frames.frame(frames.CONTINUATION, 0, 1, part) * (5000 if size < 2 else 100)):
                break


def test_a_header_block_that_unfolds_to_megabytes(front_server: ServeProcess) -> None:
    with unharmed(front_server), Http2Peer(front_server.target) as peer:
        # One field of almost the whole table, and then fifteen thousand references to it.
        kept = b"\x40\x01a\x7f" + bytes([0x80 | 3000 - 127 & 0x7F, 3000 - 127 >> 7]) + b"v" * 3000
        block = peer.headers(PREDICT) + kept + b"\xbe" * 15_000
        for number in range(20):
            if not peer.try_to_send(
                frames.frame(frames.HEADERS, 0, 2 * number + 1, block[:16_000]),
                frames.frame(frames.CONTINUATION, frames.END_HEADERS, 2 * number + 1, block[16_000:]),
            ):
                break
        answer = peer.answers[1]
        while not (peer.closed or answer.over):
            peer.read_for(0.05)
        assert answer.status != 0


# grpc keeps every answer until it is read, however many.
@only_compiled
def test_answers_that_nobody_takes(front_server: ServeProcess) -> None:
    # Half a gigabyte in all; the server keeps half of that at most.
    call = fronted.ask("broad").SerializeToString()
    with (
        unharmed(front_server, most_growth=(256 << 20) + MOST_GROWTH),
        Http2Peer(front_server.target, settings={frames.INITIAL_WINDOW_SIZE: 0}, generous=False) as peer,
    ):
        for _ in range(2000):
            peer.call(PREDICT, call)
        eventually(lambda: fronted.counters(front_server, "broad")["pending"] == 0, "none is under way")
    with Http2Peer(front_server.target) as peer:
        assert peer.ask(PREDICT, call).status == 0


def test_bodies_that_are_announced_and_never_come(front_server: ServeProcess) -> None:
    with unharmed(front_server), ExitStack() as stack:
        for _ in range(200):
            peer = stack.enter_context(Http2Peer(front_server.target))
            for _ in range(5):
                stream = peer.open(PREDICT)
                peer.data(stream, struct.pack(">BI", 0, LIMIT) + b"x", end=False)
        with Http2Peer(front_server.target) as other:
            assert_quick(other.ask(PREDICT, quick()))


@pytest.mark.parametrize("kind", [frames.DATA, frames.HEADERS, frames.SETTINGS, frames.PING, frames.GOAWAY])
def test_half_a_frame(kind: int, front_server: ServeProcess) -> None:
    with unharmed(front_server), ExitStack() as stack:
        for _ in range(20):
            peer = stack.enter_context(Http2Peer(front_server.target))
            stream = peer.open(PREDICT)
            whole = frames.frame(kind, 0, stream if kind <= frames.HEADERS else 0, bytes(12_000))
            peer.send(whole[:4000])


def test_connections_cut_in_the_middle_of_everything(front_server: ServeProcess) -> None:
    random = np.random.default_rng(9)
    with unharmed(front_server):
        for _ in range(200):
            with Http2Peer(front_server.target) as peer:
                stream = peer.next_stream()
                head = frames.frame(frames.HEADERS, frames.END_HEADERS, stream, peer.headers(PREDICT))
                whole = head + frames.frame(frames.DATA, frames.END_STREAM, stream, framed(quick()))
                peer.send(whole[: int(random.integers(1, len(whole) + 1))])
    eventually(lambda: fronted.counters(front_server, "quick")["pending"] == 0, "nothing is left of it")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for thousands of connections, in this process and in those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} open files, and the hard limit is {hard}: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_connections_that_do_nothing(many_descriptors: None, serve: Serve, front_models: Path) -> None:
    server = serve(front_models, "--drain-delay", "0")
    most_per_connection = 64 << 10
    with unharmed(server, most_growth=2000 * most_per_connection), ExitStack() as stack:
        peers = [stack.enter_context(Http2Peer(server.target)) for _ in range(2000)]
        for peer in peers[::100]:
            assert_quick(peer.ask(PREDICT, quick()))


def test_a_server_that_has_no_descriptors_left_recovers(serve: Serve, front_models: Path) -> None:
    server = serve(front_models, "--drain-delay", "0")
    pid = server.wait_for_event("listening")["pid"]
    with Http2Peer(server.target) as before:
        assert_quick(before.ask(PREDICT, quick()))
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 10, hard))
        with ExitStack() as stack:
            for _ in range(50):
                stack.enter_context(Http2Peer(server.target, greet=False))
            for _ in range(20):
                assert_quick(before.ask(PREDICT, quick()))

        def newcomer_is_served() -> bool:
            try:
                with Http2Peer(server.target) as after:
                    assert_quick(after.ask(PREDICT, quick()))
            except (AssertionError, OSError):  # The server may not have seen yet that the others have gone.
                return False
            return True

        eventually(newcomer_is_served, "newcomers are served again")
