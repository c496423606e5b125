"""Python clients, each in an environment of its own, where its tests are run."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.foreign import tools
from tests.foreign.conftest import Served

FOLDER = tools.ROOT / "tests/foreign/python"
LIMIT_SECONDS = 120

# The file with a client's tests, and the environment that has the client.
CLIENTS = {
    "triton_grpc.py": "triton",
    "triton_repository.py": "triton",
    "triton_grpc_aio.py": "triton",
    "triton_http.py": "triton",
    "kserve_grpc.py": "kserve",
    "kserve_rest.py": "kserve",
    "ovms.py": "ovms",
    "tensorflow_serving_api.py": "tensorflow",
    "tensorflow_reload.py": "tensorflow",
}

# These decide themselves what is loaded.
ON_DEMAND = {"triton_repository.py", "tensorflow_reload.py"}


# The servers that it looks for by name ask for it.
@pytest.mark.usefixtures("front")
@pytest.mark.parametrize(("file", "environment"), CLIENTS.items(), ids=[Path(file).stem for file in CLIENTS])
def test_a_client_is_served_as_it_expects(
    file: str, environment: str, request: pytest.FixtureRequest, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    tools.prepare(environment)
    served: Served = request.getfixturevalue("served_on_demand" if file in ON_DEMAND else "served")
    description = tmp_path / "served.json"
    description.write_text(json.dumps(served.as_json()))
    report = tmp_path / "report.xml"
    python = tools.ENVIRONMENTS / environment / "bin/python"
    options = ["--quiet", "-p", "no:cacheprovider", "-c", str(FOLDER / "pytest.ini"), "--junit-xml", str(report)]
    command = [str(python), "-m", "pytest", *options, "--served", str(description), str(FOLDER / file)]
    ran = subprocess.run(command, cwd=tools.ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    # 0: all passed; 1: some failed; all else is no verdict.
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    tests = list(ElementTree.parse(report).iter("testcase"))
    assert tests
    for test in tests:
        with subtests.test(test.get("name", "")):
            assert [trouble.text for trouble in test] == []
