"""An authority, and a server's files that it issued."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.security.certificates import HOST, ServerFiles


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> ServerFiles:
    written = ServerFiles(tmp_path / "tls")
    written.write(authority.issue_cert(HOST), clients=authority)
    return written
