"""What importing the client brings along."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
sys.modules["onnxruntime"] = None
sys.modules["maas_server._core"] = None
import maas_server.client
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("maas_server.")}
print(sorted(rooms - {"_core"}))
"""


def test_the_client_needs_neither_the_core_nor_a_runtime_nor_the_server() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['_stubs', 'client', 'errors']"
