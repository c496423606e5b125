"""Where instances go, on tables of devices that no machine has to have."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_server.devices.facts import Core, Driver, Facts, Runtime
from maas_server.devices.placement import Gpu, Need, place
from maas_server.devices.report import Finding, examine
from maas_server.errors import LoadError

MIB = 1 << 20


def gpus(*free: int, reserved: int = 0) -> tuple[Gpu, ...]:
    """Devices of 1000 MiB with so many MiB free."""
    return tuple(Gpu(index, "GPU", 1000 * MIB, each * MIB, reserved * MIB) for index, each in enumerate(free))


def need(weights: int, runs: int = 0) -> Need:
    return Need(weights * MIB, runs * MIB)


@pytest.mark.parametrize(
    ("free", "weights", "count", "devices"),
    [
        ((500,), 100, 1, (0,)),
        ((500,), 100, 3, (0, 0, 0)),
        ((500, 600), 100, 1, (1,)),
        ((500, 500), 100, 1, (0,)),
        ((500, 600), 100, 2, (1, 0)),
        ((100, 600), 100, 3, (1, 0, 1)),
        ((100, 900, 400), 100, 4, (1, 2, 0, 1)),
        ((99, 600), 100, 2, (1, 1)),
        ((500, 900), 200, 3, (1, 0, 1)),
        ((600, 900), 400, 3, (1, 0, 1)),
        ((500, 500, 500), 0, 5, (0, 1, 2, 0, 1)),
    ],
)
def test_the_freest_device_is_first_and_none_has_two_before_all_have_one(
    free: tuple[int, ...], weights: int, count: int, devices: tuple[int, ...]
) -> None:
    assert place(count, need(weights), gpus(*free)) == devices


def test_named_devices_have_what_was_named_whichever_is_freer() -> None:
    table = gpus(200, 900, 300)
    assert place({0: 2, 2: 1}, need(80, 20), table) == (0, 0, 2)
    assert place({2: 1, 0: 2}, need(80, 20), table) == (2, 0, 0)


def test_indices_may_have_gaps() -> None:
    table = (Gpu(3, "A", 1000 * MIB, 400 * MIB), Gpu(7, "B", 1000 * MIB, 500 * MIB))
    assert place(2, need(100), table) == (7, 3)
    assert place({3: 1}, need(100), table) == (3,)


def test_what_was_promised_to_others_is_not_free() -> None:
    table = (*gpus(900, reserved=700), replace(gpus(300)[0], index=1))
    assert place(1, need(250), table) == (1,)
    with pytest.raises(LoadError, match=r"got 900 of 1000 MiB free on device 0 \(GPU\), 700 MiB of them promised"):
        place({0: 1}, need(250), table)


def test_lost_devices_are_left_out() -> None:
    first, second = gpus(900, 300)
    table = (replace(first, lost="an illegal address"), second)
    assert place(1, need(100), table) == (1,)
    assert place(3, need(100), table) == (1, 1, 1)


def message(wanted: int | dict[int, int], wants: Need, table: tuple[Gpu, ...]) -> str:
    with pytest.raises(LoadError) as caught:
        place(wanted, wants, table)
    return caught.value.message


def test_a_refusal_says_what_was_needed_and_what_was_free_where() -> None:
    table = gpus(250, 150)
    lost = (table[0], replace(table[1], lost="ECC error"))
    assert message(4, need(80, 20), table) == (
        "instances.gpu: expected room for 4 instances, each 100 MiB (weights 80 MiB, runs 20 MiB), got room for 3: "
        "250 of 1000 MiB free on device 0 (GPU), 150 of 1000 MiB free on device 1 (GPU)"
    )
    assert message(1, need(300), lost) == (
        "instances.gpu: expected room for 1 instance, each 300 MiB for weights, got room for 0: "
        "250 of 1000 MiB free on device 0 (GPU), device 1 (GPU), which is lost: ECC error"
    )
    assert message({1: 2}, need(80), table) == (
        "instances.gpu: expected 160 MiB for 2 instances, each 80 MiB for weights, "
        "got 150 of 1000 MiB free on device 1 (GPU)"
    )
    assert message({0: 1, 2: 1}, need(1), table) == (
        "instances.gpu: there is no device 2; there are device 0 (GPU), device 1 (GPU)"
    )
    assert message({1: 1}, need(1), lost) == (
        "instances.gpu: expected a GPU that works, got device 1 (GPU), which is lost: ECC error"
    )
    assert message(1, need(0), lost[1:]) == message({1: 1}, need(1), lost)


def test_a_need_that_is_a_byte_too_large_looks_larger() -> None:
    (device,) = gpus(100)
    text = message(1, Need(100 * MIB + 1), (device,))
    assert "101 MiB" in text
    assert "100 of 1000 MiB free" in text
    assert "99 of 1000 MiB free" in message(1, need(100), (replace(device, free_bytes=100 * MIB - 1),))


@pytest.mark.parametrize("wanted", [1, {0: 1}])
def test_without_a_gpu_the_reason_is_what_the_doctor_says(wanted: int | dict[int, int]) -> None:
    bare = Facts("0.1.0", "3.12.3", core=Core("avx2"), runtime=Runtime({"onnxruntime": "1.31.1"}, "1.31.1"))
    for facts, reason in (
        (bare, "`maas doctor` says: NVIDIA driver: none: serves on the CPU"),
        (replace(bare, driver=Driver(11000)), "too old for CUDA 13 (remedy: install an NVIDIA driver for CUDA 13"),
        (replace(bare, nvidia_hardware=True), "none, but an NVIDIA GPU is there"),
        (replace(bare, runtime=Runtime()), "onnxruntime: not installed"),
    ):
        with pytest.raises(LoadError) as caught:
            place(wanted, need(1), (), partial(examine, facts))
        assert caught.value.message.startswith("instances.gpu: expected a GPU, got none; ")
        assert reason in caught.value.message
        assert "avx2" not in caught.value.message
    assert message(1, need(1), ()) == "instances.gpu: expected a GPU, got none; see `maas doctor`"


def test_the_doctor_is_not_asked_where_there_is_a_gpu() -> None:
    def asked() -> tuple[Finding, ...]:
        raise AssertionError("it takes seconds")

    with pytest.raises(LoadError):
        place(2, need(600), gpus(900), asked)


SIZES = st.integers(0, 50)
TABLES = st.lists(
    st.builds(
        Gpu,
        st.just(0),
        st.just("GPU"),
        total_bytes=SIZES,
        free_bytes=SIZES,
        reserved_bytes=st.integers(0, 10),
        lost=st.sampled_from(("", "", "", "ECC error")),
    ),
    min_size=1,
    max_size=6,
).map(lambda rows: tuple(replace(gpu, index=index) for index, gpu in enumerate(rows)))


@given(TABLES, st.integers(1, 12), st.builds(Need, st.integers(1, 20), st.integers(0, 5)), st.randoms())
def test_nothing_is_over_committed_and_nothing_that_fits_is_refused(
    table: tuple[Gpu, ...], count: int, wants: Need, order: Random
) -> None:
    capacity = {gpu.index: gpu.room() // wants.total() for gpu in table if not gpu.lost}
    shuffled = list(table)
    order.shuffle(shuffled)
    if sum(capacity.values()) < count:
        with pytest.raises(LoadError):
            place(count, wants, table)
        return
    placed = place(count, wants, table)
    assert len(placed) == count
    taken = Counter(placed)
    assert all(taken[index] <= capacity[index] for index in taken)
    assert place(count, wants, shuffled) == placed
    # A device has two more than another only where that one has no room.
    assert all(taken[a] - taken[b] <= 1 for a in capacity for b in capacity if taken[b] < capacity[b])
    assert place(dict(taken), wants, table) == tuple(index for index in taken for _ in range(taken[index]))


@given(TABLES, st.dictionaries(st.integers(0, 7), st.integers(1, 4), min_size=1), st.builds(Need, SIZES, SIZES))
def test_named_devices_are_refused_exactly_when_one_lacks_room(
    table: tuple[Gpu, ...], wanted: dict[int, int], wants: Need
) -> None:
    known = {gpu.index: gpu for gpu in table if not gpu.lost}
    fits = all(index in known and n * wants.total() <= known[index].room() for index, n in wanted.items())
    if fits:
        assert Counter(place(wanted, wants, table)) == Counter(wanted)
    else:
        with pytest.raises(LoadError, match=r"^instances\.gpu: "):
            place(wanted, wants, table)
