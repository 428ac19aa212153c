"""Compares the catalogue with an OpenAPI document: what the document has and the catalogue lacks, and the reverse.

The document is the one that the sandbox keeps, or one that somebody downloaded from Planday
(docs/api-facts.md#sources). Planday has one per domain, so only domains that a document has are compared.

References, `allOf` and `properties` are all that is needed. Libraries for OpenAPI validate requests, and refuse documents
that are slightly wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import yaml

from planday_io.catalogue import Catalogue, Endpoint, Table
from planday_io.catalogue.model import ChildArray, ChildMembers, Column, Document, ScalarList, StructList
from planday_io.catalogue.naming import camel_case
from planday_io.errors import ConfigError
from planday_io.frames.members import nested_members

_PATH_PARAM = re.compile(r"\{[^{}]*\}")
_DEEPEST = 30
_MOST_BYTES = 50 * 2**20
_TYPES: dict[object, set[str]] = {
    "BIGINT": {"integer"},
    "DECIMAL": {"number", "integer"},
    "BOOLEAN": {"boolean"},
    **{kind: {"string"} for kind in ("VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMPTZ")},
}
"""JSON types that a column accepts; those that are not here accept any."""

Kind = Literal["endpoint", "member", "type", "value", "no endpoint", "no member"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that the document says and the catalogue does not, or the reverse ("no endpoint", "no member").

    Args:
        kind: of what differs.
        endpoint: path, as the document spells it, or else the catalogue.
        table: full name, or empty for an endpoint.
        path: of the member, or empty.
        found: type or value in the document, or empty.
        expected: type in the catalogue, or empty.
    """

    kind: Kind
    endpoint: str
    table: str = ""
    path: str = ""
    found: str = ""
    expected: str = ""


