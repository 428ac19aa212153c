"""An installation beside a local Planday, and what tests do with one."""

from __future__ import annotations

import copy
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import yaml
from dagster import DagsterInstance
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.definitions import build_definitions
from planday_io.catalogue import CATALOGUE, Catalogue
from planday_io.config import Config, load_config
from planday_io.lake import installation as product
from planday_io.lake.slices import Lake, Provenance, SliceKey
from planday_io.sandbox.serve import write_config
from planday_io.sandbox.state import Sandbox
from planday_io.state import State
from planday_io.sync.session import PortalSession, refresh
from planday_io.sync.writer import TableReport
from planday_io.warehouse import publish
from planday_io.warehouse.definitions import literal

EVERYTHING = "timezone: Europe/Copenhagen"
"""A line of `defaults` that leaves all resources in."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration that keeps Dagster's own log lines off the console."""

FAST = ((100_000, 1.0), (1_000_000, 60.0))


@dataclass
class Installation:
    """A folder with a configuration, and the sandbox it points at."""

    folder: Path
    sandbox: Sandbox
    address: str
    catalogue: Catalogue = CATALOGUE
    routes: list[Route] = field(default_factory=list)
    resources: str = "resources: {include: [portal, hr]}"
    config_path: Path = field(init=False)
    _read: tuple[bytes, Config] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.config_path = write_config(self.sandbox, self.folder, self.address, defaults=[self.resources])

    def serve(self, route: Route) -> None:
        """Let the running sandbox answer one more path."""
        self.routes.append(route)

    def add_portal(self, key: str, number: int) -> str:
        """Another portal, a copy of oslo, authorized by oslo's app; returns its refresh token."""
        portal = copy.deepcopy(self.sandbox.portals["oslo"])
        portal.key, portal.info["id"] = key, number
        self.sandbox.portals[key] = portal
        app = next(app for app in self.sandbox.apps.values() if "oslo" in app.refresh_tokens)
        app.refresh_tokens[key] = f"demo-refresh-token-{key}"
        return app.refresh_tokens[key]

    def connect_portal(self, key: str, number: int) -> None:
        """The same, named in portals.yaml as well."""
        (self.folder / f"{key}.txt").write_text(self.add_portal(key, number))
        app = next(app for app in self.sandbox.apps.values() if key in app.refresh_tokens)
        secret = f"{{file: '{key}.txt'}}"
        self.edit_config("portals:", f"portals:\n  '{key}': {{client_id: {app.client_id}, refresh_token: {secret}}}")

    @property
    def config(self) -> Config:
        """As the file is now; reading it again where it is the same would take a tenth of the suite."""
        text = self.config_path.read_bytes()
        if self._read is None or self._read[0] != text:
            self._read = (text, load_config(self.config_path, self.catalogue))
        return self._read[1]

    @property
    def installation(self) -> product.Installation:
        return product.Installation(self.config, self.catalogue)

    @property
    def state(self) -> State:
        return self.installation.state

    def state_files_with(self, text: str) -> list[Path]:
        """Files of the state that hold a text."""
        files = [path for path in sorted(self.state.folder.rglob("*")) if path.is_file()]
        return [path for path in files if text.encode() in path.read_bytes()]

    @property
    def lake(self) -> Lake:
        return self.installation.lake

    def edit_config(self, old: str, new: str) -> None:
        text = self.config_path.read_text()
        assert old in text
        self.config_path.write_text(text.replace(old, new))

    def session(self, portal: str = "oslo") -> PortalSession:
        return PortalSession(self.installation, portal, run_id=f"run-{secrets.token_hex(3)}")

    def refresh(self, table: str, portal: str = "oslo", **how: Any) -> list[TableReport]:
        return refresh(self.session(portal), table, **how)

    def rows(self, table: str, portal: str = "oslo", month: str | None = None) -> list[dict[str, Any]]:
        return self.frame(table, portal, month).to_pylist()

    def frame(self, table: str, portal: str = "oslo", month: str | None = None) -> pa.Table:
        return self.lake.read(SliceKey.of(table, portal, month))

    def provenance(self, table: str, portal: str = "oslo", month: str | None = None) -> Provenance | None:
        return self.lake.provenance(SliceKey.of(table, portal, month))

    def bytes_of(self, table: str, portal: str = "oslo", month: str | None = None) -> bytes:
        return self.lake.path(SliceKey.of(table, portal, month)).read_bytes()

    def fresh(self) -> Installation:
        """Another installation of the same sandbox, with nothing in it."""
        folder = self.folder.with_name(f"{self.folder.name}-{secrets.token_hex(2)}")
        folder.mkdir()
        made = Installation(folder, self.sandbox, self.address, self.catalogue, self.routes, self.resources)
        made.config_path.write_text(self.config_path.read_text())
        return made

    def read_months(self, months: Iterable[str], portal: str = "oslo") -> None:
        """Read the facts of months as runs started together do, and publish."""
        batch = f"test-{secrets.token_hex(3)}"
        for month in months:
            session = PortalSession(self.installation, portal, run_id=f"run {month}", batch=batch)
            for endpoint in self.catalogue.endpoints:
                if endpoint.grid == "month" and not endpoint.tables[0].on_request:
                    refresh(session, endpoint.name, month=month)
        self.publish()

    def content(self, portal: str = "oslo", tables: Iterable[str] | None = None) -> dict[str, list[tuple[Any, ...]]]:
        """All published rows of the facts, or of some tables, without the time they were read."""
        names = tables or [table.full_name for table in self.catalogue.tables() if table.is_monthly]
        return self.queries(
            {
                name: f"SELECT * EXCLUDE (_fetched_at) FROM {name} WHERE portal = '{portal}' ORDER BY ALL"
                for name in names
            }
        )

    def publish(self, **how: Any) -> Any:
        return publish(self.installation, **how)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.queries({"": sql})[""]

    def queries(self, asked: Mapping[str, str]) -> dict[str, list[tuple[Any, ...]]]:
        """Answers to several questions."""
        with _reader().open(self.config.warehouse) as db:
            return {name: db.execute(sql).fetchall() for name, sql in asked.items()}


