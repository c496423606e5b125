"""gRPC as a client can notice it, call by call: deadlines, cancellation, statuses, metadata, encodings, sizes."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import pytest
from google.rpc import error_details_pb2

from benchmarks.open_loop import frames
from maas_server._stubs.maas.v1 import model_pb2
from tests.fronts import only_compiled
from tests.integration import fronted
from tests.integration.fronted import LIMIT, PREDICT, STATUS, assert_quick, quick, slow
from tests.integration.http2_peer import Http2Peer, framed
from tests.integration.serving import ServeProcess, eventually

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = 0, 3, 4, 5
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 8, 12, 13
QUEUED = 6


@pytest.mark.parametrize("timeout", ["1H", "1M", "60S", "60000m", "60000000u", "99999999S"])
def test_a_deadline_that_is_far_lets_the_call_end(timeout: str, front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        assert peer.ask(PREDICT, slow(), ("grpc-timeout", timeout)).status == OK


@pytest.mark.parametrize("timeout", ["1m", "1000u", "1000000n", "1u", "1n"])
def test_a_deadline_that_passes_ends_the_call(timeout: str, front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        answer = peer.ask(PREDICT, slow(16), ("grpc-timeout", timeout))
        # A server that knows how long the model takes refuses what it could not answer in time.
        assert answer.status in {DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED} or answer.reset == frames.CANCEL
        assert_quick(peer.ask(PREDICT, quick()))


def occupy(server: ServeProcess, peer: Http2Peer) -> int:
    """Have the model run something long, and return the call's stream."""
    accepted = fronted.counters(server, "slow")["accepted"]
    stream = peer.call(PREDICT, slow(64))
    eventually(lambda: fronted.counters(server, "slow")["accepted"] == accepted + 1, "the long request is accepted")
    return stream


def reset_each(peer: Http2Peer, streams: list[int]) -> None:
    for stream in streams:
        peer.send(frames.rst_stream(stream, frames.CANCEL))


def close(peer: Http2Peer, _: list[int]) -> None:
    peer.socket.close()


@pytest.mark.parametrize("go", [reset_each, close], ids=["reset", "connection closed"])
def test_what_waits_for_nobody_any_more_leaves_the_queue_unrun(
    go: Callable[[Http2Peer, list[int]], None], front_server: ServeProcess
) -> None:
    before = fronted.counters(front_server, "slow")
    with Http2Peer(front_server.target) as patient, Http2Peer(front_server.target) as peer:
        long = occupy(front_server, patient)
        streams = [peer.call(PREDICT, slow()) for _ in range(QUEUED)]
        eventually(
            lambda: fronted.counters(front_server, "slow")["accepted"] == before["accepted"] + 1 + QUEUED,
            "all requests are accepted",
        )
        go(peer, streams)
        assert patient.answer(long).status == OK
    eventually(lambda: fronted.counters(front_server, "slow")["pending"] == 0, "nothing is under way")
    after = fronted.counters(front_server, "slow")
    changed = {name: after[name] - before[name] for name in ("accepted", "succeeded", "cancelled", "rows")}
    assert changed == {"accepted": 1 + QUEUED, "succeeded": 1, "cancelled": QUEUED, "rows": 64}


