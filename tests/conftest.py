"""A local Planday on a real socket, small enough to be read in a second, and an installation beside it."""

from __future__ import annotations

import gc
import secrets
import shutil
import signal
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import hypothesis
import pytest
import stamina
from dagster import DagsterInstance
from starlette.routing import Route

from planday_io.catalogue import CATALOGUE, Catalogue
from planday_io.lake import installation as product
from planday_io.monitoring.freshness import observe
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from planday_io.warehouse import publish
from tests.support.installation import FAST, Hook, Installation, Make, storage_at

# Timing is never asserted: a busy machine fails no example.
hypothesis.settings.register_profile("planday", deadline=None)
hypothesis.settings.load_profile("planday")


def pytest_configure() -> None:
    """Programs that tests start and interrupt inherit what is ignored, and background jobs of scripts ignore SIGINT.

    After a run in this process, Dagster gives SIGTERM the handler of SIGINT, so that would be ignored as well.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests are made, and all stay: looking for garbage among them takes a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Otherwise what is frozen counts as leaked at the end of the process."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def blank_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a publication makes of an empty lake: tables, views and comments, which take half a second each time."""
    folder = tmp_path_factory.mktemp("blank")
    file = folder / "portals.yaml"
    file.write_text("portals: {oslo: {client_id: none, refresh_token: {env: NONE}}}\n")
    blank = product.Installation.load(file, CATALOGUE)
    publish(blank)
    return blank.config.warehouse


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, blank_warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    file = tmp_path_factory.mktemp("odd") / "warehouse.duckdb"
    shutil.copyfile(blank_warehouse, file)
    with duckdb.connect(str(file)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@pytest.fixture
def db(empty: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty warehouse, which is empty again after the test."""
    empty.execute("BEGIN")
    yield empty
    empty.execute("ROLLBACK")


@pytest.fixture
def make(tmp_path: Path, blank_warehouse: Path) -> Iterator[Make]:
    """Makes installations; settings are those of `Sandbox`."""
    with ExitStack() as stack:

        def build(
            catalogue: Catalogue = CATALOGUE,
            people: tuple[int, int, int] = (6, 9, 8),
            resources: str = "resources: {include: [portal, hr]}",
            **settings: Any,
        ) -> Installation:
            settings.setdefault("limits", Limits(FAST, FAST))
            settings.setdefault("portals", demo_portals(people=people))
            sandbox = demo_sandbox(**settings)
            routes: list[Route] = []
            folder = tmp_path / f"installation-{secrets.token_hex(2)}"
            shutil.copytree(blank_warehouse.parent, folder)
            address = stack.enter_context(served(sandbox, routes=routes))
            return Installation(folder, sandbox, address, catalogue, routes, resources)

        yield build


@pytest.fixture
def planday(make: Make) -> Installation:
    """The usual installation."""
    return make()


@pytest.fixture
def read_on_time(make: Make) -> Installation:
    """Three portals with `hr.departments` alone, read when its schedule was due, and monitored for a month."""
    planday = make(resources="resources: {include: [hr.departments]}")
    planday.edit_config("nightly: {enabled: false}", "nightly: {enabled: true}")
    observe(planday.installation, datetime.now(UTC) - timedelta(days=30))
    for portal in planday.config.portals:
        planday.refresh("hr.departments", portal)
    planday.publish()
    return planday


@pytest.fixture(autouse=True)
def _no_waits() -> Iterator[None]:
    """Retries happen as in production, three times at most, without waiting in between."""
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


@pytest.fixture(scope="session")
def blank_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The databases of an instance in which nothing ran: making them takes longer than most runs of tests."""
    home = tmp_path_factory.mktemp("blank-home")
    with dg.DagsterInstance.local_temp(str(home), overrides=storage_at(home)) as made:
        made.get_runs(limit=1)
    return home


@pytest.fixture
def instance(tmp_path: Path, blank_home: Path) -> Iterator[DagsterInstance]:
    home = tmp_path / "home"
    shutil.copytree(blank_home, home)
    with dg.DagsterInstance.local_temp(str(home), overrides=storage_at(home)) as made:
        yield made


@pytest.fixture
def memory() -> Iterator[DagsterInstance]:
    """An instance that keeps its events in memory: half the time, and these rows are not about its files."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def hook(planday: Installation) -> Hook:
    made = Hook()
    planday.serve(Route("/hook", made.__call__, methods=["POST"]))
    (planday.folder / "hook.txt").write_text(f"{planday.address}/hook\n")
    planday.edit_config(
        "defaults:",
        "alerts: {webhook: {url: {file: hook.txt}, format: json}, ui_url: 'https://dagster.example.com'}\ndefaults:",
    )
    return made
