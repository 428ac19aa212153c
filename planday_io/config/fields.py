"""Types of single settings, which several mappings of the file have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from planday_io.config import values
from planday_io.config.values import nearest, refuse


def resource(value: str, info: ValidationInfo) -> str:
    known: tuple[str, ...] = (info.context or {}).get("resources", ())
    if known and value not in known:
        raise refuse(f"a domain or a table of docs/tables.md{nearest(value, known)}")
    return value


def _place(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise refuse("a text that is not empty")
    file: Path = (info.context or {})["file"]
    return file.parent / Path(values.path(value)).expanduser()


Url = Annotated[str, AfterValidator(values.url)]
Link = Annotated[str, AfterValidator(values.link)]
TimeZone = Annotated[str, AfterValidator(values.time_zone)]
Cron = Annotated[str, AfterValidator(values.cron)]
Month = Annotated[str, AfterValidator(values.history_start)]
Key = Annotated[str, AfterValidator(values.name)]
PortalKey = Annotated[str, AfterValidator(values.portal_key)]
PathText = Annotated[str, Field(min_length=1), AfterValidator(values.path)]
Place = Annotated[Path, BeforeValidator(_place)]
AppId = Annotated[str, Field(min_length=1), AfterValidator(values.app_id)]
MailAddress = Annotated[str, AfterValidator(values.mail_address)]
PortalId = Annotated[int, BeforeValidator(values.portal_id)]
ResourceNames = Annotated[tuple[Annotated[str, AfterValidator(resource)], ...], Field(strict=False)]
TypeName = Annotated[str, Field(min_length=1), AfterValidator(values.shown)]
ShiftTypeName = Annotated[TypeName, BeforeValidator(values.shift_type)]
