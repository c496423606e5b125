"""The simulator: the same for the same seed, never beyond the bound, and what it says of policies is so."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.simulate import __main__ as command
from benchmarks.simulate import program, traces
from benchmarks.simulate.comparison import POLICIES, compare, in_bins, table
from benchmarks.simulate.program import (
    DEADLINES,
    EDF,
    FIFO,
    Outcome,
    Policy,
    Result,
    Workload,
    fifo_timeout,
    rows_at_most,
    rows_in_order,
    simulate,
)
from benchmarks.simulate.service import Model, Noise
from benchmarks.simulate.traces import Patience, Requests
from benchmarks.simulate.workloads import SETTINGS

MS = 1_000_000
# T(n) = 6 ms + n, four rows at a time.
SMALL = Model(base_ms=6.0, row_ms=1.0, max_batch_rows=4)


@pytest.fixture(scope="module", autouse=True)
def simulator() -> None:
    if shutil.which("make") is None or shutil.which("g++") is None:
        pytest.skip("the simulator is built by make and g++, and one is missing: apt-get install make g++")
    program.build()


def asked(*requests: tuple[float, float | None], rows: Sequence[int] | None = None) -> Workload:
    """Requests of the small model, each with its arrival and its patience in milliseconds."""
    arrival = np.array([round(at * MS) for at, _ in requests], dtype=np.int64)
    deadline = np.array([-1 if wait is None else round((at + wait) * MS) for at, wait in requests], dtype=np.int64)
    zero = np.zeros(len(requests), dtype=np.int64)
    sizes = zero + 1 if rows is None else np.array(rows, dtype=np.int64)
    return Workload(Requests(arrival, deadline, sizes, zero, zero, zero), (SMALL,), 0.1)


def ends(result: Result) -> list[float]:
    return [end / MS for end in result.end_ns]


SIX = ((0, 100), (1, 90), (2, 80), (3, 70), (4, 60), (5, 50))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (FIFO, [7, 17, 17, 17, 17, 24]),
        (EDF, [7, 24, 17, 17, 17, 17]),
        (DEADLINES, [7, 24, 17, 17, 17, 17]),
        # The second and third have waited 5 ms when the first run is over.
        (fifo_timeout(5), [7, 7, 7, 16, 16, 16]),
    ],
    ids=lambda each: each.short if isinstance(each, Policy) else "",
)
def test_each_policy_does_with_six_requests_what_a_pencil_does(policy: Policy, expected: list[float]) -> None:
    assert ends(simulate(asked(*SIX), policy)) == expected


def test_a_late_answer_is_work_wasted_where_nobody_looks_at_deadlines() -> None:
    # Ours refuses nothing before a run has shown that predictions come true.
    workload = asked((0, 100), (10, 100), (11, 10), (11, 10))
    fifo, ours = simulate(workload, FIFO), simulate(workload, DEADLINES)
    assert fifo.good.tolist() == [True, True, False, False]
    assert fifo.wasted == pytest.approx(8 / 22)
    assert ours.good.tolist() == [True, True, False, False]
    assert [Outcome(each) for each in ours.outcome[2:]] == [Outcome.REFUSED_LATE] * 2
    assert ours.wasted == 0


def test_figures_are_those_of_the_rows_with_a_deadline() -> None:
    result = simulate(asked((0, 100), (0, None), (0, 5), rows=[2, 1, 1]), FIFO)
    assert result.good.tolist() == [True, True, False]
    assert result.good_rows() == 2
    assert result.good_rows(np.array([False, True, True])) == 0
    assert result.latency_ms(0.5) == 10
    assert np.isnan(result.latency_ms(0.5, np.zeros(3, dtype=bool)))
    assert result.share(Outcome.ANSWERED) == 1
    assert in_bins(result, 0.05) == ([0.0, 0.05], [40.0, 0.0])


def test_the_numbers_of_outcomes_are_those_of_the_program(root: Path) -> None:
    header = (root / "csrc/simulation/simulator.h").read_text()
    body = re.search(r"enum class Outcome[^{]*\{(.*?)\};", header, re.DOTALL)
    assert body is not None
    names = re.findall(r"^\s*k(\w+),", body[1], re.MULTILINE)
    assert [re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() for name in names] == [each.name for each in Outcome]


def columns(result: Result) -> list[bytes]:
    return [each.tobytes() for each in (result.outcome, result.start_ns, result.end_ns, result.work_ns)]


@pytest.mark.parametrize("policy", [FIFO, EDF, DEADLINES], ids=lambda policy: policy.short)
def test_the_same_seed_gives_the_same_result_and_another_seed_another(policy: Policy) -> None:
    setting = SETTINGS["bimodal"]
    first, again, other = (simulate(setting.make(1.2, 2.0, seed), policy) for seed in (1, 1, 2))
    assert columns(first) == columns(again)
    assert columns(first) != columns(other)


def plain(load: float, seconds: float, seed: int, patience: Sequence[Patience], model: Model) -> Workload:
    rng = np.random.default_rng(seed)
    at = traces.arrivals(traces.steady(model.capacity * load), seconds, rng)
    return Workload(traces.requests(at, rng, patience), (model,), seconds, seed=seed)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1000),
    load=st.sampled_from([0.3, 0.9, 1.1, 2.0, 6.0]),
    waits=st.lists(st.sampled_from([0.008, 0.02, 0.05, 0.2, 1.0, None]), min_size=1, max_size=3),
    model=st.sampled_from([SMALL, Model(), Model().scaled(0.1)]),
)
def test_no_policy_exceeds_the_bound_and_every_request_has_one_outcome(
    seed: int, load: float, waits: list[float | None], model: Model
) -> None:
    workload = plain(load, 1.0, seed, [Patience(1.0, wait) for wait in waits], model)
    most = rows_at_most(workload) + 1e-6
    for policy in POLICIES:
        result = simulate(workload, policy)
        assert result.good_rows() <= most, policy.short
        assert (result.outcome != Outcome.NONE).all(), policy.short
        assert (result.end_ns >= workload.requests.arrival_ns).all(), policy.short
    known = rows_in_order(workload)
    assert known is None or known <= most


def test_ours_keeps_what_can_be_kept_where_first_come_first_served_keeps_next_to_nothing() -> None:
    each = compare(SETTINGS["200ms"], 2.0, 5.0, 1, (FIFO, DEADLINES))
    assert each.in_order is not None
    assert each.of_bound(FIFO) < 0.1
    assert each.of_bound(DEADLINES) > 0.9
    assert 0.98 < each.in_order / each.at_most <= 1


def test_requests_come_as_often_as_asked_and_bursts_when_due() -> None:
    rng = np.random.default_rng(7)
    at = traces.arrivals(traces.bursty(1000.0), 20.0, rng) / traces.NANOS
    assert np.all(np.diff(at) >= 0)
    in_burst = at % 2.0 >= 1.8
    assert in_burst.sum() == pytest.approx(1000 * 10 * 0.2 * 10, rel=0.05)
    assert (~in_burst).sum() == pytest.approx(1000 * 1.8 * 10, rel=0.05)
    day = traces.arrivals(traces.diurnal(100.0, 1000.0, 10.0), 10.0, rng) / traces.NANOS
    assert len(day) == pytest.approx(5500, rel=0.05)
    assert ((day > 4) & (day < 6)).sum() > 5 * ((day < 1) | (day > 9)).sum()


def test_deadlines_and_rows_are_drawn_in_their_shares() -> None:
    rng = np.random.default_rng(7)
    drawn = traces.requests(
        np.arange(10_000, dtype=np.int64), rng, (Patience(0.2, None), Patience(0.8, 0.05)), rows=(1, 3)
    )
    assert (~drawn.timed).mean() == pytest.approx(0.2, abs=0.02)
    assert set((drawn.deadline_ns - drawn.arrival_ns)[drawn.timed]) == {50 * MS}
    assert drawn.rows.mean() == pytest.approx(2, abs=0.05)


def test_streams_are_merged_in_order_of_arrival() -> None:
    rng = np.random.default_rng(7)
    one = traces.requests(np.array([1, 5, 9], dtype=np.int64), rng, model=0)
    two = traces.requests(np.array([2, 5], dtype=np.int64), rng, model=1, tenant=3, priority=2)
    both = traces.merge([one, two])
    assert both.arrival_ns.tolist() == [1, 2, 5, 5, 9]
    assert both.model.tolist() == [0, 1, 0, 1, 0]
    assert both.tenant.tolist() == [0, 3, 0, 3, 0]


def test_noise_is_what_it_says() -> None:
    rng = np.random.default_rng(7)
    assert len(Noise().factors(rng)) == 0
    assert Noise(spread=0.2).factors(rng).mean() == pytest.approx(1, rel=0.01)
    noise = Noise(second=(0.25, 3.0), slow_start=(2, 10.0))
    factors = noise.factors(rng)
    assert factors[2:].mean() == pytest.approx(noise.mean, rel=0.02)
    assert set(factors[:2]) <= {10.0, 30.0}
    assert set(factors[2:]) == {1.0, 3.0}


def test_capacity_is_that_of_the_best_batch() -> None:
    assert SMALL.capacity == pytest.approx(400)
    assert SMALL.scaled(10).capacity == pytest.approx(40)
    assert replace(SMALL, noise=Noise(second=(0.5, 3.0)), threads=2).capacity == pytest.approx(100)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_can_be_compared_and_printed(name: str) -> None:
    setting = SETTINGS[name]
    compared = [compare(setting, load, 0.5, 1, POLICIES, width=2) for load in setting.loads[:2]]
    text = table(compared)
    assert text.splitlines()[0] == f"{name}: {setting.title}"
    assert len(text.splitlines()) == 4
    assert (compared[0].modest_share() is not None) == (name in {"untimed", "models", "tenants"})


def test_the_command_prints_a_table_and_draws(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command.main(["--seconds", "0.5", "--plots", str(tmp_path), "bursts"]) == 0
    printed = capsys.readouterr().out
    assert "bursts of 10x" in printed
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == ["bursts-over-time.png", "goodput-bursts.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in drawn)


def test_quick_prints_only_and_unknown_settings_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--quick", "--ours", "--seconds", "0.2"]) == 0
    assert "mix: " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["nosuch"])
    assert "nosuch" in capsys.readouterr().err


def test_what_is_wrong_with_a_job_is_said() -> None:
    with pytest.raises(RuntimeError, match="no such policy: luck"):
        simulate(asked((0, 1)), Policy("luck", "luck", "luck"))
