"""All settings of the server, and the only place that reads the environment and the configuration file.

A flag beats the environment (MAAS_GRPC_PORT), which beats the file (`grpc_port:` in YAML), which beats the default.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from maas_server.errors import ConfigError, Violation, error_text

ENV_PREFIX = "MAAS_"
CONFIG_VARIABLE = "MAAS_CONFIG"

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "B": 1, **{f"{unit}B": 10 ** (3 * n) for n, unit in enumerate("kMG", 1)}}
_BYTES |= {f"{unit}iB": 1 << (10 * n) for n, unit in enumerate("KMG", 1)}
# The name in `tenants` of all that it does not name.
OTHER_TENANTS = "*"
# What gRPC takes for a key of metadata, and HTTP for a header.
_METADATA_KEY = re.compile(r"[a-z0-9_.-]{1,64}")
# What both may carry as a value.
_TENANT_NAME = r"^[!-~]([ -~]{0,254}[!-~])?$"
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def parse_duration(value: object) -> object:
    """Return seconds for text like "500ms", "5s", "2m" or "5"; anything else as it is.

    Raises:
        ValueError: it is text, and not a duration.
    """
    if not isinstance(value, str):
        return value
    match = _QUANTITY.fullmatch(value)
    if match is None or (unit := match[2] or "s") not in _SECONDS:
        raise ValueError(f'expected a duration such as 5, "5s" or "500ms", got "{value}"')
    return float(match[1]) * _SECONDS[unit]


def parse_size(value: object) -> object:
    """Return bytes for text like "64MiB", "1.5GB" or "4096"; anything else as it is.

    Raises:
        ValueError: it is text, and not a size.
    """
    if not isinstance(value, str):
        return value
    match = _QUANTITY.fullmatch(value)
    if match is None or match[2] not in _BYTES:
        raise ValueError(f'expected a size such as 4096, "512KiB" or "64MiB", got "{value}"')
    return math.floor(float(match[1]) * _BYTES[match[2]])


def parse_mapping(value: object) -> object:
    """Return the object that JSON text stands for; anything but text as it is.

    Raises:
        ValueError: it is text, and no JSON object.
    """
    if not isinstance(value, str):
        return value
    try:
        mapping = json.loads(value)
    except (ValueError, RecursionError):
        mapping = None
    if not isinstance(mapping, dict):
        raise ValueError(f"expected a JSON object, got {value[:80]!r}")
    return mapping


class TenantLimits(BaseModel):
    """What one tenant may take; 0: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(default=1.0, ge=0.001, le=1000, allow_inf_nan=False)
    """Of its share of a model's rows, when several tenants wait."""
    max_rows_in_flight: int = Field(default=0, ge=0, le=1 << 32)
    """Accepted, and not answered."""
    max_rows_per_second: float = Field(default=0.0, ge=0, le=1e12, allow_inf_nan=False)


TenantName = Annotated[str, Field(pattern=_TENANT_NAME)]
Tenants = Annotated[dict[TenantName, TenantLimits], BeforeValidator(parse_mapping), Field(max_length=4096)]
Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0, le=(1 << 31) - 1)]


def _setting(group: str, default: Any, description: str, unit: str = "", **constraints: Any) -> Any:
    extra: dict[str, Any] = {"group": group, "unit": unit}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def _duration(group: str, default: float, description: str, **constraints: Any) -> Any:
    return _setting(group, default, description, "seconds", **constraints)


def _size(group: str, default: int, description: str) -> Any:
    return _setting(group, default, description, "bytes")


