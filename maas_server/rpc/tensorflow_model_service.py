"""TensorFlow Serving's ModelService: the state of models, and which are served."""

from __future__ import annotations

import grpc
from google.protobuf.message import Message

from maas_server._stubs.tensorflow_serving import model_service_pb2 as pb
from maas_server.errors import InvalidRequest, MaasError, Violation
from maas_server.models.registry import Registry
from maas_server.protocols import tensorflow
from maas_server.protocols.not_found import tensorflow_status_error
from maas_server.rpc.handlers import unary

SERVICE = "tensorflow.serving.ModelService"


def tensorflow_model_handler(registry: Registry) -> grpc.GenericRpcHandler:
    """Return the handlers of ModelService over `registry`."""

    async def status(request: pb.GetModelStatusRequest) -> Message:
        spec = request.model_spec
        tensorflow.check_spec(spec)
        return tensorflow.model_status(registry.status(spec.name)[0], spec)

    def explain(error: MaasError, request: pb.GetModelStatusRequest) -> MaasError:
        return tensorflow_status_error(error, request.model_spec)

    async def reload(request: pb.ReloadConfigRequest) -> Message:
        if request.config.WhichOneof("config") != "model_config_list":
            text = "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is"
            raise InvalidRequest(f"config: {text}", violations=[Violation("config", text)])
        await registry.reload(request.config)
        response = pb.ReloadConfigResponse()
        response.status.SetInParent()
        return response

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "GetModelStatus": unary(status, pb.GetModelStatusRequest, explain),
            "HandleReloadConfigRequest": unary(reload, pb.ReloadConfigRequest),
        },
    )
