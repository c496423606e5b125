"""The parts of a plan: what inspection found of inputs and outputs, with what the configuration declares of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from maas_server.errors import LoadError
from maas_server.models.config import ModelConfig
from maas_server.models.declared import Shape, fit_inputs, fit_outputs, wire_shapes, wire_signature
from maas_server.models.inspect import Inspection, OutputFacts
from maas_server.models.padding import PadGroup
from maas_server.models.plan import InputPlan, OutputPlan
from maas_server.models.runner import Signature, TensorInfo
from maas_server.models.triton_model import TritonModel


def refined(signature: Signature, found: Inspection) -> Signature:
    """Return the signature with the outputs' shapes as the runs showed them."""
    outputs = tuple(
        info if info.shape == facts.shape else replace(info, shape=facts.shape, dim_names=_names(info, facts.shape))
        for info, facts in zip(signature.outputs, found.outputs, strict=True)
    )
    return Signature(signature.inputs, outputs)


def _names(info: TensorInfo, shape: tuple[int, ...]) -> tuple[str, ...]:
    return info.dim_names if len(info.dim_names) == len(shape) else ()


def with_optional(signature: Signature, groups: Sequence[PadGroup]) -> Signature:
    """Return the signature with those inputs optional that the server fills."""
    filled = {index for group in groups for index in (group.mask, group.lengths)}
    inputs = tuple(replace(info, optional=index in filled) for index, info in enumerate(signature.inputs))
    return Signature(inputs, signature.outputs)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a configuration says of a model's tensors."""

    triton: TritonModel | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Output to the names of its classes."""

    def fit_inputs(self, config: ModelConfig, signature: Signature) -> tuple[ModelConfig, Signature]:
        """Return configuration and signature with the declared inputs in force.

        Raises:
            LoadError: they are not the model's.
        """
        strangers = self.labels.keys() - {info.name for info in signature.outputs}
        if strangers:
            raise LoadError(f"output_labels.{min(strangers)}: the model has no such output")
        if self.triton is None:
            return config, signature
        signature = fit_inputs(self.triton.inputs, signature, batched=self.triton.batched)
        return self.triton.with_batch_axes(config, signature), signature

    def fit_outputs(self, signature: Signature, found: Inspection) -> tuple[Signature, Inspection]:
        """Return signature and findings with the declared outputs in force.

        Raises:
            LoadError: they are not the model's.
        """
        if self.triton is None or not self.triton.outputs:
            return signature, found
        outputs = fit_outputs(
            self.triton.outputs, signature.outputs, batched=self.triton.batched, observed=found.recipe is not None
        )
        facts = tuple(_narrowed(each, info.shape) for each, info in zip(found.outputs, outputs, strict=True))
        return Signature(signature.inputs, outputs), replace(found, outputs=facts)

    def counts_rows(self, config: ModelConfig, found: Inspection) -> bool:
        """Whether the batch axes count rows; not where whole shapes are declared and nothing is batched."""
        whole = self.triton is not None and not self.triton.batched and config.batching.enabled is False
        return not found.reason and not whole

    def wire_signature(self, signature: Signature) -> Signature:
        """Return the signature as clients see it."""
        if self.triton is None:
            return signature
        return wire_signature(signature, self.triton.inputs, self.triton.outputs)

    def plans(
        self, signature: Signature, found: Inspection, groups: Sequence[PadGroup], *, counts_rows: bool
    ) -> tuple[tuple[InputPlan, ...], tuple[OutputPlan, ...]]:
        """Return the plans of all inputs and outputs.

        Raises:
            LoadError: a tensor is both padded and reshaped.
        """
        wire_inputs = wire_shapes(self.triton.inputs) if self.triton is not None else {}
        wire_outputs = wire_shapes(self.triton.outputs) if self.triton is not None else {}
        inputs = tuple(
            replace(plan, wire_shape=wire_inputs.get(plan.name))
            for plan in _input_plans(signature, found, groups, counts_rows=counts_rows)
        )
        outputs = tuple(
            replace(plan, wire_shape=wire_outputs.get(plan.name), labels=self.labels.get(plan.name, ()))
            for plan in _output_plans(signature, found, groups, counts_rows=counts_rows)
        )
        both = [plan.name for plan in inputs if plan.wire_shape is not None and plan.pad_group is not None]
        both += [plan.name for plan in outputs if plan.wire_shape is not None and plan.pad_group is not None]
        if both:
            raise LoadError(f"padding: {both[0]!r} is reshaped by config.pbtxt, and cannot be padded as well")
        return inputs, outputs


def _narrowed(facts: OutputFacts, shape: Shape) -> OutputFacts:
    """Return the facts with fixed sizes where the configuration declares them."""
    facts = replace(facts, any_shape=False)
    if facts.shape == shape:
        return facts
    sources = facts.sources if len(facts.sources) == len(shape) else (None,) * len(shape)
    return replace(
        facts,
        shape=shape,
        sources=tuple(None if size >= 0 else source for size, source in zip(shape, sources, strict=True)),
    )


def _input_plans(
    signature: Signature, found: Inspection, groups: Sequence[PadGroup], *, counts_rows: bool
) -> tuple[InputPlan, ...]:
    plans = []
    for index, info in enumerate(signature.inputs):
        plan = InputPlan(
            info.name, info.datatype, info.shape, batch_axis=found.layout.batch_axes[index] if counts_rows else None
        )
        for number, group in enumerate(groups):
            if index in group.axes:
                plan = replace(plan, pad_group=number, pad_axis=group.axes[index], pad_value=group.values[index])
            if index == group.mask:
                plan = replace(plan, auto_fill="mask")
            if index == group.lengths:
                plan = replace(plan, pad_group=number, auto_fill="length")
        plans.append(plan)
    return tuple(plans)


def _output_plans(
    signature: Signature, found: Inspection, groups: Sequence[PadGroup], *, counts_rows: bool
) -> tuple[OutputPlan, ...]:
    return tuple(
        OutputPlan(
            info.name,
            info.datatype,
            facts.shape,
            facts.sources,
            batch_axis=facts.batch_axis if counts_rows else None,
            pad_group=facts.pad_group if groups else None,
            pad_axis=facts.pad_axis if groups else None,
            any_shape=facts.any_shape and facts.pad_axis is None,
        )
        for info, facts in zip(signature.outputs, found.outputs, strict=True)
    )
