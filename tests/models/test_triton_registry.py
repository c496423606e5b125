"""Models with a config.pbtxt while the server runs: what is logged, loaded anew, and told of them."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from maas_server._stubs.inference import model_config_pb2
from tests.models.stage import AVAILABLE, END, Stage

TENSORS = """
input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] label_filename: "labels.txt" }
"""


async def test_what_is_not_honoured_is_logged_once(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("m/config.pbtxt", "response_cache { enable: true } optimization { cuda { } }")
    with capture_logs() as logs:
        await stage.start()
        await stage.registry.scan()
        stage.write("m/2")
        await stage.registry.scan()
    told = [each for each in logs if each["event"] == "config_not_honoured"]
    assert [(each["model"], sorted(each["fields"])) for each in told] == [
        ("m", ["optimization.cuda", "response_cache.enable"])
    ]


async def test_a_wrong_file_changes_nothing_that_serves(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("m/config.pbtxt", "instance_group { count: 2 }")
    await stage.start()
    for wrong in ("instance_group { count: 100 }", "nothing: 1", "ensemble_scheduling { }"):
        stage.write("m/config.pbtxt", wrong)
        await stage.registry.scan()
        assert stage.states() == {1: AVAILABLE}
        assert "config.pbtxt" in stage.registry.status("m")[0].reason
    assert len(stage.host.deployments["m", 1]) == 1
    stage.write("m/config.pbtxt", "instance_group { count: 3 }")
    await stage.registry.scan()
    await stage.until(lambda: len(stage.host.deployments["m", 1]) == 2)
    assert stage.host.deployments["m", 1][1].plan.instances == 3


async def test_labels_are_read_anew_when_their_file_changes(stage: Stage) -> None:
    stage.write("m/1")
    stage.write("m/labels.txt", "cat\n")
    stage.write("m/config.pbtxt", f"max_batch_size: 4 {TENSORS}")
    await stage.start()
    stage.write("m/labels.txt", "cat\ndog\n")
    await stage.registry.scan()
    await stage.until(lambda: len(stage.host.deployments["m", 1]) == 2)
    assert [each.plan.outputs[0].labels for each in stage.host.deployments["m", 1]] == [("cat",), ("cat", "dog")]


async def test_another_version_policy_loads_nothing_anew(stage: Stage) -> None:
    for version in (1, 2):
        stage.write(f"m/{version}")
    stage.write("m/config.pbtxt", "version_policy { all { } }")
    await stage.start()
    stage.write("m/config.pbtxt", "version_policy { specific { versions: 1 } }")
    await stage.scan(v1=AVAILABLE, v2=END)
    assert len(stage.host.deployments["m", 1]) == 1


async def test_a_view_tells_what_clients_of_triton_ask(stage: Stage) -> None:
    stage.write("plain/1")
    stage.write("m/1")
    stage.write("m/labels.txt", "cat\n")
    stage.write("m/config.pbtxt", f"max_batch_size: 4 {TENSORS}")
    stage.write("bad/1", "bad")
    await stage.start()
    view = stage.registry.status("m", 1)[0].versions[0]
    message = model_config_pb2.ModelConfig.FromString(view.triton_config)
    assert (message.name, message.max_batch_size, message.output[0].label_filename) == ("m", 4, "labels.txt")
    assert (view.platform, view.max_batch_size) == ("onnxruntime_onnx", 4)
    plain = stage.registry.status("plain", 1)[0].versions[0]
    assert plain.plan is not None
    assert (plain.triton_config, plain.max_batch_size) == (b"", plain.plan.max_batch_size)
    bad = stage.registry.status("bad", 1)[0].versions[0]
    assert (bad.failed, bad.state, bad.platform) == (True, END, "")
    assert not view.failed


@pytest.mark.parametrize("name", ["config.pbtxt", "maas.yaml", "labels.txt"])
async def test_links_in_a_circle_end_nowhere(stage: Stage, name: str) -> None:
    stage.write("m/1")
    (stage.path / "m" / name).symlink_to((stage.path / "m" / name).name)
    (stage.path / "m/1/here").symlink_to(".", target_is_directory=True)
    (stage.path / "ring").symlink_to("ring")
    await stage.start()
    assert stage.states() == {1: AVAILABLE}


async def test_a_file_of_a_version_that_links_to_itself_is_named(stage: Stage) -> None:
    stage.write("m/1")
    (stage.path / "m/1/weights").symlink_to("weights")
    await stage.start()
    assert stage.reason(1) == "weights: Too many levels of symbolic links"
