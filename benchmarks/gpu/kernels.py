"""What the kernels cost on a GPU: packing images, and bringing them up from the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.bench import Bench, alternate, compared, median
from benchmarks.gpu import found
from benchmarks.gpu.images import Images
from benchmarks.gpu.segments import BF16, FP16, FP32, SegmentList
from benchmarks.gpu.staged import get, put
from benchmarks.gpu.timing import Stopwatch
from benchmarks.report import Goal, Result
from maas_server.devices.table import Device, Stream

PACKED = (
    *(Images(32, to) for to in (FP32, FP16, BF16)),
    Images(32, FP32, per_axis=True),
    *(Images(128, to) for to in (FP32, FP16, BF16)),
)
UPLOADED = (Images(32, FP32), Images(32, FP16))

# More than a GPU's caches hold, so that both sides read and write its memory.
_FOOTPRINT = 512 << 20
_ALIGNMENT = 256


def pack(bench: Bench) -> Sequence[Result]:
    """Compare dequantizing and packing with a copy within the device, by bytes read and written."""
    return _each(PACKED, lambda device, images: pack_images(bench, device, images))


def upload(bench: Bench) -> Sequence[Result]:
    """Compare int8 images that become a tensor with the same tensor of FP32 uploaded."""
    return _each(UPLOADED, lambda device, images: upload_images(bench, device, images))


def _each(sizes: Sequence[Images], measure: Callable[[Device, Images], Result]) -> list[Result]:
    table = found.gpu().table
    results = []
    for images in sizes:
        # What one has made is freed before the next.
        with table.device(0) as device:
            results.append(measure(device, images))
    return results


def pack_images(bench: Bench, device: Device, images: Images) -> Result:
    """Return how fast a batch that lies on the device is packed."""
    moved = images.values + images.tensor_bytes
    copied = moved // 2
    sets = max(2, -(-_FOOTPRINT // moved))
    batch = images.segments()
    source, tensor = device.memory(sets * images.values), device.memory(sets * images.tensor_bytes)
    copy_source, copy_target = device.memory(sets * copied), device.memory(sets * copied)
    watch = Stopwatch(device)
    pixels = images.pixels().tobytes()
    for index in range(sets):
        put(device, watch.stream, pixels, source.address + index * images.values)
    move = _launch(device, watch.stream, batch)

    def packed(stream: Stream, repeat: int) -> None:
        index = repeat % sets
        move(stream, source.address + index * images.values, tensor.address + index * images.tensor_bytes)

    def copy(stream: Stream, repeat: int) -> None:
        at = repeat % sets * copied
        stream.copy(copy_target.address + at, copy_source.address + at, copied)

    packed(watch.stream, sets - 1)
    last = tensor.address + (sets - 1) * images.tensor_bytes
    images.check(get(device, watch.stream, last, images.tensor_bytes))
    repeats = bench.count(500)
    rounds = alternate(
        bench.rounds,
        kernel=lambda: moved / watch.seconds(repeats, packed) / 1e9,
        copy=lambda: 2 * copied / watch.seconds(repeats, copy) / 1e9,
    )
    return compared(
        rounds,
        "kernel",
        "copy",
        name=f"gpu_pack_{images.name}",
        unit="GB/s moved",
        reference_name="copy within the device",
        goal=Goal(">=", 0.85),
        details={"bytes": moved, "microseconds": moved / median(rounds, "kernel") / 1e3},
    )


def upload_images(bench: Bench, device: Device, images: Images) -> Result:
    """Return how fast images in pinned memory become a tensor: segments, parameters and bytes in one copy."""
    batch = images.segments()
    table, params = batch.table(), batch.params()
    params_at = _aligned(len(table))
    header = params_at + _aligned(len(params))
    size = header + images.values
    floats = images.values * 4
    staging, memory = device.pinned(size), device.memory(size)
    tensor = device.memory(images.tensor_bytes)
    float_staging, float_tensor = device.pinned(floats), device.memory(floats)
    staged = staging.array()
    staged[: len(table)] = np.frombuffer(table, np.uint8)
    staged[params_at : params_at + len(params)] = np.frombuffer(params, np.uint8)
    staged[header:] = images.pixels().ravel().view(np.uint8)
    float_staging.array()[:] = 1
    watch = Stopwatch(device)

    def quantized(stream: Stream, _: int) -> None:
        stream.upload(memory.address, staging.address, size)
        at = memory.address
        stream.move(at, len(batch), batch.tiles, at + params_at, at + header, tensor.address)

    def as_floats(stream: Stream, _: int) -> None:
        stream.upload(float_tensor.address, float_staging.address, floats)

    quantized(watch.stream, 0)
    images.check(get(device, watch.stream, tensor.address, images.tensor_bytes))
    repeats = bench.count(100)
    rounds = alternate(
        bench.rounds,
        int8=lambda: images.count / watch.seconds(repeats, quantized),
        fp32=lambda: images.count / watch.seconds(repeats, as_floats),
    )
    return compared(
        rounds,
        "int8",
        "fp32",
        name=f"gpu_upload_{images.name}",
        unit="images/s",
        reference_name="upload of FP32 images",
        goal=Goal(">=", 3),
        details={
            "int8_gbytes_per_second": median(rounds, "int8") / images.count * size / 1e9,
            "fp32_gbytes_per_second": median(rounds, "fp32") / images.count * floats / 1e9,
        },
    )


def _launch(device: Device, stream: Stream, segments: SegmentList) -> Callable[[Stream, int, int], None]:
    """Put segments on the device, and return what moves them from one address to another."""
    table, params = device.memory(len(segments.table())), device.memory(len(segments.params()))
    put(device, stream, segments.table(), table.address)
    put(device, stream, segments.params(), params.address)
    count, tiles = len(segments), segments.tiles

    def move(on: Stream, source: int, to: int) -> None:
        on.move(table.address, count, tiles, params.address, source, to)

    return move


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
