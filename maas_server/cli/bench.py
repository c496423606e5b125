"""`maas bench`."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import click
from grpc import ChannelCredentials

from maas_server.cli.inputs import signature_of
from maas_server.cli.load import LoadPlan, Record, drive, random_inputs
from maas_server.cli.options import connection, version_choice
from maas_server.client import AsyncClient, PredictOptions
from maas_server.client._quantize import QuantizedDtype

# Enough different inputs that no cache of the processor holds the answer to all of them.
_VARIANTS = 16
_TICK_SECONDS = 0.1
_BAR_STEPS = 1000


class _MetadataType(click.ParamType["tuple[str, str]"]):
    name = "metadata"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        key, separator, text = str(value).partition("=")
        if not separator or not re.fullmatch(r"[0-9a-z_.-]+", key) or key.endswith("-bin"):
            self.fail(f"expected KEY=VALUE with a lower-case key, got {value}", param, ctx)
        return key, text


class _ShapeType(click.ParamType["tuple[str, tuple[int, ...]]"]):
    name = "shape"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        name, _, dims = str(value).rpartition("=")
        try:
            shape = tuple(int(dim) for dim in dims.split(",") if dim.strip())
        except ValueError:
            shape = (-1,)
        if not name or any(dim < 0 for dim in shape):
            self.fail(f"expected NAME=1,3,224,224, got {value}", param, ctx)
        return name, shape


@click.command(
    epilog="Examples: maas bench digits --concurrency 64 --duration 10. maas bench digits --stream --rate 5000 "
    "--rows 4. maas bench encoder --shape ids=1,128 --count 1000 --json"
)
@click.argument("model")
@version_choice
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=16, show_default=True, help="Requests under way at any time."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="PER_SECOND",
    help="Start requests at random instants at this mean rate, whether or not the server keeps up; latency counts "
    "from when a request was due. Replaces --concurrency.",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to measure.",
)
@click.option("--count", type=click.IntRange(min=1), help="Send so many requests instead.")
@click.option(
    "--warmup",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Load before that, not measured.",
)
@click.option("--stream", is_flag=True, help="Over one stream that joins requests. [default: one RPC per request]")
@click.option("--rows", type=click.IntRange(min=1), default=1, show_default=True, help="Rows of each request.")
@click.option(
    "--shape",
    "shapes",
    type=_ShapeType(),
    multiple=True,
    metavar="NAME=DIMS",
    help="Shape of an input, such as image=1,3,224,224. May be repeated. [default: ROWS for a varying first "
    "dimension, 1 for other varying ones]",
)
@click.option("--quantize", type=click.Choice(["int8", "uint8"]), help="Send float inputs quantized.")
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long each request may take, from when it is due at a rate; says how many made it. [default: --timeout]",
)
@click.option(
    "--priority", type=click.IntRange(min=0), default=0, help="Level, 1 is the highest. [default: the model's]"
)
@click.option(
    "--metadata",
    type=_MetadataType(),
    multiple=True,
    metavar="KEY=VALUE",
    help="Sent with every call, such as the tenant's name. May be repeated.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random inputs and arrivals.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one line of JSON.")
@connection()
def bench(
    model: str,
    as_json: bool,
    rows: int,
    metadata: tuple[tuple[str, str], ...],
    address: str,
    timeout: float,
    credentials: ChannelCredentials | None,
    **options: Any,
) -> None:
    """Put a model under load and measure.

    Inputs are random, as the model's signature wants them. The load comes from this one process: when it takes a
    whole CPU, it is what is being measured. Interrupted, it shows what it measured until then.
    """
    if options["version"] is not None and options["label"] is not None:
        raise click.UsageError("--version and --label exclude each other")
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        client = AsyncClient(address, credentials=credentials, timeout=timeout, metadata=dict(metadata))
        record = runner.run(_bench(model, rows, client, **options))
    summary = record.summary(rows, options["deadline"])
    click.echo(json.dumps(summary) if as_json else _text(summary, options["rate"]))
    if not record.latencies and record.first_error is not None:
        raise record.first_error


async def _bench(
    model: str,
    rows: int,
    client: AsyncClient,
    *,
    version: int | None,
    label: str | None,
    concurrency: int,
    rate: float | None,
    duration: float,
    count: int | None,
    warmup: float,
    stream: bool,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    quantize: QuantizedDtype | None,
    deadline: float | None,
    priority: int,
    seed: int,
) -> Record:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(client)
        signature = signature_of(await client.status(model), version, label)
        variants = itertools.cycle(
            [random_inputs(signature, rows, dict(shapes), seed + each) for each in range(_VARIANTS)]
        )
        options: PredictOptions = {"version": version, "label": label, "quantize": quantize, "priority": priority}
        if deadline is not None:
            options["timeout"] = deadline
        channel = await stack.enter_async_context(client.stream()) if stream else client
        plan = LoadPlan(concurrency, rate, duration, count, seed)

        def send() -> Any:
            return channel.predict(model, next(variants), **options)

        if warmup:
            await drive(replace(plan, seconds=warmup, count=None), send, Record())
        record = Record()
        show = asyncio.create_task(_show_progress(plan, record))
        try:
            # Interrupted: what was measured until then counts.
            with suppress(asyncio.CancelledError):
                await drive(plan, send, record)
        finally:
            show.cancel()
            await asyncio.wait([show])
        return record


async def _show_progress(plan: LoadPlan, record: Record) -> None:
    """Keep a bar up to date until cancelled; on a terminal only."""
    if not sys.stderr.isatty():
        return
    clock = asyncio.get_running_loop().time
    start = clock()
    with click.progressbar(length=_BAR_STEPS, show_eta=False, item_show_func=lambda told: told, file=sys.stderr) as bar:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            seconds = clock() - start
            done = record.started / plan.count if plan.count else seconds / plan.seconds
            rate = len(record.latencies) / seconds
            bar.update(
                int(min(done, 1.0) * _BAR_STEPS) - bar.pos,
                f"{rate:.0f} requests/s, {record.errors.total()} errors",
            )


def _text(summary: dict[str, Any], rate: float | None) -> str:
    lines = [
        f"answered   {summary['answered']} requests in {summary['seconds']:.2f} s",
        f"throughput {summary['requests_per_second']:.1f} requests/s, {summary['rows_per_second']:.1f} rows/s",
    ]
    if rate is not None:
        reached = summary["started_per_second"]
        missed = "" if summary["rate_kept"] else "  MISSED: this client cannot send that fast"
        lines.append(f"rate       {reached:.1f} of {rate:g} requests/s started{missed}")
    if summary["in_time"] is not None:
        share = summary["in_time"] / summary["started"] if summary["started"] else 0.0
        lines.append(f"in time    {summary['in_time']} of {summary['started']} requests, {share:.1%}")
    if summary["answered"]:
        spread = "  ".join(f"{name} {value * 1e3:.3f}" for name, value in summary["latency_seconds"].items())
        queued, ran = summary["mean_queue_seconds"] * 1e3, summary["mean_run_seconds"] * 1e3
        batch = summary["mean_batch_size"]
        lines.append(f"latency    mean {summary['mean_latency_seconds'] * 1e3:.3f}  {spread} ms")
        lines.append(f"server     queued {queued:.3f} ms, run {ran:.3f} ms, batch of {batch:.1f} rows (means)")
        if predicted := summary["mean_predicted_seconds"] * 1e3:
            total = summary["mean_total_seconds"] * 1e3
            lines.append(f"predicted  {predicted:.3f} ms, and it took {total:.3f} ms in the server (means)")
    lines.append(f"errors     {sum(summary['errors'].values()) or 'none'}")
    reasons = sorted(summary["reasons"], key=lambda each: -each["count"])
    lines += (f"  {each['count']} {each['code']} {each['reason']}" for each in reasons)
    return "\n".join(lines)
