"""What a JSON value is, in words, and what is raised where it is not of the declared type. No value is in either."""

from __future__ import annotations

from decimal import Decimal
from typing import Self

import msgspec

from planday_io.documents import OddNumber


class Retyped(Exception):  # noqa: N818 - never leaves this package
    """A value is not of the declared type. `met` names its JSON type.

    `path` says where it is inside the column's value, and `declared` what is declared there; empty where it is all of it.
    """

    def __init__(self, met: str) -> None:
        super().__init__(met)
        self.met = met
        self.path = ""
        self.declared = ""

    def within(self, path: str, declared: str) -> Self:
        """The same, one level further out."""
        self.path = f"{path}{self.path}"
        self.declared = self.declared or declared
        return self


class OutOfRange(Retyped):
    """A date or time that exists and that the column cannot hold: NULL, with a warning, in every table."""


class Misplaced:
    """Stands where an object was expected around a member: of no declared type, so it counts as retyped.

    Args:
        around: what was there.
    """

    __slots__ = ("around",)

    def __init__(self, around: object) -> None:
        kind = json_type(around)
        self.around = kind if kind.startswith("a ") else f"{'an' if kind[0] in 'ao' else 'a'} {kind}"


def json_type(value: object) -> str:
    """The JSON type of a value, in words for a message."""
    if isinstance(value, OddNumber):
        return "a number larger than can be read, or not finite,"
    if isinstance(value, Misplaced):
        return f"inside {value.around}"
    names = {type(None): "null", bool: "boolean", str: "string", list: "array"} | dict.fromkeys(
        (int, float, Decimal), "number"
    )
    return names.get(type(value), "object")


def _encoded(value: object) -> str:
    if isinstance(value, OddNumber):
        return value.text
    raise TypeError(f"{type(value).__name__} is not JSON")


_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted", enc_hook=_encoded)


def to_json(value: object) -> str:
    """Compact JSON text; Decimals as numbers, odd numbers as text, keys sorted.

    Raises:
        Retyped: it is nested more deeply than can be written.
    """
    try:
        return _ENCODER.encode(value).decode()
    except RecursionError:
        raise Retyped(f"{json_type(value)} nested hundreds of levels deep") from None
