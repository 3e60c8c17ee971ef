# One command each, on a fresh machine with Python >= 3.11. See README.md.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo test test-long federation bench alerts lint types generate generate-check lock vectors clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

setup: $(READY) ## the virtual environment in .venv, from requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("healthcode needs Python 3.11 or newer, and $(PYTHON) is %d.%d: run make PYTHON=/path/to/python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: $(READY) ## a whole federation on this machine, told in steps (KEEP=1 leaves it up)
	@$(BIN)/python -m examples.demo $(if $(KEEP),--keep)

# many tests wait for another process, so there are more workers than a small machine has cores
WORKERS ?= 4

test: $(READY) ## the tests, over real sockets, but those of test-long
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not long"

test-long: $(READY) ## from nothing: the demo, every command of docs/operating.md, lost and stolen keys, starts that must fail, files of root's, wrong clocks, other CAs, killed bulk runs, eight nodes in a bad week
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m long

federation: $(READY) ## 34 nodes through partitions, kills and a restored registry; about a minute (make test-long has eight)
	@timeout --kill-after 10 300 $(BIN)/python -m tests.federation.tale

bench: $(READY) ## ratios beside their goals, into benchmarks/results.json (ONLY=id for one)
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

PROMTOOL ?= $(or $(shell command -v promtool),.venv/prometheus/usr/bin/promtool)

alerts: ## the alert rules, checked and tried out by promtool (on Debian it is fetched into .venv, without root)
	@test -x "$(PROMTOOL)" || { mkdir -p .venv/prometheus && cd .venv/prometheus && { apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }; } && dpkg-deb -x prometheus_*.deb . ; }
	$(PROMTOOL) check rules deploy/alerts.yaml
	$(PROMTOOL) check config --syntax-only deploy/prometheus.yaml
	$(PROMTOOL) test rules deploy/alerts.test.yaml

lint: $(READY) ## ruff, import-linter, the house rules of CONTRIBUTING.md, buf
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@$(BIN)/python -m tests.house --quiet
	$(BIN)/buf lint

types: $(READY) ## mypy --strict
	$(BIN)/mypy

generate: $(READY) ## the gRPC stubs in healthcode/v1, from protos/
	rm -f healthcode/v1/*_pb2*.py healthcode/v1/*_pb2*.pyi
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos \
	    --python_out=. --grpc_python_out=. --mypy_out=quiet:. --mypy_grpc_out=quiet:. \
	    $$(cd protos && ls healthcode/v1/*.proto | sed 's,^,protos/,')

generate-check: generate ## fails when the committed stubs differ from the protos
	git diff --exit-code -- healthcode/v1
	@test -z "$$(git status --porcelain -- healthcode/v1)" || { git status --short -- healthcode/v1; exit 1; }

vectors: $(READY) ## tests/vectors, from fixed keys
	$(BIN)/python -m tests.vectors.generate

lock: ## requirements.lock, from the ranges in pyproject.toml; and what of it a deployment needs, to build with too
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock
	echo hatchling | $(BIN)/uv pip compile pyproject.toml - --constraints requirements.lock --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet -o deploy/requirements.lock

clean: ## the environment and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis var
