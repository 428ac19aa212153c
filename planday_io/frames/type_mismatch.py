"""The error for a JSON value that does not have its declared type, and JSON types in words. Neither holds the value."""

from __future__ import annotations

from decimal import Decimal
from typing import Self

import msgspec

from planday_io.documents import OddNumber


class TypeMismatch(Exception):  # noqa: N818 - never leaves this package
    """A value does not have the declared type. `met` names its JSON type.

    `path` says where it is inside the column's value, and `declared` what is declared there; both are empty for the whole.
    """

    def __init__(self, met: str) -> None:
        super().__init__(met)
        self.met = met
        self.path = ""
        self.declared = ""

    def within(self, path: str, declared: str) -> Self:
        """This error, with the path extended one level outwards."""
        self.path = f"{path}{self.path}"
        self.declared = self.declared or declared
        return self


class OutOfRange(TypeMismatch):
    """A valid date or time that the column cannot hold. It becomes NULL, with a warning, in every table."""


class Misplaced:
    """A placeholder for a member whose enclosing value is not an object. It has no declared type, so it is a type
    mismatch.

    Args:
        around: the value found instead of the object.
    """

    __slots__ = ("around",)

    def __init__(self, around: object) -> None:
        kind = json_type(around)
        self.around = kind if kind.startswith("a ") else f"{'an' if kind[0] in 'ao' else 'a'} {kind}"


_NAMES = {type(None): "null", bool: "boolean", str: "string", list: "array"} | dict.fromkeys(
    (int, float, Decimal), "number"
)


def json_type(value: object) -> str:
    """The JSON type of a value, in words for a message."""
    if isinstance(value, OddNumber):
        return "a number larger than can be read, or not finite,"
    if isinstance(value, Misplaced):
        return f"inside {value.around}"
    return _NAMES.get(type(value), "object")


def _encoded(value: object) -> str:
    if isinstance(value, OddNumber):
        return value.text
    raise TypeError(f"{type(value).__name__} is not JSON")


_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted", enc_hook=_encoded)


def to_json(value: object) -> str:
    """Compact JSON text; Decimals as numbers, odd numbers as text, keys sorted.

    Raises:
        TypeMismatch: it is nested too deeply to be written.
    """
    try:
        return _ENCODER.encode(value).decode()
    except RecursionError:
        raise TypeMismatch(f"{json_type(value)} nested hundreds of levels deep") from None
