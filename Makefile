# Every chore of the project. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
SERVICES := catalog enrollment billing contracts academy
PACKAGES := contracts-schemas shared $(addprefix services/,$(SERVICES))
# Compiled modules are kept: compiling them is most of a service's start.
unexport PYTHONDONTWRITEBYTECODE
UV_VERSION := 0.13.9

.PHONY: help
help: ## list the chores
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# ---------------------------------------------------------------- the everyday

.PHONY: demo up down status
demo: setup ## the main job, told step by step on real Kafka and PostgreSQL; ends by itself
	$(BIN)/python -m demo

up: setup ## start everything and keep it running; SECURE=1 with Kafka's TLS, users and rights
	$(BIN)/python -m stack up $(if $(SECURE),--secure)

down: setup ## stop what `make up` started
	$(BIN)/python -m stack down

status: setup ## what runs, and where
	$(BIN)/python -m stack status

# ---------------------------------------------------------------- proof

.PHONY: check format types imports schemas-check locks-check
check: setup format types imports schemas-check locks-check ## format, lint, types, imports, schemas, locks

format:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/mypy contracts-schemas/schemas shared/kit $(foreach s,$(SERVICES),services/$(s)/$(s)) stack demo bench chaos

imports:
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest tests/test_boundaries.py

schemas-check:
	$(BIN)/python -m schemas.publish --check

locks-check:
	$(BIN)/python stack/locks.py --check

# The longest first; every session has a Kafka and a PostgreSQL of its own, so that two cores can work on two.
TESTED := tests services/contracts services/enrollment services/billing shared services/catalog services/academy stack \
	contracts-schemas
JOBS ?= 2

.PHONY: test $(addprefix test/,$(TESTED))
test: setup ## rules, services, flows across services and crashes (under ten minutes; JOBS=1 for one folder at a time)
	@$(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync=target $(addprefix test/,$(TESTED))

$(addprefix test/,$(TESTED)): test/%:
	@echo "== $*"; $(BIN)/python -m pytest -m "not slow" $*

.PHONY: prove
prove: setup ## what is slow: the same on containers; compose, its crashes and its demo (under thirty minutes)
	$(BIN)/python -m pytest -m slow tests

.PHONY: chaos
chaos: setup ## ten minutes of load while everything is killed, frozen, cut off and full (SEED=, MINUTES=, RATE=); writes build/chaos.json
	$(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),10) --rate $(or $(RATE),50)

.PHONY: bench
bench: setup ## measure against baselines in the same run; writes build/bench.json
	$(BIN)/python -m bench

# ---------------------------------------------------------------- upkeep

.PHONY: schemas audit access lock fix images clean
schemas: setup ## publish new and grown event schemas, AsyncAPI and their index
	$(BIN)/python -m schemas.publish

audit: setup ## look for known vulnerabilities in what is locked
	$(BIN)/python -m stack.audit

access: setup ## write docs/access.md: who may call what
	$(BIN)/python -m stack.access

lock: setup ## lock the third-party dependencies of every deployable, with hashes
	$(BIN)/python stack/locks.py

fix: setup ## format, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

images: ## build every service's image
	docker compose build

clean: ## remove what was made: environment, caches, the stack's data
	rm -rf .venv .stack build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# ---------------------------------------------------------------- the environment

.PHONY: setup
setup: .venv/ready

.venv/ready: requirements-dev.lock $(addsuffix /pyproject.toml,$(PACKAGES))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Tandem needs Python 3.11 or newer as '$(PYTHON)': install it (https://www.python.org/downloads/," \
		"or your system's package python3) or name another with 'make PYTHON=python3.12 …'." >&2; exit 2; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { \
		echo "Python's venv module is missing: install your system's package python3-venv." >&2; exit 2; }
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps $(addprefix -e ,$(PACKAGES))
	@touch $@
