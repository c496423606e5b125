"""`maas doctor`, on this machine and on one whose findings are given."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from maas_server.cli import doctor as command
from maas_server.cli import main
from maas_server.devices.report import Finding


def doctor(*args: str) -> Any:
    return CliRunner().invoke(main, ["doctor", *args], catch_exceptions=False)


def test_what_the_tests_run_in_can_serve() -> None:
    result = doctor()
    assert result.exit_code == 0
    assert "ok       core: compiled, uses " in result.output
    assert "problem" not in result.output


def test_findings_come_as_lines_of_json() -> None:
    findings = [json.loads(line) for line in doctor("--json").output.splitlines()]
    assert {"maas-server", "core", "onnxruntime", "NVIDIA driver", "CUDA kernels"} <= {
        each["name"] for each in findings
    }
    assert all(each.keys() == {"name", "status", "found", "remedy"} for each in findings)


@pytest.mark.parametrize(("status", "exit_code"), [("ok", 0), ("note", 0), ("problem", 1)])
def test_only_a_problem_fails(status: Any, exit_code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = (Finding("core", "ok", "compiled"), Finding("NVIDIA driver", status, "old", "install a newer one"))
    monkeypatch.setattr(command, "examine", lambda facts: findings)
    result = doctor()
    assert result.exit_code == exit_code
    assert result.output.splitlines() == [
        "ok       core: compiled",
        f"{status:7}  NVIDIA driver: old",
        "         -> install a newer one",
    ]


def test_it_runs_where_neither_the_core_nor_a_runtime_does() -> None:
    script = (
        "import sys\nsys.modules['maas_server._core'] = sys.modules['onnxruntime'] = None\n"
        "from maas_server.cli import main\nmain(['doctor'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "problem  core: cannot be imported" in done.stdout
