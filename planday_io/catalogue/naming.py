"""Converts Planday's names to column names and back: `dateTimeModified` is `date_time_modified`."""

from __future__ import annotations

import re

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(member: str) -> str:
    """The column name of a JSON member: `cellPhoneCountryCode` -> `cell_phone_country_code`."""
    return _HUMP.sub("_", member).lower()


def camel_case(column: str) -> str:
    """The JSON member of a column name: `cell_phone_country_code` -> `cellPhoneCountryCode`."""
    head, *tail = column.split("_")
    return head + "".join(word.capitalize() for word in tail)
