"""The parts of the open-loop generator that need no server."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hpack import Decoder, Encoder

from benchmarks.open_loop import frames
from benchmarks.open_loop.arrivals import Arrivals, bursts, merged, poisson
from benchmarks.open_loop.bound import most_in_time
from benchmarks.open_loop.kind import Kind, timeout_text
from benchmarks.open_loop.ledger import Ledger
from benchmarks.open_loop.outcome import Outcome
from benchmarks.open_loop.request_headers import RequestHeaders
from benchmarks.open_loop.trailers import UNKNOWN, HeaderReader

HEAD = frames.HEAD_BYTES


def test_arrivals_are_the_same_for_the_same_seed() -> None:
    first, again, other = (poisson(1000, 2.0, seed=seed).times for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:100], other[:100])
    assert np.all(np.diff(first) >= 0)
    assert len(first) == pytest.approx(2000, rel=0.1)


def test_gaps_between_poisson_arrivals_are_exponential() -> None:
    gaps = np.diff(poisson(1000, 50.0, seed=3).times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert (gaps > gaps.mean()).mean() == pytest.approx(math.exp(-1), rel=0.05)


def test_bursts_come_at_the_end_of_each_period() -> None:
    times = bursts(100, 20.0, seed=1).times
    inside = np.mod(times, 2.0) >= 1.8
    assert inside.sum() / (10 * 0.2) == pytest.approx(1000, rel=0.1)
    assert (~inside).sum() / (10 * 1.8) == pytest.approx(100, rel=0.1)
    assert times.max() < 20.0


def test_a_last_period_that_is_cut_short_has_its_calm_part() -> None:
    times = bursts(100, 3.0, seed=1).times
    assert (times >= 2.0).sum() == pytest.approx(100, rel=0.3)


def test_merged_arrivals_keep_their_kinds() -> None:
    both = merged(poisson(100, 1.0, 0, seed=1), poisson(300, 2.0, 1, seed=2))
    assert np.all(np.diff(both.times) >= 0)
    assert np.array_equal(both.times[both.kinds == 1], poisson(300, 2.0, 1, seed=2).times)
    assert both.seconds == 2.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "200000u"), (99.0, "99000000u"), (100.0, "100000m"), (0.0, "1u"), (-1.0, "1u")]
)
def test_timeouts_are_written_as_grpc_wants_them(seconds: float, text: str) -> None:
    assert timeout_text(seconds) == text
    assert len(text) <= 9


def decode(decoder: Decoder, block: bytes) -> list[tuple[str, str]]:
    return [(bytes(name).decode(), bytes(value).decode()) for name, value in decoder.decode(block, raw=True)]


def test_repeated_headers_are_short_and_mean_the_same() -> None:
    kinds = [Kind("a", "/a/A", b"", 0.2, (("x-tenant", "one"),)), Kind("b", "/b/B", b"", 1.0)]
    headers = RequestHeaders(kinds, "there:1", 4096)
    decoder = Decoder()
    for block in headers.introductions:
        decoder.decode(block)
    for number, kind in enumerate(kinds):
        _, block = headers.punctual[number]
        assert decode(decoder, block) == kind.headers("there:1")
        assert len(block) < 20
        start, late = headers.late(number, 0.15)
        decoded = dict(decode(decoder, late))
        assert decoded.pop("grpc-timeout") == timeout_text(kind.deadline - 0.15)
        assert decoded == {name: value for name, value in kind.headers("there:1") if name != "grpc-timeout"}
        assert start == frames.frame(frames.HEADERS, frames.END_HEADERS, 0, late)[: HEAD - 4]


def test_kinds_whose_headers_do_not_fit_into_the_table_are_refused() -> None:
    kinds = [Kind(str(number), f"/{number}{'x' * 200}/M", b"", 0.2) for number in range(30)]
    with pytest.raises(ValueError, match="headers of 30 kinds"):
        RequestHeaders(kinds, "there:1", 4096)


@pytest.mark.parametrize("huffman", [True, False])
@pytest.mark.parametrize(("status", "expected"), [("0", 0), ("8", 8), ("14", 14), ("x", UNKNOWN), (None, UNKNOWN)])
def test_the_status_is_found_however_it_is_encoded(status: str | None, expected: int, huffman: bool) -> None:
    encoder = Encoder()
    encoder.header_table_size = 0
    fields = [("grpc-message", "grpc-status")] + ([("grpc-status", status)] if status is not None else [])
    block = encoder.encode(fields, huffman=huffman)
    reader = HeaderReader()
    assert [reader.status(block) for _ in range(2)] == [expected] * 2


def test_padding_and_priority_are_taken_off_headers() -> None:
    payload = bytes([3]) + bytes(5) + b"block" + bytes(3)
    assert frames.unpadded(payload, frames.PADDED | frames.PRIORITY) == b"block"
    assert frames.unpadded(b"block", 0) == b"block"


def test_a_peer_that_is_no_grpc_server_is_told() -> None:
    block = Encoder().encode([(":status", "404")])
    with pytest.raises(RuntimeError, match="does not speak gRPC"):
        HeaderReader().check_head(block)


def outcome_of(due: list[float], started: list[float], ended: list[float]) -> Outcome:
    ledger = Ledger([Kind("a", "/a/A", b"", 0.2)], [0] * len(due), due)
    for number, (begun, end) in enumerate(zip(started, ended, strict=True)):
        ledger.started[number] = ledger.sent[number] = begun
        ledger.end(number, 0, end)
    return Outcome.of(ledger, Arrivals(np.array(due), np.zeros(len(due), np.int64), 1.0))


def test_good_answers_are_in_time_from_when_they_were_due_not_sent() -> None:
    outcome = outcome_of([0.0, 0.0], [0.0, 0.15], [0.19, 0.25])
    assert outcome.good().tolist() == [True, False]
    assert outcome.share_good() == 0.5


def test_who_gets_no_good_answer_waits_until_the_deadline() -> None:
    outcome = outcome_of([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.01, 0.02, 5.0])
    everyone = np.ones(3, bool)
    assert outcome.waited(everyone, 1.0) == 0.2
    assert outcome.waited(everyone, 0.5) == 0.02


def test_requests_that_left_late_are_counted_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    due = [float(number) for number in range(10)]
    outcome = outcome_of(due, [*due[:8], 8.0005, 9.5], [each + 0.6 for each in due])
    lateness = outcome.lateness()
    assert (lateness.late, lateness.most, lateness.p50) == (1, 0.5, 0.0)
    assert not lateness.kept
    lateness.warn("a step")
    assert "a step: the generator did not keep its rate: 10.0%" in capsys.readouterr().err


def test_the_bound_is_what_one_after_the_other_can_reach() -> None:
    together = Arrivals(np.zeros(10), np.zeros(10, np.int64), 1.0)
    assert most_in_time(together, [0.45], 10.0) == 4
    assert most_in_time(together, [2.0], 10.0) == 10


def test_the_bound_takes_the_urgent_ones_first() -> None:
    patient_first = Arrivals(np.array([0.0, 0.0, 0.0]), np.array([1, 1, 0]), 1.0)
    assert most_in_time(patient_first, [0.1001, 0.3001], 10.0) == 3


def test_the_bound_of_little_load_is_all_of_it() -> None:
    arrivals = poisson(50, 5.0, seed=1)
    assert most_in_time(arrivals, [1.0], 1000.0) == len(arrivals.times)