def test_an_error_is_nothing_but_trailers_with_its_details(front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        answer = peer.ask(PREDICT, fronted.ask("nobody").SerializeToString())
    assert (answer.blocks, answer.ended, bytes(answer.body)) == (1, True, b"")
    assert (answer.head[":status"], answer.head["content-type"]) == ("200", "application/grpc")
    status = fronted.details(answer)
    assert (answer.status, status.code) == (NOT_FOUND, NOT_FOUND)
    assert unquote_to_bytes(answer.head["grpc-message"]).decode() == status.message
    info = error_details_pb2.ErrorInfo()
    assert any(packed.Unpack(info) for packed in status.details)
    assert info.reason == "MODEL_NOT_FOUND"


def test_a_message_is_percent_encoded_utf8(front_server: ServeProcess) -> None:
    name = "modèle 模型 100% \t~"
    with Http2Peer(front_server.target) as peer:
        answer = peer.ask(PREDICT, fronted.ask(name).SerializeToString())
    text = answer.head["grpc-message"]
    assert all(" " <= each <= "~" for each in text)
    assert "%C3%A8" in text
    assert "100%25 " in text
    message = unquote_to_bytes(text).decode()
    assert message == fronted.details(answer).message
    assert "modèle 模型 100%" in message


@pytest.mark.parametrize("text", ["AAEC/w==", "AAEC/w", ""], ids=["padded", "bare", "empty"])
def test_binary_metadata_is_taken(text: str, front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        assert_quick(peer.ask(PREDICT, quick(), ("trace-bin", text)))


def compress_gzip(message: bytes) -> bytes:
    return gzip.compress(message)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", compress_gzip), ("deflate", zlib.compress)])
def test_compressed_requests_are_read(
    encoding: str, compress: Callable[[bytes], bytes], front_server: ServeProcess
) -> None:
    with Http2Peer(front_server.target) as peer:
        stream = peer.open(PREDICT, ("grpc-encoding", encoding))
        peer.data(stream, framed(compress(quick()), compressed=1))
        answer = peer.answer(stream)
        assert_quick(answer)
        assert {"identity", "deflate", "gzip"} == set(answer.head["grpc-accept-encoding"].replace(" ", "").split(","))
        # The encoding is what a message may be in, not what it must be in.
        assert_quick(peer.ask(PREDICT, quick(), ("grpc-encoding", encoding)))


def test_a_compressed_message_that_grows_beyond_the_limit_is_refused(front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        stream = peer.open(PREDICT, ("grpc-encoding", "gzip"))
        peer.data(stream, framed(gzip.compress(bytes(256 * LIMIT)), compressed=1))
        assert peer.answer(stream).status == RESOURCE_EXHAUSTED
        assert_quick(peer.ask(PREDICT, quick()))


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("gzip", b"this is no gzip"), ("gzip", gzip.compress(quick(), mtime=0)[:-9]), ("br", quick())],
    ids=["garbage", "cut", "unknown"],
)
def test_what_cannot_be_decompressed_ends_its_own_call_only(
    encoding: str, message: bytes, front_server: ServeProcess
) -> None:
    with Http2Peer(front_server.target) as peer:
        other = peer.call(PREDICT, slow())
        stream = peer.open(PREDICT, ("grpc-encoding", encoding))
        peer.data(stream, framed(message, compressed=1))
        assert peer.answer(stream).status in {UNIMPLEMENTED, INTERNAL}
        assert peer.answer(other).status == OK
        assert_quick(peer.ask(PREDICT, quick()))


@pytest.mark.parametrize(
    "body",
    [
        framed(gzip.compress(quick()), compressed=1),
        framed(quick(), compressed=2),
        framed(quick())[:-1],
        framed(quick())[:3],
        b"",
        framed(quick()) * 2,
    ],
    ids=["no encoding", "flag", "cut message", "cut prefix", "nothing", "two"],
)
def test_what_is_not_one_message_harms_nobody_else(body: bytes, front_server: ServeProcess) -> None:
    """grpc itself takes some of them for messages, and to others never says anything."""
    with Http2Peer(front_server.target) as peer:
        other = peer.call(PREDICT, slow())
        stream = peer.open(PREDICT)
        peer.data(stream, body)
        assert peer.answer(other).status == OK
        assert_quick(peer.ask(PREDICT, quick()))
        peer.send(frames.rst_stream(stream, frames.CANCEL))
        assert_quick(peer.ask(PREDICT, quick()))


@pytest.mark.parametrize(("over", "status"), [(0, OK), (1, RESOURCE_EXHAUSTED)])
def test_a_message_may_be_as_large_as_the_limit(over: int, status: int, front_server: ServeProcess) -> None:
    message = quick()
    # A field that nobody knows fills it up.
    size = LIMIT + over - len(message) - 5
    message += b"\xfa\x7f" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + bytes(size)
    with Http2Peer(front_server.target) as peer:
        stream = peer.open(PREDICT)
        peer.data(stream, framed(message))
        assert len(message) == LIMIT + over
        assert peer.answer(stream).status == status
        assert_quick(peer.ask(PREDICT, quick()))


@pytest.mark.parametrize("size", [1, 3, 4, 5, 6, 100])
def test_a_message_may_come_in_pieces(size: int, front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        stream = peer.open(PREDICT)
        peer.data(stream, framed(quick()), size=size)
        assert_quick(peer.answer(stream))


def test_empty_frames_and_a_late_end_change_nothing(front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        stream = peer.open(PREDICT)
        peer.send(frames.frame(frames.DATA, 0, stream), frames.frame(frames.DATA, 0, stream, framed(quick())))
        peer.ping()
        peer.until(lambda: peer.pings_answered == 1, "the frames are read")
        peer.send(frames.frame(frames.DATA, frames.END_STREAM, stream))
        assert_quick(peer.answer(stream))


# grpc resets streams whose DATA is padded.
@only_compiled
def test_padding_is_no_part_of_a_message(front_server: ServeProcess) -> None:
    content = framed(quick())
    with Http2Peer(front_server.target) as peer:
        stream = peer.open(PREDICT)
        for part, padding in ((content[:7], 200), (b"", 7), (content[7:], 0)):
            padded = bytes([padding]) + part + bytes(padding)
            peer.send(frames.frame(frames.DATA, frames.PADDED, stream, padded))
        peer.send(frames.frame(frames.DATA, frames.END_STREAM | frames.PADDED, stream, bytes([3]) + bytes(3)))
        assert_quick(peer.answer(stream))


@pytest.mark.parametrize("path", ["/maas.v1.PredictService/Guess", "/nobody/Predict", "/"])
def test_a_method_that_nobody_has_is_unimplemented(path: str, front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        assert peer.ask(path, quick()).status == UNIMPLEMENTED
        assert_quick(peer.ask(PREDICT, quick()))


def test_calls_of_either_kind_share_a_connection(front_server: ServeProcess) -> None:
    asked = model_pb2.ModelStatusRequest(model="quick").SerializeToString()
    with Http2Peer(front_server.target) as peer:
        streams = [peer.call(*call) for call in ((STATUS, asked), (PREDICT, quick())) * 20]
        answers = [peer.answer(stream) for stream in streams]
        for status in answers[::2]:
            assert status.status == OK
            (message,) = status.messages
            assert model_pb2.ModelStatusResponse.FromString(message).models[0].name == "quick"
        for each in answers[1::2]:
            assert_quick(each)


def test_binary_details_need_no_padding(front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target) as peer:
        answer = peer.ask(PREDICT, b"\xff")
    assert answer.status == INVALID_ARGUMENT
    text = answer.head["grpc-status-details-bin"]
    assert base64.b64encode(fronted.unbase64(text)).decode().rstrip("=") == text.rstrip("=")
