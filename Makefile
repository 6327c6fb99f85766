# Two commands are enough on a new Debian or Ubuntu machine: `make run` and `make test`. The scripts in machine/
# install what is missing, start an engine if none answers, and stop what they started.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
# tests/support/schedule.py says which tests run together and in which order.
PYTEST := $(PYTHON) -m pytest -q --dist loadgroup --no-loadscope-reorder
# More than cores: acceptance tests wait for the engine most of their time.
WORKERS := 4
COMPILE := .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links

# Some containers come with it set; then each of the hundreds of processes of a test run compiles the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run hub test test-fast check bench screenshots lock format texts clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## See it work: from a signed push to a running JupyterLab, then stay up until Ctrl-C
	@machine/packages git ca-certificates
	@machine/venv
	@machine/with-engine $(PYTHON) -m demo

hub: ## Try the launcher: a JupyterHub with DockerSpawner, ready to log in, until Ctrl-C
	@machine/packages git ca-certificates
	@machine/venv
	@machine/node-packages
	@PATH="$(CURDIR)/machine/npm/node_modules/.bin:$$PATH" machine/with-engine $(PYTHON) -m demo hub

test: ## Run every test, with a real engine, registry and both databases
	@machine/packages git ca-certificates postgresql docker-registry chromium nginx-light
	@machine/venv
	@machine/node-packages
	@machine/with-engine $(PYTEST) -n $(WORKERS) --rerun-show-tracebacks --durations 15 tests

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

bench: ## Measure builds, lookups and deliveries against their plain alternatives; NAMES=lookup for some of them
	@machine/packages git ca-certificates docker-registry postgresql wrk
	@machine/venv
	@machine/node-packages
	@machine/with-engine $(PYTHON) -m bench $(NAMES)

screenshots: ## Take the pictures of docs/images from running systems
	@machine/packages git ca-certificates chromium
	@machine/venv
	@machine/node-packages
	@machine/with-engine $(PYTHON) -m tests.acceptance.screenshots docs/images

texts: ## Renew tests/texts/user_facing_texts.txt, the list of all texts that users see
	@machine/venv
	$(PYTHON) -m tests.texts

lock: ## Bring the lock files up to date with pyproject.toml; UPGRADE=--upgrade takes newer releases
	@machine/venv
	$(COMPILE) $(UPGRADE) --all-extras --group dev -o requirements.lock
	$(COMPILE) $(UPGRADE) --extra builder --extra postgresql --constraint requirements.lock -o requirements-builder.lock
	echo 'jupyterhub>=5.2,<6' | $(COMPILE:pyproject.toml=-) $(UPGRADE) -o requirements-jupyterhub5.lock
	$(COMPILE) $(UPGRADE) --extra web --extra hub --extra postgresql --constraint requirements.lock -o requirements-web.lock
	@! grep -n '://' requirements*.lock || { echo 'a lock file names a registry'; exit 1; }

format: ## Put the code in its form
	@machine/venv
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

clean: ## Remove what the other commands made in this folder (caches outside it stay)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache machine/npm/node_modules
	find . -name __pycache__ -prune -exec rm -rf {} +
