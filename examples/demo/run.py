"""Serve the digits classifier and ask it in three ways: one call at a time, over a stream, and as int8.

    python examples/demo/run.py [FOLDER]

Trains the model first where FOLDER (default: build/demo) does not hold it yet. Prints some held-out digits beside the
predictions, then the accuracy of each way and what the server's receipts say. Ends with 1 when something is not as it
should be.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from maas_server.client import Client, Prediction

MODEL = "digits"
REQUIRED_ACCURACY = 0.95
SHOWN = 8
SHADES = " ░▒▓█"
READY_TIMEOUT, STOP_TIMEOUT = 60.0, 30.0

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Way:
    """One way to send the same digits, and what came back."""

    name: str
    sent_bytes: int
    """Unit: bytes of one digit's pixels."""
    seconds: float
    predictions: Sequence[Prediction]

    @property
    def labels(self) -> Array:
        """The predicted digits."""
        return np.concatenate([prediction["label"] for prediction in self.predictions])


@contextmanager
def server(repository: Path) -> Iterator[str]:
    """Run `maas serve` on a free port for as long as the block lasts, and yield its address.

    Raises:
        RuntimeError: it did not become ready, or did not end well when asked to.
    """
    maas = Path(sys.executable).with_name("maas")
    options = ["--grpc-port", "0", "--http-port", "0", "--drain-delay", "0", "--log-format", "json"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([maas, "serve", repository, *options], stdout=log, stderr=log)
        try:
            yield f"127.0.0.1:{wait_until_ready(process, log)}"
            process.terminate()
            if status := process.wait(STOP_TIMEOUT):
                raise RuntimeError(f"the server ended with {status}:\n{printed(log)}")
        finally:
            process.kill()
            process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], log: IO[bytes]) -> int:
    """Return the port once the server's log says that it is ready."""
    deadline = time.monotonic() + READY_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        for line in printed(log).splitlines():
            if line.startswith("{") and line.endswith("}"):
                event = json.loads(line)
                if event.get("event") == "ready":
                    return int(event["grpc_port"])
        time.sleep(0.05)
    raise RuntimeError(f"the server did not become ready:\n{printed(log)}")


def printed(log: IO[bytes]) -> str:
    """Return what the server wrote so far."""
    log.seek(0)
    return log.read().decode(errors="replace")


def ask(client: Client, images: Array) -> list[Way]:
    """Send every digit in each of the three ways."""

    def unary(image: Array) -> Prediction:
        return client.predict(MODEL, {"image": image})

    def int8(image: Array) -> Prediction:
        return client.predict(MODEL, {"image": image}, quantize="int8")

    def one_by_one(call: Callable[[Array], Prediction]) -> list[Prediction]:
        return [call(image) for image in images]

    def stream() -> list[Prediction]:
        with client.stream() as opened:
            futures = [opened.submit(MODEL, {"image": image}) for image in images]
        return [future.result() for future in futures]

    pixels = images[0].size
    return [
        timed("unary, FP32", pixels * 4, lambda: one_by_one(unary)),
        timed("stream, FP32", pixels * 4, stream),
        timed("unary, int8", pixels, lambda: one_by_one(int8)),
    ]


def timed(name: str, sent_bytes: int, send: Callable[[], list[Prediction]]) -> Way:
    """Send, and note how long it took."""
    started = time.monotonic()
    predictions = send()
    return Way(name, sent_bytes, time.monotonic() - started, predictions)


def picture(image: Array) -> list[str]:
    """Return an 8x8 digit as eight lines of characters; pixels go from 0 to 16."""
    levels = np.clip(np.ceil(image.reshape(8, 8) / 4), 0, len(SHADES) - 1).astype(int)
    return ["".join(SHADES[level] for level in row) for row in levels]


def show(images: Array, labels: Array, ways: Sequence[Way]) -> None:
    """Print the first digits beside what each way says of them."""
    pictures = [picture(image) for image in images[:SHOWN]]
    for lines in zip(*pictures, strict=True):
        print((" " * 13 + "  ".join(lines)).rstrip())
    rows = {"truth": labels} | {way.name: way.labels for way in ways}
    for name, digits in rows.items():
        print(f"{name:13}" + "  ".join(f"{digit:^8}" for digit in digits[:SHOWN]))
    confidences = [float(prediction["probabilities"].max()) for prediction in ways[0].predictions[:SHOWN]]
    print(f"{'confidence':13}" + "  ".join(f"{confidence:^8.1%}" for confidence in confidences))


def summarize(labels: Array, ways: Sequence[Way]) -> None:
    """Print accuracy, pace and receipts of each way."""
    print(f"{'':13}accuracy  digits/s  bytes each  rows a batch  queued µs   run µs")
    for way in ways:
        receipts = [prediction.receipt for prediction in way.predictions]
        batch = statistics.mean(receipt.batch_size for receipt in receipts)
        queued = statistics.median(receipt.queue_seconds for receipt in receipts) * 1e6
        run = statistics.median(receipt.run_seconds for receipt in receipts) * 1e6
        accuracy, pace = np.mean(way.labels == labels), len(labels) / way.seconds
        print(f"{way.name:13}{accuracy:8.1%}{pace:10.0f}{way.sent_bytes:12}{batch:14.1f}{queued:11.0f}{run:9.0f}")


def problems(labels: Array, ways: Sequence[Way]) -> list[str]:
    """Return what is not as it should be."""
    wrong = [
        f"{way.name}: less than {REQUIRED_ACCURACY:.0%} right"
        for way in ways
        if np.mean(way.labels == labels) < REQUIRED_ACCURACY
    ]
    unary, stream, _ = ways
    if not np.array_equal(unary.labels, stream.labels):
        wrong.append("the stream's answers differ from those of single calls")
    if max(prediction.receipt.batch_size for prediction in stream.predictions) < 2:
        wrong.append("no two requests of the stream ran together")
    return wrong


def main() -> int:
    """Train, serve, ask, show, stop."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/demo"))
    folder: Path = parser.parse_args().folder
    subprocess.run([sys.executable, Path(__file__).with_name("train.py"), folder], check=True)
    with np.load(folder / "held_out.npz") as held_out:
        images, labels = held_out["images"][:, None, :], held_out["labels"]

    with server(folder / "models") as address, Client(address) as client:
        (info,) = client.status(MODEL)
        (version,) = info.versions
        print(f"{MODEL}:{version.version} on {address} ({version.runner}), {len(labels)} held-out digits\n")
        ways = ask(client, images)
        show(images, labels, ways)
        print()
        summarize(labels, ways)
        wrong = problems(labels, ways)
    for problem in wrong:
        print(problem, file=sys.stderr)
    print("\nThe server drained and ended well.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
