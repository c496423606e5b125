"""TensorFlow Serving's JSON of classify and regress: examples, and their results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maas_server._stubs.tensorflow_serving import example_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.http.messages import Blob, dump_within, invalid, parse_object, wrong
from maas_server.http.tensorflow_tensors import from_b64, is_b64, signature_name
from maas_server.http.tensors import check_infinities


def read_examples(text: Blob) -> Blob:
    """Return a serialized ClassificationRequest, which has the same fields as that of regress, without the model.

    Raises:
        InvalidRequest: the text is no JSON, or a field is missing or wrong.
    """
    body = parse_object(text.data)
    message = pb.ClassificationRequest()
    message.model_spec.signature_name = signature_name(body)
    fill_input(message.input, body)
    return Blob(message.SerializeToString())


def write_classifications(answer: Blob, most: int) -> Blob:
    """Return label and score of each class of each example in a serialized ClassificationResponse, as JSON.

    Raises:
        Overloaded: the JSON would have more than `most` bytes.
    """
    result = pb.ClassificationResponse.FromString(bytes(answer.data)).result
    results = [[[each.label, each.score] for each in one.classes] for one in result.classifications]
    return Blob(dump_within({"results": results}, most))


def write_regressions(answer: Blob, most: int) -> Blob:
    """Return the value of each example in a serialized RegressionResponse, as JSON.

    Raises:
        Overloaded: the JSON would have more than `most` bytes.
    """
    result = pb.RegressionResponse.FromString(bytes(answer.data)).result
    return Blob(dump_within({"results": [one.value for one in result.regressions]}, most))


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
            check_infinities(values, path)
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
