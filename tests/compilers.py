"""The compilers that tests build small libraries with; without one they are skipped, and say how to get it."""

from __future__ import annotations

import shutil

import pytest


def c_compiler() -> str:
    """Return a C compiler, or skip the test."""
    return _first("C", "gcc", ("cc", "gcc", "clang"))


def cxx_compiler() -> str:
    """Return a C++ compiler, or skip the test."""
    return _first("C++", "g++", ("c++", "g++", "clang++"))


def _first(language: str, package: str, names: tuple[str, ...]) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"a {language} compiler is missing: apt-get install {package}")