class _Reader:
    """A DuckDB that asks warehouses, and keeps the last one open: opening one takes longer than most questions.

    It opens a copy, so that nothing is in the way of who writes or removes the file.
    """

    def __init__(self) -> None:
        self._db = duckdb.connect()
        self._seen: tuple[object, ...] = ()

    @contextmanager
    def open(self, file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        found = file.stat()
        seen = (file, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        # A log is part of what a reader sees, and changes while its file does not.
        has_log = file.with_name(f"{file.name}.wal").exists()
        if seen != self._seen or has_log:
            self._close()
            with tempfile.TemporaryDirectory() as folder:
                self._attach(file if has_log else Path(shutil.copy(file, folder)))
            self._seen = seen
        try:
            with self._db.cursor() as db:
                db.execute("USE warehouse")
                yield db
        finally:
            if has_log:
                self._close()

    def _attach(self, file: Path) -> None:
        self._db.execute(f"ATTACH {literal(str(file))} AS warehouse (READ_ONLY)")

    def _close(self) -> None:
        if self._seen:
            self._db.execute("DETACH warehouse")
        self._seen = ()


@cache
def _reader() -> _Reader:
    """One for all questions of a process."""
    return _Reader()


Make = Callable[..., Installation]


def storage_at(home: Path) -> dict[str, Any]:
    """The storage of the project's dagster.yaml, somewhere else."""
    storage: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())["storage"]
    storage["sqlite"]["base_dir"] = str(home / "storage")
    return {"storage": storage}


def run(
    planday: Installation,
    instance: DagsterInstance,
    *tables: str,
    portal: str = "oslo",
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        partition_key=portal,
        asset_selection=[dg.AssetKey(table.split(".")) for table in tables],
        raise_on_error=False,
        run_config=QUIET,
        tags={**(tags or {})},
    )


class Hook:
    """A webhook: what it got, and whether it takes anything."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        self.refuses = ""

    async def __call__(self, request: Request) -> Response:
        body = await request.json()
        if self.refuses and self.refuses in {one["cause"] for one in body["incidents"]}:
            return Response(status_code=400)
        if self.status == 200:
            self.got.append(body)
        return Response(status_code=self.status)

    def take(self) -> list[dict[str, Any]]:
        got, self.got = self.got, []
        return got
