"""Joining, matching, expiry and retries of a stream's calls, without a stream and with time by hand."""

from __future__ import annotations

import grpc
import pytest

from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.client._calls import StreamCall
from maas_server.client._codec import Prediction
from maas_server.client._stream_state import StreamState
from maas_server.errors import DeadlineExceeded, InternalError, InvalidRequest, MaasError, Overloaded, Unavailable
from tests.client.fake_server import error_status


def stream_call(
    *, model: str = "m", request_id: str = "", timeout: float | None = 10.0, retry_overloaded: bool = False
) -> StreamCall:
    body = predict_pb2.PredictRequest(model=model).SerializeToString()
    return StreamCall(body, request_id, timeout, retry_overloaded)


def requests_in(message: bytes | None) -> list[predict_pb2.PredictRequest]:
    assert message is not None
    return list(predict_pb2.PredictStreamRequest.FromString(message).requests)


def response(*ids: str) -> bytes:
    message = predict_pb2.PredictStreamResponse()
    for each in ids:
        message.answers.add(id=each, response=predict_pb2.PredictResponse(id=each, version=3))
    return message.SerializeToString()


def refusal(answer_id: str, retry_after: float | None = 1.0) -> bytes:
    status = error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after=retry_after)
    answer = predict_pb2.PredictStreamAnswer(id=answer_id, error=status)
    return predict_pb2.PredictStreamResponse(answers=[answer]).SerializeToString()


def outcomes(settled: list[tuple[str, Prediction | MaasError]]) -> dict[str, type]:
    return {sink: type(outcome) for sink, outcome in settled}


def test_takes_all_that_is_queued_in_order_up_to_the_number_limit() -> None:
    state: StreamState[str] = StreamState(max_requests=3)
    for name in "abcd":
        state.add(stream_call(model=name), name, now=0.0)
    assert [each.model for each in requests_in(state.take(0.0))] == ["a", "b", "c"]
    assert [each.model for each in requests_in(state.take(0.0))] == ["d"]
    assert state.take(0.0) is None
    assert state.pending == 4


def test_closes_a_message_before_the_request_that_would_pass_the_byte_limit() -> None:
    state: StreamState[str] = StreamState(max_bytes=25)
    for name in ("x" * 10, "y" * 10, "z" * 100, "w"):
        state.add(stream_call(model=name), name, now=0.0)
    sizes = []
    while (message := state.take(0.0)) is not None:
        sizes.append(len(requests_in(message)))
    # The one that is larger than the limit travels alone.
    assert sizes == [2, 1, 1]


def test_a_request_carries_its_number_its_id_and_the_time_it_has_left() -> None:
    state: StreamState[str] = StreamState()
    state.add(stream_call(request_id="mine", timeout=10.0), "a", now=100.0)
    state.add(stream_call(timeout=None), "b", now=100.0)
    first, second = requests_in(state.take(104.0))
    assert (first.id, first.timeout_us) == ("1:mine", 6_000_000)
    assert (second.id, second.timeout_us) == ("2:", 0)


@pytest.mark.parametrize("request_id", ["i" * 256, "ü" * 200])
def test_an_id_that_servers_would_refuse_with_a_number_before_it_is_cut_and_comes_back_whole(request_id: str) -> None:
    state: StreamState[str] = StreamState()
    state.add(stream_call(request_id=request_id), "a", now=0.0)
    (sent,) = requests_in(state.take(0.0))
    assert len(sent.id.encode()) in (255, 256)
    ((_, outcome),) = state.answer(response(sent.id), 0.0)
    assert getattr(outcome, "request_id", None) == request_id


def test_answers_are_matched_by_number_in_any_order() -> None:
    state: StreamState[str] = StreamState()
    for name in "abc":
        state.add(stream_call(request_id=f"id of {name}"), name, now=0.0)
    state.take(0.0)
    settled = state.answer(response("3:", "1:"), 0.0)
    assert [(sink, getattr(outcome, "request_id", None)) for sink, outcome in settled] == [
        ("c", "id of c"),
        ("a", "id of a"),
    ]
    assert state.pending == 1


@pytest.mark.parametrize("stranger", ["", "7:", "nonsense", "-1:", "1"])
def test_answers_to_calls_that_are_gone_are_dropped(stranger: str) -> None:
    state: StreamState[str] = StreamState()
    number = state.add(stream_call(), "a", now=0.0)
    state.take(0.0)
    state.drop(number)
    assert state.answer(response(stranger), 0.0) == []


def test_an_answer_with_an_error_settles_its_call_alone() -> None:
    state: StreamState[str] = StreamState()
    for name in "ab":
        state.add(stream_call(), name, now=0.0)
    state.take(0.0)
    message = predict_pb2.PredictStreamResponse.FromString(response("1:"))
    message.answers.add(id="2:", error=error_status(grpc.StatusCode.INVALID_ARGUMENT, "wrong"))
    settled = state.answer(message.SerializeToString(), 0.0)
    assert outcomes(settled) == {"a": Prediction, "b": InvalidRequest}


