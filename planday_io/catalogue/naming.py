"""Converts column names to Planday's: `date_time_modified` is `dateTimeModified`."""

from __future__ import annotations


def camel_case(column: str) -> str:
    """The JSON member of a column name: `cell_phone_country_code` -> `cellPhoneCountryCode`."""
    head, *tail = column.split("_")
    return head + "".join(word.capitalize() for word in tail)
