"""Models and versions as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from maas_server._stubs.maas.v1 import model_pb2, tensor_pb2

_HEAD = (
    "MODEL",
    "VERSION",
    "STATE",
    "LABELS",
    "BATCH",
    "QUEUED",
    "ANSWERED",
    "REFUSED",
    "FAILED",
    "RUN ms",
    "WAIT ms",
    "HEADROOM",
    "NOTE",
)
_RIGHT = frozenset(("VERSION", "BATCH", "QUEUED", "ANSWERED", "REFUSED", "FAILED", "RUN ms", "WAIT ms", "HEADROOM"))


def overview(models: Iterable[model_pb2.ModelInfo]) -> str:
    """Return one line per version; the version that answers by default carries a star."""
    rows = [row for model in models for row in _rows(model)]
    return table(_HEAD, rows) if rows else "no models"


def detail(model: model_pb2.ModelInfo) -> str:
    """Return all that is known about one model."""
    parts = [overview([model])]
    for version in model.versions:
        if version.HasField("signature"):
            parts.append(_version_detail(model.name, version))
    return "\n\n".join(parts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a head, in columns as wide as their longest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = (
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def shape_text(tensor: model_pb2.TensorSignature) -> str:
    """Return "FP32 [batch, 64]"; a varying dimension without a name is a question mark."""
    names = list(tensor.dim_names) or [""] * len(tensor.shape)
    dims = (name or "?" if dim < 0 else str(dim) for dim, name in zip(tensor.shape, names, strict=True))
    return f"{tensor_pb2.DataType.Name(tensor.datatype)} [{', '.join(dims)}]"


def _rows(model: model_pb2.ModelInfo) -> Iterable[Sequence[str]]:
    if not model.versions:
        yield (model.name, "-", "-", *[""] * 9, model.reason)
    for version in model.versions:
        counters = version.counters
        labels = sorted(label for label, number in model.labels.items() if number == version.version)
        star = "*" if version.version == model.default_version else " "
        yield (
            model.name,
            f"{version.version}{star}",
            model_pb2.VersionState.Name(version.state),
            ",".join(labels),
            str(version.batching.max_batch_size) if version.batching.enabled else "off",
            str(counters.queued_rows),
            str(counters.succeeded),
            str(counters.rejected),
            str(counters.failed),
            f"{counters.run_ns / counters.batches / 1e6:.3f}" if counters.batches else "-",
            *_scheduling_cells(version),
            version.reason or model.reason or _mode_note(version),
        )


def _scheduling_cells(version: model_pb2.VersionInfo) -> Sequence[str]:
    scheduling = version.scheduling
    if not version.HasField("scheduling"):
        return "-", "-"
    return f"{scheduling.predicted_ns / 1e6:.3f}" if scheduling.predicted_ns else "-", f"{scheduling.headroom:.0%}"


def _mode_note(version: model_pb2.VersionInfo) -> str:
    return "" if _holds(version.scheduling) else "work conserving: predictions do not hold"


def _version_detail(name: str, version: model_pb2.VersionInfo) -> str:
    lines = [f"{name}:{version.version}  {version.runner}  {version.digest}".rstrip()]
    for kind, tensors in (("input", version.signature.inputs), ("output", version.signature.outputs)):
        for tensor in tensors:
            optional = "  (optional)" if tensor.optional else ""
            lines.append(f"  {kind:7}{tensor.name}  {shape_text(tensor)}{optional}")
    lines.append(f"  {_batching_text(version.batching)}")
    if version.HasField("scheduling"):
        lines.append(f"  {_scheduling_text(version.scheduling)}")
    for point in version.curve:
        per_row = point.seconds / max(point.rows, 1)
        lines.append(
            f"  T({point.rows}) = {point.seconds * 1e3:.3f} ms, {per_row * 1e6:.1f} µs a row, "
            f"S({point.rows}) = {point.bytes / 1e6:.1f} MB"
        )
    return "\n".join(lines)


def _scheduling_text(scheduling: model_pb2.Scheduling) -> str:
    mode = "predictions hold" if _holds(scheduling) else "predictions do not hold"
    predicted = f"{scheduling.predicted_ns / 1e6:.3f} ms" if scheduling.predicted_ns else "unknown"
    return (
        f"{mode}; predicted wait {predicted}, headroom {scheduling.headroom:.0%}, "
        f"{scheduling.device} idle {scheduling.device_idle:.0%}"
    )


def _holds(scheduling: model_pb2.Scheduling) -> bool:
    return scheduling.mode != model_pb2.Scheduling.WORK_CONSERVING


def _batching_text(batching: model_pb2.Batching) -> str:
    limits = (
        f"{batching.instances} instance{'s' if batching.instances != 1 else ''}, "
        f"queue of {batching.max_queue_rows} rows, requests of up to {batching.max_request_rows} rows"
    )
    if not batching.enabled:
        return f"batching off: {batching.reason}; {limits}"
    padding = f", padded to {list(batching.pad_buckets)}" if batching.pad_buckets else ""
    delay = f", waits up to {batching.max_queue_delay_us} µs" if batching.max_queue_delay_us else ""
    but = f"; {batching.reason}" if batching.reason else ""
    return f"batches of up to {batching.max_batch_size} rows{delay}{padding}{but}; {limits}"
