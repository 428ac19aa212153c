"""Text as editors and shells leave it: byte order marks, other encodings, invisible characters. Unambiguous text is
decoded. Anything else is refused with its place and its code point, never with the text itself, which may be a secret.
"""

from __future__ import annotations

import codecs
import unicodedata

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Checked before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")
"""Categories of characters that show nothing: control, format (zero width, soft hyphen, marks), spaces, separators."""


class TextError(ValueError):
    """Bytes that are not text, or a text with characters that do not belong there. The message quotes nothing of it."""


def decode(data: bytes, *, strict: bool = True) -> str:
    """The text of a file: by its byte order mark, which is left out, else UTF-8. Raises TextError if it is neither.

    Unless `strict`, bytes that are not UTF-8 become lone surrogates, which `visible` refuses where they matter: a
    comment in Latin-1 spoils no value.
    """
    mark, encoding = next(((mark, name) for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), (b"", "utf-8"))
    body, encoding = data[len(mark) :], encoding.removesuffix("-sig")
    if encoding == "utf-8" and b"\0" in body:
        raise TextError("it has NUL bytes, so it is UTF-16 without a byte order mark, or not text: save it as UTF-8")
    try:
        return body.decode(encoding, "strict" if strict or encoding != "utf-8" else "surrogateescape")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        where = f"line {line} has" if encoding == "utf-8" else "it has"
        raise TextError(
            f"{where} the byte 0x{body[error.start]:02X}, which is not {encoding.upper()} there: save it as UTF-8"
        ) from None


def encoding_of(data: bytes) -> str:
    """The name of the encoding: `UTF-8`, that of a byte order mark, or `unknown`."""
    mark = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), None)
    if mark is not None:
        return mark.upper()
    try:
        data.decode()
    except UnicodeDecodeError:
        return "unknown"
    return "UTF-8" if b"\0" not in data else "unknown"


def trimmed(text: str) -> str:
    """The text without invisible characters at its ends: spaces, line ends, zero-width characters, marks."""
    first, last = 0, len(text)
    while first < last and _is_unseen(text[first]):
        first += 1
    while last > first and _is_unseen(text[last - 1]):
        last -= 1
    return text[first:last]


def visible(text: str) -> str:
    """The text, if all characters are visible. Raises TextError that names the first invisible one and its place."""
    for place, char in enumerate(text, start=1):
        if char != " " and (_is_unseen(char) or unicodedata.category(char) in ("Cs", "Co", "Cn")):
            raise TextError(_told(char, place, "which is invisible"))
    return text


def token(text: str) -> str:
    """The text, if it can go into an HTTP header and an address unchanged: visible ASCII, without spaces.

    Raises TextError that names the first other character and its place.
    """
    for place, char in enumerate(text, start=1):
        if not "!" <= char <= "~":
            raise TextError(_told(char, place, "which belongs to no token or App ID"))
    return text


def _told(char: str, place: int, why: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"character {place} is the byte 0x{ord(char) - 0xDC00:02X}, which is not UTF-8: save it as UTF-8"
    name = {"\n": "line feed", "\r": "carriage return", "\t": "tab", "\0": "NUL"}.get(char)
    name = name or unicodedata.name(char, "").lower()
    return f"character {place} is U+{ord(char):04X}{f' ({name})' if name else ''}, {why}"


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char) in _UNSEEN
