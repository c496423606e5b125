"""The files of TLS: checked when they are read, read again when they change, and broken ones change nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from maas_server.errors import ConfigError, Violation
from maas_server.security import tls
from maas_server.security.tls import TlsFiles, TlsMaterial
from tests.security.certificates import HOST, ServerFiles, chain


def problem(files: ServerFiles) -> Violation:
    """What is wrong with them."""
    with pytest.raises(ConfigError, match="the files of TLS are wrong") as caught:
        TlsFiles(files.settings(client_ca=True))
    (violation,) = caught.value.violations
    return violation


def looks(watched: TlsFiles) -> list[bool]:
    """What two looks say: one that notices, one that finds that it stayed so."""
    return [watched.look(), watched.look()]


def test_the_material_is_what_the_files_hold(files: ServerFiles) -> None:
    material = TlsFiles(files.settings(client_ca=True)).material
    assert material.certificate_chain == files.cert.read_bytes()
    assert material.private_key == files.key.read_bytes()
    assert material.client_ca == files.client_ca.read_bytes()
    assert material.client_auth == "required"


def test_without_an_authority_clients_are_not_asked(files: ServerFiles) -> None:
    material = TlsFiles(files.settings()).material
    assert material.client_ca == b""
    assert material.client_auth == "none"


def test_the_key_is_never_printed() -> None:
    assert "secret" not in repr(TlsMaterial(b"certificate", b"secret"))


def test_one_file_may_hold_both(files: ServerFiles) -> None:
    both = files.key.read_bytes() + files.cert.read_bytes()
    files.cert.write_bytes(both)
    files.key.write_bytes(both)
    assert TlsFiles(files.settings()).material.private_key == both


@pytest.mark.parametrize("name", ["cert", "key", "client_ca"])
def test_a_file_that_is_not_there_is_named(files: ServerFiles, name: str) -> None:
    path: Path = getattr(files, name)
    path.unlink()
    violation = problem(files)
    assert violation.field == f"tls_{name}"
    assert violation.description.startswith(f"{path} cannot be read: [Errno 2] No such file")


@pytest.mark.parametrize("content", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
@pytest.mark.parametrize("name", ["cert", "client_ca"])
def test_what_is_no_certificate_is_named(files: ServerFiles, name: str, content: str) -> None:
    path: Path = getattr(files, name)
    path.write_text(content)
    violation = problem(files)
    assert violation.field == f"tls_{name}"
    assert violation.description.startswith(f"expected certificates as PEM in {path}: ")


@pytest.mark.parametrize("content", ["", "no PEM", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_named(files: ServerFiles, content: str) -> None:
    files.key.write_text(content)
    violation = problem(files)
    assert violation.field == "tls_key"
    assert violation.description.startswith(f"expected a private key as PEM in {files.key}: ")


@pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
def test_a_key_of_another_certificate_is_refused(
    files: ServerFiles, authority: trustme.CA, kind: trustme.KeyType
) -> None:
    files.key.write_bytes(authority.issue_cert(HOST, key_type=kind).private_key_pem.bytes())
    expected = f"expected the key of the first certificate in {files.cert}, got another in {files.key}"
    assert problem(files) == Violation("tls_key", expected)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(files: ServerFiles) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    locked = serialization.BestAvailableEncryption(b"secret")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    files.key.write_bytes(pem)
    assert problem(files) == Violation("tls_key", f"expected a private key without a password in {files.key}")


def test_files_that_stay_as_they_are_are_left_alone(files: ServerFiles) -> None:
    watched = TlsFiles(files.settings())
    before = watched.material
    assert looks(watched) == [False, False]
    assert watched.material is before


def test_a_renewed_certificate_is_read_once_its_files_are_left_alone(files: ServerFiles, authority: trustme.CA) -> None:
    watched = TlsFiles(files.settings())
    renewed = authority.issue_cert(HOST)
    files.cert.write_bytes(chain(renewed))
    assert not watched.look()
    files.key.write_bytes(renewed.private_key_pem.bytes())
    with capture_logs() as logged:
        assert looks(watched) == [False, True]
    assert watched.material == TlsMaterial(chain(renewed), renewed.private_key_pem.bytes())
    assert [(line["event"], line["certificate"]) for line in logged] == [("tls_reloaded", str(files.cert))]
    assert looks(watched) == [False, False]


def test_another_authority_is_noticed(files: ServerFiles) -> None:
    watched = TlsFiles(files.settings(client_ca=True))
    other = trustme.CA()
    files.client_ca.write_bytes(other.cert_pem.bytes())
    assert looks(watched) == [False, True]
    assert watched.material.client_ca == other.cert_pem.bytes()


def test_a_folder_that_is_swapped_behind_a_link_is_noticed(tmp_path: Path, authority: trustme.CA) -> None:
    for name in ("first", "second"):
        ServerFiles(tmp_path / name).write(authority.issue_cert(HOST))
    # As secrets are mounted: the files are links through ..data, which is replaced.
    mounted = ServerFiles(tmp_path)
    (tmp_path / "..data").symlink_to("first")
    for path in (mounted.cert, mounted.key):
        path.symlink_to(Path("..data") / path.name)
    watched = TlsFiles(mounted.settings())
    (tmp_path / "..next").symlink_to("second")
    (tmp_path / "..next").replace(tmp_path / "..data")
    assert looks(watched) == [False, True]
    assert watched.material.certificate_chain == (tmp_path / "second/tls.crt").read_bytes()


def test_broken_files_are_logged_once_and_change_nothing(files: ServerFiles, authority: trustme.CA) -> None:
    watched = TlsFiles(files.settings())
    before = watched.material
    files.cert.write_text("half a certifi")
    with capture_logs() as logged:
        assert [watched.look() for _ in range(4)] == [False] * 4
    assert watched.material is before
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("tls_reload_failed", "error")
    assert line["reason"].startswith(f"tls_cert: expected certificates as PEM in {files.cert}: ")
    files.write(authority.issue_cert(HOST))
    assert looks(watched) == [False, True]


def test_files_that_are_gone_are_missed_once(files: ServerFiles) -> None:
    watched = TlsFiles(files.settings())
    files.key.unlink()
    with capture_logs() as logged:
        assert [watched.look() for _ in range(3)] == [False] * 3
    (line,) = logged
    assert line["reason"].startswith(f"tls_key: {files.key} cannot be read: ")


def test_files_that_were_only_touched_are_no_news(files: ServerFiles) -> None:
    watched = TlsFiles(files.settings())
    os.utime(files.cert, (1, 1))
    with capture_logs() as logged:
        assert looks(watched) == [False, False]
    assert logged == []


async def test_who_watches_is_told(files: ServerFiles, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "POLL_SECONDS", 0.001)
    watched = TlsFiles(files.settings())
    watching = watched.watch()
    for _ in range(2):
        renewed = authority.issue_cert(HOST)
        files.write(renewed)
        material = await anext(watching)
        assert material is watched.material
        assert material.certificate_chain == chain(renewed)
    await watching.aclose()
