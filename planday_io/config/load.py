"""Loads `portals.yaml` into a validated `Config`; each mistake is reported with file, line, key, found and expected.

ruamel.yaml reads YAML 1.2: it runs no code, reads `off` and `no` as texts and refuses repeated keys. PyYAML reads YAML 1.1,
in which the portal `no` (Norway) would be the key False. The round-trip loader keeps line numbers, and takes ten times as
long as the safe one with its C parser, so a file is read with it only when there is something to say about a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from planday_io.catalogue import CATALOGUE, Catalogue
from planday_io.config.deliveries import contradictions
from planday_io.config.model import Config, MartSettings
from planday_io.config.places import misplaced, refuse_home
from planday_io.config.retention import RetentionRules, cut_short
from planday_io.config.values import Said
from planday_io.errors import ConfigError
from planday_io.months import month_of, shifted
from planday_io.texts import TextError, decode

Loc = tuple[str | int, ...]

BUILT_IN_DEFAULTS: dict[str, Any] = {
    "timezone": "Europe/Copenhagen",
    "resources": {"include": list(CATALOGUE.domains())},
    "schedules": {
        "nightly": {
            "cron": "0 2 * * *",
            "resources": ["portal", "hr", "scheduling", "punchclock", "absence", "payroll", "revenue"],
        },
        "weekly": {
            "cron": "0 4 * * 0",
            "resources": ["pay", "contract_rules", "hr.employee_history", "absence.account_balances"],
        },
        "changes": {"cron": "30 * * * *", "resources": ["scheduling.deleted_shifts"]},
    },
}

_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_type": "a text",
    "dict_type": "a mapping (`key: value` lines)",
    "tuple_type": "a list, written as [one, another]",
    "model_type": "a mapping (`key: value` lines)",
    "too_short": "at least one entry",
    "string_too_short": "a text that is not empty",
    "string_too_long": "a text of at most {max_length} characters",
}
"""Pydantic's error types, in words for someone who writes YAML."""

_SECRET_KEYS = frozenset({"refresh_token", "client_id", "hash_key", "password", "url"})
_SHOWN_MISTAKES = 10


def load_config(path: Path, catalogue: Catalogue) -> Config:
    """Read and check a configuration file. Reads no secret and opens no other file.

    Relative paths in it start at its folder. The catalogue has what `resources` may name.

    Raises:
        ConfigError: all mistakes, one per line.
    """
    path = path.absolute()
    refuse_home(path.parent)
    raw = _values(path)
    context = {"file": path, "resources": (*catalogue.domains(), *(table.full_name for table in catalogue.tables()))}
    mistakes = _Mistakes(path)
    try:
        config = Config.model_validate(_with_defaults(raw), context=context)
    except ValidationError as error:
        mistakes.explain(error)
        raise mistakes.error() from None
    for loc, found, expected in (
        *_contradictions(config, catalogue),
        *_doubles(config, mistakes),
        *contradictions(config),
    ):
        mistakes.add(loc, found, expected)
    if mistakes.told:
        raise mistakes.error()
    return config


def _with_defaults(raw: dict[str, Any]) -> dict[str, Any]:
    """The file with the defaults merged into each portal; anything that is not a mapping stays, and is refused later."""
    defaults, portals = raw.get("defaults", {}), raw.get("portals")
    if not isinstance(portals, dict):
        return raw
    below = merge(BUILT_IN_DEFAULTS, defaults if isinstance(defaults, dict) else {})
    below = {name: raw[name] for name in MartSettings.model_fields if name in raw} | below
    if isinstance(rules := raw.get("retention"), dict):
        below["retention"] = {name: age for name, age in rules.items() if name in RetentionRules.model_fields}
    merged = {key: merge(below, own) if isinstance(own, dict) else own for key, own in portals.items()}
    return {**raw, "portals": merged}


