"""From the bytes of an answer to its JSON document, also where the bytes are not quite JSON.

Nearly every body is decoded as it is. One that msgspec refuses is tried once more after known defects were repaired: a
byte order mark, another encoding than UTF-8, half an emoji (a lone surrogate, which a column limit leaves), bytes that
are no text, `NaN`, an integer of thousands of digits. Text that cannot be decoded becomes U+FFFD; a number that cannot
be represented becomes an `OddNumber`, which no column accepts. The reader of the rows reports which rows are affected
(`Decoded.clean`).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

import msgspec

from planday_io.texts import trimmed

REPLACEMENT = "\ufffd"
"""Stands for text that was damaged before it came here."""
_AROUND = b" \t\r\n\v\f\0\x1a\xc2\xa0" + codecs.BOM_UTF8
"""Bytes that may be around a document: those of invisible characters, in UTF-8."""
_NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Reserved for use within a program (Unicode, section 23.7): they mark what was replaced until it is reported."""

_TOKEN = re.compile(
    r'"(?:[^"\\]++|\\.)*+"'
    r"|-?(?:NaN|Infinity)(?![\w])"
    r"|-?\d{4300,}+(?:\.\d+)?(?:[eE][+-]?\d+)?",
    re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:u(?P<code>[0-9a-fA-F]{4})(?:\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2}))?|.)", re.DOTALL)
_NONCHARACTER = re.compile("[fF][dD][dDeE][0-9a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")

T = TypeVar("T")


class OddNumber:
    """A number that no type here can hold: not finite, or beyond the range of a decimal. `text` is the number as received.

    No dataclass, because msgspec would write one as a JSON object.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OddNumber) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def to_number(text: str) -> Decimal | OddNumber:
    """A JSON number with a fraction or an exponent."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return OddNumber(text)


ANY_DECODER = msgspec.json.Decoder(float_hook=to_number)
"""Decodes any JSON document."""


@dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """A decoded document, with stand-ins for damaged text and odd numbers; they are empty where nothing was damaged."""

    value: T
    text: str = ""
    number: str = ""

    @property
    def is_damaged(self) -> bool:
        """Whether anything was replaced."""
        return bool(self.text)

    def clean(self, value: Any) -> tuple[Any, list[str]]:  # noqa: ANN401 - JSON
        """A part of the document without stand-ins, and the paths of members whose text was damaged."""
        if not self.is_damaged:
            return value, []
        paths: list[str] = []
        return self._cleaned(value, "", paths), paths

    def _cleaned(self, value: Any, path: str, paths: list[str]) -> Any:  # noqa: ANN401 - JSON
        match value:
            case str() if value.startswith(self.number):
                return OddNumber(value.removeprefix(self.number))
            case str() if self.text in value:
                paths.append(path)
                return self._text(value)
            case list():
                return [self._cleaned(item, path, paths) for item in value]
            case dict():
                members = {}
                for name, item in value.items():
                    shown = self._text(name)
                    if shown != name:
                        paths.append(shown)
                    members[shown] = self._cleaned(item, f"{path}.{shown}" if path else shown, paths)
                return members
            case _:
                return value

    def _text(self, text: str) -> str:
        return text.replace(self.text, REPLACEMENT)


def load(content: bytes, decode: Callable[[bytes], T]) -> Decoded[T]:
    """Decode a body with a decoder of JSON in UTF-8, repairing known kinds of damage.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is still not a JSON document.
    """
    try:
        return Decoded(decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError):
        repaired, stand_ins = _repaired(_text_of(content))
        if repaired == content:
            raise
        return Decoded(decode(repaired), *stand_ins)


def looks_whole(content: bytes) -> bool:
    """Whether a body begins and ends as a JSON document does, so that what is wrong is a value and not the connection."""
    text = content.strip(_AROUND)
    return (text[:1], text[-1:]) in ((b"{", b"}"), (b"[", b"]"))


def _text_of(content: bytes) -> str:
    """The text of a body: in UTF-8, unless the zeros between its first letters show another encoding.

    Invisible characters around it are removed: byte order marks that a template put behind a line end, the NUL of a C
    string.
    """
    while content.startswith(codecs.BOM_UTF8):
        content = content.removeprefix(codecs.BOM_UTF8)
    if (encoding := json.detect_encoding(content)) != "utf-8":
        # An incomplete character at the end is a line end that was added as ASCII, or the body was cut off.
        letter = 4 if "32" in encoding else 2
        return trimmed(content[: len(content) // letter * letter].decode(encoding, "surrogatepass"))
    try:
        # Some programs write half an emoji as three bytes, and a whole one as six.
        return trimmed(content.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return trimmed(content.decode("utf-8", "surrogateescape"))


def _repaired(text: str) -> tuple[bytes, tuple[str, str]]:
    """JSON text in UTF-8, and the stand-ins for damaged text and odd numbers; empty where there are none."""
    escaped = {code.lower() for code in _NONCHARACTER.findall(text)}
    free = [mark for mark in _NONCHARACTERS if mark not in text and f"{ord(mark):04x}" not in escaped]
    bad, odd = free[:2] if len(free) > 1 else (REPLACEMENT, f"{REPLACEMENT}number ")

    def surrogate(found: re.Match[str]) -> str:
        if len(found[0]) == 2:
            return found[0].encode("utf-16", "surrogatepass").decode("utf-16")
        return bad

    def escape(found: re.Match[str]) -> str:
        code, low = found["code"], found["low"]
        if code is None or not 0xD800 <= int(code, 16) <= 0xDFFF:
            # The text after an ordinary escape is checked separately.
            return found[0] if low is None else found[0][:6] + _ESCAPE.sub(escape, found[0][6:])
        if low is not None and int(code, 16) < 0xDC00:
            return found[0]
        return bad if low is None else bad + _ESCAPE.sub(escape, found[0][6:])

    def token(found: re.Match[str]) -> str:
        if found[0][0] == '"':
            return _ESCAPE.sub(escape, found[0]) if "\\u" in found[0] else found[0]
        if found.start() == 0:
            # The API sends no document that is only a number.
            return found[0]
        return f'"{odd}{found[0]}"'

    repaired = _TOKEN.sub(token, _SURROGATE.sub(surrogate, text))
    return repaired.encode(), (bad, odd) if bad in repaired or odd in repaired else ("", "")
