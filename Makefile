# `make demo` and `make test` need Python 3.11 and make only; both set up .venv first (the lock is complete: no resolving).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test ui check lint types docs chaos backfill readers clients bench clean

demo: $(READY)
	$(BIN)/planday demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

ui: $(READY)
	@if [ -f portals.yaml ]; then DAGSTER_HOME="$(CURDIR)" $(BIN)/dagster dev -h 127.0.0.1 -w workspace.yaml; \
	else $(BIN)/planday demo --ui; fi

check: lint types test
	$(BIN)/planday docs --check

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/planday docs

chaos: $(READY)
	PLANDAY_KILLS=50 $(BIN)/python -m pytest tests/test_chaos.py -s --timeout=1800

backfill: $(READY)
	PLANDAY_MONTHS=24 $(BIN)/python -m pytest tests/test_months.py tests/test_forecast.py -k backfill -s --timeout=1800

readers: $(READY)
	PLANDAY_PUBLICATIONS=100 PLANDAY_QUERIES=5000 $(BIN)/python -m pytest tests/test_consistency.py -k readers -s --timeout=1800

# The published file in older DuckDB clients, each in an environment of its own.
clients: $(READY)
	for version in 1.2.2 1.4.4; do test -x .venv-duckdb/$$version/bin/python || { $(PYTHON) -m venv .venv-duckdb/$$version && \
	.venv-duckdb/$$version/bin/python -m pip install --quiet --disable-pip-version-check duckdb==$$version pytz; }; done
	PLANDAY_CLIENTS=".venv-duckdb/1.2.2/bin/python .venv-duckdb/1.4.4/bin/python" $(BIN)/python -m pytest tests/test_clients.py -s

bench: $(READY)
	$(BIN)/python -m benchmarks.publication

clean:
	rm -rf .venv .venv-duckdb demo .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)
