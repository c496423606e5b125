"""Virtual environments and start commands of the peers; made once, below build/peers/."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.models import Model

HERE = Path(__file__).parent
# As many as wait at once.
_MOSEC_BATCH = 64
ENVIRONMENTS = HERE.parents[1] / "build" / "peers"


@dataclass(frozen=True)
class Started:
    """How to start a peer, and where it will listen."""

    command: list[str | Path]
    port: int
    folder: Path
    """Working directory."""


def environment(peer: str) -> Path:
    """Return the Python of the peer's environment, made from its requirements if there is none yet."""
    folder = ENVIRONMENTS / peer
    requirements = HERE / f"{peer}_requirements.txt"
    made = folder / "made-from.txt"
    python = folder / "bin" / "python"
    if not made.exists() or made.read_text() != requirements.read_text():
        print(f"... installing {peer} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "install", "-r", str(requirements)], check=True)
        made.write_text(requirements.read_text())
    return python


def kserve(model: Model, scratch: Path) -> Started:
    """KServe's Python server."""
    python = environment("kserve")
    port, http_port = _free_ports(2)
    command: list[str | Path] = [python, HERE / "kserve_server.py", model.name, model.path, str(port), str(http_port)]
    return Started(command, port, scratch)


def mlserver(model: Model, scratch: Path) -> Started:
    """MLServer, serving from its own process."""
    python = environment("mlserver")
    port, http_port, metrics_port = _free_ports(3)
    settings = {"grpc_port": port, "http_port": http_port, "metrics_port": metrics_port, "parallel_workers": 0}
    _write(scratch / "settings.json", settings | {"debug": False})
    parameters = {"uri": str(model.path)}
    _write(
        scratch / model.name / "model-settings.json",
        {"name": model.name, "implementation": "mlserver_model.OnnxModel", "parameters": parameters},
    )
    (scratch / "mlserver_model.py").write_text((HERE / "mlserver_model.py").read_text())
    return Started(["env", "PYTHONPATH=.", python.with_name("mlserver"), "start", "."], port, scratch)


def mosec(model: Model, scratch: Path) -> Started:
    """Mosec, whose processes share the core with the one of the model."""
    python = environment("mosec")
    (port,) = _free_ports(1)
    variables = [f"MODEL={model.path}", f"MAX_BATCH={_MOSEC_BATCH}", f"PATH={python.parent}:/usr/bin:/bin"]
    options = ["--address", "127.0.0.1", "--port", str(port), "--path", str(scratch / "ipc"), "--log-level", "error"]
    return Started(["env", *variables, python, HERE / "mosec_server.py", *options], port, scratch)


# Those that speak the Open Inference Protocol.
PEERS: Mapping[str, Callable[[Model, Path], Started]] = {"kserve": kserve, "mlserver": mlserver}


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
