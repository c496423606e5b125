"""Streams, strings, padding and several threads through the core's binding."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest

from maas_server import _core
from maas_server._stubs.maas.v1 import predict_pb2
from tests.core.conftest import Served, double, floats, make_version, message, raw_request


class Stream:
    """Stands for a stream; the core only keeps a reference to it."""


def requests(*each: predict_pb2.PredictRequest) -> bytes:
    return predict_pb2.PredictStreamRequest(requests=each).SerializeToString()


def answers(chunks: list[bytes]) -> dict[str, predict_pb2.PredictStreamAnswer]:
    joined = predict_pb2.PredictStreamResponse.FromString(b"".join(chunks))
    return {each.id: each for each in joined.answers}


def test_one_stream_message_holds_good_and_bad_requests(served: Served) -> None:
    raw = requests(
        message(np.ones((1, 1)), id="good"),
        message(np.ones((1, 1)), model="nobody", id="lost"),
        message(np.ones((1, 1, 1)), id="bad"),
        message(np.full((2, 1), 3.0), id="also"),
    )
    stream = Stream()
    accepted, errors = served.core.submit_stream(raw, _core.NEVER, stream, 1)
    assert accepted == 2
    at_once = answers(errors)
    assert at_once.keys() == {"lost", "bad"}
    assert at_once["lost"].error.code == 5
    assert at_once["bad"].error.code == 3
    served.run_all(double)
    unary, streams, _ = served.core.drain()
    assert unary == []
    [(whose, count, chunks)] = streams
    assert whose is stream
    assert count == 2
    assert len(chunks) == 1, "answers of one batch share their memory"
    done = answers(chunks)
    assert floats(done["good"].response) == [2.0]
    assert floats(done["also"].response) == [6.0, 6.0]


def test_answers_go_to_the_stream_that_asked(served: Served) -> None:
    first, second = Stream(), Stream()
    for stream, group in ((first, 1), (second, 2), (first, 1)):
        raw = requests(message(np.full((1, 1), group), id="a"))
        served.core.submit_stream(raw, _core.NEVER, stream, group)
    served.submit(raw_request(1, 1, value=9.0), "unary")
    served.run_all(double)
    unary, streams, _ = served.core.drain()
    assert unary[0] == "unary"
    by_stream = {id(stream): (count, chunks) for stream, count, chunks in streams}
    assert by_stream[id(first)][0] == 2
    assert by_stream[id(second)][0] == 1
    assert floats(answers(by_stream[id(second)][1])["a"].response) == [4.0]


def test_a_stream_message_that_does_not_decode_is_refused_whole(served: Served) -> None:
    with pytest.raises(_core.CoreError) as caught:
        served.core.submit_stream(b"\x0a\xff\xff", _core.NEVER, Stream(), 1)
    assert caught.value.args[0] == 3


def test_cancelling_a_stream_spares_the_others(served: Served) -> None:
    gone, kept = Stream(), Stream()
    both = requests(message(np.ones((1, 1)), id="a"), message(np.ones((1, 1)), id="b"))
    served.core.submit_stream(both, _core.NEVER, gone, 1)
    served.core.submit_stream(both, _core.NEVER, kept, 2)
    served.core.cancel_stream(gone)
    _, [(whose, count, chunks)], _ = served.core.drain()
    assert whose is gone
    assert count == 2
    assert {each.error.code for each in answers(chunks).values()} == {1}
    served.run_all(double)
    _, [(whose, count, _)], _ = served.core.drain()
    assert whose is kept
    assert count == 2


def test_an_expired_stream_request_is_answered_with_its_error(served: Served) -> None:
    raw = requests(message(np.ones((1, 1)), id="late"))
    accepted, errors = served.core.submit_stream(raw, time.monotonic_ns() - 1, Stream(), 1)
    assert accepted == 0
    assert answers(errors)["late"].error.code == 4


def test_refusals_of_a_large_message_come_in_chunks(served: Served) -> None:
    raw = requests(*(message(np.ones((1, 1)), model="nobody", id=str(n).rjust(250, "0")) for n in range(4000)))
    accepted, errors = served.core.submit_stream(raw, _core.NEVER, Stream(), 1)
    assert accepted == 0
    assert len(answers(errors)) == 4000
    assert len(errors) > 1
    assert max(map(len, errors)) < (1 << 20) + 4096


def strings_version() -> _core.Version:
    return make_version(
        inputs=[_core.InputSpec(name="x", datatype="BYTES", shape=[-1, 2], batch_axis=0)],
        outputs=[_core.OutputSpec(name="y", datatype="BYTES", shape=[-1, 2], sources=[None, None], batch_axis=0)],
    )


def test_strings_come_as_objects_and_go_as_bytes_or_text() -> None:
    served = Served(strings_version())
    served.submit(message(np.array([[b"a", b""]], object)).SerializeToString(), "f")
    served.submit(message(np.array([[b"\xff\x00", b"d"]], object)).SerializeToString(), "g")

    def run(instance: _core.Instance) -> list[np.ndarray]:
        (x,), (y,) = instance.arrays()
        assert y is None
        assert x.dtype == np.object_
        assert x.tolist() == [[b"a", b""], [b"\xff\x00", b"d"]]
        return [np.array([["ä", b"raw"], [b"", "text"]], object)]

    assert served.run_all(run) == 1
    done = served.drain()
    decode = predict_pb2.PredictResponse.FromString
    assert decode(done["f"]).outputs[0].data == b"\x02\x00\x00\x00\xc3\xa4\x03\x00\x00\x00raw"
    assert decode(done["g"]).outputs[0].data == b"\x00\x00\x00\x00\x04\x00\x00\x00text"


@pytest.mark.parametrize("wrong", [[[1, 2]], [["a"]], [["a", None]], [["a", "\ud800"]]])
def test_outputs_that_are_no_strings_fail_the_run_and_the_instance_goes_on(wrong: list[list[object]]) -> None:
    served = Served(strings_version())
    raw = message(np.array([[b"a", b"b"]], object)).SerializeToString()
    served.submit(raw, "bad")
    served.instance.next()
    served.submit(raw, "good")
    try:
        served.instance.finish([np.array(wrong, object)])
    except (TypeError, UnicodeError) as error:
        served.instance.fail(13, "RUN_FAILED", str(error))
    served.version.close()
    assert served.instance.finish([np.array([[b"c", b"d"]], object)]) is None
    done = served.drain()
    assert done["bad"][0] == 13
    assert type(done["good"]) is bytes


def test_short_rows_are_padded_masked_and_cut_back() -> None:
    served = Served(
        make_version(
            inputs=[
                _core.InputSpec(
                    name="x",
                    datatype="FP32",
                    shape=[-1, -1],
                    batch_axis=0,
                    pad_group=0,
                    pad_axis=1,
                    pad_value=np.float32(-1).tobytes(),
                ),
                _core.InputSpec(
                    name="mask",
                    datatype="INT64",
                    shape=[-1, -1],
                    batch_axis=0,
                    pad_group=0,
                    pad_axis=1,
                    auto_fill="mask",
                ),
            ],
            outputs=[
                _core.OutputSpec(
                    name="y",
                    datatype="FP32",
                    shape=[-1, -1],
                    sources=[(0, 0), (0, 1)],
                    batch_axis=0,
                    pad_group=0,
                    pad_axis=1,
                )
            ],
            pad_groups=[[4]],
        )
    )
    served.submit(raw_request(1, 2, value=5.0), "two")
    served.submit(raw_request(1, 3, value=6.0), "three")

    def run(instance: _core.Instance) -> None:
        (x, mask), _ = instance.arrays()
        assert x.tolist() == [[5, 5, -1, -1], [6, 6, 6, -1]]
        assert mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 0]]
        double(instance)

    assert served.run_all(run) == 1
    done = served.drain()
    decode = predict_pb2.PredictResponse.FromString
    assert floats(decode(done["two"])) == [10.0, 10.0]
    assert floats(decode(done["three"])) == [12.0, 12.0, 12.0]


def test_two_lanes_and_a_cancelling_caller_lose_nothing() -> None:
    version = make_version(max_queue_rows=100_000)
    engine = _core.Engine()
    core = _core.Front(engine)
    engine.set_route("m", {1: version}, {}, 1, set())

    def lane() -> None:
        instance = _core.Instance(version)
        key = instance.next()
        while key is not None:
            double(instance)
            key = instance.finish(None)

    lanes = [threading.Thread(target=lane) for _ in range(2)]
    for thread in lanes:
        thread.start()
    rng = random.Random(5)
    results: dict[int, object] = {}

    def drain() -> None:
        unary, _, _ = core.drain()
        for future, result in zip(unary[::2], unary[1::2], strict=True):
            assert future not in results, "completed twice"
            results[future] = result

    tickets = []
    for number in range(3000):
        raw = raw_request(rng.choice([1, 2, 9]), 2, value=number)
        tickets.append((number, core.submit(_core.Protocol.PREDICT, raw, _core.NEVER, number)))
        if rng.random() < 0.3:
            core.cancel(rng.choice(tickets)[1])
        if rng.random() < 0.1:
            drain()
    version.close()
    for thread in lanes:
        thread.join(20)
        assert not thread.is_alive()
    drain()
    assert results.keys() == {number for number, _ in tickets}
    answered = 0
    for number, result in results.items():
        if isinstance(result, bytes):
            answered += 1
            assert set(floats(predict_pb2.PredictResponse.FromString(result))) == {2.0 * number}
        else:
            assert isinstance(result, tuple)
            assert result[1] == "CANCELLED"
    counters = version.counters()
    assert counters["succeeded"] == answered > 0
    assert counters["accepted"] == len(results)
    assert counters["pending"] == 0
