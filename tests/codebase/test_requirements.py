"""constraints.txt pins what pyproject.toml allows."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

# Extras whose versions are pinned. `gpu` is not: it needs a machine with a GPU to be tried on.
PINNED_EXTRAS = ("cpu", "demo", "graphql", "simulate", "test")


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, Version]:
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}


@pytest.fixture(scope="module")
def requirements(root: Path) -> list[Requirement]:
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    extras = pyproject["project"]["optional-dependencies"]
    wanted = [*pyproject["build-system"]["requires"], *pyproject["project"]["dependencies"]]
    wanted += [line for extra in PINNED_EXTRAS for line in extras[extra]]
    return [Requirement(line) for line in wanted]


def test_every_requirement_is_pinned_within_its_range(
    requirements: list[Requirement], pins: dict[str, Version]
) -> None:
    assert requirements
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not pinned"
        assert pins[name] in requirement.specifier, f"{name} {pins[name]} is outside {requirement.specifier}"


def test_each_distribution_of_onnxruntime_comes_by_one_extra_alone(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    found = {
        name: sorted(
            each for line in lines if (each := canonicalize_name(Requirement(line).name)).startswith("onnxruntime")
        )
        for name, lines in groups.items()
    }
    assert {name: each for name, each in found.items() if each} == {"cpu": ["onnxruntime"], "gpu": ["onnxruntime-gpu"]}


def test_requirements_of_users_are_ranges(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    for line in [*project["dependencies"], *project["optional-dependencies"]["cpu"]]:
        assert not any(spec.operator in {"==", "==="} for spec in Requirement(line).specifier), line
