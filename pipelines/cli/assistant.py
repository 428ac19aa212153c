"""`planday mcp`: the published warehouse for an assistant."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from planday_io.errors import ConfigError


def mcp(
    tables: Annotated[
        bool,
        typer.Option(
            "--tables",
            help="Also allow the tables as Planday has them, and their histories; otherwise only marts and sync.",
        ),
    ] = False,
    file: Annotated[
        Path | None, typer.Option(help="A published warehouse, such as a copy; by default that of portals.yaml.")
    ] = None,
) -> None:
    """Let a chat assistant query the published warehouse, read-only: a Model Context Protocol server.

    It speaks over standard input and output, so the assistant's program starts it; docs/assistant.md says how. It needs the
    extra `mcp`.
    """
    if find_spec("mcp") is None:
        raise ConfigError(
            "`planday mcp` needs the package mcp, the extra of that name: `.venv/bin/pip install 'planday-warehouse[mcp]'` "
            "installs it beside this program"
        )
    warehouse = file.absolute() if file else _published()
    if not warehouse.exists():
        raise ConfigError(f"there is no {warehouse}: `planday sync` or `planday publish` writes the warehouse")
    from planday_io.assistant.server import serve

    serve(warehouse, allows_tables=tables)


def _published() -> Path:
    """Without the state and the secrets of the installation, which this server has no use for."""
    from planday_io.catalogue import CATALOGUE
    from planday_io.config import find_config, load_config

    return load_config(find_config(), CATALOGUE).warehouse
