"""Clients in other languages, made from our .proto files alone."""

from __future__ import annotations

import sysconfig
from collections import defaultdict
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.foreign import tools
from tests.foreign.conftest import Served
from tests.foreign.models import Array

PROTOS = tools.ROOT / "proto"
# Holds google/rpc/status.proto.
PACKAGES = Path(sysconfig.get_path("purelib"))

COMMANDS: dict[str, tuple[str | Path, ...]] = {
    "node": (tools.ENVIRONMENTS / "node/bin/node", "tests/foreign/node/client.js"),
    "cpp": (tools.BUILT / "cpp/client",),
    "go": (tools.BUILT / "go/client",),
    "java": ("java", "-cp", f"{tools.BUILT}/java:{tools.BUILT}/java/jars/*", "Client"),
}
FOLDERS = {"node": (PROTOS, PACKAGES)}

# Java's blocking stubs have no streams; Debian's generator for Go refuses the optional fields of maas.v1. Go's library
# comes with the health protocol.
ASKED = {
    "node": {"raw", "typed", "stream", "stream error", "maas", "maas unknown model"},
    "cpp": {"raw", "typed", "stream", "stream error", "maas", "maas unknown model"},
    "go": {"raw", "typed", "stream", "stream error", "health"},
    "java": {"raw", "typed", "maas", "maas unknown model"},
}

Answers = dict[str, list[list[str]]]


@pytest.fixture(scope="module", params=COMMANDS)
def answers(request: pytest.FixtureRequest, served: Served) -> Answers:
    """What a client printed, by what it had asked."""
    client: str = request.param
    tools.prepare(client)
    image = served.cases["digits"].inputs["image"]
    printed = tools.run(
        [*COMMANDS[client], served.grpc, "digits", *FOLDERS.get(client, ())],
        stdin=" ".join(str(pixel) for pixel in image.ravel()),
        NODE_PATH=str(tools.ENVIRONMENTS / "node/node_modules"),
    )
    answers: Answers = defaultdict(list)
    for line in printed.splitlines():
        what, *fields = line.split("\t")
        answers[what].append(fields)
    assert set(answers) == ASKED[client] | {"ready", "input", "output", "unknown model", "wrong shape"}
    return answers


def tensors(lines: list[list[str]], like: dict[str, Array]) -> dict[str, Array]:
    """The tensors that were printed, in the shape and datatype of others."""
    return {name: np.array(values, like[name].dtype).reshape(like[name].shape) for name, *values in lines}


def code(field: str) -> grpc.StatusCode:
    """A status code by its name or its number."""
    return next(each for each in grpc.StatusCode if field in (each.name, str(each.value[0])))


def test_readiness_and_the_signature(answers: Answers) -> None:
    assert answers["ready"] == [["true"]]
    assert answers["input"] == [["image", "FP32", "-1", "64"]]
    assert answers["output"] == [["label", "INT64", "-1"], ["probabilities", "FP32", "-1", "10"]]
    assert answers.get("health") in (None, [["", "SERVING"], ["digits", "SERVING"]])


def test_predictions_are_those_of_onnxruntime(answers: Answers, served: Served) -> None:
    expected = dict(served.cases["digits"].outputs)
    for what in {"raw", "typed", "stream", "maas"} & answers.keys():
        given = tensors(answers[what], expected)
        assert given.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(given[name], value, rtol=1e-5, atol=1e-7, err_msg=f"{what} {name}")


def test_refusals_have_a_code_and_a_text(answers: Answers) -> None:
    ((status, text),) = answers["unknown model"]
    assert code(status) is grpc.StatusCode.NOT_FOUND
    assert "no-such-model" in text
    for (message,) in answers.get("stream error", []):
        assert "no-such-model" in message
    ((status, text),) = answers["wrong shape"]
    assert code(status) is grpc.StatusCode.INVALID_ARGUMENT
    assert "image" in text
    for status, text in answers.get("maas unknown model", []):
        assert code(status) is grpc.StatusCode.NOT_FOUND
        assert "no-such-model" in text
