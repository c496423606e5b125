"""TensorFlow Serving's PredictionService: bytes in, bytes out for Predict, and what is built on top of our own."""

from __future__ import annotations

from functools import partial
from typing import NoReturn

import grpc
from google.protobuf.message import DecodeError, Message

from maas_server._core import CoreError
from maas_server._stubs.maas.v1 import predict_pb2
from maas_server._stubs.tensorflow_serving import model_pb2, model_service_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.errors import InvalidRequest, MaasError, NotFound, Unimplemented, Violation
from maas_server.front import Front, Protocol, core_error
from maas_server.models.registry import ModelView, Registry, VersionView
from maas_server.protocols import tensorflow
from maas_server.protocols.not_found import tensorflow_error
from maas_server.protocols.tensorflow_examples import predict_request
from maas_server.protocols.tensorflow_results import classifications, regressions
from maas_server.rpc.errors import ServicerContext, abort
from maas_server.rpc.handlers import Caller, caller_unary, unary
from maas_server.rpc.infer_handler import TenantOf, infer_handler

SERVICE = "tensorflow.serving.PredictionService"

_SIGNATURES = {
    tensorflow.CLASSIFY_METHOD: tensorflow.CLASSIFICATION_SIGNATURE,
    tensorflow.REGRESS_METHOD: tensorflow.REGRESSION_SIGNATURE,
}


def tensorflow_handler(front: Front, registry: Registry, tenant_of: TenantOf | None = None) -> grpc.GenericRpcHandler:
    """Return the handlers of PredictionService.

    `tenant_of`: in whose name a caller asks; None: callers are not told apart.
    """
    models = _Models(front, registry)
    examples = partial(caller_unary, tenant_of=tenant_of)

    async def fail(context: ServicerContext, error: CoreError, raw: bytes) -> NoReturn:
        await abort(context, models.explain(core_error(error), _spec_of(raw)))

    async def metadata(request: pb.GetModelMetadataRequest) -> Message:
        tensorflow.check_metadata_fields(request.metadata_field)
        return tensorflow.model_metadata(models.view(request.model_spec), request)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Predict": infer_handler(front, Protocol.TENSORFLOW_PREDICT, fail, tenant_of),
            "Classify": examples(models.classify, pb.ClassificationRequest, models.explain_request),
            "Regress": examples(models.regress, pb.RegressionRequest, models.explain_request),
            "MultiInference": examples(models.infer_all, pb.MultiInferenceRequest, models.explain_tasks),
            "GetModelMetadata": unary(metadata, pb.GetModelMetadataRequest, models.explain_request),
        },
    )


class _Models:
    """What several methods do with the models."""

    def __init__(self, front: Front, registry: Registry) -> None:
        self._front = front
        self._registry = registry

    async def classify(self, request: pb.ClassificationRequest, caller: Caller) -> pb.ClassificationResponse:
        """Answer Classify.

        Raises:
            MaasError: no such model or signature, or the examples do not fit.
            CoreError: refused or failed.
        """
        tensorflow.check_signature(request.model_spec, tensorflow.CLASSIFICATION_SIGNATURE)
        answer = await self._infer(request.model_spec, request.input, caller)
        return pb.ClassificationResponse(model_spec=answer.spec(request.model_spec), result=answer.classes())

    async def regress(self, request: pb.RegressionRequest, caller: Caller) -> pb.RegressionResponse:
        """Answer Regress; raises what `classify` raises."""
        tensorflow.check_signature(request.model_spec, tensorflow.REGRESSION_SIGNATURE)
        answer = await self._infer(request.model_spec, request.input, caller)
        return pb.RegressionResponse(model_spec=answer.spec(request.model_spec), result=answer.values())

    async def infer_all(self, request: pb.MultiInferenceRequest, caller: Caller) -> pb.MultiInferenceResponse:
        """Answer MultiInference by one run of the model; raises what `classify` raises."""
        _check_tasks(request)
        answer = await self._infer(request.tasks[0].model_spec, request.input, caller)
        response = pb.MultiInferenceResponse()
        for task in request.tasks:
            result = response.results.add(model_spec=answer.spec(task.model_spec))
            if task.method_name == tensorflow.CLASSIFY_METHOD:
                result.classification_result.CopyFrom(answer.classes())
            else:
                result.regression_result.CopyFrom(answer.values())
        return response

    async def _infer(self, spec: model_pb2.ModelSpec, given: pb.Input, caller: Caller) -> _Answer:
        version = tensorflow.serving_version(self.view(spec), spec)
        request, rows = predict_request(spec.name, version, given)
        raw = await self._front.infer(Protocol.PREDICT, request.SerializeToString(), caller.seconds, caller.tenant)
        return _Answer(version, predict_pb2.PredictResponse.FromString(raw), rows)

    def view(self, spec: model_pb2.ModelSpec) -> ModelView:
        """Return the model that a request names.

        Raises:
            InvalidRequest: it names none.
            NotFound: there is no such model.
        """
        tensorflow.check_spec(spec)
        return self._registry.status(spec.name)[0]

    def explain(self, error: MaasError, spec: model_pb2.ModelSpec) -> MaasError:
        """Give an error TensorFlow Serving's words."""
        try:
            view = self._registry.status(spec.name)[0] if spec.name else None
        except NotFound:
            view = None
        return tensorflow_error(error, spec, view)

    def explain_request(
        self,
        error: MaasError,
        request: pb.ClassificationRequest | pb.RegressionRequest | pb.GetModelMetadataRequest,
    ) -> MaasError:
        """Give an error about a request with one ModelSpec TensorFlow Serving's words."""
        return self.explain(error, request.model_spec)

    def explain_tasks(self, error: MaasError, request: pb.MultiInferenceRequest) -> MaasError:
        """The same for an error about the model of several tasks."""
        return self.explain(error, request.tasks[0].model_spec) if request.tasks else error


