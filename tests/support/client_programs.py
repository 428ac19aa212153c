"""The programs of `docs/clients.md`, each in an environment of its own, and what the page's sections answer there."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

Costs = dict[tuple[str, int], Decimal | None]
"""(portal, department_id) -> labour cost, rounded to cents: some programs have floats. None is NULL."""

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
SECTIONS = {
    name: re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name, text in re.findall(r'^<a id="([\w-]+)"></a>\n(.*?)(?=^<a id|\Z)', PAGE, re.MULTILINE | re.DOTALL)
}
"""Name of an environment -> what its section shows."""
PARQUET = SECTIONS.pop("parquet-files")
"""What the last section shows, each for another environment."""

_TELL = """
import json
found = globals().get("cost", globals().get("departments"))
names = ("portal", "department_id", "labour_cost") if "cost" in globals() else ("portal", "id")
if isinstance(found, list):
    rows = [tuple(row) for row in found]
else:
    columns = [found[name] for name in names]
    rows = zip(*(one.to_pylist() if hasattr(one, "to_pylist") else one.to_list() for one in columns))
print(json.dumps([[str(cell) for cell in row] for row in rows]))
"""
_MARIMO = """
from cost import app
_, defined = app.run()
cost = defined["cost"]
"""
_HARLEQUIN = """
import asyncio, json, sys
from harlequin import Harlequin
from harlequin_duckdb import DuckDbAdapter
from textual.events import Paste
from textual_fastdatatable import DataTable

async def main(file, query):
    app = Harlequin(DuckDbAdapter([file], read_only=file != ":memory:"), adapter_name="duckdb", record_history=False,
        no_download_tzdata=True, keymap_names=["vscode"])
    async with app.run_test(size=(160, 50)) as pilot:
        async def until(seen):
            while not seen():
                await pilot.pause(0.05)
        await until(lambda: getattr(app, "connection", None) and app.editor and app.editor.text_input)
        app.editor.text_input.focus()
        app.editor.text_input.post_message(Paste(query))
        await until(lambda: app.editor.text.strip() == query)
        await pilot.press("ctrl+j")
        await until(lambda: any(table.row_count for table in app.query(DataTable)))
        table = app.query_one(DataTable)
        print(json.dumps([[str(cell) for cell in table.get_row_at(n)] for n in range(table.row_count)]))

asyncio.run(main(*sys.argv[1:]))
"""


def python_of(name: str) -> str | None:
    """The interpreter of a client; for what is installed for these tests anyway, the one that runs them."""
    folder = os.environ.get("PLANDAY_CLIENTS")
    if folder:
        return str(Path(folder).resolve() / name / "bin" / "python")
    return sys.executable if name in {"pandas", "pyarrow"} else None


def blocks(name: str, found: str) -> list[str]:
    """The Python programs of a section that work out `cost`, or `departments`."""
    return [text for kind, text in SECTIONS[name] if kind == "python" and re.search(rf"\b{found} = ", text)]


def ran(python: str, folder: Path, program: str, *arguments: str) -> str:
    """What a program printed, in the environment of that interpreter and in that folder."""
    return output_of([python, "-c", program, *arguments], python, folder)


def output_of(command: list[str], python: str, folder: Path) -> str:
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | home | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(text: str) -> list[list[str]]:
    rows: list[list[str]] = json.loads(text.splitlines()[-1])
    return rows


def costs(rows: Iterable[Iterable[Any]]) -> Costs:
    return {(str(portal), int(department)): _cents(str(cost)) for portal, department, cost in rows}


def _cents(text: str) -> Decimal | None:
    return None if text in {"None", "nan", "NULL", ""} else Decimal(text).quantize(Decimal("0.01"))


def of_export(text: str) -> str:
    """The same question, asked of files that `planday export --format parquet` wrote, and with no other file open."""
    files = "planday-parquet/marts/labour_daily/**/*.parquet"
    for shown, instead in (
        ('connect("warehouse.duckdb", read_only=True)', "connect()"),
        ('duckdb:///warehouse.duckdb", connect_args={"read_only": True}', 'duckdb:///:memory:"'),
        ("-readonly -csv warehouse.duckdb", "-csv :memory:"),
        ("FROM marts.labour_daily", f"FROM '{files}'"),
        ('table("labour_daily", database="marts")', f'read_parquet("{files}")'),
    ):
        text = text.replace(shown, instead)
    assert "warehouse.duckdb" not in text
    assert files in text
    return text


def environment_of(kind: str, program: str) -> str:
    """Where something of the last section runs: the package that it imports first, or the shell."""
    return program.split()[1].partition(".")[0] if kind == "python" else "duckdb-cli"


def from_python(python: str, folder: Path, program: str) -> list[list[str]]:
    return told(ran(python, folder, program + _TELL))


def from_shell(python: str, folder: Path, command: str) -> list[list[str]]:
    _, *rows = csv.reader(io.StringIO(output_of(["sh", "-c", command], python, folder)))
    return rows


def from_marimo(python: str, folder: Path, notebook: str) -> list[list[str]]:
    (folder / "cost.py").write_text(notebook)
    return told(ran(python, folder, _MARIMO + _TELL))


def from_harlequin(python: str, folder: Path, query: str, file: str = "warehouse.duckdb") -> list[list[str]]:
    return told(ran(python, folder, _HARLEQUIN, file, query))
