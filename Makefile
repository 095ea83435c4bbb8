# Two targets do everything on a fresh Debian machine: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Many tests wait for a printer that takes its time: one more than two cores keeps both busy.
WORKERS ?= 3
# What a fresh Debian needs before pip can work: the interpreter's venv module.
APT := python3 python3-venv

.PHONY: demo test bytecode test-long test-corpus check format bench clean setup deb test-system test-aarch64 test-arm64-package test-floors wheels

demo: $(VENV)/.runtime
	$(BIN)/fabunit demo

test: $(VENV)/.dev check bytecode
	$(BIN)/pytest -n $(WORKERS) -m "not slow and not corpus"

# Many kills, long noisy prints: minutes to hours, run by hand.
test-long: $(VENV)/.dev
	$(BIN)/pytest -n 2 -m slow --timeout 3600

# The tests that need no hardware on an emulated 64-bit ARM processor, as root; TESTS picks some of them.
test-aarch64: $(VENV)/.dev
	$(BIN)/python -m tests.system.aarch64 $(TESTS)

# The package for arm64, installed and run on an emulated processor, as root.
test-arm64-package: $(VENV)/.dev
	$(BIN)/python -m tests.system.arm64_package $(SYSTEM)

# The unit tests with every library at the floor of pyproject.toml: what Trixie's own packages may not fall below.
test-floors: $(VENV)/.dev
	$(BIN)/python -m tests.system.floors $(TESTS)

# Whether every dependency has a wheel for Python 3.11 and 3.13 on arm64 and amd64.
wheels: $(VENV)/.runtime
	$(BIN)/python -m installer.wheel_check

# The life of an installed unit on a clean Debian with a real systemd: minutes, as root, run by hand (docs/system-test.md).
test-system: $(VENV)/.dev
	$(BIN)/python -m tests.system.run $(SYSTEM)

# Every mesh of the shared corpus beside the checkout, or in $FABUNIT_CORPUS: minutes, run by hand.
test-corpus: $(VENV)/.dev
	$(BIN)/pytest -n 2 -m corpus --timeout 600

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.run

setup: $(VENV)/.dev

# The tests start the daemon and the virtual printer hundreds of times: compiled once, also where
# PYTHONDONTWRITEBYTECODE is set.
bytecode: $(VENV)/.dev
	$(BIN)/python -m compileall -q -j 0 agent tests benchmarks

# A Debian package in dist/. DEB picks another one: `make deb DEB='--python 3.13 --arch arm64'`, `DEB=--thin`.
deb: $(VENV)/.runtime
	$(BIN)/python -m installer.build_deb $(DEB)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import venv, ensurepip, sys; assert sys.version_info >= (3, 11)' 2>/dev/null || $(MAKE) apt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

.PHONY: apt
apt:
	@echo "Python 3.11 with venv is missing: installing $(APT)"
	@if [ "$$(id -u)" = 0 ]; then SUDO=; else SUDO=sudo; fi; \
	  $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends $(APT)

$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@$(MAKE) --no-print-directory broker
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@$(MAKE) --no-print-directory broker
	@touch $@ $(VENV)/.runtime

# The demo's broker where mosquitto is not installed; without both it prints from the local queue.
.PHONY: broker
broker:
	@command -v mosquitto >/dev/null || test -x /usr/sbin/mosquitto || \
	  $(BIN)/python -m pip install --quiet --only-binary iotcore --editable ".[broker]" || \
	  echo "no MQTT broker for the demo: neither mosquitto nor iotcore can be installed here"

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
