# Everything below runs from one .venv, which `make setup` makes from requirements.lock; the other targets call it.
# Set PYTHON=/path/to/python3.x to choose the Python that .venv is made from.

VENV := .venv
BIN := $(VENV)/bin
# Tests flush thousands of small files to disk, which takes longer than most of them: where memory has room, they write there.
MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 { print "/dev/shm" }')
IN_MEMORY := $(if $(MEMORY),PYTEST_DEBUG_TEMPROOT="$${PYTEST_DEBUG_TEMPROOT:-$(MEMORY)}")
PYTEST := $(BIN)/python -m pytest
# Files with the longest tests come first (tests/conftest.py), not those with the most.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
# JVMs of tests do little and end soon, several at once: thorough compilers and collectors do not pay.
SHORT_LIVED := -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=256m
SPARK_PYTEST := JDK_JAVA_OPTIONS="$${JDK_JAVA_OPTIONS:-$(SHORT_LIVED)}" $(PYTEST) $(PARALLEL)
SUITE := not browser and not streams and not year and not soak and not packaging and not s3 and not schedulers
TYPED := lake airline lakehouse_assets resources sensors benchmarks tests
CHROMIUM := $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name) 2>/dev/null)))
BROWSER_HINT := sudo apt-get install -y chromium (Debian/Ubuntu), sudo dnf install -y chromium (Fedora), brew install --cask chromium (macOS)

# Where this is set, each process that a test starts compiles the project anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-packaging test-streams test-s3 test-schedulers test-year test-soak test-ui mutants up bench lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.packages ## make .venv from requirements.lock, fetch and verify the jars, find or fetch a Java
	@$(BIN)/lakehouse setup

demo: setup ## a month of real air traffic through every table, and two days as a stream, in a minute or two
	@$(BIN)/lakehouse demo

test: setup ## the test suite, apart from the lanes packaging, streams, s3, schedulers, year, soak and ui
	@$(IN_MEMORY) $(SPARK_PYTEST) -m "$(SUITE)"
	@$(if $(CHROMIUM),echo "The browser tests were not run: make test-ui",echo "The browser tests were not run, for there is no Chromium here. Get it: $(BROWSER_HINT); then make test-ui")

test-fast: $(VENV)/.packages ## the tests that need neither Java nor processes of their own, in less than a minute
	@$(IN_MEMORY) $(PYTEST) $(PARALLEL) -m "$(SUITE) and not slow and not spark and not faults"

test-packaging: setup ## the framework without its example, as a wheel, and in projects of others
	@$(SPARK_PYTEST) -m packaging

test-streams: setup ## streams end to end: against batch, from Kafka, fed with poison, read meanwhile, and in `lakehouse up`; commands that are killed, stopped or meet
	@$(SPARK_PYTEST) -m "streams and not soak"

test-s3: setup ## tables on a real S3 server of this machine: batch, streams, commands, and what is said where it cannot be used
	@$(SPARK_PYTEST) -m s3

test-schedulers: setup ## the examples of docs/schedulers.md: a cron line, a systemd timer, and a real Airflow in build/airflow
	@$(SPARK_PYTEST) -m schedulers

test-year: setup ## the whole year, a disturbed month, and days when clocks change, against the CSV files that the messages were made of
	@$(PYTEST) -m year

test-soak: setup ## streams against batch over many seeds, at every crash point and fault
	@$(PYTEST) -m soak -o timeout=3600

test-ui: setup ## the browser tests: the web UI in headless Chromium
	@$(if $(CHROMIUM),$(PYTEST) -m browser,echo "There is no Chromium here. Get it: $(BROWSER_HINT)" >&2; exit 1)

mutants: setup ## change lake/ in one place after the other and see a test fail: an hour; MODULES=days for a part
	@$(IN_MEMORY) nice $(BIN)/python -m tests.mutants $(MODULES)

up: setup ## the web UI on 127.0.0.1
	@$(BIN)/lakehouse up

bench: setup ## measure against hand-written Spark, one run per day, and Polars; then streams, and the year through Kafka
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks stream

lint: $(VENV)/.packages ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(TYPED)

clean: ## remove the environment and every cache; tables and landing files stay
	rm -rf $(VENV) build mutants *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp newer than the lock says that .venv holds what the lock pins.
$(VENV)/.packages: requirements.lock pyproject.toml
	@PYTHON="$(PYTHON)" sh .ci/make-venv $(VENV)
	@touch $@
