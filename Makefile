# Everything happens in .venv; a stamp beside each slow step makes the next run quick. `make help` lists the targets.
SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
# Rust builds link against the interpreter that will load them, whatever `python3` is on this machine.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
# Conformance data beside the checkout, if it is there; the tests that read it say so where it is not.
export HOLDFAST_VECTORS ?= $(wildcard $(abspath $(CURDIR)/../shared/vectors))
RUST_SOURCES := $(shell find rust -name target -prune -o \( -name '*.rs' -o -name 'Cargo.toml' \) -print)
# An interpreter that can make the environment and load a stable-ABI extension.
SUITABLE := import sys, sysconfig, venv, ensurepip; sys.exit(sys.version_info < (3, 11) or bool(sysconfig.get_config_var("Py_GIL_DISABLED")))

.DEFAULT_GOAL := help
.PHONY: help setup demo services test lint check bench profile fuzz-smoke deep clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/built ## make .venv: pinned tools, and the extension built in release

demo: setup ## tell the whole story with real processes and sockets (about half a minute after the build)
	@$(BIN)/holdfast demo

test: setup services ## all tests, Rust then Python; installs the system packages that some need
	cargo test --workspace --locked --quiet
	cargo test --package holdfast-p256 --release --locked --quiet
	$(BIN)/pytest

services: ## the programs that some tests run: through apt where possible, else said to be skipped
	@tests/services

lint: setup ## formatting, clippy, rustdoc, ruff, mypy, and the stub against the binary
	cargo fmt --all --check
	cargo fmt --manifest-path rust/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest holdfast._holdfast

check: ## what CI runs, in its order
	@.ci/run

bench: setup services ## the figures: compared with other implementations in the same run
	$(BIN)/pytest benches

profile: setup services ## where the hub's CPU for a connect and its memory for an idle connection go (builds with symbols; needs perf)
	cargo build --release --locked --quiet -p holdfast-bindings
# Not cp, which writes into the old file: a hub that runs here has it mapped, and would be killed by that.
	install target/release/lib_holdfast.so python/holdfast/_holdfast.abi3.so
	$(BIN)/python -m benches.where_it_goes

fuzz-smoke: $(VENV)/installed ## every fuzz target for a few seconds
	@rust/fuzz/run 5

deep: setup services ## the long counts: a million schedules of the gate, a million mutated chains, 2,000 kills of a hub (KILLS=n), death at 40 calls of each step (POINTS=n), 1,000 power cuts (CUTS=n), the database away for a minute, an hour of ordinary life (SOAK=seconds), every fuzz target for ten minutes (SECONDS_EACH=n), 10^8 signatures (CASES=n)
	HOLDFAST_SCHEDULES=1000000 cargo test --release --locked -p holdfast-gate --test schedules -- --nocapture
	$(BIN)/python -m tests.differential 1000000
	HOLDFAST_MUTANTS=20000 $(BIN)/pytest --timeout=0 tests/differential/test_doors.py
	$(BIN)/python -m tests.durability kills $(or $(KILLS),2000)
	$(BIN)/python -m tests.durability points $(or $(POINTS),40)
	$(BIN)/python -m tests.durability cuts $(or $(CUTS),1000)
	HOLDFAST_AWAY_SECONDS=60 $(BIN)/pytest --quiet tests/durability/test_away.py
	HOLDFAST_BENCH_SOAK_SECONDS=$(or $(SOAK),3600) $(BIN)/pytest --quiet benches/test_soak.py
	@rust/fuzz/run $(or $(SECONDS_EACH),600)
	HOLDFAST_KERNEL_CASES=$(or $(CASES),100000000) HOLDFAST_KERNEL_SEED=$$(date +%s) \
	  cargo test --package holdfast-p256 --release --locked --test differential -- --nocapture --test-threads 1

clean: ## remove what the targets made
	rm -rf $(VENV) target rust/fuzz/target python/holdfast/_holdfast.abi3.so

$(VENV)/installed: requirements-dev.txt
	@for tool in cargo cc; do command -v $$tool >/dev/null || { \
	  echo "holdfast: $$tool is missing: a Rust toolchain (1.90 or newer) and a C compiler are needed" >&2; exit 1; }; done
	@$(BIN)/python -c '$(SUITABLE)' 2>/dev/null || { \
	  for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    if "$$python" -c '$(SUITABLE)' 2>/dev/null; then exec "$$python" -m venv --clear $(VENV); fi; \
	  done; \
	  echo "holdfast: no Python 3.11 or newer with the venv module was found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

$(VENV)/built: $(VENV)/installed pyproject.toml .cargo/config.toml Cargo.toml Cargo.lock $(RUST_SOURCES)
	$(BIN)/maturin develop --release --quiet
	@touch $@
