from __future__ import annotations

from pathlib import Path

import pytest

from maas_server.errors import ConfigError, LoadError
from maas_server.models.config_file import parse_config
from maas_server.models.labels import MAX_LABEL_BYTES, read_labels


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"", ()),
        (b"cat", ("cat",)),
        (b"cat\n", ("cat",)),
        (b"cat\n\ndog\n\n", ("cat", "", "dog", "")),
        (b"cat\r\ndog\r\n", ("cat", "dog")),
        (b"\xef\xbb\xbfcat\n", ("cat",)),
        ("schön\u2028hier\n".encode(), ("schön\u2028hier",)),
    ],
)
def test_a_line_is_a_label(tmp_path: Path, content: bytes, labels: tuple[str, ...]) -> None:
    (tmp_path / "l.txt").write_bytes(content)
    assert read_labels(tmp_path, {"y": "l.txt"}) == {"y": labels}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\n", "not UTF-8 at byte 0"),
        (b"a\n\0", "got a NUL byte at 2"),
        (b"a" * (MAX_LABEL_BYTES + 1), "expected at most 4194304 bytes"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(LoadError, match=message):
        read_labels(tmp_path, {"y": "l.txt"})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for file in ("missing", "loop", "."):
        with pytest.raises(LoadError, match=f"output_labels.y: {file}: "):
            read_labels(tmp_path, {"y": file})


@pytest.mark.parametrize("file", ["/etc/passwd", "../other/l.txt", "a/../../l.txt", "", "a//b", "./l", "a\\\\b"])
def test_a_file_outside_the_models_folder_is_no_label_file(file: str) -> None:
    with pytest.raises(ConfigError, match=r"output_labels\.y"):
        parse_config(f'output_labels: {{y: "{file}"}}'.encode(), "maas.yaml")
