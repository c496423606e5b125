from __future__ import annotations

from pathlib import Path

import pytest

from maas_server.errors import ConfigError
from maas_server.models.check import Finding, check_repository
from tests.models import onnx_models


def findings(path: Path) -> set[tuple[str, str, int, str]]:
    return {(each.severity, each.model, each.version, each.field) for each in check_repository(path)}


def message(path: Path, field: str) -> str:
    (found,) = [each for each in check_repository(path) if each.field == field]
    return found.message


def test_tells_what_was_inferred(tmp_path: Path) -> None:
    onnx_models.save(onnx_models.linear(), tmp_path / "good/2/model.onnx")
    onnx_models.save(onnx_models.linear(), tmp_path / "good/1/model.onnx")
    assert findings(tmp_path) == {
        ("info", "good", 2, field) for field in ("runner", "batch axis", "batching", "latency")
    }
    assert message(tmp_path, "batch axis") == "x: 0"
    assert message(tmp_path, "batching").startswith("on, up to ")


def test_tells_what_is_wrong_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "corrupt/1").mkdir(parents=True)
    (tmp_path / "corrupt/1/model.onnx").write_bytes(b"no model")
    onnx_models.save(onnx_models.linear(), tmp_path / "misspelt/1/model.onnx")
    (tmp_path / "misspelt/maas.yaml").write_text("batchin: {}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "half/1").mkdir(parents=True)
    onnx_models.save(onnx_models.dynamically_quantized(), tmp_path / "dynamic/1/model.onnx")
    (tmp_path / "dynamic/maas.yaml").write_text("labels: {stable: 7}")
    (tmp_path / "bad name").mkdir()
    found = findings(tmp_path)
    assert {
        ("error", "corrupt", 1, "load"),
        ("error", "misspelt", 0, "configuration"),
        ("error", "empty", 0, "versions"),
        ("warning", "half", 1, "files"),
        ("error", "half", 0, "versions"),
        ("warning", "dynamic", 7, "labels.stable"),
        ("warning", "dynamic", 1, "batching"),
        ("warning", "", 0, str(tmp_path / "bad name")),
    } <= found
    assert not any(model in ("corrupt", "misspelt") and severity == "info" for severity, model, _, _ in found)


def test_tells_of_padding(tmp_path: Path) -> None:
    onnx_models.save(onnx_models.embedding(masked=True), tmp_path / "m/1/model.onnx")
    (tmp_path / "m/maas.yaml").write_text("padding: [{inputs: {ids: 1}, mask: mask, buckets: [8, 16]}]")
    assert message(tmp_path, "padding.0") == "ids: 1, mask: 1 to 8, 16"
    onnx_models.save(onnx_models.embedding(masked=False), tmp_path / "m/1/model.onnx")
    (tmp_path / "m/maas.yaml").write_text("padding: [{inputs: {ids: 1}, buckets: [8, 16]}]")
    assert message(tmp_path, "padding").startswith("padding is off")


def test_an_empty_repository_is_an_error(tmp_path: Path) -> None:
    assert list(check_repository(tmp_path)) == [Finding("error", "", 0, str(tmp_path), "there is no model")]
    with pytest.raises(ConfigError):
        list(check_repository(tmp_path / "none"))


def test_tells_what_was_read_of_a_config_pbtxt_and_what_is_not_honoured(tmp_path: Path) -> None:
    onnx_models.save(onnx_models.linear(), tmp_path / "m/1/model.onnx")
    (tmp_path / "m/config.pbtxt").write_text(
        """max_batch_size: 8 instance_group { count: 2 kind: KIND_GPU }
        dynamic_batching { max_queue_delay_microseconds: 50 } response_cache { enable: true }
        input { name: "x" data_type: TYPE_FP32 dims: [ 2, 4 ] reshape { shape: [ 8 ] } }"""
    )
    text = message(tmp_path, "config.pbtxt")
    assert text.startswith(
        "read: max_batch_size 8, 1 inputs, all outputs, 2 instances, x reshaped from [-1, 2, 4], queue"
    )
    assert message(tmp_path, "response_cache.enable") == "not honoured: every request is run"
    warnings = {field for severity, _, _, field in findings(tmp_path) if severity == "warning"}
    assert warnings == {"instance_group[0].kind", "response_cache.enable"}
    (tmp_path / "m/config.pbtxt").write_text("ensemble_scheduling { }")
    assert "ensembles are not served" in message(tmp_path, "configuration")


def test_tells_what_was_read_of_a_models_config(tmp_path: Path) -> None:
    onnx_models.save(onnx_models.linear(), tmp_path / "m/1/model.onnx")
    file = tmp_path / "models.config"
    file.write_text(
        f"""model_config_list {{
          config {{ name: "a/b" base_path: "{tmp_path}/m" model_platform: "tensorflow"
                   version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "gone" value: 9 }} }}
          config {{ name: "c" base_path: "{tmp_path}/nothing" }}
        }}"""
    )
    assert message(file, "models.config").startswith(f"serves {tmp_path}/m; labels ")
    assert {
        ("warning", "a/b", 0, "model_platform"),
        ("warning", "a/b", 9, "labels.gone"),
        ("info", "a/b", 1, "runner"),
        ("error", "c", 0, "versions"),
    } <= findings(file)