class _Answer:
    """What a version answered to some examples."""

    def __init__(self, version: VersionView, response: predict_pb2.PredictResponse, rows: int) -> None:
        assert version.signature is not None
        assert version.plan is not None
        self._outputs = version.signature.outputs
        self._labels = {each.name: each.labels for each in version.plan.outputs}
        self._response = response
        self._rows = rows

    def spec(self, asked: model_pb2.ModelSpec) -> model_pb2.ModelSpec:
        """Return the ModelSpec of the answer to a request's."""
        signature = asked.signature_name or tensorflow.DEFAULT_SIGNATURE
        return tensorflow.answered_spec(self._response.model, self._response.version, signature)

    def classes(self) -> pb.ClassificationResult:
        """Return the classes of every example.

        Raises:
            InvalidRequest: the model answers none.
        """
        return classifications(self._response, self._outputs, self._labels, self._rows)

    def values(self) -> pb.RegressionResult:
        """Return the value of every example.

        Raises:
            InvalidRequest: the model answers none.
        """
        return regressions(self._response, self._outputs, self._rows)


def _check_tasks(request: pb.MultiInferenceRequest) -> None:
    """Check that the tasks are such that one run answers them all.

    Raises:
        InvalidRequest: there are none, they are of several models or versions, or one is there twice.
        Unimplemented: one is neither a classification nor a regression.
        NotAvailable: one names a signature that is not there.
    """
    if not request.tasks:
        raise _wrong("tasks", "expected at least 1 task, got none")
    first = request.tasks[0].model_spec
    seen = set()
    for index, task in enumerate(request.tasks):
        spec = task.model_spec
        field = f"tasks[{index}]"
        if task.method_name not in _SIGNATURES:
            raise Unimplemented(f"{field}: Unsupported signature method_name: {task.method_name[:64]}")
        same = (spec.version.value, spec.version_label) == (first.version.value, first.version_label)
        if spec.name != first.name or not same:
            text = (
                "All ModelSpecs in a MultiInferenceRequest must access the same model name. Expected also one version"
            )
            raise _wrong(f"{field}.model_spec", text)
        tensorflow.check_signature(spec, _SIGNATURES[task.method_name])
        signature = spec.signature_name or tensorflow.DEFAULT_SIGNATURE
        if (signature, task.method_name) in seen:
            text = f"Duplicate evaluation of signature: {signature}. Expected each once by each method"
            raise _wrong(f"{field}.model_spec.signature_name", text)
        seen.add((signature, task.method_name))


def _spec_of(raw: bytes) -> model_pb2.ModelSpec:
    """Return the ModelSpec of a request whose tensors nobody wants; empty if it does not decode."""
    try:
        # Its number is the same in both messages; the tensors are unknown fields then, and not decoded.
        return model_service_pb2.GetModelStatusRequest.FromString(raw).model_spec
    except DecodeError:
        return model_pb2.ModelSpec()


def _wrong(field: str, text: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {text}", violations=[Violation(field, text)])