class Settings(BaseModel):
    """What `maas serve` may be told. Making one reads nothing; `load_settings` does."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    path: Path = _setting(
        "Models", Path("models"), "A repository of models, one model's folder, one model file, or a models.config."
    )
    control: Literal["poll", "explicit"] = _setting(
        "Models", "poll", "Who decides what is loaded: the repository, looked at again and again, or only RPCs."
    )
    poll_interval: Duration = _duration("Models", 2.0, "Time between two looks at the repository.", gt=0)
    settle: Duration = _duration(
        "Models", 1.0, "How long a version's files must stay as they are before it is taken for complete."
    )
    max_batch_size: int = _setting(
        "Models",
        0,
        "Most rows of one run, where a model's own configuration says none. 0: measured at load.",
        ge=0,
        le=65536,
    )
    max_queue_rows: int = _setting(
        "Models", 4096, "Most rows waiting per version, where a model's own configuration says none.", ge=1, le=1 << 24
    )

    host: str = _setting("Network", "127.0.0.1", "Address to listen on; 0.0.0.0 or :: for all.", min_length=1)
    grpc_port: int = _setting("Network", 8001, "Port for gRPC. 0: a free one, which is printed.", ge=0, le=65535)
    front: Literal["grpcio", "compiled"] = _setting(
        "Network",
        "grpcio",
        "What takes gRPC's calls: grpcio, or the front of the compiled core, which needs a fraction of the CPU time "
        "and passes what it does not serve itself on to grpcio.",
    )
    io_threads: int = _setting(
        "Network",
        0,
        "Threads of the compiled front. 0: half as many as this process has CPUs, at least one.",
        ge=0,
        le=256,
    )
    max_message_bytes: Size = _size("Network", 64 << 20, "Largest message taken or sent.")
    max_concurrent_streams: int = _setting(
        "Network", 0, "Most RPCs under way on one connection. 0: no limit.", ge=0, le=(1 << 31) - 1
    )
    keepalive_min_ping_interval: Duration = _duration(
        "Network", 5.0, "Shortest time between two keepalive pings of a client; one that pings more is cut off."
    )
    max_connection_age: Duration = _duration(
        "Network",
        1800.0,
        "How long a connection lives, give or take a tenth, so that clients spread over servers that came later. "
        "0: for ever.",
    )
    max_connection_age_grace: Duration = _duration(
        "Network", 60.0, "How long RPCs may go on after their connection came of age."
    )
    reflection: bool = _setting("Network", True, "Tell clients the services and their messages.")
    allow_shared_memory: bool = _setting(
        "Network",
        False,
        "Let clients on this machine pass tensors in POSIX shared memory; whoever may call may name any region that "
        "the server may open.",
    )

    tls_cert: str = _setting(
        "TLS",
        "",
        "File with the certificate that gRPC clients are shown, and those that lead to its authority, as PEM. Empty: "
        "gRPC is not encrypted.",
        "file",
    )
    tls_key: str = _setting(
        "TLS", "", "File with the private key of the certificate, as PEM without a password.", "file"
    )
    tls_client_ca: str = _setting(
        "TLS",
        "",
        "File with the certificates of those who vouch for clients, as PEM. With it every gRPC client must show a "
        "certificate of theirs.",
        "file",
    )

    http: bool = _setting("HTTP", True, "Serve REST, metrics and GraphQL as well.")
    http_port: int = _setting("HTTP", 8000, "Port for HTTP. 0: a free one, which is printed.", ge=0, le=65535)

    drain_delay: Duration = _duration(
        "Shutdown",
        3.0,
        "How long requests are still taken after SIGTERM, for load balancers to notice. 5s where an orchestrator "
        "takes servers away, 0 where nobody balances.",
    )
    grace: Duration = _duration("Shutdown", 30.0, "How long accepted requests may take after that.")

    threads: int = _setting(
        "Execution", 0, "CPU threads for running models. 0: as many as this process has CPUs.", ge=0, le=1024
    )
    scheduling: Literal["batch", "normal"] = _setting(
        "Execution",
        "batch",
        "Linux's scheduling policy for the process; under batch, threads that wake do not interrupt each other, which "
        "saves a quarter of the CPU time of an RPC, and runs of one thread leave the CPU to requests that come and "
        "answers that leave.",
    )

    tenant_key: str = _setting(
        "Tenants",
        "",
        "Metadata key and HTTP header whose value names the tenant in whose name a caller asks. Empty: callers are not "
        "told apart.",
    )
    tenants: Tenants = _setting(
        "Tenants",
        {},
        'Weight and limits of tenants by name, as a mapping or as JSON; "*" stands for each of all the others.',
        "mapping",
    )

    log_format: Literal["auto", "json", "pretty"] = _setting(
        "Logs", "auto", "Form of the logs on standard error; auto: pretty on a terminal, else JSON lines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting("Logs", "info", "Least level that is logged.")

    @field_validator("tenant_key")
    @classmethod
    def _is_metadata_key(cls, key: str) -> str:
        if key and (not _METADATA_KEY.fullmatch(key) or key.startswith("grpc-") or key.endswith("-bin")):
            raise ValueError(
                "expected at most 64 of a-z, 0-9, '-', '_' and '.', without grpc- in front and -bin at the end, "
                f"got {key[:80]!r}"
            )
        return key

    @field_validator("tls_key")
    @classmethod
    def _comes_with_a_certificate(cls, key: str, info: ValidationInfo) -> str:
        if bool(key) != bool(info.data.get("tls_cert", key)):
            raise ValueError(f"expected tls_cert and tls_key together, got tls_{'key' if key else 'cert'} alone")
        return key

    @field_validator("tls_client_ca")
    @classmethod
    def _has_something_to_verify(cls, authority: str, info: ValidationInfo) -> str:
        if authority and info.data.get("tls_cert", "-") == "":
            raise ValueError(f"expected tls_cert as well, without which no client is asked, got {authority!r}")
        return authority

    @field_validator("tenants")
    @classmethod
    def _can_be_told_apart(cls, tenants: Tenants, info: ValidationInfo) -> Tenants:
        named = set(tenants) - {OTHER_TENANTS}
        # Where the key itself is wrong, that is all there is to say.
        if named and info.data.get("tenant_key", "-") == "":
            raise ValueError(f"expected tenant_key as well, which tells tenants apart, got {min(named)!r}")
        return tenants


def load_settings(flags: Mapping[str, Any], config: Path | None = None) -> Settings:
    """Return the settings from flags, the environment and the file `config` (or MAAS_CONFIG), in this order.

    Raises:
        ConfigError: the file cannot be read, has an unknown key, or a value is wrong; the violations name the settings.
    """
    if config is None and (name := os.environ.get(CONFIG_VARIABLE)):
        config = Path(name)
    from_file = {} if config is None else _read_file(config)
    from_environment = _read_environment()
    try:
        return Settings(**{**from_file, **from_environment, **flags})
    except ValidationError as error:
        violations = [
            _violation(
                each["loc"],
                each["msg"],
                each["input"],
                flags,
                from_environment,
                config if each["loc"][0] in from_file else None,
            )
            for each in error.errors()
        ]
        raise ConfigError("the settings are wrong", violations=violations) from error


def _read_environment() -> dict[str, str]:
    values = {name: os.environ.get(ENV_PREFIX + name.upper(), "") for name in Settings.model_fields}
    return {name: value for name, value in values.items() if value}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    # PyYAML raises what its constructors stumble over, not only its own errors.
    except Exception as error:
        raise ConfigError(f"{path} cannot be read: {error_text(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected settings by name, got {type(content).__name__}")
    unknown = [str(key) for key in content if key not in Settings.model_fields]
    if unknown:
        violations = [Violation(key, _unknown(key)) for key in unknown]
        raise ConfigError(f"{path} has unknown settings", violations=violations)
    return content


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.5)
    return f"no such setting; did you mean {close[0]}?" if close else "no such setting"


def _violation(
    location: tuple[str | int, ...],
    message: str,
    value: object,
    flags: Mapping[str, Any],
    from_environment: Mapping[str, Any],
    config: Path | None,
) -> Violation:
    name = str(location[0])
    if name == "path" and name in flags:
        source = "PATH"
    elif name in flags:
        source = "--" + name.replace("_", "-")
    elif name in from_environment:
        source = ENV_PREFIX + name.upper()
    elif config is not None:
        source = f"{config}: {name}"
    else:
        # It is missing.
        source = name
    # pydantic calls a key of a mapping [key].
    source = ".".join([source, *(str(each) for each in location[1:] if each != "[key]")])
    problem = message.removeprefix("Value error, ")
    return Violation(source, problem if "got" in problem else f"{problem}, got {value!r}")
