"""perf_analyzer, Triton's load generator: it must find no failure, and the answers that it was told to expect."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.foreign import tools
from tests.foreign.conftest import Served
from tests.foreign.models import Array

HOME = tools.ENVIRONMENTS / "perf_analyzer"
LIMIT_SECONDS = 60
# Windows of 200 ms need not agree with each other: it is the answers that are looked at, not the figures.
SHORT = ("--measurement-interval", "200", "--stability-percentage", "999", "--max-threads", "1")
TENSORFLOW = ("--service-kind", "tfserving", "--model-signature-name", "serving_default")


@dataclass(frozen=True)
class Way:
    """How to ask, and which of the files of `data` to ask with, where one request is under way and where many are."""

    options: Sequence[str]
    one: str = "wines"
    many: str = "wines"
    http: bool = False


WAYS = {
    "grpc": Way(("-i", "grpc")),
    "http": Way(("-i", "http"), http=True),
    # It compares an answer of a stream with what it expects of the latest request, which it may just be writing.
    "stream": Way(("-i", "grpc", "--streaming"), many="unanswered"),
    # It compares nothing where outputs are in shared memory, nor in TensorFlow Serving's answers.
    "shared memory": Way(("-i", "grpc", "--shared-memory", "system"), "unanswered", "unanswered"),
    "http shared memory": Way(("-i", "http", "--shared-memory", "system"), "unanswered", "unanswered", http=True),
    "tensorflow serving": Way(("-i", "grpc", *TENSORFLOW), "whole", "whole"),
}


def tensor(row: Array) -> dict[str, object]:
    return {"content": row.ravel().tolist(), "shape": list(row.shape)}


@pytest.fixture(scope="module")
def data(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files with wines, and with what ONNX Runtime gives for each.

    The program compares bytes: a tree's answer to a row is the same to the bit in every batch.
    """
    case = served.cases["wine"]
    features = case.inputs["features"]
    # Shapes leave out the batch where the model has one in its configuration, which TensorFlow Serving's have not.
    inputs = [{"features": tensor(row)} for row in features]
    outputs = [
        {"label": tensor(label[None]), "probabilities": tensor(probabilities)}
        for label, probabilities in zip(case.outputs["label"], case.outputs["probabilities"], strict=True)
    ]
    files = {
        "wines": {"data": inputs, "validation_data": outputs},
        "unanswered": {"data": inputs},
        "whole": {"data": [{"features": tensor(row[None])} for row in features]},
    }
    folder = tmp_path_factory.mktemp("perf_analyzer")
    for name, described in files.items():
        (folder / f"{name}.json").write_text(json.dumps(described))
    return folder


def analyze(target: str, concurrency: int, data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the program; it writes its table beside `data`."""
    tools.prepare("perf_analyzer")
    (library,) = HOME.glob("lib/python*/site-packages/nvidia/cuda_runtime/lib")
    command = [str(HOME / "bin/perf_analyzer"), "-m", "wine", "-u", target, *options, *SHORT]
    command += ["--concurrency-range", str(concurrency), "--input-data", str(data), "-f", str(data.with_suffix(".csv"))]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env={"LD_LIBRARY_PATH": str(library)},
        check=False,
    )


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_it_measures_without_a_failure(way: Way, concurrency: int, served: Served, data: Path) -> None:
    file = data / f"{way.one if concurrency == 1 else way.many}.json"
    analyzed = analyze(served.http if way.http else served.grpc, concurrency, file, *way.options)
    output = analyzed.stdout + analyzed.stderr
    assert analyzed.returncode == 0, output
    assert "fail" not in output.lower(), output
    (row,) = csv.DictReader(file.with_suffix(".csv").read_text().splitlines())
    assert int(row["Concurrency"]) == concurrency
    assert float(row["Inferences/Second"]) > 0, output


def test_it_finds_a_wrong_answer(served: Served, data: Path) -> None:
    """Or the other tests would find none either."""
    described = json.loads((data / "wines.json").read_text())
    described["validation_data"][1]["probabilities"]["content"][0] += 0.5
    wrong = data / "wrong.json"
    wrong.write_text(json.dumps(described))
    analyzed = analyze(served.grpc, 1, wrong, "-i", "grpc")
    assert analyzed.returncode != 0
    assert "Output doesn't match expected output" in analyzed.stderr


def test_it_hears_of_a_version_that_is_not_there(served: Served, data: Path) -> None:
    analyzed = analyze(served.grpc, 1, data / "wines.json", "-i", "grpc", "-x", "7")
    assert analyzed.returncode != 0
    assert "Request for unknown model: 'wine' version 7 is not found" in analyzed.stdout + analyzed.stderr
