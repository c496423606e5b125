"""The files of TLS: certificate, key and authorities, read at start and again whenever they change.

Certificates are renewed while servers run: files are written anew, or, as secrets of Kubernetes are, whole folders
change places behind a symbolic link. Connections that are open keep what they began with; new ones get the new.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import structlog

from maas_server.errors import ConfigError, Violation, error_text
from maas_server.settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
# How often files that change while they are read are read again.
_ATTEMPTS = 5
# What OpenSSL calls a key of another certificate, and one of another kind.
_NOT_THE_KEY = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}

# What tells a file from the one that was there before; None: there is none.
_Identity = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What a server needs for TLS, as PEM; it parses, and key and certificate belong together."""

    certificate_chain: bytes
    private_key: bytes = field(repr=False)
    client_ca: bytes = b""
    """Who vouches for clients; empty: clients are not asked for certificates."""

    @property
    def client_auth(self) -> Literal["none", "required"]:
        """Whether clients must show a certificate."""
        return "required" if self.client_ca else "none"


def why_wrong(error: Exception) -> str:
    """Return for the log what is wrong: each setting with its problem, or else the error's own text."""
    violations = error.violations if isinstance(error, ConfigError) else ()
    return "; ".join(f"{each.field}: {each.description}" for each in violations) or error_text(error)


class TlsFiles:
    """The files that the settings name. `material` may be read by any thread, the rest is for one at a time."""

    def __init__(self, settings: Settings) -> None:
        """Read and check them.

        Raises:
            ConfigError: one cannot be read, does not parse, or does not belong to the others; it names the setting.
        """
        self._settings = settings
        # Before they are read: what changes in between is read once more.
        self._read = self._seen = self._identities()
        self._material = _read_checked(settings)

    @property
    def material(self) -> TlsMaterial:
        """What the files said when they were last right."""
        return self._material

    async def watch(self) -> AsyncGenerator[TlsMaterial, None]:
        """Yield the new material after each change, until closed. Nobody else may watch meanwhile."""
        # A thread of its own: file systems hang.
        thread = ThreadPoolExecutor(1, "maas-tls")
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                if await asyncio.get_running_loop().run_in_executor(thread, self.look):
                    yield self._material
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    def look(self) -> bool:
        """Read the files again if they changed since the last look but one; return whether the material did.

        Files that are wrong are logged once, and what they said before stays in force.
        """
        seen, self._seen = self._seen, self._identities()
        # Certificate and key are rarely replaced at one instant: they must have been left alone for one look.
        if self._seen != seen or self._seen == self._read:
            return False
        self._read = self._seen
        try:
            material = _read_checked(self._settings)
        except Exception as error:
            log.error("tls_reload_failed", reason=why_wrong(error))
            return False
        if material == self._material:
            return False
        self._material = material
        log.info("tls_reloaded", certificate=self._settings.tls_cert)
        return True

    def _identities(self) -> tuple[_Identity, ...]:
        return tuple(_identity(path) for path in _paths(self._settings).values())


def _paths(settings: Settings) -> dict[str, str]:
    """Return the files by the names of their settings."""
    names = ("tls_cert", "tls_key", "tls_client_ca")
    return {name: path for name in names if (path := getattr(settings, name))}


def _identity(path: str) -> _Identity:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    # The last is for files whose permissions were corrected.
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read_checked(settings: Settings) -> TlsMaterial:
    # Python's ssl checks what lies at a path. What was there before and after has been checked.
    for _ in range(_ATTEMPTS):
        material = _read(settings)
        _check(settings)
        if _read(settings) == material:
            return material
    raise _wrong("tls_cert", "the files change while they are read")


def _read(settings: Settings) -> TlsMaterial:
    contents: dict[str, bytes] = {}
    for name, path in _paths(settings).items():
        try:
            contents[name] = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            raise _wrong(name, f"{path} cannot be read: {error_text(error)}") from error
    return TlsMaterial(contents["tls_cert"], contents["tls_key"], contents.get("tls_client_ca", b""))


def _check(settings: Settings) -> None:
    for name, path in _paths(settings).items():
        if name == "tls_key":
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=path)
        except OSError as error:
            raise _wrong(name, f"expected certificates as PEM in {path}: {error_text(error)}") from error

    def no_password() -> str:
        raise _wrong("tls_key", f"expected a private key without a password in {settings.tls_key}")

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=no_password)
    except OSError as error:
        reason = getattr(error, "reason", None) or ""
        if reason in _NOT_THE_KEY:
            problem = f"expected the key of the first certificate in {settings.tls_cert}, got another in"
            raise _wrong("tls_key", f"{problem} {settings.tls_key}") from error
        if reason.endswith(("_TOO_SMALL", "_TOO_WEAK")):
            raise _wrong("tls_cert", f"the certificate in {settings.tls_cert} is too weak: {reason}") from error
        raise _wrong("tls_key", f"expected a private key as PEM in {settings.tls_key}: {error_text(error)}") from error


def _wrong(name: str, problem: str) -> ConfigError:
    return ConfigError("the files of TLS are wrong", violations=[Violation(name, problem)])
