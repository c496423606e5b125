"""`maas predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from grpc import ChannelCredentials

from maas_server.cli.inputs import read_document, read_inputs, signature_of
from maas_server.cli.options import connection, version_choice
from maas_server.client import Client, Prediction, Receipt
from maas_server.client._quantize import QuantizedDtype


@click.command(
    epilog="Examples: maas predict digits --input image=image.npy. "
    "maas predict digits --input 'image=[[0, 1, 2]]' --format json. "
    """echo '{"image": [[0, 1, 2]]}' | maas predict digits --json -"""
)
@click.argument("model")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]VALUE",
    help="One input: FILE.npy, @FILE.json or JSON text. May be repeated. The name may be left out for a model with "
    "one input.",
)
@click.option("--json", "document", metavar="FILE", help="A JSON object of inputs by name; - for standard input.")
@version_choice
@click.option("--output", "outputs", multiple=True, metavar="NAME", help="An output wanted. [default: all]")
@click.option(
    "--priority", type=click.IntRange(min=0), default=0, help="Level, 1 is the highest. [default: the model's]"
)
@click.option("--quantize", type=click.Choice(["int8", "uint8"]), help="Send float inputs quantized.")
@click.option(
    "--quantize-outputs", type=click.Choice(["int8", "uint8"]), help="Have the outputs of --output sent quantized."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What to print.",
)
@click.option(
    "--npy", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write each output to NAME.npy in here."
)
@connection()
def predict(
    model: str,
    inputs: tuple[str, ...],
    document: str | None,
    version: int | None,
    label: str | None,
    outputs: tuple[str, ...],
    priority: int,
    quantize: QuantizedDtype | None,
    quantize_outputs: QuantizedDtype | None,
    form: str,
    folder: Path | None,
    address: str,
    timeout: float,
    credentials: ChannelCredentials | None,
) -> None:
    """Send one prediction and show the answer.

    Values are cast to the datatypes of the model's signature.
    """
    if version is not None and label is not None:
        raise click.UsageError("--version and --label exclude each other")
    if quantize_outputs and not outputs:
        raise click.UsageError("--quantize-outputs needs --output")
    values = {} if document is None else read_document(document)
    with Client(address, credentials=credentials, timeout=timeout) as client:
        signature = signature_of(client.status(model), version, label)
        prediction = client.predict(
            model,
            read_inputs(inputs, values, signature),
            version=version,
            label=label,
            outputs=outputs or None,
            priority=priority,
            quantize=quantize,
            quantize_outputs=quantize_outputs,
        )
    if folder is not None:
        _write(prediction, folder)
    click.echo(_json(prediction) if form == "json" else _text(prediction))


def _write(prediction: Prediction, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in prediction.outputs.items():
        # numpy would write objects as a pickle, which nobody should load.
        plain = array.astype(bytes) if array.dtype == object else array
        np.save(folder / f"{name.replace('/', '_')}.npy", plain, allow_pickle=False)


def _text(prediction: Prediction) -> str:
    receipt = prediction.receipt
    queued, ran = receipt.queue_seconds * 1e3, receipt.run_seconds * 1e3
    head = f"{prediction.model}:{prediction.version}  batch of {receipt.batch_size}, "
    lines = [f"{head}queued {queued:.3f} ms, run {ran:.3f} ms{_prediction_text(receipt)}"]
    for name, array in prediction.outputs.items():
        quantized = prediction.quantized.get(name)
        came = f" (sent as {quantized.values.dtype})" if quantized else ""
        lines.append(f"{name}  {array.dtype} {list(array.shape)}{came}")
        body = np.array2string(array, precision=5, threshold=200, max_line_width=100, suppress_small=True)
        lines += (f"  {line}" for line in body.splitlines())
    return "\n".join(lines)


def _prediction_text(receipt: Receipt) -> str:
    if not receipt.predicted_seconds:
        return ""
    return f", in all {receipt.total_seconds * 1e3:.3f} ms (predicted {receipt.predicted_seconds * 1e3:.3f})"


def _json(prediction: Prediction) -> str:
    receipt = prediction.receipt
    return json.dumps(
        {
            "model": prediction.model,
            "version": prediction.version,
            "outputs": {name: _plain(array.tolist()) for name, array in prediction.outputs.items()},
            "receipt": {
                "queue_seconds": receipt.queue_seconds,
                "run_seconds": receipt.run_seconds,
                "batch_size": receipt.batch_size,
                "batches": receipt.batches,
                "predicted_seconds": receipt.predicted_seconds,
                "total_seconds": receipt.total_seconds,
            },
        }
    )


def _plain(value: Any) -> Any:
    """Return nested lists with text for bytes; what is not UTF-8 shows as replacement characters."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
