"""Decodes bodies of answers: from network bytes to JSON text, within a size limit.

httpx decompresses without a limit, and a few kilobytes can become gigabytes. Here nothing grows beyond the limit, and only
one layer of gzip or deflate is accepted, as requested.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib

from planday_io.texts import BYTE_ORDER_MARKS, encoding_of

MIB = 2**20
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_MOST_MEMBERS = 16
_CHARSETS = re.compile(r"utf-(?:16|32)(?:-[bl]e)?|iso8859-\d{1,2}|cp\d{3,4}|koi8-[rtu]")
"""Python names of charsets accepted for a body that is not UTF-8. Others are refused: some Python codecs decompress."""


class UnansweredError(Exception):
    """There is no usable answer. The message says why, without an address, a body or a secret."""


class TooLargeError(UnansweredError):
    """The body is larger than allowed, in bytes."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the answer is larger than {most // MIB} MiB; if it may be, raise planday.answer_mib in portals.yaml"
        )


def unpacked(raw: bytes, encoding: str, most: int) -> bytes:
    """Decompress and decode a body.

    Args:
        raw: the received bytes.
        encoding: `Content-Encoding`.
        most: the largest allowed size of the result.

    Raises:
        TooLargeError: the result would be larger.
        UnansweredError: it is damaged, or compressed in a way that was not requested.
    """
    kinds = [kind for part in encoding.lower().split(",") if (kind := part.strip()) not in ("", "identity")]
    if not kinds:
        return raw
    if len(kinds) > 1 or kinds[0] not in ("gzip", "x-gzip", "deflate"):
        raise UnansweredError("it is compressed in a way that was not requested")
    if not raw:
        return raw
    forms = (_GZIP,) if kinds[0] != "deflate" else (_ZLIB, _RAW)
    for form in forms:
        try:
            return _inflated(raw, form, most)
        except zlib.error:
            continue
    raise UnansweredError("the compressed body is damaged")


def _inflated(raw: bytes, form: int, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for _ in range(_MOST_MEMBERS):
        machine = zlib.decompressobj(form)
        part = machine.decompress(raw, most - size + 1)
        size += len(part)
        if size > most:
            raise TooLargeError(most)
        parts.append(part)
        if not machine.eof:
            raise UnansweredError("the compressed body is cut off")
        raw = machine.unused_data
        if not raw.strip(b"\0") or form != _GZIP:
            return b"".join(parts)
    raise UnansweredError("the compressed body has too many parts")


def as_utf8(content: bytes, content_type: str) -> bytes:
    """A text converted to UTF-8 without a byte order mark; unchanged if its encoding is unknown."""
    for mark, name in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content[len(mark) :] if mark == codecs.BOM_UTF8 else _recoded(content[len(mark) :], name)
    # Zeros between the first letters are better evidence than the header, which may name the other byte order.
    found = json.detect_encoding(content[:4])
    charset = charset_of(content_type) if found == "utf-8" else found
    return content if not charset or encoding_of(content) == "UTF-8" else _recoded(content, charset)


def is_page(content: bytes) -> bool:
    """Whether a body is HTML or XML, whatever its content type says. The API answers JSON or nothing."""
    return content.lstrip()[:1] == b"<"


def charset_of(content_type: str) -> str:
    """Python's name of the charset in `Content-Type`; empty if it is not an accepted one."""
    for part in content_type.lower().split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip() == "charset":
            try:
                found = codecs.lookup(value.strip().strip("\"'")).name
            except (LookupError, ValueError):
                return ""
            return found if _CHARSETS.fullmatch(found) else ""
    return ""


def _recoded(content: bytes, name: str) -> bytes:
    try:
        return content.decode(name).encode()
    except UnicodeError:
        return content
