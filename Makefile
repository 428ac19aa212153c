# `make demo` and `make test` need Python 3.11 or later and make only; both set up .venv first (the locks are complete: no resolving).
# Another interpreter, in an environment of its own: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := -m pip install --quiet --disable-pip-version-check --no-deps

.PHONY: demo test coverage processes ui check lint types docs docs-check lock chaos backfill daemon backfill-daemon soak soak-short slow \
	readers clients lock-clients bench dbt pictures clean

demo: $(READY)
	$(BIN)/planday demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=15 tests

# What the quick tests reach; fails below the floor in pyproject.toml. A target of its own, because measuring costs 80 % more processor time.
coverage: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal tests --cov

# What starts the program, often several times: commands, a full disk, kills, twelve at once, a person forgotten; marts against oracles.
processes: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=40 tests -m processes

ui: $(READY)
	@if [ -f portals.yaml ]; then DAGSTER_HOME="$(CURDIR)" $(BIN)/dagster dev -h 127.0.0.1 -w workspace.yaml; \
	else $(BIN)/planday demo --ui; fi

check: lint types test processes docs-check

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/planday docs

docs-check: $(READY)
	$(BIN)/planday docs --check

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

# Thirty nights of ten portals with faults, kills and edits; the short one, of five portals, is in `make slow`.
soak: $(READY)
	PLANDAY_NIGHTS=30 PLANDAY_PORTALS=10 $(BIN)/python -m pytest tests/test_soak.py -m slow -s --timeout=1800

soak-short: $(READY)
	$(BIN)/python -m pytest tests/test_soak.py -m slow -s --timeout=600

readers: $(READY)
	PLANDAY_PUBLICATIONS=100 PLANDAY_QUERIES=5000 $(BIN)/python -m pytest tests/test_consistency.py -k readers -m processes -s --timeout=1800

# The published file in older DuckDB clients and in the programs of docs/clients.md, each in an environment of its own.
CLIENTS := $(patsubst tests/clients/%.lock,%,$(wildcard tests/clients/*.lock))

clients: $(READY) $(CLIENTS:%=.venv-clients/%/.ready)
	PLANDAY_CLIENTS=.venv-clients $(BIN)/python -m pytest tests/test_clients.py tests/test_client_programs.py -m processes -s
	$(BIN)/python -m pytest tests/test_export_parquet.py -k of_the_page -m ""

.venv-clients/%/.ready: tests/clients/%.lock
	$(PYTHON) -m venv .venv-clients/$*
	.venv-clients/$*/bin/python $(PIP) --require-hashes -r $<
	touch $@

# Screenshots of both report pages, from a demo of today (`make demo` first); needs Debian's chromium.
pictures: $(READY)
	$(BIN)/python -m tests.pictures

# What this is compared with has an environment of its own. CASES="a g" runs some cases.
bench: $(READY) .venv-bench/.ready
	$(BIN)/python -m benchmarks $(CASES)

.venv-bench/.ready: benchmarks/requirements.lock
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python $(PIP) --require-hashes -r benchmarks/requirements.lock
	touch .venv-bench/.ready

# The dbt package and its example on a small published file, and what MetricFlow makes of the metrics, in DuckDB 1.4 and 2.
dbt: $(READY) .venv-dbt/.ready
	PLANDAY_DBT=.venv-dbt $(BIN)/python -m pytest tests/test_dbt.py -m processes -s

.venv-dbt/.ready: tests/dbt/requirements.lock tests/dbt/duckdb-1.4.lock
	$(PYTHON) -m venv .venv-dbt
	.venv-dbt/bin/python $(PIP) --only-binary :all: --require-hashes -r tests/dbt/requirements.lock
	.venv-dbt/bin/python $(PIP) --only-binary :all: --require-hashes -r tests/dbt/duckdb-1.4.lock --target .venv-dbt/duckdb-1.4 --upgrade
	touch .venv-dbt/.ready

# Renews both locks to the newest versions that pyproject.toml takes; `make lock UPGRADE=` keeps what still fits. The second file
# has what the first has not, so nothing is pinned twice. Hashes are those of all platforms and Pythons; `pip check` (below) fails
# where a newer Python needs a package that 3.11 does not.
UPGRADE ?= --upgrade
COMPILE = .venv-lock/bin/uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet $(UPGRADE)

lock: .venv-lock/.ready
	$(COMPILE) --extra postgres --extra build --output-file requirements.lock
	cat requirements.lock requirements-dev.lock > .venv-lock/all.lock
	$(COMPILE) --all-extras --constraint requirements.lock --output-file .venv-lock/all.lock
	awk 'NR == FNR { if (/==/) run[$$0]; next } /==/ { skip = ($$0 in run) } !skip' requirements.lock .venv-lock/all.lock \
	> requirements-dev.lock

# The same for the programs of docs/clients.md, whose versions that page names.
lock-clients: .venv-lock/.ready
	for name in $(CLIENTS); do .venv-lock/bin/uv pip compile tests/clients/$$name.in --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --quiet $(UPGRADE) --output-file tests/clients/$$name.lock || exit 1; done

.venv-lock/.ready:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python $(PIP) uv==0.13.9
	touch .venv-lock/.ready

clean:
	rm -rf .venv .venv-clients .venv-bench .venv-dbt .venv-lock demo .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(READY): requirements.lock requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --require-hashes -r requirements.lock -r requirements-dev.lock
	$(BIN)/python $(PIP) --no-build-isolation -e .
	$(BIN)/python -m pip check --disable-pip-version-check
	touch $(READY)

# What runs, and nothing else: services and containers.
.PHONY: install
install: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --require-hashes -r requirements.lock
	$(BIN)/python $(PIP) --no-build-isolation -e .
