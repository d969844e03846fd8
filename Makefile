# Every target makes the virtual environment first; a machine needs git, make and Python 3.11 or newer.

# The lock is tested on 3.11, so that one is taken where there are several.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Test processes side by side, each with servers of its own; 0 is none beside pytest's. A third of a test's time is spent waiting
# for what has to take its time, as groups and sessions, so there is one more than a small machine has cores. Files in the order
# of their folders: the long ones come first and the many short ones last, so that all end at about the same time.
JOBS ?= 3
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# Where it is set, each of the many processes of a test compiles all of its modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(READY) ## Real traffic, a killed worker, a flushed Redis, and a proof (TRACE= INCIDENTS= AT= SEED= SPEED= MINUTES=)
	$(BIN)/interlock demo $(if $(TRACE),--trace "$(TRACE)") $(if $(INCIDENTS),--incidents "$(INCIDENTS)") \
		$(if $(AT),--at "$(AT)") $(if $(SEED),--seed "$(SEED)") $(if $(SPEED),--speed "$(SPEED)") \
		$(if $(MINUTES),--minutes "$(MINUTES)")

.PHONY: up
up: $(READY) ## Start the embedded servers, a worker and the API; Ctrl-C stops them all
	$(BIN)/interlock up

.PHONY: test
test: $(READY) ## All tests, on the embedded servers (JOBS= at once; ARGS= goes to pytest)
	$(PYTEST) $(ARGS)

.PHONY: test-kafka
test-kafka: $(READY) ## The integration tests that a broker may change, on Apache Kafka (needs Java 17+ and Maven)
	INTERLOCK_TEST_BROKER=kafka $(PYTEST) tests/integration $(ARGS)

.PHONY: check
check: $(READY) ## Lint, format, types, layers, schema compatibility
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m events.compatibility

.PHONY: bench
bench: $(READY) ## Each measure beside its raw limit and its peer (ONLY=name for one)
	$(BIN)/python -m bench $(if $(ONLY),--only "$(ONLY)")

.PHONY: ci
ci: export CI = 1
ci: check test test-kafka ## What has to be green: check, test, test-kafka

.PHONY: docs
docs: $(READY) ## Write anew what schemas, settings and metrics say in docs/
	$(BIN)/python -m events.reference docs/events.md
	$(BIN)/python -m api.reference docs/operating.md

.PHONY: format
format: $(READY) ## Mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(READY) ## Resolve pyproject.toml into requirements.lock (UPGRADE=1 takes the newest)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-annotate --no-emit-index-url --no-emit-find-links --no-emit-build-options \
		--custom-compile-command "make lock" --quiet $(if $(UPGRADE),--upgrade) --output-file requirements.lock

.PHONY: clean
clean: ## Remove the environment, caches and builds (data stays)
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock is complete, so nothing is resolved here and an install is the same everywhere.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Interlock needs Python 3.11 or newer on the path (or PYTHON=...)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
