"""Triton's log and trace settings."""

from __future__ import annotations

import structlog

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import MaasError
from maas_server.models.registry import Registry
from maas_server.observe.levels import Levels, enable_levels, enabled_levels
from maas_server.protocols.not_found import triton_error
from maas_server.protocols.open_inference_settings import (
    LogSettings,
    log_settings,
    trace_settings,
    updated_log_settings,
)
from maas_server.rpc.handlers import UnaryHandler, unary

log = structlog.get_logger(__name__)


def setting_methods(registry: Registry) -> dict[str, UnaryHandler]:
    """Return the handlers."""

    async def trace(request: pb.TraceSettingRequest) -> pb.TraceSettingResponse:
        if request.model_name:
            registry.status(request.model_name)
        return trace_settings(request.settings)

    async def logs(request: pb.LogSettingsRequest) -> pb.LogSettingsResponse:
        present = _present()
        wanted = updated_log_settings(request, present)
        if wanted != present:
            enable_levels(Levels(wanted.verbose_level > 0, wanted.info, wanted.warning, wanted.error))
            log.warning(
                "log_levels_set",
                debug=wanted.verbose_level > 0,
                info=wanted.info,
                warning=wanted.warning,
                error=wanted.error,
            )
        return log_settings(_present())

    return {
        "TraceSetting": unary(trace, pb.TraceSettingRequest, _explain),
        "LogSettings": unary(logs, pb.LogSettingsRequest),
    }


def _present() -> LogSettings:
    levels = enabled_levels()
    return LogSettings(levels.info, levels.warning, levels.error, int(levels.debug))


def _explain(error: MaasError, request: pb.TraceSettingRequest) -> MaasError:
    return triton_error(error, request.model_name)