def _contradictions(config: Config, catalogue: Catalogue) -> Iterator[tuple[Loc, object, str]]:
    """Contradictions between settings: where, what was found, what was expected."""
    now = datetime.now(UTC)
    for key, portal in config.portals.items():
        # On the first day of a month the portal may still be in the previous one.
        last = shifted(month_of(now.astimezone(ZoneInfo(portal.timezone)).date()), portal.window.future_months)
        if config.history_start > last:
            yield ("history_start",), config.history_start, f"a month that has begun where portal '{key}' is"
        for rule, found, expected in cut_short(portal.retention, portal.working_time, portal.window.past_months):
            # A rule of the whole file is reported once, not per portal.
            own = getattr(portal.retention, rule) != getattr(config.retention, rule)
            yield (("portals", key, "retention", rule) if own else ("retention", rule)), found, expected
        if not [*catalogue.endpoints_with(tuple(portal.resources.include), tuple(portal.resources.exclude), None)]:
            yield ("portals", key, "resources"), Said("no table"), "at least one table for each portal"
    for name, place, expected in misplaced(config):
        yield (name,), str(place), expected


def _doubles(config: Config, mistakes: _Mistakes) -> Iterator[tuple[Loc, object, str]]:
    """Keys that name the same Planday portal as another: every figure would count twice."""
    first: dict[int, str] = {}
    for key, portal in config.portals.items():
        if portal.portal_id is not None and (other := first.setdefault(portal.portal_id, key)) != key:
            line = mistakes.line(("portals", other, "portal_id"))
            found = Said(f"{portal.portal_id}, which portal '{other}' has as well (line {line})")
            expected = "one key for each Planday portal: take one of the two out, or correct its portal_id"
            yield ("portals", key, "portal_id"), found, expected


def mistakes_in(path: Path, found: Iterable[tuple[Loc, object, str]]) -> list[str]:
    """Mistakes that are found later than the file is read: a line each, as for those found then. Raises ConfigError."""
    mistakes = _Mistakes(path)
    for loc, value, expected in found:
        mistakes.add(loc, value, expected)
    return [*mistakes.told]


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `above` over `below`: mappings merge deeply, anything else replaces, and so does a secret's mapping."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping) and key not in _SECRET_KEYS
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _values(path: Path) -> dict[str, Any]:
    """The file as plain values. Raises ConfigError."""
    found: dict[str, Any]
    try:
        found = _plain(_loaded(path, "safe"))
    except (ConfigError, RecursionError):
        # Tags and lists that hold themselves are read as well, so that the validation can say what is wrong with them.
        found = _plain(parsed(path))
    return found


def parsed(path: Path) -> CommentedMap:
    """The parsed file with comments and line numbers, not validated. Raises ConfigError."""
    root: CommentedMap = _loaded(path, "rt")
    return root


def _loaded(path: Path, kind: Literal["rt", "safe"]) -> Any:  # noqa: ANN401 - outside data
    yaml = YAML(typ=kind)
    yaml.version = (1, 2)
    try:
        text = decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    except TextError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    try:
        root = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = str(error.problem or "no YAML").split(" with value ")[0]
        raise ConfigError(f"{path.name}{line}: found {problem}; expected YAML 1.2 without repeated keys") from None
    except ReaderError as error:
        number = text[: error.position].count("\n") + 1
        raise ConfigError(
            f"{path.name}, line {number}: found U+{ord(text[error.position]):04X}, which is invisible; expected text"
        ) from None
    except Exception as error:  # noqa: BLE001 - ruamel.yaml's own errors, and whatever constructing a value raises
        # For instance a date such as 2025-13-01, a number of thousands of digits, brackets a thousand deep.
        raise ConfigError(
            f"{path.name}: found a value that cannot be read ({type(error).__name__}); expected YAML 1.2 with texts, "
            "numbers, lists and mappings"
        ) from None
    if not isinstance(root, dict):
        raise ConfigError(f"{path.name}, line 1: found {_show(root)}; expected `portals:` and other top-level keys")
    return root