def load_specification(file: Path) -> dict[str, Any]:
    """Read an OpenAPI document, JSON or YAML. Raises ConfigError if it is not one."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{file} has more than {_MOST_BYTES >> 20} MiB: give the OpenAPI document alone")
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or type(error).__name__}") from None
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            found = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
        except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
            raise ConfigError(f"{file} is neither JSON nor YAML: download the document again") from None
    if not isinstance(found, dict) or not isinstance(found.get("paths"), dict):
        raise ConfigError(
            f"{file} is no OpenAPI document, because it has no `paths`: Planday's are linked in docs/api-facts.md#sources"
        )
    return found


def differences(catalogue: Catalogue, document: Mapping[str, Any]) -> list[Difference]:
    """How a document and the catalogue differ, endpoints first. Parts of the document that cannot be read are left out."""
    return [*_Comparison(catalogue, document).differences()]


class _Comparison:
    def __init__(self, catalogue: Catalogue, document: Mapping[str, Any]) -> None:
        self._document = document
        prefix = _prefix(document)
        self._paths = {}
        for path, item in document["paths"].items():
            if isinstance(path, str) and isinstance(item, dict) and isinstance(item.get("get"), dict):
                full = path if path.startswith(f"{prefix}/") else f"{prefix}{path}"
                self._paths[_plain(full)] = (full, item["get"])
        self._endpoints: dict[str, list[Endpoint]] = {}
        for endpoint in catalogue.endpoints:
            self._endpoints.setdefault(_plain(endpoint.path), []).append(endpoint)

    def differences(self) -> Iterator[Difference]:
        for plain in sorted(self._paths.keys() - self._endpoints.keys()):
            yield Difference(kind="endpoint", endpoint=self._paths[plain][0])
        domains = {plain.split("/")[1] for plain in self._paths if plain.count("/")}
        for plain, endpoints in self._endpoints.items():
            if plain in self._paths:
                yield from self._of_path(self._paths[plain], endpoints)
            elif plain.split("/")[1] in domains:
                yield Difference(kind="no endpoint", endpoint=endpoints[0].path)

    def _of_path(self, found: tuple[str, dict[str, Any]], endpoints: list[Endpoint]) -> Iterator[Difference]:
        path, operation = found
        answer = self._answer(operation)
        for endpoint in endpoints if answer else ():
            parents: dict[str, Any] = {}
            for table in endpoint.tables:
                row: dict[str, Any] = {}
                if isinstance(table.rows, Document):
                    row = parents = self._row(answer, table.rows.member)
                elif isinstance(table.rows, ChildArray):
                    row = self._item(self._properties(parents).get(table.rows.member))
                if members := self._properties(row):
                    yield from self._of_table(path, endpoint, table, members)

    def _of_table(
        self, path: str, endpoint: Endpoint, table: Table, members: Mapping[str, Any]
    ) -> Iterator[Difference]:
        def difference(kind: Kind, member: str, found: str = "", expected: str = "") -> Difference:
            return Difference(
                kind=kind, endpoint=path, table=table.full_name, path=member, found=found, expected=expected
            )

        columns = {one.member: one for one in table.columns if not (one.is_provided or one.path_param)}
        known = {member.partition(".")[0] for member in columns}
        repeated = {camel_case(one.path_param) for one in table.columns if one.path_param}
        patterns = []
        if table is endpoint.tables[0]:
            known |= {one.rows.member for one in endpoint.tables if isinstance(one.rows, ChildArray)}
            patterns = [re.compile(one.rows.pattern) for one in endpoint.tables if isinstance(one.rows, ChildMembers)]
        for member in sorted(members.keys() - known - repeated):
            if not any(pattern.match(member) for pattern in patterns):
                yield difference("member", member)
        for member in sorted(known - members.keys()):
            yield difference("no member", member)
        for head, inner in nested_members(table.columns).items():
            there = self._properties(members.get(head)) or self._properties(self._item(members.get(head)))
            for name in sorted(there.keys() - inner):
                yield difference("member", f"{head}.{name}")
        for member, column in columns.items():
            schema = self._at(members, member)
            kind = schema.get("type")
            accepted = _accepted(column)
            if accepted and isinstance(kind, str) and kind not in accepted:
                yield difference("type", member, found=kind, expected=" or ".join(sorted(accepted)))
            enumeration = schema.get("enum")
            for value in enumeration if column.values and isinstance(enumeration, list) else ():
                if isinstance(value, str) and value not in column.values:
                    yield difference("value", member, found=value)

    def _answer(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        """The schema of the answer 200, in OpenAPI 3 or Swagger 2."""
        answers = operation.get("responses")
        answer = self._resolved(answers.get("200", answers.get(200))) if isinstance(answers, dict) else {}
        if isinstance(answer.get("schema"), dict):
            return self._resolved(answer["schema"])
        contents = answer.get("content")
        for kind, content in contents.items() if isinstance(contents, dict) else ():
            if "json" in str(kind) and isinstance(content, dict):
                return self._resolved(content.get("schema"))
        return {}

    def _row(self, answer: dict[str, Any], member: str) -> dict[str, Any]:
        found = answer
        for part in filter(None, member.split(".")):
            found = self._resolved(self._properties(found).get(part, found))
        return self._item(found)

    def _item(self, schema: object) -> dict[str, Any]:
        """A schema, or that of the entries if it is an array."""
        found = self._resolved(schema)
        return self._resolved(found.get("items")) if found.get("type") == "array" else found

    def _at(self, members: Mapping[str, Any], path: str) -> dict[str, Any]:
        head, _, rest = path.partition(".")
        found = self._resolved(members.get(head))
        return self._at(self._properties(found), rest) if rest else found

    def _properties(self, schema: object) -> dict[str, Any]:
        found = self._resolved(schema).get("properties")
        return found if isinstance(found, dict) else {}

    def _resolved(self, schema: object, within: tuple[int, ...] = ()) -> dict[str, Any]:
        """A schema with its references resolved; alternatives and parts are joined. `within`: the schemas around this one."""
        if not isinstance(schema, dict) or id(schema) in within or len(within) > _DEEPEST:
            return {}
        within = (*within, id(schema))
        reference = schema.get("$ref")
        if isinstance(reference, str):
            found: Any = self._document
            for part in reference.removeprefix("#/").split("/") if reference.startswith("#/") else ["?"]:
                found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
            return self._resolved(found, within)
        joined = dict(schema)
        for word in ("allOf", "oneOf", "anyOf"):
            parts = schema.get(word)
            for part in parts if isinstance(parts, list) else ():
                found = self._resolved(part, within)
                if isinstance(inner := found.get("properties"), dict):
                    own = joined.get("properties")
                    joined["properties"] = {**inner, **(own if isinstance(own, dict) else {})}
                if word == "allOf" or found.get("type") in ("array", "object"):
                    joined = {**found, **joined}
        return joined


def _accepted(column: Column) -> set[str]:
    if isinstance(column.type, ScalarList | StructList):
        return {"array"}
    return _TYPES.get(column.type, set())


def _plain(path: str) -> str:
    """A path to compare: without the names of its parameters, and in lower case."""
    return _PATH_PARAM.sub("{}", path).rstrip("/").lower()


def _prefix(document: Mapping[str, Any]) -> str:
    """The path that all paths of the document begin with, where it is stated separately (`servers`, `basePath`)."""
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else None
    address = first.get("url") if isinstance(first, dict) else document.get("basePath")
    return urlsplit(address).path.rstrip("/") if isinstance(address, str) else ""
