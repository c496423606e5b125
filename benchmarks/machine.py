"""Whether this machine can measure, and under which scheduling policy our server runs here."""

from __future__ import annotations

import os
import shutil

from benchmarks import models
from benchmarks.bench import Bench
from benchmarks.processes import LOAD_CORE, SERVER_CORE, serve


def unfit() -> str | None:
    """Say why this machine cannot measure, if it cannot."""
    for tool, package in (("h2load", "nghttp2-client"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install {package}"
    cores = {SERVER_CORE, LOAD_CORE}
    if not cores <= os.sched_getaffinity(0):
        return f"cores {sorted(cores)} are needed, one for the server and one for the load"
    return None


def scheduling_policy(bench: Bench) -> str:
    """Return the policy that our server puts itself under, for the header."""
    repository = bench.repository()
    models.tiny(repository)
    with serve(repository) as server:
        return server.scheduling_policy()
