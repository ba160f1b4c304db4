# Every target sets up what it needs first; what is done is stamped below $(VENV), so a second run does nothing.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
# The first that exists and is new enough. Lazily, because python-ready may just have installed it.
PYTHON ?= $(shell for python in python3.11 python3; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)
UV ?= uv
LOCK := $(UV) pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header

BIN := $(VENV)/bin
DONE := $(VENV)/.done
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
# Tests are rewritten as they are loaded, by each worker: where nothing may be kept of that, it is half of a quick run.
unexport PYTHONDONTWRITEBYTECODE
# One more than there are cores: half of what tests do is waiting, and each worker starts its own PostgreSQL. Beside the
# soak two more: one for it, and the long tests wait more than the quick ones. One file stays on one worker, because
# servers are shared per module, and in the order of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest --numprocesses $(shell echo $$(($$(nproc) + 1 + $(if $(VESTIBULE_TEST_SOAK_SECONDS),2,0)))) --maxprocesses 5 --dist loadfile \
	--no-loadscope-reorder
# A browser is a large download, so it is asked for once there are tests that drive one.
TEST_NEEDS := postgresql valkey haproxy $(if $(wildcard tests/e2e/test_*.py),chromium)
# Where one of these cannot be had, some tests are skipped, and the summary says why.
TEST_WANTS := faketime git node

# The console script of pyproject.toml without a build back end, which would have to be locked, too. It finds its
# interpreter beside itself: a copied or moved checkout never runs the code of the one it came from. The last condition
# is for worker processes: they are started by reading this file again under another name.
define LAUNCHER
#!/bin/sh
'''exec' "$$(dirname -- "$$(readlink -f -- "$$0")")/python" "$$0" "$$@"
' '''
import sys

from vestibule.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
endef
export LAUNCHER

# Relative for the same reason.
define PTH
import pathlib, os, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
(site / "vestibule.pth").write_text(os.path.relpath("src", site) + "\n")
endef
export PTH

.PHONY: help
help: ## Print the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

.PHONY: setup
setup: $(DONE)/runtime $(BIN)/vestibule ## Make the environment: .venv/bin/vestibule

.PHONY: demo
demo: setup ## Run a workspace, a fake customer and a page with the widget
	$(BIN)/vestibule demo

.PHONY: test
test: setup-dev test-needs ## Run every test, on SQLite and PostgreSQL; ARGS="..." goes to pytest
	@$(PYTEST) $(ARGS)

.PHONY: test-quick
test-quick: setup-dev test-needs ## Run the tests that are not marked slow, in less than a minute
	@$(PYTEST) -m "not slow" $(ARGS)

.PHONY: lint
lint: lint-style lint-types lint-imports ## Check style, format, types and import contracts

.PHONY: bench
bench: setup-dev test-needs ## Measure, as ratios within one run
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: nodes
nodes: setup-dev test-needs ## Run the test of several nodes with twenty kills, some minutes
	@VESTIBULE_NODES_ROUNDS=20 $(BIN)/python -m pytest -s tests/integration/nodes $(ARGS)

.PHONY: faults
faults: setup-dev test-needs ## Everything that can go wrong, and kill -9 two hundred times of each kind (an hour)
	@scripts/system-packages faketime
	@VESTIBULE_TEST_KILLS=200 VESTIBULE_TEST_PAUSE=0 $(PYTEST) tests/integration/faults $(ARGS)

.PHONY: soak
soak: setup-dev test-needs ## Two hours of mixed load, a third of it attacks; ARGS="--seconds 600" for less
	@$(BIN)/python -m tests.soak $(ARGS)

.PHONY: fuzz
fuzz: setup-dev test-needs ## Look for inputs that break a reader; MINUTES=10, ARGS="--only url" for one target
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) $(ARGS)

.PHONY: bench-pages
bench-pages: setup-dev test-needs ## Measure each page of the dashboard in a full workspace
	@$(BIN)/python -m tests.bench.pages $(ARGS)

.PHONY: lock
lock: ## Lock requirements/*.in again (needs uv); UPGRADE=--upgrade takes newer versions
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: install it, or name it with UV=..." >&2; exit 1; }
	$(LOCK) $(UPGRADE) --output-file requirements/runtime.txt requirements/runtime.in
	$(LOCK) $(UPGRADE) --constraint requirements/runtime.txt --output-file requirements/dev.txt requirements/dev.in
	$(LOCK) $(UPGRADE) --output-file requirements/audit.txt requirements/audit.in
	$(MAKE) --no-print-directory sbom

.PHONY: sbom
sbom: setup-dev ## Write down what is deployed, as CycloneDX, from requirements/runtime.txt
	$(BIN)/python scripts/make_sbom.py

.PHONY: audit
audit: setup ## Ask about known weaknesses of what is deployed, where the service that knows them can be reached
	@scripts/audit-dependencies $(VENV)

.PHONY: clean
clean: ## Remove the environment, caches and what was built
	rm -rf $(VENV) build dist src/*.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The steps behind them.

.PHONY: setup-dev
setup-dev: setup $(DONE)/dev

.PHONY: test-needs
test-needs:
	@scripts/system-packages $(TEST_NEEDS)
	@for name in $(TEST_WANTS); do scripts/system-packages $$name || true; done

.PHONY: lint-style
lint-style: setup-dev
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check

.PHONY: lint-types
lint-types: setup-dev
	$(BIN)/python -m mypy

.PHONY: lint-imports
lint-imports: setup-dev
	$(BIN)/python $(BIN)/lint-imports --no-logo

# An environment that works is kept, whoever made it.
$(DONE)/venv:
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(MAKE) --no-print-directory new-environment
	@mkdir -p $(DONE) && touch $@

# Two targets, because PYTHON must be looked for again once python-ready has run.
.PHONY: new-environment
new-environment: python-ready
	$(PYTHON) -m venv $(VENV)

.PHONY: python-ready
python-ready:
	@PYTHON="$(PYTHON)" scripts/system-packages python3-venv

$(DONE)/runtime: requirements/runtime.txt $(DONE)/venv
	$(PIP_INSTALL) -r requirements/runtime.txt
	@touch $@

$(DONE)/dev: requirements/dev.txt $(DONE)/runtime
	$(PIP_INSTALL) -r requirements/dev.txt
	@touch $@

$(BIN)/vestibule: $(DONE)/venv Makefile
	@$(BIN)/python -c "$$PTH"
	@printf '%s\n' "$$LAUNCHER" >$@
	@chmod +x $@