def _plain(node: Any) -> Any:  # noqa: ANN401 - outside data
    """A plain value from a ruamel.yaml node; YAML's dates (2025-01-01) become text."""
    if isinstance(node, Mapping):
        return {_plain(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, date):
        return node.isoformat()
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


_UNKNOWN_KEY = Said("an unknown key")
_HIDDEN = Said("a text")


class _Mistakes:
    """The mistakes in one file, with their lines."""

    def __init__(self, path: Path) -> None:
        self.told: dict[str, None] = {}
        """One line each."""
        self._path = path
        self._inherited: set[tuple[Loc, str]] = set()

    def add(self, loc: Loc, found: object, expected: str) -> None:
        """Add a mistake, unless it is one of `defaults` that a portal inherits."""
        if loc[:1] == ("defaults",):
            self._inherited.add((loc[1:], _show(found)))
        elif loc[:1] and loc[0] in (*MartSettings.model_fields, "retention"):
            self._inherited.add((loc, _show(found)))
        elif loc[:1] == ("portals",) and (loc[2:], _show(found)) in self._inherited and not self._is_written(loc):
            return
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
        place = f"{self._path.name}, line {self.line(loc)}"
        self.told[f"{place}: {where}: found {_show(found)}; expected {expected}"] = None

    def explain(self, error: ValidationError) -> None:
        """Add pydantic's mistakes, in words for somebody who writes YAML."""
        for detail in error.errors(include_input=True, include_url=False):
            context = detail.get("ctx", {})
            parts, found = detail["loc"], detail.get("input")
            if "client_id" in parts and isinstance(found, str) and "app_id" not in str(parts):
                continue  # the text is meant as the App ID itself, and that branch of the union says what is wrong
            # Pydantic adds the branch of a union to `loc`; it is not a key of the file.
            loc = tuple(part for part in parts if part not in ("SecretRef", "str", "[key]"))
            loc = tuple(part for part in loc if not str(part).startswith(("constrained-str", "function-")))
            said = _EXPECTED.get(detail["type"], "").format_map(context) or detail["msg"].removeprefix(
                "Input should be "
            )
            expected = str(context.get("expected", said))
            # A token written in place of `env: NAME` has become a key: never repeat it. Nor addresses of people.
            secret = any(part in _SECRET_KEYS for part in loc) or (loc[:1] == ("deliver",) and "mail" in loc)
            if (key := context.get("key")) is not None:
                found = _UNKNOWN_KEY
                loc = loc if secret else (*loc, key or "''")
            elif detail["type"] == "missing":
                found, expected = None, "a value"
            elif detail["type"] == "value_error":
                expected = "another value"
            elif secret and not isinstance(found, Mapping | list | None):
                found = _HIDDEN
            self.add(loc, found, expected)

    def error(self) -> ConfigError:
        """An error with all mistakes, or with the first of many."""
        more = len(self.told) - _SHOWN_MISTAKES
        rest = [f"... and {more} more"] if more > 0 else []
        return ConfigError("\n".join([*self.told][:_SHOWN_MISTAKES] + rest))

    @cached_property
    def _root(self) -> CommentedMap:
        return parsed(self._path)

    def _is_written(self, loc: Loc) -> bool:
        node: Any = self._root
        for part in loc:
            try:
                node = node[part]
            except (LookupError, TypeError):
                return False
        return True

    def line(self, loc: Loc) -> int:
        """The line (from 1) of the deepest part of `loc` that is in the file."""
        line = 1
        node: Any = self._root
        for part in loc:
            if isinstance(node, CommentedMap) and part in node:
                # Values from a merge key (`<<: *base`) have no line.
                line = node.lc.key(part)[0] + 1 if part in (node.lc.data or {}) else line
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                line = node.lc.item(part)[0] + 1
            else:
                break
            node = node[part]
        return line


def _show(found: object) -> str:
    if found is None:
        return "nothing"
    if isinstance(found, Said):
        return str(found)
    if isinstance(found, Mapping):
        return "a mapping"
    if isinstance(found, Iterable) and not isinstance(found, str):
        return "a list" if found else "an empty list"
    # An address may hold a password.
    text = re.sub(r"//[^/@]*@", "//...@", repr(found))
    return text if len(text) <= 60 else f"{text[:57]}..."
