"""The ONNX project's backend tests, asked of one real server in every protocol."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.onnx_backend import report
from tests.onnx_backend.cases import Tensor
from tests.onnx_backend.protocols import PROTOCOLS, Protocol
from tests.onnx_backend.reference import NO_LOCALE
from tests.onnx_backend.run import Selection
from tests.onnx_backend.walk import Results, difference


@pytest.fixture
def complete(selection: Selection) -> Selection:
    """All cases; skips where the machine lacks what some of them want."""
    if missing := selection.left_out.get(NO_LOCALE):
        reason = f"{NO_LOCALE} {len(missing)} cases are left out, so the lists differ: apt-get install locales"
        if os.environ.get("MAAS_REQUIRE_FOREIGN"):
            pytest.fail(reason)
        pytest.skip(reason)
    return selection


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_every_case_is_answered_as_onnx_runtime_answers_it(
    protocol: Protocol, selection: Selection, results: Results
) -> None:
    failed = results.failed.get(protocol.name, [])
    assert not failed, f"{len(failed)} of {len(selection.asked)}:\n" + "\n".join(failed)
    assert results.passed[protocol.name] + results.no_form[protocol.name] == len(selection.asked)


def test_a_server_of_all_models_takes_modest_memory(results: Results) -> None:
    """Half of it is the largest of the networks; example values at load once took all that the machine had."""
    assert results.peak_bytes < 4 << 30


def test_what_is_left_out_is_on_the_list_and_what_is_on_the_list_is_left_out(complete: Selection) -> None:
    listed = report.read_listing(report.LEFT_OUT.read_text())
    assert listed == {reason: sorted(names) for reason, names in complete.left_out.items()}


def test_the_page_says_what_the_tests_saw(complete: Selection, results: Results) -> None:
    expected = report.page(complete.asked, complete.left_out, results)
    assert report.PAGE.read_text() == expected, "write it anew: python -m tests.onnx_backend"


def test_an_answer_that_differs_in_the_last_bit_is_another() -> None:
    one = {"y": Tensor("FP32", np.ones(1, np.float32))}
    assert difference(one, {"y": Tensor("FP32", np.ones(1, np.float32))}) == ""
    assert "other values" in difference(one, {"y": Tensor("FP32", np.nextafter(one["y"].array, np.float32(2)))})
    assert "expected FP32 [1]" in difference(one, {"y": Tensor("FP32", np.ones((1, 1), np.float32))})
    assert "outputs" in difference(one, {})


def test_not_every_bit_of_a_nan_survives_in_json() -> None:
    quiet = {"y": Tensor("FP32", np.array([0x7FC00000], np.uint32).view(np.float32))}
    other = {"y": Tensor("FP32", np.array([0xFFC00001], np.uint32).view(np.float32))}
    assert difference(quiet, other) != ""
    assert difference(quiet, other, nan_bits=False) == ""


def test_a_listing_reads_back() -> None:
    left_out = {"No such operator.": ["test_a", "test_b"], "No tensor.": ["test_c"]}
    assert report.read_listing(report.listing(left_out)) == left_out
