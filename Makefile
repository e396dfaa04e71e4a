# The two commands of the README are `make up` and `make test`; each sets up all it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON := .venv/bin/python
STAMP := .venv/.installed
# Real servers share two cores here, and kcp may die of a race of its own (docs/adr/0003-syncer.md): in CI a test that failed is run
# once more, and named in the summary. Who works on the code sees each failure.
RERUNS := $(if $(CI),--reruns=1 -rR)

.PHONY: help up down demo demo-event env status test test-unit test-engine test-live bench check format lock

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | sed 's/[$$][$$]/$$/g' | expand -t 14

$(STAMP): requirements-dev.txt
	@# Not to standard output, which `make -s env` is evaluated from.
	@echo "making .venv of requirements-dev.txt, which takes half a minute or more …" >&2
	@bash local/bootstrap.sh
	@touch $@

up: $(STAMP) ## Bring up the embedded environment and deploy stack dev to it
	@$(PYTHON) -m local up

# Tenant demo, or TENANT=NAME.
AS_TENANT = $(if $(TENANT),--tenant='$(TENANT)')

demo: $(STAMP) ## Run a two-task PipelineRun as a tenant's user, through kcp, on a compute cluster (TENANT=NAME)
	@$(PYTHON) -m local demo $(AS_TENANT)

demo-event: $(STAMP) ## Push to a tenant's repository: gateway, Pipelines as Code, pods, and the status back (TENANT=NAME)
	@$(PYTHON) -m local demo-event $(AS_TENANT)

env: $(STAMP) ## Print shell exports: eval "$$(make -s env)"
	@$(PYTHON) -m local env

status: $(STAMP) ## Show what runs
	@$(PYTHON) -m local status

down: $(STAMP) ## Destroy stack dev, then stop and remove everything
	@$(PYTHON) -m local down

test: test-unit test-engine test-live ## All tests

test-unit: $(STAMP) ## Tests that need no environment, about two minutes on two cores
	@$(PYTHON) -m pytest $(RERUNS) --numprocesses=auto tests/unit

test-engine: $(STAMP) ## Tests on the real engine and real API servers
	@$(PYTHON) -m local tools
	@eval "$$($(PYTHON) -m local env)" && $(PYTHON) -m pytest $(RERUNS) --numprocesses=2 --dist=loadfile tests/engine

test-live: $(STAMP) ## Tests on the embedded environment with real nodes
	@$(PYTHON) -m local up
	@# Built here: on a cold machine it takes longer than a test may.
	@$(PYTHON) -m local provide argo-cd
	@eval "$$($(PYTHON) -m local env)" && $(PYTHON) -m pytest $(RERUNS) -p no:randomly tests/live

bench: $(STAMP) ## Measure what the project itself costs, beside the embedded environment, which stays as it is
	@eval "$$($(PYTHON) -m local env)" && $(PYTHON) -m bench

check: $(STAMP) ## Format, lint, types, import rules, dependencies, YAML
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy .
	@.venv/bin/lint-imports
	@.venv/bin/deptry .
	@.venv/bin/yamllint --strict .

format: $(STAMP) ## Format the code
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

# Extras stay written: for one that is not, Debian's pip asks for the newest version, and refuses it for want of a hash.
lock: $(STAMP) ## Write the hash-pinned requirements anew from pyproject.toml
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-strip-extras --no-annotate --no-header \
	  --python-version 3.11 --extra program pyproject.toml -o requirements.txt
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-strip-extras --no-annotate --no-header \
	  --python-version 3.11 --extra program --extra dev --constraint requirements.txt pyproject.toml -o requirements-dev.txt
