"""The same two lists by dlt's `rest_api` source into DuckDB, with its default loader or with Parquet. Prints the rows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"

import dlt
import httpx
from dlt.sources.rest_api import rest_api_source


def main(address: str, token: str, client_id: str, month: str, folder: str, loader: str) -> None:
    os.environ["DLT_DATA_DIR"] = folder
    form = {"client_id": client_id, "grant_type": "refresh_token", "refresh_token": token}
    access = httpx.post(f"{address}/connect/token", data=form).json()["access_token"]

    def resource(name: str, path: str, limit: int, **params: str) -> dict[str, object]:
        pages = {"type": "offset", "limit": limit, "offset": 0, "total_path": "paging.total"}
        endpoint = {"path": path, "params": params, "data_selector": "data", "paginator": pages}
        return {"name": name, "primary_key": "id", "write_disposition": "replace", "endpoint": endpoint}

    source = rest_api_source(
        {
            "client": {"base_url": address, "headers": {"Authorization": f"Bearer {access}", "X-ClientId": client_id}},
            "resources": [
                resource("employees", "/hr/v1.0/employees", 50),
                resource("shifts", "/scheduling/v1.0/shifts", 5000, **{"from": f"{month}-01", "to": f"{month}-28"}),
            ],
        }
    )
    pipeline = dlt.pipeline(
        "bench", destination=dlt.destinations.duckdb(str(Path(folder) / "dlt.duckdb")), pipelines_dir=folder
    )
    pipeline.run(source, loader_file_format=None if loader == "default" else loader)
    with pipeline.sql_client() as db:
        for name in ("employees", "shifts"):
            sys.stdout.write(f"{name} {db.execute_sql(f'SELECT count(*) FROM {name}')[0][0]}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
