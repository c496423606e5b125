"""Classes with scores, and single values, from a model's outputs.

Scores are the output `scores`, else `probabilities`, else the first of a floating datatype with a row of several per
example. Their names are the output `classes` or, without one of that name, the first of BYTES or INT64, if it has the
scores' shape; else the labels that the model is configured with; else numbers. A model that answers no scores but the
class alone is answered with that class and no score.

The value of a regression is the output `outputs`, else the first of a floating datatype with one value per example.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.errors import InvalidRequest
from maas_server.models.runner import NUMPY_DTYPES, Array, TensorInfo

_FLOATING = ("FP32", "FP64", "FP16", "BF16")
_NAMED = ("BYTES", "INT64")
_BF16_SHIFT = 16


def find_scores(outputs: Sequence[TensorInfo]) -> TensorInfo | None:
    """Return the output that holds scores, by the signature alone; None if there is none."""
    return _named(
        (info for info in outputs if info.datatype in _FLOATING and len(info.shape) == 2 and info.shape[1] != 1),
        "scores",
        "probabilities",
    )


def find_classes(outputs: Sequence[TensorInfo]) -> TensorInfo | None:
    """Return the output that holds the classes, or the class; None if there is none."""
    return _named((info for info in outputs if info.datatype in _NAMED and len(info.shape) in (1, 2)), "classes")


def find_regression(outputs: Sequence[TensorInfo]) -> TensorInfo | None:
    """Return the output that holds one value per example, by the signature alone; None if there is none."""
    return _named(
        (
            info
            for info in outputs
            if info.datatype in _FLOATING
            and (len(info.shape) == 1 or (len(info.shape) == 2 and info.shape[1] in (1, -1)))
        ),
        "outputs",
    )


def _named(infos: Iterable[TensorInfo], *names: str) -> TensorInfo | None:
    found = list(infos)
    for name in names:
        for info in found:
            if info.name == name:
                return info
    return found[0] if found else None


def classifications(
    response: predict_pb2.PredictResponse,
    outputs: Sequence[TensorInfo],
    labels: Mapping[str, Sequence[str]],
    rows: int,
) -> pb.ClassificationResult:
    """Return the classes of every row; `labels`: of the outputs that have some.

    Raises:
        InvalidRequest: the model answers nothing that could be classes.
    """
    answered = {tensor.name: tensor for tensor in response.outputs}
    scores_info, classes_info = find_scores(outputs), find_classes(outputs)
    classes = _array(answered[classes_info.name]) if classes_info else None
    if scores_info is None:
        if classes is None or classes.size != rows:
            raise _unsuited(response, "Classify", "scores, FP32 [examples, classes], or classes, BYTES", outputs)
        return pb.ClassificationResult(
            classifications=[pb.Classifications(classes=[pb.Class(label=_text(each))]) for each in classes.ravel()]
        )
    scores = _array(answered[scores_info.name])
    if len(scores) != rows:
        raise _unsuited(response, "Classify", f"a row of scores for each of {rows} examples", outputs)
    if classes is not None and classes.shape == scores.shape:
        names = [[_text(each) for each in row] for row in classes]
    else:
        known = list(labels.get(scores_info.name, ()))[: scores.shape[1]]
        names = [known + [str(index) for index in range(len(known), scores.shape[1])]] * rows
    result = pb.ClassificationResult()
    for row, row_names in zip(scores.tolist(), names, strict=True):
        result.classifications.add(
            classes=[pb.Class(label=name, score=score) for name, score in zip(row_names, row, strict=True)]
        )
    return result


def regressions(response: predict_pb2.PredictResponse, outputs: Sequence[TensorInfo], rows: int) -> pb.RegressionResult:
    """Return the value of every row.

    Raises:
        InvalidRequest: the model answers no output with one value per example.
    """
    info = find_regression(outputs)
    values = None
    if info is not None:
        values = _array(next(tensor for tensor in response.outputs if tensor.name == info.name))
    if values is None or values.size != rows:
        raise _unsuited(response, "Regress", "an output of one FP32 value per example", outputs)
    return pb.RegressionResult(regressions=[pb.Regression(value=value) for value in values.ravel().tolist()])


def _array(tensor: tensor_pb2.Tensor) -> Array:
    datatype = tensor_pb2.DataType.Name(tensor.datatype)
    if datatype == "BYTES":
        values = np.empty(tuple(tensor.shape), NUMPY_DTYPES[datatype])
        values.ravel()[:] = _strings(tensor.data)
        return values
    array = np.frombuffer(tensor.data, NUMPY_DTYPES[datatype]).reshape(tensor.shape)
    if datatype == "BF16":
        return (array.astype(np.uint32) << _BF16_SHIFT).view(np.float32)
    return array


def _strings(data: bytes) -> list[bytes]:
    values, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        values.append(data[at + 4 : end])
        at = end
    return values


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _unsuited(
    response: predict_pb2.PredictResponse, method: str, expected: str, outputs: Sequence[TensorInfo]
) -> InvalidRequest:
    got = ", ".join(f"{info.name!r} ({info.datatype} {list(info.shape)})" for info in outputs)
    return InvalidRequest(
        f"model {response.model}:{response.version} is not made for {method}: expected {expected}, got {got}"
    )
