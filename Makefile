# On a new Debian or Ubuntu machine, `make run` and `make test` need no preparation: the scripts in machine/ install what is
# missing, start a container engine if none is running, and stop what they started.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
# tests/support/schedule.py says which tests run together and in which order.
PYTEST := $(PYTHON) -m pytest -q
# Twice the cores, up to 8: acceptance tests wait for the engine most of their time.
WORKERS := $(shell cores=$$(nproc); echo $$((cores < 4 ? 2 * cores : 8)))
COMPILE := .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links

# Some containers set it. Each of the hundreds of processes of a test run would then compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run hub test test-fast check bench screenshots lock format texts clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Run the demo: from a signed push to a running JupyterLab, until Ctrl-C
	@machine/packages git ca-certificates
	@machine/venv
	@machine/with-engine $(PYTHON) -m demo

hub: ## Run a JupyterHub with DockerSpawner and the launcher, ready to log in, until Ctrl-C
	@machine/packages git ca-certificates
	@machine/venv
	@machine/node-packages
	@PATH="$(CURDIR)/machine/npm/node_modules/.bin:$$PATH" machine/with-engine $(PYTHON) -m demo hub

test: ## Run every test, with a real engine, registry and both databases
	@machine/packages git ca-certificates postgresql docker-registry chromium nginx-light
	@machine/venv
	@machine/node-packages
	@status=0; \
	machine/with-engine $(PYTEST) -n $(WORKERS) -m 'not alone' --rerun-show-tracebacks --durations 15 tests || status=$$?; \
	$(PYTEST) -m alone tests/webhook/serving || status=$$?; \
	exit $$status

test-fast: ## Run most of what needs no engine and no browser, within a minute
	@machine/packages git ca-certificates postgresql
	@machine/venv
	@machine/node-packages
	@$(PYTEST) -n auto -m 'not slow' tests --ignore tests/acceptance

check: ## Check format, lint, types, imports, migrations and scripts
	@machine/packages shellcheck
	@machine/venv
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports
	machine/migrations-check
	find machine -maxdepth 1 -type f -exec shellcheck .ci/run {} +

bench: ## Run the benchmarks beside plain alternatives; NAMES="lookup badge" runs only these
	@machine/packages git ca-certificates docker-registry postgresql wrk
	@machine/venv
	@machine/node-packages
	@machine/with-engine $(PYTHON) -m bench $(NAMES)

screenshots: ## Take the screenshots of docs/images from running systems
	@machine/packages git ca-certificates chromium
	@machine/venv
	@machine/node-packages
	@machine/with-engine $(PYTHON) -m tests.acceptance.screenshots docs/images

texts: ## Update tests/texts/user_facing_texts.txt, the list of all texts that users see
	@machine/venv
	$(PYTHON) -m tests.texts

lock: ## Update the lock files from pyproject.toml; UPGRADE=--upgrade also upgrades packages
	@machine/venv
	$(COMPILE) $(UPGRADE) --all-extras --group dev -o requirements.lock
	$(COMPILE) $(UPGRADE) --extra builder --extra postgresql --constraint requirements.lock -o requirements-builder.lock
	echo 'jupyterhub>=5.2,<6' | $(COMPILE:pyproject.toml=-) $(UPGRADE) -o requirements-jupyterhub5.lock
	$(COMPILE) $(UPGRADE) --extra web --extra hub --extra postgresql --constraint requirements.lock -o requirements-web.lock
	@! grep -n '://' requirements*.lock || { echo 'a lock file contains the address of a registry'; exit 1; }

format: ## Format the code
	@machine/venv
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

clean: ## Remove generated files from this folder; caches outside of it are kept
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache machine/npm/node_modules
	find . -name __pycache__ -prune -exec rm -rf {} +
