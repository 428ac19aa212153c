"""An installation in a folder of its own that reads from the fast server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import Measured, run
from planday_io.catalogue import CATALOGUE
from planday_io.lake.installation import Installation
from planday_io.months import month_of
from planday_io.sandbox.fast import CLIENT_ID, refresh_token

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
THIS = month_of(datetime.now(UTC).date())

_WITHOUT_PANDAS = """
import runpy, sys
class NoPandas:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError("pandas is hidden", name=name)
sys.meta_path.insert(0, NoPandas())
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with a configuration, and what is run there.

    Args:
        folder: of the configuration.
        address: of the server.
    """

    folder: Path
    address: str

    def configure(
        self, resources: str, portals: Sequence[str] = ("oslo",), history_start: str = THIS, defaults: str = ""
    ) -> None:
        """Write configuration and tokens, and Dagster's settings beside them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"planday: {{api_url: '{self.address}', identity_url: '{self.address}'}}",
            f"history_start: {history_start}",
            "defaults:",
            f"  resources: {{include: [{resources}]}}",
            *([f"  {defaults}"] if defaults else []),
            "portals:",
        ]
        for portal in portals:
            (self.folder / f"{portal}.txt").write_text(refresh_token(portal))
            lines.append(f"  {portal}: {{client_id: {CLIENT_ID}, refresh_token: {{file: {portal}.txt}}}}")
        (self.folder / "portals.yaml").write_text("\n".join(lines) + "\n")
        self.add_settings()

    def add_settings(self) -> None:
        """The project's Dagster settings."""
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copyfile(ROOT / name, self.folder / name)

    def clear(self) -> None:
        """Remove everything that was read. Dagster's storage stays: it is made once."""
        installation = Installation.load(self.folder / "portals.yaml", CATALOGUE)
        for folder in (installation.config.lake, installation.state.folder):
            shutil.rmtree(folder, ignore_errors=True)
        (self.folder / "warehouse.duckdb").unlink(missing_ok=True)

    def command(self, *arguments: str, codes: Sequence[int] = (0,)) -> Measured:
        """Run `planday`, which has to end with one of some exit codes."""
        env = {"DAGSTER_HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        return run([BIN / "planday", *arguments], self.folder, env, codes)

    def library(self, *tables: str) -> Measured:
        """Refresh tables without Dagster."""
        command = [sys.executable, "-m", "benchmarks.library", "portals.yaml", "oslo", *tables]
        return run(command, self.folder, {"PYTHONPATH": str(ROOT)})

    def other(self, script: str, *arguments: str) -> Measured:
        """Run one of what this is compared with, in the environment that `make bench` makes for it."""
        out = self.folder / "other"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        given = [self.address, refresh_token("oslo"), CLIENT_ID, THIS, str(out), *arguments]
        return run([ROOT / ".venv-bench/bin/python", ROOT / "benchmarks" / script, *given], self.folder)

    def floor_without_pandas(self) -> Measured:
        """The floor where pyarrow finds no pandas, which it loads wherever it is installed."""
        out = self.folder / "other"
        out.mkdir(exist_ok=True)
        given = [self.address, refresh_token("oslo"), CLIENT_ID, THIS, str(out)]
        command: list[str | Path] = [
            ROOT / ".venv-bench/bin/python",
            "-c",
            _WITHOUT_PANDAS,
            ROOT / "benchmarks/floor.py",
            *given,
        ]
        return run(command, self.folder)
