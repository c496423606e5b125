"""Flow control: who reads slowly, or sends slowly, holds up only itself, and keeps little of the server's memory."""

from __future__ import annotations

from pathlib import Path

from benchmarks.open_loop import frames
from maas_server._stubs.maas.v1 import predict_pb2
from tests.integration import fronted
from tests.integration.conftest import Serve
from tests.integration.fronted import BROAD_WIDTH, PREDICT, STREAM, assert_quick, quick
from tests.integration.http2_peer import Http2Peer, framed
from tests.integration.serving import ServeProcess, eventually

# Answers of a quarter of a megabyte each; the first ones are as much as a stream may leave unread in the server.
ASKED, FIRST = 400, 32
ANSWER_BYTES = BROAD_WIDTH * 4
MOST_ANSWERED = 3 * FIRST
ALLOCATOR_SLACK = 32 << 20
OPEN_WINDOW = (1 << 31) - 1 - 65_535


def broad(request_id: str) -> predict_pb2.PredictRequest:
    return fronted.ask("broad", request_id=request_id)


def broad_succeeded(server: ServeProcess) -> int:
    return fronted.counters(server, "broad")["succeeded"]


def answered(body: list[bytes]) -> list[str]:
    """The ids of the requests on a stream that were answered whole."""
    responses = [predict_pb2.PredictStreamResponse.FromString(message) for message in body]
    whole = [answer for each in responses for answer in each.answers]
    assert all(len(answer.response.outputs[0].data) == ANSWER_BYTES for answer in whole)
    return [answer.id for answer in whole]


def test_who_does_not_read_a_stream_holds_up_nobody_else(front_server: ServeProcess) -> None:
    ids = [f"{number:04d}" for number in range(ASKED)]
    before, memory = broad_succeeded(front_server), front_server.resident_bytes()
    with Http2Peer(front_server.target, settings={frames.INITIAL_WINDOW_SIZE: 0}, generous=False) as reader:
        stream = reader.open(STREAM)
        for number, request_id in enumerate(ids):
            if number == FIRST:
                eventually(lambda: broad_succeeded(front_server) == before + FIRST, "the first are answered")
            message = predict_pb2.PredictStreamRequest(requests=[broad(request_id)]).SerializeToString()
            reader.data(stream, framed(message), end=False)
        with Http2Peer(front_server.target) as other:
            for _ in range(100):
                assert_quick(other.ask(PREDICT, quick()))
        assert broad_succeeded(front_server) - before <= MOST_ANSWERED
        assert front_server.resident_bytes() - memory <= MOST_ANSWERED * ANSWER_BYTES + ALLOCATOR_SLACK

        reader.send(
            frames.frame(frames.DATA, frames.END_STREAM, stream),
            frames.window_update(stream, OPEN_WINDOW),
            frames.window_update(0, OPEN_WINDOW),
        )
        answer = reader.answer(stream)
    assert answer.status == 0
    assert sorted(answered(answer.messages)) == ids


def test_calls_on_the_same_connection_pass_one_that_is_not_read(front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target, settings={frames.INITIAL_WINDOW_SIZE: 1000}, generous=False) as peer:
        held = peer.call(PREDICT, broad("").SerializeToString())
        for _ in range(20):
            assert_quick(peer.ask(PREDICT, quick()))
        assert len(peer.answers[held].body) <= 1000
        peer.send(frames.window_update(held, OPEN_WINDOW), frames.window_update(0, OPEN_WINDOW))
        (message,) = peer.answer(held).messages
        assert fronted.values(message).shape == (BROAD_WIDTH,)


def test_a_window_may_shrink_below_nothing(front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target, settings={frames.INITIAL_WINDOW_SIZE: 20_000}, generous=False) as peer:
        stream = peer.call(PREDICT, broad("").SerializeToString())
        peer.until(lambda: len(peer.answers[stream].body) == 20_000, "the window is used up")
        peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
        peer.ping()
        peer.until(lambda: peer.pings_answered == 1, "the frames are read")
        # Twenty thousand below nothing: this makes up for that, and no more.
        peer.send(frames.window_update(0, OPEN_WINDOW), frames.window_update(stream, 20_000))
        peer.ping()
        peer.until(lambda: peer.pings_answered == 2, "the frames are read")
        assert len(peer.answers[stream].body) == 20_000
        peer.send(frames.window_update(stream, OPEN_WINDOW))
        assert peer.answer(stream).status == 0
        (message,) = peer.answers[stream].messages
        assert fronted.values(message).shape == (BROAD_WIDTH,)


def test_an_answer_goes_in_frames_as_small_as_the_peer_wants(front_server: ServeProcess) -> None:
    with Http2Peer(front_server.target, settings={frames.MAX_FRAME_SIZE: 16_384}) as peer:
        answer = peer.ask(PREDICT, broad("").SerializeToString())
        assert answer.status == 0
        assert 0 < peer.largest_data <= 16_384


def test_requests_that_creep_in_side_by_side_are_all_answered(front_server: ServeProcess) -> None:
    content = framed(quick())
    with Http2Peer(front_server.target) as peer:
        streams = [peer.open(PREDICT) for _ in range(50)]
        for at in range(len(content)):
            flags = frames.END_STREAM if at == len(content) - 1 else 0
            peer.send(*(frames.frame(frames.DATA, flags, stream, content[at : at + 1]) for stream in streams))
        for stream in streams:
            assert_quick(peer.answer(stream))


def test_no_more_streams_are_taken_at_once_than_the_setting_says(serve: Serve, front_models: Path) -> None:
    limit = 3
    server = serve(front_models, "--drain-delay", "0", "--max-concurrent-streams", str(limit))
    with Http2Peer(server.target) as peer:
        assert peer.settings[frames.MAX_CONCURRENT_STREAMS] == limit
        waiting = [peer.open(PREDICT) for _ in range(limit)]
        assert peer.answer(peer.call(PREDICT, quick())).reset == frames.REFUSED_STREAM
        for stream in waiting:
            peer.data(stream, framed(quick()))
            assert_quick(peer.answer(stream))
        assert_quick(peer.ask(PREDICT, quick()))
