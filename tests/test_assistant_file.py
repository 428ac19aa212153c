"""The file that an assistant asks: an empty one, none, and the next publication while it is asked."""

from __future__ import annotations

import os
import re
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import psutil
import pytest
from mcp import Client

from planday_io.assistant.server import made_server
from tests.support.assistant import ask, call, workers
from tests.support.installation import Installation


def test_an_empty_warehouse_says_so(blank_warehouse: Path) -> None:
    answer = ask(blank_warehouse, "query", sql="SELECT count(*) FROM marts.hours")
    assert answer.rows == [[0]]
    assert answer.status == "Completeness: nothing was read from Planday yet, so this file has no data."


@pytest.mark.parametrize("content", [None, b"", b"no database", b"DUCK" * 5000])
def test_a_file_that_is_no_warehouse(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "warehouse.duckdb"
    if content is not None:
        file.write_bytes(content)
    answer = ask(file, "list_marts")
    assert answer.is_error
    assert re.match("Refused: the (warehouse cannot be opened|file is not a warehouse)", answer.text)
    assert "planday publish" in answer.text
    assert str(tmp_path) not in answer.text


@pytest.mark.processes
def test_a_new_publication_is_seen_at_once(planday: Installation) -> None:
    """Also while a question still reads the old file, for which no publication waits."""
    planday.refresh("hr.departments", "oslo")
    planday.publish()
    file = planday.config.warehouse

    async def story() -> None:
        async with Client(made_server(file, allows_tables=True)) as client:
            count = "SELECT count(DISTINCT portal) FROM hr.departments"
            assert (await call(client, "query", sql=count)).rows == [[1]]
            async with anyio.create_task_group() as group:
                group.start_soon(call_forever, client)
                while not any(holds(process, file) for process in workers()):
                    await anyio.lowlevel.checkpoint()
                await anyio.to_thread.run_sync(planday.refresh, "hr.departments", "london")
                await anyio.to_thread.run_sync(planday.publish)
                assert workers(), "the question goes on"
                answer = await call(client, "query", sql=count)
                group.cancel_scope.cancel()
            assert answer.rows == [[2]]
            assert not [process for process in workers() if holds(process, file)]

    anyio.run(story)


async def call_forever(client: Client) -> None:
    await call(
        client,
        "query",
        sql="SELECT count(*) FROM range(100000000) AS a(x), range(100000000) AS b(y) WHERE x * y % 7 = 8",
    )


def holds(process: psutil.Process, file: Path) -> bool:
    try:
        return any(opened.path.startswith(os.path.realpath(file)) for opened in process.open_files())
    except psutil.Error:
        return False
