"""Many calls at once, and the comparison with the same inputs run alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from maas_server.client import Client, Prediction

Array = npt.NDArray[Any]
Inputs = Mapping[str, Array]

TIMEOUT = 120.0


def from_many_clients(target: str, model: str, requests: Sequence[Inputs], clients: int = 4) -> list[Prediction]:
    """Send all requests at the same time by unary calls, over as many connections as there are clients."""
    with ExitStack() as stack:
        connected = [stack.enter_context(Client(target, timeout=TIMEOUT)) for _ in range(clients)]
        pool = stack.enter_context(ThreadPoolExecutor(len(requests)))
        futures = [
            pool.submit(connected[index % clients].predict, model, request) for index, request in enumerate(requests)
        ]
        return [future.result() for future in futures]


def over_a_stream(target: str, model: str, requests: Sequence[Inputs]) -> list[Prediction]:
    """Send all requests at the same time over one stream."""
    with Client(target, timeout=TIMEOUT) as client, client.stream() as stream:
        futures = [stream.submit(model, request) for request in requests]
        return [future.result() for future in futures]


def largest_batch(predictions: Sequence[Prediction]) -> int:
    """Return the rows of the fullest batch that one of them ran in."""
    return max(prediction.receipt.batch_size for prediction in predictions)


def assert_same(got: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float) -> None:
    """Compare all outputs; `tolerance` is relative to each output's largest magnitude, 0 means bit by bit."""
    assert set(got) == set(expected)
    for name, wanted in expected.items():
        assert got[name].dtype == wanted.dtype
        assert got[name].shape == wanted.shape
        if tolerance == 0 or wanted.dtype.kind != "f":
            np.testing.assert_array_equal(got[name], wanted)
        else:
            np.testing.assert_allclose(got[name], wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
