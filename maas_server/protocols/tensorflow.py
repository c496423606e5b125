"""TensorFlow Serving: what is said of models, their versions and their signatures."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence

from maas_server._stubs.tensorflow_serving import (
    error_code_pb2,
    model_pb2,
    model_service_pb2,
    signature_pb2,
    tensor_pb2,
)
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.errors import InvalidRequest, NotAvailable, NotFound, Violation
from maas_server.models.registry import ModelView, State, VersionView
from maas_server.models.runner import TensorInfo
from maas_server.protocols.open_inference import check_name, serving_versions
from maas_server.protocols.tensorflow_results import find_regression, find_scores

DEFAULT_SIGNATURE = "serving_default"
CLASSIFICATION_SIGNATURE = "classification"
REGRESSION_SIGNATURE = "regression"
PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"
SIGNATURE_DEF = "signature_def"

DATATYPES = {
    "BOOL": tensor_pb2.DT_BOOL,
    "UINT8": tensor_pb2.DT_UINT8,
    "UINT16": tensor_pb2.DT_UINT16,
    "UINT32": tensor_pb2.DT_UINT32,
    "UINT64": tensor_pb2.DT_UINT64,
    "INT8": tensor_pb2.DT_INT8,
    "INT16": tensor_pb2.DT_INT16,
    "INT32": tensor_pb2.DT_INT32,
    "INT64": tensor_pb2.DT_INT64,
    "FP16": tensor_pb2.DT_HALF,
    "BF16": tensor_pb2.DT_BFLOAT16,
    "FP32": tensor_pb2.DT_FLOAT,
    "FP64": tensor_pb2.DT_DOUBLE,
    "BYTES": tensor_pb2.DT_STRING,
}
_MAX_NAME_BYTES = 256


def check_spec(spec: model_pb2.ModelSpec) -> None:
    """Check that a request names a model, and no version that there cannot be.

    Raises:
        InvalidRequest: it does not.
    """
    check_name(spec.name, "model_spec.name")
    size = len(spec.name.encode())
    if size > _MAX_NAME_BYTES:
        raise _invalid("model_spec.name", f"expected at most {_MAX_NAME_BYTES} bytes, got {size}")
    if spec.version.value < 0:
        raise _invalid("model_spec.version", f"expected a number greater than 0, got {spec.version.value}")


def serving_version(view: ModelView, spec: model_pb2.ModelSpec) -> VersionView:
    """Return the version that a request means: the one of its number or label, else the newest that serves.

    Raises:
        NotFound: there is no such version or label.
        Unavailable: no version serves, or the one that is named does not.
    """
    label = spec.version_label
    # A number would be taken for that of a version.
    if label.isdecimal():
        raise NotFound(f"model {view.name!r} has no label {label[:128]!r}", reason="LABEL_NOT_FOUND")
    return serving_versions(view, label or str(spec.version.value or ""))[0]


def check_signature(spec: model_pb2.ModelSpec, other: str) -> None:
    """Check that a request names the default signature, the one called `other`, or none.

    Raises:
        NotAvailable: it names another.
    """
    if spec.signature_name not in ("", DEFAULT_SIGNATURE, other):
        raise NotAvailable(
            f'Serving signature key "{spec.signature_name[:_MAX_NAME_BYTES]}" not found. '
            f'Expected "{DEFAULT_SIGNATURE}", "{other}" or none',
            reason="SIGNATURE_NOT_FOUND",
        )


def answered_spec(name: str, version: int, signature: str = "") -> model_pb2.ModelSpec:
    """Return the ModelSpec of an answer."""
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    spec.version.value = version
    return spec


def model_metadata(view: ModelView, request: pb.GetModelMetadataRequest) -> pb.GetModelMetadataResponse:
    """Return the signatures of the version that the request means.

    Raises:
        NotFound: there is no such version or label.
        Unavailable: no version serves, or the one that is named does not.
    """
    version = serving_version(view, request.model_spec)
    response = pb.GetModelMetadataResponse(model_spec=answered_spec(view.name, version.version))
    response.metadata[SIGNATURE_DEF].Pack(signature_defs(version))
    return response


def check_metadata_fields(fields: Sequence[str]) -> None:
    """Check that a request asks for metadata that there is.

    Raises:
        InvalidRequest: it asks for none, or for other.
    """
    if not fields:
        raise _invalid("metadata_field", "GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != SIGNATURE_DEF:
            text = f"Metadata field {field[:_MAX_NAME_BYTES]} is not supported"
            raise InvalidRequest(f"{text}; expected {SIGNATURE_DEF!r}", violations=[Violation("metadata_field", text)])


def signature_defs(version: VersionView) -> pb.SignatureDefMap:
    """Return what a version can be asked for: predictions always, classes and values where its outputs allow it."""
    signatures = pb.SignatureDefMap()
    if version.signature is None:
        return signatures
    default = signatures.signature_def[DEFAULT_SIGNATURE]
    default.method_name = PREDICT_METHOD
    _describe(default.inputs, version.signature.inputs)
    _describe(default.outputs, version.signature.outputs)
    examples = (TensorInfo("inputs", "BYTES", (-1,)),)
    if find_scores(version.signature.outputs) is not None:
        classification = signatures.signature_def[CLASSIFICATION_SIGNATURE]
        classification.method_name = CLASSIFY_METHOD
        _describe(classification.inputs, examples)
        outputs = (TensorInfo("classes", "BYTES", (-1, -1)), TensorInfo("scores", "FP32", (-1, -1)))
        _describe(classification.outputs, outputs)
    if find_regression(version.signature.outputs) is not None:
        regression = signatures.signature_def[REGRESSION_SIGNATURE]
        regression.method_name = REGRESS_METHOD
        _describe(regression.inputs, examples)
        _describe(regression.outputs, (TensorInfo("outputs", "FP32", (-1,)),))
    return signatures


def _describe(described: MutableMapping[str, signature_pb2.TensorInfo], infos: Iterable[TensorInfo]) -> None:
    for info in infos:
        tensor = described[info.name]
        tensor.name = info.name
        tensor.dtype = DATATYPES[info.datatype]
        tensor.tensor_shape.SetInParent()
        for axis, size in enumerate(info.shape):
            tensor.tensor_shape.dim.add(size=size, name=info.dim_names[axis] if info.dim_names else "")


def model_status(view: ModelView, spec: model_pb2.ModelSpec) -> model_service_pb2.GetModelStatusResponse:
    """Return the state of all versions, the newest first, or of the one that the request names.

    Raises:
        NotFound: there is no such version or label, or no version at all.
    """
    number = spec.version.value
    if label := spec.version_label:
        number = (view.labels or {}).get(label, 0)
        if not number:
            raise NotFound(f"model {view.name!r} has no label {label[:128]!r}", reason="LABEL_NOT_FOUND")
    versions = [each for each in view.versions if number in (0, each.version)]
    if not versions and number:
        raise NotFound(f"model {view.name!r} has no version {number}", reason="VERSION_NOT_FOUND")
    if not versions:
        raise NotFound(f"model {view.name!r} has no version: {view.reason}", reason="VERSION_NOT_FOUND")
    response = model_service_pb2.GetModelStatusResponse()
    for each in versions:
        response.model_version_status.append(_version_status(each))
    return response


def _version_status(view: VersionView) -> model_service_pb2.ModelVersionStatus:
    # The states are TensorFlow Serving's own, number by number.
    status = model_service_pb2.ModelVersionStatus(version=view.version, state=State(view.state).name)
    status.status.SetInParent()
    if view.failed:
        status.status.error_code = error_code_pb2.FAILED_PRECONDITION
        status.status.error_message = view.reason
    return status


def _invalid(field: str, text: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {text}", violations=[Violation(field, text)])
