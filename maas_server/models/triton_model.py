"""What a Triton model configuration says beyond our own keys: tensors, warm-up samples, and what is not honoured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from maas_server.models.config import ModelConfig
from maas_server.models.declared import DeclaredTensor, Shape
from maas_server.models.findings import NotHonoured
from maas_server.models.runner import Signature

ONNX_PLATFORM = "onnxruntime_onnx"
ONNX_BACKEND = "onnxruntime"

Fill = Literal["zero", "random", "file"]


@dataclass(frozen=True, slots=True)
class WarmupTensor:
    """One input of a sample."""

    name: str
    datatype: str
    shape: Shape
    """As a client would send it, without the batch dimension."""
    fill: Fill
    file: str = ""


@dataclass(frozen=True, slots=True)
class WarmupSample:
    """Inputs to run `count` times before the version is AVAILABLE."""

    name: str
    rows: int
    """0: the inputs have no batch dimension."""
    inputs: tuple[WarmupTensor, ...]
    count: int


@dataclass(frozen=True, slots=True)
class TritonModel:
    """A config.pbtxt, as far as it goes beyond `ModelConfig`."""

    message: bytes
    """The inference.ModelConfig as it was read, with name, platform and backend filled in."""
    load_key: str = field(repr=False)
    """What a loaded version depends on: the version policy chooses versions and changes none."""
    max_batch_size: int
    """0: the dimensions are whole. Otherwise they leave the first one out, which counts rows."""
    inputs: tuple[DeclaredTensor, ...] = ()
    """None: those of the model file."""
    outputs: tuple[DeclaredTensor, ...] = ()
    warmups: tuple[WarmupSample, ...] = ()
    not_honoured: tuple[NotHonoured, ...] = field(default=())

    @property
    def batched(self) -> bool:
        """Whether the first dimension of each tensor counts rows."""
        return self.max_batch_size > 0

    def side_files(self) -> tuple[str, ...]:
        """Return the files of warm-up data, by their paths in the model's folder."""
        return tuple(f"warmup/{each.file}" for sample in self.warmups for each in sample.inputs if each.file)

    def with_batch_axes(self, config: ModelConfig, signature: Signature) -> ModelConfig:
        """Return the configuration with the batch axes that `max_batch_size` stands for."""
        if not self.batched:
            return config
        axes = {info.name: 0 for info in signature.inputs}
        return config.model_copy(update={"batching": config.batching.model_copy(update={"batch_axis": axes})})
