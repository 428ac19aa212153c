"""The OpenAPI document, and requests judged by it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import yaml

from tests.support.installation import Installation

SPEC = Path(__file__).parents[2] / "planday_io/sandbox/openapi.yaml"


@cache
def spec() -> dict[str, Any]:
    return json_schema(yaml.load(SPEC.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def headers(planday: Installation, portal: str = "oslo") -> dict[str, str]:
    app = next(app for app in planday.sandbox.apps.values() if portal in app.refresh_tokens)
    token = planday.sandbox.access_token(app.client_id, portal)
    return {"Authorization": f"Bearer {token}", "X-ClientId": app.client_id}


def operation(path: str) -> dict[str, Any]:
    found: dict[str, Any] = spec()["paths"][path]
    return found


def schema_of(path: str) -> dict[str, Any]:
    content = operation(path)["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return {**content, "components": spec()["components"]}


def parameters(path: str) -> list[dict[str, Any]]:
    found = operation(path)["get"].get("parameters", []) + operation(path).get("parameters", [])
    known = spec()["components"]["parameters"]
    return [known[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in found]


def queries(planday: Installation, path: str) -> list[dict[str, str]]:
    """Parameters of all requests to a path."""
    found = [key.partition(" ")[2].partition("?") for key in planday.sandbox.queries]
    return [{k: v[0] for k, v in parse_qs(query).items()} for at, _, query in found if at == path]


def json_schema(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` in JSON Schema's words."""
    if isinstance(node, list):
        return [json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: json_schema(value) for key, value in node.items()}
    return {"anyOf": [plain, {"type": "null"}]} if plain.pop("nullable", False) is True else plain
