# `make demo` and `make test` need Python 3.11 and make only; both set up .venv first (the lock is complete: no resolving).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test processes ui check lint types docs chaos backfill daemon backfill-daemon soak soak-short slow readers clients bench clean

demo: $(READY)
	$(BIN)/planday demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

# What starts the program, often several times: commands, a full disk, kills, twelve at once, a person forgotten.
processes: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal tests -m processes

ui: $(READY)
	@if [ -f portals.yaml ]; then DAGSTER_HOME="$(CURDIR)" $(BIN)/dagster dev -h 127.0.0.1 -w workspace.yaml; \
	else $(BIN)/planday demo --ui; fi

check: lint types test processes
	$(BIN)/planday docs --check

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/planday docs

chaos: $(READY)
	PLANDAY_KILLS=50 $(BIN)/python -m pytest tests/test_chaos.py -m slow -s --timeout=1800

backfill: $(READY)
	PLANDAY_MONTHS=24 $(BIN)/python -m pytest tests/test_months.py tests/test_forecast.py -k backfill -m slow -s --timeout=1800

# What takes minutes, at its smallest: kills, nights with faults, a daemon with Postgres, backfills, forecasts.
slow: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal tests -m slow --timeout=1200

# A daemon and a web server with Postgres, killed in the middle of a backfill; `dagster dev` and what is corrected while it runs.
daemon: $(READY)
	$(BIN)/python -m pytest tests/test_daemon.py tests/test_dagster_dev.py -m slow -s --timeout=1800

backfill-daemon: $(READY)
	PLANDAY_BACKFILL_MONTHS=20 $(BIN)/python -m pytest tests/test_daemon.py -k six_runs -m slow -s --timeout=3600

# Thirty nights of ten portals with faults, kills and edits; the short one is in `make slow`.
soak: $(READY)
	PLANDAY_NIGHTS=30 $(BIN)/python -m pytest tests/test_soak.py -m slow -s --timeout=1800

soak-short: $(READY)
	$(BIN)/python -m pytest tests/test_soak.py -m slow -s --timeout=600

readers: $(READY)
	PLANDAY_PUBLICATIONS=100 PLANDAY_QUERIES=5000 $(BIN)/python -m pytest tests/test_consistency.py -k readers -s --timeout=1800

# The published file in older DuckDB clients, each in an environment of its own.
clients: $(READY)
	for version in 1.2.2 1.4.4; do test -x .venv-duckdb/$$version/bin/python || { $(PYTHON) -m venv .venv-duckdb/$$version && \
	.venv-duckdb/$$version/bin/python -m pip install --quiet --disable-pip-version-check duckdb==$$version pytz; }; done
	PLANDAY_CLIENTS=".venv-duckdb/1.2.2/bin/python .venv-duckdb/1.4.4/bin/python" $(BIN)/python -m pytest tests/test_clients.py -m processes -s

# What this is compared with has an environment of its own. CASES="a g" runs some cases.
bench: $(READY) .venv-bench/.ready
	$(BIN)/python -m benchmarks $(CASES)

.venv-bench/.ready: benchmarks/requirements.lock
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r benchmarks/requirements.lock
	touch .venv-bench/.ready

clean:
	rm -rf .venv .venv-duckdb .venv-bench demo .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)
