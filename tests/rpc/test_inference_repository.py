"""RepositoryIndex, RepositoryModelLoad and RepositoryModelUnload."""

from __future__ import annotations

import grpc
import pytest

from maas_server._stubs.inference import grpc_service_pb2 as pb
from tests.rpc.inference import Inference
from tests.server.in_process import Refused


async def states(inference: Inference, **fields: bool) -> list[tuple[str, str, str]]:
    index = await inference("RepositoryIndex", **fields)
    return [(each.name, each.version, each.state) for each in index.models]


def load_request(name: str, **parameters: pb.ModelRepositoryParameter) -> pb.RepositoryModelLoadRequest:
    return pb.RepositoryModelLoadRequest(model_name=name, parameters=parameters)


async def test_the_index_tells_the_state_of_every_version(inference: Inference) -> None:
    assert await states(inference) == [
        ("broken", "1", "UNAVAILABLE"),
        ("scaled", "1", "READY"),
        ("scaled", "2", "READY"),
        ("strings", "1", "READY"),
    ]
    (broken,) = [each for each in (await inference("RepositoryIndex")).models if each.name == "broken"]
    assert broken.reason


async def test_the_index_may_be_of_what_is_ready_only(inference: Inference) -> None:
    assert [name for name, _, _ in await states(inference, ready=True)] == ["scaled", "scaled", "strings"]


async def test_a_model_is_unloaded_and_loaded_again(inference: Inference) -> None:
    await inference("RepositoryModelUnload", model_name="scaled")
    assert not (await inference("ModelReady", name="scaled")).ready
    assert [each for each in await states(inference) if each[0] == "scaled" and each[2] == "READY"] == []
    await inference("RepositoryModelLoad", model_name="scaled")
    assert (await inference("ModelReady", name="scaled", version="1")).ready
    assert (await inference("ModelReady", name="scaled", version="2")).ready


@pytest.mark.parametrize("dependents", [True, False])
async def test_unloading_dependents_too_changes_nothing(dependents: bool, inference: Inference) -> None:
    parameters = {"unload_dependents": pb.ModelRepositoryParameter(bool_param=dependents)}
    await inference("RepositoryModelUnload", model_name="strings", parameters=parameters)
    assert not (await inference("ModelReady", name="strings")).ready


async def test_unloading_what_is_not_there_is_in_order(inference: Inference) -> None:
    await inference("RepositoryModelUnload", model_name="nothing")


async def test_a_configuration_given_with_the_load_is_in_force_until_the_next(inference: Inference) -> None:
    before = (await inference("ModelConfig", name="scaled")).config.max_batch_size
    assert before != 3
    config = pb.ModelRepositoryParameter(string_param='{"platform": "onnxruntime_onnx", "max_batch_size": 3}')
    await inference.send("RepositoryModelLoad", load_request("scaled", config=config))
    assert (await inference("ModelConfig", name="scaled")).config.max_batch_size == 3
    await inference("RepositoryModelLoad", model_name="scaled")
    assert (await inference("ModelConfig", name="scaled")).config.max_batch_size == before


@pytest.mark.parametrize(
    ("request_", "code", "phrase"),
    [
        (load_request("nothing"), "NOT_FOUND", "failed to load 'nothing', failed to poll from model repository: "),
        (load_request("broken"), "FAILED_PRECONDITION", "failed to load 'broken': "),
        (
            load_request("scaled", config=pb.ModelRepositoryParameter(string_param='"max_batch_size": {{')),
            "INVALID_ARGUMENT",
            "failed to load 'scaled': ",
        ),
    ],
    ids=["unknown", "broken", "no JSON"],
)
async def test_what_does_not_load_is_said_as_triton_says_it(
    request_: pb.RepositoryModelLoadRequest, code: str, phrase: str, inference: Inference
) -> None:
    with pytest.raises(Refused) as refused:
        await inference.send("RepositoryModelLoad", request_)
    assert refused.value.code.name == code
    assert refused.value.message.startswith(phrase)


@pytest.mark.parametrize(
    ("method", "name", "parameter"),
    [
        ("RepositoryModelLoad", "config", pb.ModelRepositoryParameter(bytes_param=b"{}")),
        ("RepositoryModelLoad", "file:1/model.onnx", pb.ModelRepositoryParameter(string_param="x")),
        ("RepositoryModelLoad", "config", pb.ModelRepositoryParameter()),
        ("RepositoryModelLoad", "speed", pb.ModelRepositoryParameter(int64_param=3)),
        ("RepositoryModelUnload", "unload_dependents", pb.ModelRepositoryParameter(string_param="true")),
        ("RepositoryModelUnload", "force", pb.ModelRepositoryParameter(bool_param=True)),
    ],
)
async def test_parameters_of_another_name_or_type_are_refused(
    method: str, name: str, parameter: pb.ModelRepositoryParameter, inference: Inference
) -> None:
    with pytest.raises(Refused) as refused:
        await inference(method, model_name="scaled", parameters={name: parameter})
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.value.fields) == [f"parameters[{name!r}]"]
    assert (await inference("ModelReady", name="scaled")).ready


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
async def test_a_model_must_be_named(method: str, inference: Inference) -> None:
    with pytest.raises(Refused) as refused:
        await inference(method)
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.value.fields) == ["model_name"]


@pytest.mark.parametrize("method", ["RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"])
async def test_there_are_no_other_repositories(method: str, inference: Inference) -> None:
    with pytest.raises(Refused) as refused:
        await inference(method, repository_name="second")
    assert refused.value.code == grpc.StatusCode.UNIMPLEMENTED
    assert "repository_name" in refused.value.message