def test_an_empty_answer_is_an_internal_error() -> None:
    state: StreamState[str] = StreamState()
    state.add(stream_call(), "a", now=0.0)
    state.take(0.0)
    empty = predict_pb2.PredictStreamResponse(answers=[predict_pb2.PredictStreamAnswer(id="1:")])
    assert outcomes(state.answer(empty.SerializeToString(), 0.0)) == {"a": InternalError}


def test_a_message_that_does_not_decode_is_an_internal_error() -> None:
    state: StreamState[str] = StreamState()
    with pytest.raises(InternalError):
        state.answer(b"\xff\xff", 0.0)


def test_a_call_dropped_while_queued_is_never_sent() -> None:
    state: StreamState[str] = StreamState()
    number = state.add(stream_call(model="a"), "a", now=0.0)
    state.add(stream_call(model="b"), "b", now=0.0)
    state.drop(number)
    assert [each.model for each in requests_in(state.take(0.0))] == ["b"]
    assert not state.queued


def test_calls_expire_at_their_deadline_and_not_before() -> None:
    state: StreamState[str] = StreamState()
    state.add(stream_call(timeout=5.0), "a", now=0.0)
    state.add(stream_call(timeout=2.0), "b", now=0.0)
    state.add(stream_call(timeout=None), "c", now=0.0)
    assert state.next_due() == 2.0
    assert state.advance(1.999) == []
    assert outcomes([*state.advance(2.0)]) == {"b": DeadlineExceeded}
    assert state.next_due() == 5.0
    assert outcomes([*state.advance(100.0)]) == {"a": DeadlineExceeded}
    assert state.next_due() is None
    assert state.pending == 1


def test_what_was_sent_before_the_server_went_away_is_sent_once_more_before_the_rest() -> None:
    state: StreamState[str] = StreamState(max_requests=2)
    for name in "abc":
        state.add(stream_call(model=name), name, now=0.0)
    state.take(0.0)
    assert state.broke(Unavailable("gone")) == []
    assert [each.model for each in requests_in(state.take(0.0))] == ["a", "b"]
    assert [each.model for each in requests_in(state.take(0.0))] == ["c"]
    failed = state.broke(Unavailable("gone again"))
    assert outcomes([*failed]) == {"a": Unavailable, "b": Unavailable}
    assert [each.model for each in requests_in(state.take(0.0))] == ["c"]


def test_a_stream_that_broke_for_another_reason_fails_what_was_sent_and_keeps_the_rest() -> None:
    state: StreamState[str] = StreamState(max_requests=1)
    for name in "ab":
        state.add(stream_call(model=name), name, now=0.0)
    state.take(0.0)
    assert outcomes([*state.broke(Overloaded("the message is too large"))]) == {"a": Overloaded}
    assert [each.model for each in requests_in(state.take(0.0))] == ["b"]


def test_calls_fail_with_an_error_each_since_raising_one_twice_would_mix_their_traces() -> None:
    state: StreamState[str] = StreamState()
    for name in "ab":
        state.add(stream_call(), name, now=0.0)
    original = Overloaded("x", retry_after=2.0, reason="WHY")
    (_, first), (_, second) = state.fail_all(original)
    assert first is not second
    assert (first.message, first.retry_after, first.reason) == ("x", 2.0, "WHY")


def test_a_refused_call_is_queued_again_after_the_pause_when_it_asked_for_that() -> None:
    state: StreamState[str] = StreamState()
    state.add(stream_call(model="a", retry_overloaded=True), "a", now=0.0)
    state.add(stream_call(model="b"), "b", now=0.0)
    state.take(0.0)
    assert state.answer(refusal("1:", retry_after=1.0), 2.0) == []
    assert outcomes(state.answer(refusal("2:", retry_after=1.0), 2.0)) == {"b": Overloaded}
    assert state.paused
    assert state.next_due() == 3.0
    assert state.advance(2.5) == []
    assert (state.paused, state.queued) == (True, False)
    assert state.advance(3.0) == []
    assert (state.paused, state.queued) == (False, True)
    (request,) = requests_in(state.take(3.0))
    assert (request.model, request.timeout_us) == ("a", 7_000_000)


@pytest.mark.parametrize("retry_after", [None, 10.0, 60.0])
def test_a_refused_call_fails_when_it_could_not_come_again_in_time(retry_after: float | None) -> None:
    state: StreamState[str] = StreamState()
    state.add(stream_call(retry_overloaded=True, timeout=10.0), "a", now=0.0)
    state.take(0.0)
    assert outcomes(state.answer(refusal("1:", retry_after), 1.0)) == {"a": Overloaded}


def test_a_paused_call_is_not_touched_by_a_stream_that_breaks() -> None:
    state: StreamState[str] = StreamState()
    state.add(stream_call(retry_overloaded=True), "a", now=0.0)
    state.take(0.0)
    state.answer(refusal("1:", 1.0), 0.0)
    assert state.broke(Unavailable("gone")) == []
    assert not state.queued
    state.advance(1.0)
    assert state.queued
