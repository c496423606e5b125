"""LogSettings and TraceSetting."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from maas_server._stubs.inference import grpc_service_pb2 as pb
from tests.rpc.inference import Inference
from tests.server.in_process import Refused

LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


class Collector(logging.Handler):
    """Keeps the levels of what reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.levels.add(record.levelno)

    def logged(self) -> set[int]:
        """The levels that come through now."""
        self.levels.clear()
        for level in (*LEVELS, logging.CRITICAL):
            logging.getLogger("tests.levels").log(level, "event")
        return self.levels


@pytest.fixture
def collector() -> Iterator[Collector]:
    """The only handler of the root logger, whose level is info."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    collector = Collector()
    root.handlers[:] = [collector]
    root.setLevel(logging.INFO)
    yield collector
    root.handlers[:] = handlers
    root.setLevel(level)


async def update(inference: Inference, **settings: bool | int | str) -> dict[str, Any]:
    request = pb.LogSettingsRequest()
    for name, value in settings.items():
        if isinstance(value, bool):
            request.settings[name].bool_param = value
        elif isinstance(value, int):
            request.settings[name].uint32_param = value
        else:
            request.settings[name].string_param = value
    response = await inference.send("LogSettings", request)
    return {name: getattr(each, each.WhichOneof("parameter_choice")) for name, each in response.settings.items()}


async def test_the_log_settings_are_those_of_the_process(inference: Inference, collector: Collector) -> None:
    assert await update(inference) == {
        "log_file": "",
        "log_info": True,
        "log_warning": True,
        "log_error": True,
        "log_verbose_level": 0,
        "log_format": "ISO8601",
    }
    logging.getLogger().setLevel(logging.ERROR)
    assert not (await update(inference))["log_warning"]


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        ({"log_verbose_level": 1}, {*LEVELS}),
        ({"log_info": False}, {logging.WARNING, logging.ERROR}),
        ({"log_warning": False}, {logging.INFO, logging.ERROR}),
        ({"log_error": False, "log_verbose_level": 2}, {logging.DEBUG, logging.INFO, logging.WARNING}),
        ({"log_info": False, "log_warning": False, "log_error": False}, set()),
    ],
)
async def test_what_is_set_is_what_is_logged(
    settings: dict[str, bool | int], levels: set[int], inference: Inference, collector: Collector
) -> None:
    given = await update(inference, **settings)
    assert collector.logged() == {*levels, logging.CRITICAL}
    assert given == await update(inference)
    assert given["log_info"] == (logging.INFO in levels)
    assert given["log_verbose_level"] == int(logging.DEBUG in levels)
    await update(inference, log_info=True, log_warning=True, log_error=True, log_verbose_level=0)
    assert collector.logged() == {*LEVELS[1:], logging.CRITICAL}


async def test_settings_that_are_as_they_are_may_be_set(inference: Inference, collector: Collector) -> None:
    assert (await update(inference, log_format="ISO8601", log_info=True))["log_info"]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"log_info": 1}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"log_verbose_level": True}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"log_color": True}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"log_format": True}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"log_format": "default"}, grpc.StatusCode.UNIMPLEMENTED),
        ({"log_file": "/tmp/log"}, grpc.StatusCode.UNIMPLEMENTED),
    ],
)
async def test_what_cannot_be_set_changes_nothing_else(
    settings: dict[str, bool | int | str], code: grpc.StatusCode, inference: Inference, collector: Collector
) -> None:
    with pytest.raises(Refused) as refused:
        await update(inference, log_warning=False, **settings)
    assert refused.value.code == code
    assert next(iter(settings)) in refused.value.message
    assert (await update(inference))["log_warning"]


async def trace(inference: Inference, model: str = "", **settings: list[str]) -> dict[str, list[str]]:
    request = pb.TraceSettingRequest(model_name=model)
    for name, values in settings.items():
        request.settings[name].value.extend(values)
    response = await inference.send("TraceSetting", request)
    return {name: list(each.value) for name, each in response.settings.items()}


async def test_nothing_is_traced(inference: Inference) -> None:
    settings = await trace(inference)
    assert settings["trace_level"] == ["OFF"]
    assert settings == await trace(inference, "scaled")
    # Setting what is, or back to what was, is no change.
    assert settings == await trace(inference, trace_level=["OFF"], trace_rate=[])


async def test_tracing_is_refused_as_long_as_there_is_none(inference: Inference) -> None:
    changes: list[dict[str, Any]] = [
        {"trace_level": ["TIMESTAMPS"]},
        {"trace_rate": ["1"]},
        {"trace_level": ["OFF", "TENSORS"]},
    ]
    for settings in changes:
        with pytest.raises(Refused) as refused:
            await trace(inference, **settings)
        assert refused.value.code == grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(Refused) as refused:
        await trace(inference, trace_colour=["red"])
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(Refused) as refused:
        await trace(inference, "nothing")
    assert refused.value.code == grpc.StatusCode.NOT_FOUND
    assert refused.value.message.startswith("Request for unknown model: 'nothing' is not found")
