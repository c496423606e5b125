"""Images as they are served: int8 in the host's memory, a tensor of floats on the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.gpu.segments import BF16, FP16, FP32, INT8, ITEM_BYTES, Loop, Quantization, SegmentList

CHANNELS, PIXELS = 3, 224 * 224
NAMES = {FP32: "fp32", FP16: "fp16", BF16: "bf16"}
_SEED = 20


@dataclass(frozen=True)
class Images:
    """A batch of requests with one image each, and the tensor that is made of them."""

    count: int
    to: int
    """FP32, FP16 or BF16."""
    per_axis: bool = False
    """Every channel has a scale of its own, instead of every image."""

    @property
    def values(self) -> int:
        """How many numbers a batch has, which are the bytes that it comes in."""
        return self.count * CHANNELS * PIXELS

    @property
    def tensor_bytes(self) -> int:
        """The size of the tensor."""
        return self.values * ITEM_BYTES[self.to]

    @property
    def name(self) -> str:
        """How rows of the table are told apart."""
        return f"{NAMES[self.to]}_{self.count}" + ("_axis" if self.per_axis else "")

    def pixels(self) -> npt.NDArray[np.int8]:
        """Return the bytes of all requests, one image after the other."""
        generator = np.random.default_rng(_SEED)
        return generator.integers(-128, 128, (self.count, CHANNELS, PIXELS), np.int8)

    def quantization(self) -> list[Quantization]:
        """Return how each request was quantized: no two alike."""
        generator = np.random.default_rng(_SEED + 1)
        indices = CHANNELS if self.per_axis else 1
        return [
            Quantization(
                generator.uniform(0.001, 0.1, indices).astype(np.float32),
                generator.integers(-128, 128, indices).astype(np.int32),
            )
            for _ in range(self.count)
        ]

    def segments(self) -> SegmentList:
        """Return the segments of a batch."""
        segments = SegmentList()
        image = CHANNELS * PIXELS
        for index, quantization in enumerate(self.quantization()):
            src, dst = index * image, index * image * ITEM_BYTES[self.to]
            if self.per_axis:
                loops = [Loop(CHANNELS, PIXELS, PIXELS, axis=True)]
                segments.convert(src, dst, (INT8, self.to), quantization, PIXELS, loops)
            else:
                segments.convert(src, dst, (INT8, self.to), quantization, image)
        return segments

    def check(self, tensor: npt.NDArray[np.uint8]) -> None:
        """Compare a tensor, as bytes, with what the CPU makes of the images.

        Raises:
            RuntimeError: they differ.
        """
        pixels, written = self.pixels(), ITEM_BYTES[self.to]
        for index, quantization in enumerate(self.quantization()):
            shifted = (pixels[index].astype(np.int32) - quantization.zero_points[:, None]).astype(np.float32)
            wanted = as_bytes(shifted * quantization.scales[:, None], self.to)
            size = CHANNELS * PIXELS * written
            if not np.array_equal(tensor[index * size : (index + 1) * size], wanted):
                raise RuntimeError(f"image {index} of {self.name} is not what the CPU makes of it")


def as_bytes(values: npt.NDArray[np.float32], to: int) -> npt.NDArray[np.uint8]:
    """Return finite numbers as the bytes of a floating datatype."""
    if to == FP16:
        return values.astype(np.float16).ravel().view(np.uint8)
    if to == BF16:
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).ravel().view(np.uint8)
    return values.ravel().view(np.uint8)
