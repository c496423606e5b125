"""TensorFlow Serving's JSON of classify and regress: examples, and their results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maas_server._stubs.tensorflow_serving import example_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.http.messages import invalid, wrong
from maas_server.http.tensorflow_tensors import from_b64, is_b64


def fill_input(message: pb.Input, body: Mapping[str, Any]) -> None:
    """Write the "examples", and the "context" if there is one, of a request.

    Raises:
        InvalidRequest: a field is missing or wrong.
    """
    examples = body.get("examples")
    if not isinstance(examples, list) or not examples:
        raise wrong("examples", "an array that is not empty", examples)
    if "context" in body:
        target = message.example_list_with_context.examples
        _fill(message.example_list_with_context.context, body["context"], "context")
    else:
        target = message.example_list.examples
    for index, example in enumerate(examples):
        _fill(target.add(), example, f"examples[{index}]")


def _fill(example: example_pb2.Example, features: object, path: str) -> None:
    if not isinstance(features, dict):
        raise wrong(path, "an object", features)
    # An example without features is one all the same.
    example.features.SetInParent()
    for name, value in features.items():
        _fill_feature(example.features.feature[name], value, f"{path}[{name!r}]")


def _fill_feature(feature: example_pb2.Feature, value: object, path: str) -> None:
    values: list[Any] = value if isinstance(value, list) else [value]
    types = set(map(type, values))
    try:
        if not values:
            feature.SetInParent()
        elif types == {int}:
            feature.int64_list.value.extend(values)
        elif types <= {int, float}:
            feature.float_list.value.extend(map(float, values))
        else:
            feature.bytes_list.value.extend(_bytes(each, path) for each in values)
    except (OverflowError, ValueError) as error:
        if isinstance(error, UnicodeError):
            raise
        raise invalid(path, "a number is out of range") from None


def _bytes(value: object, path: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and is_b64(value):
        return from_b64(value, path)
    raise wrong(path, 'numbers, strings or {"b64": "..."}, all of one kind', value)


def classifications(result: pb.ClassificationResult) -> list[list[list[Any]]]:
    """Return label and score of each class of each example."""
    return [[[each.label, each.score] for each in one.classes] for one in result.classifications]


def regressions(result: pb.RegressionResult) -> list[float]:
    """Return one value for each example."""
    return [one.value for one in result.regressions]
