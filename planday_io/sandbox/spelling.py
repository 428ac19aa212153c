"""Rewrites real requests to the spelling in which the endpoints are declared.

Paths and names of parameters come in any case, `/v1/` is `/v1.0/`, a trailing slash is answered directly (reference, section
6). Values are left as they are. It costs almost nothing, because the endpoint of a path is cached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from starlette.types import ASGIApp, Receive, Scope, Send

from planday_io.sandbox.endpoint import Endpoint

IDENTITY = "/connect/", "/.well-known/"
_VERSIONS = frozenset({"v1", "v1.0"})
_INDEX = re.compile(r"\[[0-9]*\]$")
"""`departmentId[]=1` and `departmentId[0]=1` are ways to repeat a parameter."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where a path leads: an endpoint, the values of its path parameters, and the path as it is declared."""

    endpoint: Endpoint
    ids: Mapping[str, Any]
    path: str


class Directory:
    """Finds endpoints."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._by_length: dict[int, list[tuple[list[str], Endpoint]]] = {}
        for endpoint in endpoints:
            parts = endpoint.path.split("/")[1:]
            self._by_length.setdefault(len(parts), []).append((parts, endpoint))
        for candidates in self._by_length.values():
            # A declared word takes precedence over a path parameter that takes any text.
            candidates.sort(key=lambda one: sum(part.startswith("{") for part in one[0]))
        self.find = lru_cache(maxsize=16_384)(self._find)

    def _find(self, path: str) -> Located | None:
        parts = path.rstrip("/").split("/")[1:]
        if len(parts) > 1 and parts[1].lower() in _VERSIONS:
            parts[1] = "v1.0"
        for declared, endpoint in self._by_length.get(len(parts), ()):
            ids: dict[str, Any] = {}
            for wanted, part in zip(declared, parts, strict=True):
                if not wanted.startswith("{"):
                    if wanted.lower() != part.lower():
                        break
                elif wanted[1:-1] in endpoint.texts:
                    ids[wanted[1:-1]] = part
                elif part.isascii() and part.isdigit() and len(part) < 20:
                    ids[wanted[1:-1]] = int(part)
                else:
                    break
            else:
                return Located(endpoint, ids, endpoint.path.format_map(ids))
        return None


class Spelled:
    """Middleware: rewrites requests to an endpoint in its declared spelling, and leaves others alone."""

    def __init__(self, app: ASGIApp, directory: Directory) -> None:
        self._app, self._directory = app, directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            path = scope["path"]
            if located := self._directory.find(path):
                query = named(scope["query_string"], located.endpoint.spellings)
                scope = _at(scope, located.path) | {"query_string": query, "located": located}
            elif path.lower().startswith(IDENTITY):
                scope = _at(scope, path.lower().rstrip("/"))
        await self._app(scope, receive, send)


def _at(scope: Scope, path: str) -> dict[str, Any]:
    return {**scope, "path": path, "raw_path": path.encode()}


def named(query: bytes, spellings: Mapping[str, str]) -> bytes:
    """A query whose known names are spelled as declared; values and other names stay."""
    if not query:
        return query
    parts = []
    for part in query.split(b"&"):
        name, equals, value = part.partition(b"=")
        text = _INDEX.sub("", unquote_plus(name.decode("latin-1")))
        known = spellings.get(text.lower())
        parts.append(part if known is None else known.encode() + equals + value)
    return b"&".join(parts)
