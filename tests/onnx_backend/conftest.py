"""One run of everything, for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.onnx_backend.run import DATA, Selection, select, serve_and_walk, string_locale
from tests.onnx_backend.walk import Results


@pytest.fixture(scope="session")
def selection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Selection]:
    if not DATA.is_dir():
        pytest.fail(f"the ONNX project's backend tests are not at {DATA}: make venv")
    with string_locale(tmp_path_factory.mktemp("locale")):
        yield select()


@pytest.fixture(scope="session")
def results(selection: Selection, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return serve_and_walk(selection.asked, tmp_path_factory.mktemp("onnx-backend"))
