"""Triton's log and trace settings: read from and written to the messages, and which of them can be changed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import InvalidRequest, Unimplemented, Violation

# What Triton answers before anybody traces anything.
_TRACE_SETTINGS = {
    "trace_level": "OFF",
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "",
    "trace_mode": "triton",
}
_SWITCHES = ("log_info", "log_warning", "log_error")
_FORMAT = "ISO8601"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What of Triton's log settings can be changed here."""

    info: bool
    warning: bool
    error: bool
    verbose_level: int


def updated_log_settings(request: pb.LogSettingsRequest, present: LogSettings) -> LogSettings:
    """Return the settings with those that the request names in place of the present ones.

    Raises:
        InvalidRequest: a setting is not known, or its value is of another type.
        Unimplemented: it cannot be changed while the server runs.
    """
    switches = {"log_info": present.info, "log_warning": present.warning, "log_error": present.error}
    verbose = present.verbose_level
    for name, value in request.settings.items():
        if name in _SWITCHES:
            _check_type(name, value, "bool_param")
            switches[name] = value.bool_param
        elif name == "log_verbose_level":
            _check_type(name, value, "uint32_param")
            verbose = value.uint32_param
        elif name == "log_format":
            _check_type(name, value, "string_param")
            if value.string_param != _FORMAT:
                raise Unimplemented("log_format: the form of the logs is set by --log-format when the server starts")
        elif name == "log_file":
            raise Unimplemented("log_file: the logs go to standard error")
        else:
            raise _unknown(name)
    return LogSettings(switches["log_info"], switches["log_warning"], switches["log_error"], verbose)


def log_settings(settings: LogSettings) -> pb.LogSettingsResponse:
    """Return all log settings."""
    response = pb.LogSettingsResponse()
    response.settings["log_file"].string_param = ""
    response.settings["log_info"].bool_param = settings.info
    response.settings["log_warning"].bool_param = settings.warning
    response.settings["log_error"].bool_param = settings.error
    response.settings["log_verbose_level"].uint32_param = settings.verbose_level
    response.settings["log_format"].string_param = _FORMAT
    return response


def trace_settings(updates: Mapping[str, pb.TraceSettingRequest.SettingValue]) -> pb.TraceSettingResponse:
    """Return the trace settings, which are always those of a server that does not trace.

    Raises:
        InvalidRequest: an update is of a setting that is not known.
        Unimplemented: an update would change something.
    """
    for name, value in updates.items():
        if name not in _TRACE_SETTINGS:
            raise _unknown(name)
        # No value stands for the default.
        if value.value and list(value.value) != [_TRACE_SETTINGS[name]]:
            raise Unimplemented(f"{name}: this server writes no traces")
    response = pb.TraceSettingResponse()
    for name, text in _TRACE_SETTINGS.items():
        response.settings[name].value.append(text)
    return response


def _check_type(name: str, value: pb.LogSettingsRequest.SettingValue, wanted: str) -> None:
    if (got := value.WhichOneof("parameter_choice")) != wanted:
        text = f"expected {wanted}, got {got or 'none'}"
        raise InvalidRequest(f"{name}: {text}", violations=[Violation(f"settings[{name!r}]", text)])


def _unknown(name: str) -> InvalidRequest:
    name = name[:64]
    return InvalidRequest(
        f"no such setting: {name!r}", violations=[Violation(f"settings[{name!r}]", "no such setting")]
    )
