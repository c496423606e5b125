"""How long callers over HTTP wait and in whose name they ask: by headers, in every interface."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from maas_server.errors import DeadlineExceeded, InvalidRequest, Violation
from maas_server.http.caller import Caller, Callers, in_time
from tests.http.asking import tensor, violations

ROW = tensor("x", "FP32", [1, 4], [[1, 2, 3, 4]])
GRAPHQL = """{ predict(model: "scaled", inputs: [
  {name: "x", datatype: "FP32", shape: [1, 4], data: [1, 2, 3, 4]}]) { version } }"""
PREDICTIONS = [
    ("/v2/models/scaled/infer", {"inputs": [ROW]}),
    ("/v1/models/scaled:predict", {"instances": [[1, 2, 3, 4]]}),
    ("/graphql", {"query": GRAPHQL}),
]
EXAMPLES = [
    ("/v1/models/scaled:classify", {"examples": [{"x": [1, 2, 3, 4]}]}),
    ("/v1/models/scaled:regress", {"examples": [{"x": [1, 2, 3, 4]}]}),
]
WRONG = {
    "grpc-timeout": [
        "",
        "0S",
        "00000000m",
        "-1S",
        "1",
        "S",
        "1s",
        "1h",
        "1.5S",
        "123456789S",
        "1234567890m",
        "1S ",
        "+1S",
        "1S, 2S",
    ],
    "x-envoy-expected-rq-timeout-ms": [
        "",
        "0",
        "000",
        "-5",
        "1.5",
        "1e3",
        "5ms",
        "9223372036854775808",
        "9" * 5000,
        "1, 2",
    ],
}


def seconds(**headers: str) -> float | None:
    """How long a caller with these headers waits from its arrival on."""
    deadline = Callers().read({name.replace("_", "-"): value for name, value in headers.items()}, 1000.0).deadline
    return None if deadline is None else deadline - 1000.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2H", 7200.0),
        ("3M", 180.0),
        ("4S", 4.0),
        ("5m", 0.005),
        ("6u", 6e-6),
        ("700n", 7e-7),
        ("00000001S", 1.0),
        ("99999999m", 99999.999),
    ],
)
def test_a_grpc_timeout_is_digits_and_a_unit(text: str, expected: float) -> None:
    assert seconds(grpc_timeout=text) == pytest.approx(expected, abs=1e-9)


def test_an_envoy_timeout_is_milliseconds() -> None:
    assert seconds(x_envoy_expected_rq_timeout_ms="15000") == 15.0
    assert seconds(x_envoy_expected_rq_timeout_ms="1") == pytest.approx(0.001)


def test_the_earlier_of_two_headers_holds() -> None:
    assert seconds(grpc_timeout="3S", x_envoy_expected_rq_timeout_ms="2000") == 2.0
    assert seconds(grpc_timeout="1S", x_envoy_expected_rq_timeout_ms="2000") == 1.0


def test_who_says_nothing_or_years_waits_for_ever() -> None:
    assert seconds() is None
    assert seconds(grpc_timeout="99999999H") is None
    assert seconds(x_envoy_expected_rq_timeout_ms="9223372036854775807") is None
    assert seconds(grpc_timeout="99999999H", x_envoy_expected_rq_timeout_ms="5") == pytest.approx(0.005)


@pytest.mark.parametrize(("header", "text"), [(header, text) for header, texts in WRONG.items() for text in texts])
def test_a_header_that_is_no_time_is_refused_by_its_name(header: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Callers().read({header: text}, 0.0)
    (violation,) = caught.value.violations
    assert violation.field == header
    assert violation.description.startswith("expected ")
    assert violation.description.endswith(f"got {text[:64]!r}")


def test_the_tenant_is_the_header_of_its_key() -> None:
    callers = Callers("x-tenant")
    assert callers.read({"x-tenant": "acme", "x-other": "b"}, 0.0) == Caller(None, "acme")
    assert callers.read({"x-other": "b"}, 0.0) == Caller(None, "")
    assert callers.read({"x-tenant": "h\u00e9"}, 0.0) == Caller(None, "h\\xe9")
    assert Callers("").read({"": "a", "x-tenant": "acme"}, 0.0) == Caller(None, "")


async def test_work_ends_when_its_caller_waits_no_longer() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(in_time(Caller(time.monotonic() + 0.01), work()), 20)
    assert cancelled.is_set()


@pytest.mark.parametrize("caller", [Caller(), Caller(time.monotonic() + 3600)])
async def test_work_that_is_done_in_time_is_its_result(caller: Caller) -> None:
    async def work() -> str:
        return "done"

    assert await in_time(caller, work()) == "done"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("header", WRONG)
@pytest.mark.parametrize(("path", "body"), [*PREDICTIONS, *EXAMPLES])
async def test_every_interface_refuses_what_is_no_time(
    client: httpx.AsyncClient, header: str, path: str, body: dict[str, Any]
) -> None:
    response = await client.post(path, json=body, headers={header: "soon"})
    assert response.status_code == 400
    assert violations(response).keys() == {header}
    assert "got 'soon'" in violations(response)[header]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "body"), [*PREDICTIONS, *EXAMPLES])
async def test_every_interface_answers_who_waits_long_enough(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    headers = {"grpc-timeout": "30S", "x-envoy-expected-rq-timeout-ms": "60000"}
    told = await client.post(path, json=body, headers=headers)
    plain = await client.post(path, json=body)
    assert (told.status_code, told.json()) == (plain.status_code, plain.json())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "body"), PREDICTIONS)
async def test_no_interface_runs_what_nobody_waits_for(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    before = await succeeded(client)
    response = await client.post(path, json=body, headers={"grpc-timeout": "1n"})
    if path == "/graphql":
        (error,) = response.json()["errors"]
        code = error["extensions"]["code"]
    else:
        code = response.json()["code"]
        assert response.status_code == {"DEADLINE_EXCEEDED": 504, "RESOURCE_EXHAUSTED": 429}[code]
    assert code in ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
    assert await succeeded(client) == before


async def succeeded(client: httpx.AsyncClient) -> int:
    statistics = (await client.get("/v2/models/scaled/stats")).json()["model_stats"]
    return sum(int(each["inference_stats"]["success"]["count"]) for each in statistics)


def test_a_violation_says_what_was_expected() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Callers().read({"grpc-timeout": "1234567890S"}, 0.0)
    expected = "expected 1 to 8 digits, more than 0, and one of H, M, S, m, u and n, got '1234567890S'"
    assert caught.value.violations == (Violation("grpc-timeout", expected),)
