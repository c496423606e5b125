"""`maas status`, `maas load`, `maas unload` and `maas label`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.cli.tables import overview, table
from tests.cli.conftest import INTERRUPTIBLE, Maas
from tests.client.fake_server import WAIT_SECONDS, FakeServer


def test_the_overview_has_a_line_per_version(maas: Maas) -> None:
    head, newest, older = maas("status").output.splitlines()
    assert head.split()[:4] == ["MODEL", "VERSION", "STATE", "LABELS"]
    assert newest.split() == ["digits", "3*", "AVAILABLE", "32", "0", "7", "1", "0", "1.500", "2.500", "25%"]
    assert older.split() == ["digits", "2", "AVAILABLE", "stable", *newest.split()[3:]]


def test_one_model_is_shown_with_signature_batching_and_curve(maas: Maas) -> None:
    output = maas("status", "digits").output
    assert "input  image  FP32 [batch, 4]" in output
    assert "output scores  FP32 [?, 2]" in output
    assert "batches of up to 32 rows; 1 instance, queue of 4096 rows" in output
    assert "T(8) = 2.000 ms, 250.0 µs a row, S(8) = 3.0 MB" in output


def test_scheduling_is_told(maas: Maas, server: FakeServer) -> None:
    text = "predictions hold; predicted wait 2.500 ms, headroom 25%, cpu idle 50%"
    assert text in maas("status", "digits").output
    scheduling = server.models["digits"].versions[0].scheduling
    scheduling.mode = model_pb2.Scheduling.WORK_CONSERVING
    scheduling.predicted_ns = 0
    output = maas("status", "digits").output
    assert "predictions do not hold; predicted wait unknown, headroom 25%" in output
    assert output.splitlines()[1].endswith("      -       25%  work conserving: predictions do not hold")
    assert output.splitlines()[2].split()[-1] == "25%"


def test_a_version_that_does_not_serve_predicts_nothing(maas: Maas, server: FakeServer) -> None:
    server.models["digits"].versions[0].ClearField("scheduling")
    assert maas("status").output.splitlines()[1].split()[-2:] == ["-", "-"]


def test_padding_that_is_off_says_why(maas: Maas, server: FakeServer) -> None:
    server.models["digits"].versions[0].batching.reason = "padding is off: it changes the answer"
    assert (
        "batches of up to 32 rows; padding is off: it changes the answer; 1 instance" in maas("status", "digits").output
    )


def test_json_is_the_message(maas: Maas) -> None:
    (model,) = json.loads(maas("status", "--json").output)
    assert model["name"] == "digits"
    assert model["versions"][0]["batching"]["max_batch_size"] == 32


def test_a_server_without_models_says_so(maas: Maas, server: FakeServer) -> None:
    server.models.clear()
    assert maas("status").output == "no models\n"


def test_an_unknown_model_is_an_error(maas: Maas) -> None:
    result = maas("status", "letters")
    assert result.exit_code == 1
    assert result.stderr == "Error: model letters is not known (NOT_FOUND)\n"


def test_no_server_is_an_error(maas: Maas) -> None:
    result = maas("status", "--address", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "(UNAVAILABLE)" in result.stderr


def test_watch_shows_each_change_until_interrupted(server: FakeServer) -> None:
    script = f"{INTERRUPTIBLE}\nfrom maas_server.cli import main\nmain()"
    command = [sys.executable, "-c", script, "status", "--watch", "--json", "--address", server.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = json.loads(process.stdout.readline())
            server.models["digits"].default_version = 2
            server.changed.release()
            second = json.loads(process.stdout.readline())
        finally:
            process.send_signal(2)
        assert process.wait(WAIT_SECONDS) == 0
    assert (first[0]["default_version"], second[0]["default_version"]) == ("3", "2")


@pytest.mark.parametrize(
    ("args", "request_sent"),
    [
        (["load", "digits"], model_pb2.LoadModelRequest(model="digits")),
        (["load", "digits", "2"], model_pb2.LoadModelRequest(model="digits", version=2)),
        (["unload", "digits", "2"], model_pb2.UnloadModelRequest(model="digits", version=2)),
        (["label", "digits", "stable", "3"], model_pb2.SetLabelRequest(model="digits", label="stable", version=3)),
        (["label", "digits", "stable"], model_pb2.SetLabelRequest(model="digits", label="stable")),
    ],
)
def test_control_sends_its_request_and_shows_the_model(
    maas: Maas, server: FakeServer, args: list[str], request_sent: object
) -> None:
    result = maas(*args)
    assert result.exit_code == 0
    assert server.control == [request_sent]
    assert "AVAILABLE" in result.output


def test_a_folder_that_cannot_be_used_and_a_version_that_failed_say_why() -> None:
    failed = model_pb2.VersionInfo(version=4, state=model_pb2.END, reason="corrupt")
    text = overview(
        [
            model_pb2.ModelInfo(name="a", reason="maas.yaml: unknown key"),
            model_pb2.ModelInfo(name="b", versions=[failed]),
        ]
    )
    _, first, second = text.splitlines()
    assert first.endswith("maas.yaml: unknown key")
    assert second.endswith("corrupt")
    assert "END" in second


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    assert table(("A", "VERSION"), [("long", "1"), ("b", "12345678")]).splitlines() == [
        "A      VERSION",
        "long         1",
        "b     12345678",
    ]
