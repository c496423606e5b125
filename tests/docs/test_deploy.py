"""What is in deploy/ fits the server: it cannot be run here, but what it says can be held against the code."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from maas_server.cli.serve import serve
from maas_server.rpc.health import LIVENESS, STARTUP
from maas_server.settings import ENV_PREFIX, Settings, load_settings


@pytest.fixture
def manifests(root: Path) -> dict[str, Any]:
    documents = yaml.safe_load_all((root / "deploy/kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


@pytest.fixture
def pod(manifests: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifests["Deployment"]["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    assert isinstance(only, dict)
    return only


@pytest.fixture
def dockerfile(root: Path) -> str:
    return (root / "deploy/Dockerfile").read_text().replace("\\\n", " ")


def settings_of(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What `maas serve` makes of these arguments."""
    monkeypatch.delenv("MAAS_CONFIG", raising=False)
    with serve.make_context("serve", list(arguments)) as context:
        assert isinstance(context, click.Context)
        given = {name: value for name, value in context.params.items() if value is not None and name != "config"}
    return load_settings(given)


def test_a_pod_has_time_to_drain(
    pod: dict[str, Any], container: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(container["args"], monkeypatch)
    assert settings.drain_delay >= 5
    assert pod["terminationGracePeriodSeconds"] >= settings.drain_delay + settings.grace + 10


def test_probes_ask_the_port_and_the_names_that_are_served(
    container: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(container["args"], monkeypatch)
    probes = {kind: container[f"{kind}Probe"]["grpc"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe.get("service", "") for kind, probe in probes.items()} == {
        "startup": STARTUP,
        "liveness": LIVENESS,
        "readiness": "",
    }
    assert {probe["port"] for probe in probes.values()} == {settings.grpc_port}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": settings.grpc_port, "http": settings.http_port}


def has_route(path: str, root: Path) -> bool:
    """Whether HTTP has a route of this path, spelled out as such."""
    sources = (root / "maas_server/http").glob("*.py")
    return any(f'"{path}"' in source.read_text(encoding="utf-8") for source in sources)


def test_metrics_are_scraped_from_the_port_that_has_them(
    manifests: dict[str, Any], container: dict[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = manifests["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    settings = settings_of(container["args"], monkeypatch)
    assert settings.http
    assert annotations["prometheus.io/port"] == str(settings.http_port)
    assert has_route(annotations["prometheus.io/path"], root)


def test_the_runtime_for_kserve_serves_what_it_says(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = yaml.safe_load((root / "deploy/kserve.yaml").read_text())
    assert set(manifest["spec"]["protocolVersions"]) == {"v1", "v2", "grpc-v2"}
    (container,) = manifest["spec"]["containers"]
    settings = settings_of(container["args"], monkeypatch)
    assert settings.path == Path("/mnt/models")
    assert settings.host == "0.0.0.0"
    assert [port["containerPort"] for port in container["ports"]] == [settings.http_port]
    for kind in ("liveness", "readiness"):
        probe = container[f"{kind}Probe"]["httpGet"]
        assert probe["port"] == settings.http_port
        assert has_route(probe["path"], root)


def test_the_service_finds_the_pods(manifests: dict[str, Any], container: dict[str, Any]) -> None:
    service, deployment = manifests["Service"]["spec"], manifests["Deployment"]["spec"]
    assert service["clusterIP"] == "None"
    assert service["selector"] == deployment["selector"]["matchLabels"]
    assert deployment["template"]["metadata"]["labels"] == deployment["selector"]["matchLabels"]
    assert {port["targetPort"] for port in service["ports"]} <= {port["name"] for port in container["ports"]}


def test_models_are_mounted_where_they_are_served_from(
    pod: dict[str, Any], container: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (mount,) = container["volumeMounts"]
    assert Path(mount["mountPath"]) == settings_of(container["args"], monkeypatch).path
    assert mount["name"] in {volume["name"] for volume in pod["volumes"]}


def test_the_image_sets_what_there_is_to_set(dockerfile: str) -> None:
    names = re.findall(rf"\b{ENV_PREFIX}(\w+)=(\S+)", dockerfile)
    assert {name for name, _ in names} >= {"HOST", "PATH"}
    Settings(**{name.lower(): value for name, value in names})


def test_the_image_tells_the_ports(dockerfile: str) -> None:
    (ports,) = re.findall(r"^EXPOSE (.+)$", dockerfile, re.MULTILINE)
    assert ports.split() == [str(Settings().grpc_port), str(Settings().http_port)]


def test_the_image_runs_as_nobody_in_particular(dockerfile: str, pod: dict[str, Any]) -> None:
    users = re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)
    assert [int(user) for user in users] == [pod["securityContext"]["runAsUser"]]


def test_the_image_asks_itself_for_its_health(dockerfile: str) -> None:
    (command,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", dockerfile, re.MULTILINE)
    python, option, program = json.loads(command)
    assert (python, option) == ("python", "-c")
    ast.parse(program)
    assert ".ready()" in program


def test_the_image_is_built_from_files_that_there_are(root: Path, dockerfile: str) -> None:
    kept = [line[1:] for line in (root / "deploy/Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    assert [name for name in kept if not (root / name).exists()] == []
    metadata = {"README.md", "LICENSE", "pyproject.toml", "setup.py", "maas_server", "csrc", "proto", "constraints.txt"}
    assert metadata <= set(kept)
    entry = json.loads(re.findall(r"^ENTRYPOINT (\[.*\])$", dockerfile, re.MULTILINE)[0])
    assert shlex.join(entry) == "maas serve"
