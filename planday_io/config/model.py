"""The settings of `portals.yaml` as validated values.

Validators of single values are in `values`; YAML, files and line numbers in `load`; reading secrets in `secrets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from planday_io.catalogue.absence_kinds import AbsenceKind
from planday_io.catalogue.shift_kinds import Kind
from planday_io.config import values
from planday_io.config.delivery import Delivery, DeliveryName
from planday_io.config.fields import (
    AppId,
    Cron,
    Key,
    Link,
    MailAddress,
    Month,
    PathText,
    Place,
    PortalId,
    PortalKey,
    ResourceNames,
    ShiftTypeName,
    TimeZone,
    TypeName,
    Url,
    resource,
)
from planday_io.config.retention import PortalRetention, Retention
from planday_io.config.section import Section
from planday_io.config.values import is_loopback, refuse
from planday_io.config.working_time import WorkingTime


def _off_is_drop(value: str) -> str:
    return "drop" if value == "off" else value


def _without_nulls(value: object) -> object:
    return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value


Policy = Annotated[Literal["keep", "drop", "hash", "off"], AfterValidator(_off_is_drop)]
"""keep writes the value, drop leaves a typed NULL, hash writes a keyed HMAC. `off` is another word for drop."""


STATE = ".planday"
"""The folder of the state, in that of the configuration file."""


class SecretRef(Section):
    """The place of a secret, `{env: NAME}` or `{file: PATH}`; never its value."""

    env: Annotated[str, Field(min_length=1), AfterValidator(values.variable)] | None = None
    file: PathText | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_place(cls, data: Any) -> Any:  # noqa: ANN401
        if not isinstance(data, dict | SecretRef):
            raise refuse("{env: NAME} or {file: PATH}, the place of the secret and never the secret itself")
        return data

    @model_validator(mode="after")
    def _one_of(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise refuse("either {env: NAME} or {file: PATH}")
        return self

    def __str__(self) -> str:
        return f"{{env: {self.env}}}" if self.env is not None else f"{{file: {self.file}}}"


class PlandayHosts(Section):
    """Addresses of the API and the identity server, and limits of their answers.

    Args:
        api_url: of the API.
        identity_url: of the identity server.
        timeout_seconds: longest silence during an answer.
        answer_seconds: longest duration of a whole answer; None is twice `timeout_seconds`.
        answer_mib: largest decompressed answer, in MiB.
        list_rows: rows that a list may always have.
        list_growth: a list may also have this many times the rows of its previous read. A table that was never read may have
            this many times `list_rows`.
    """

    api_url: Url = "https://openapi.planday.com"
    identity_url: Url = "https://id.planday.com"
    timeout_seconds: int = Field(default=60, ge=1, le=600)
    answer_seconds: int | None = Field(default=None, ge=1, le=7200)
    answer_mib: int = Field(default=128, ge=1, le=8192)
    list_rows: int = Field(default=200_000, ge=1, le=1_000_000_000)
    list_growth: int = Field(default=10, ge=1, le=1000)


class PrivacyPolicy(Section):
    """What happens to each privacy class before anything is written."""

    sensitive: Policy = "drop"
    contact: Policy = "drop"
    identity: Policy = "keep"
    pay: Policy = "keep"
    free_text: Policy = "drop"
    unknown: Policy = "drop"
    hash_key: SecretRef | None = None

    @model_validator(mode="after")
    def _has_key(self) -> PrivacyPolicy:
        hashed = [name for name in type(self).model_fields if getattr(self, name) == "hash"]
        if hashed and self.hash_key is None:
            raise refuse(f"hash_key: {{env: NAME}} beside `{hashed[0]}: hash`, because hashes are keyed")
        return self

    def policy(self, privacy_class: str) -> Literal["keep", "drop", "hash"]:
        """The policy of a class; `none` is always kept."""
        policy: Literal["keep", "drop", "hash"] = "keep" if privacy_class == "none" else getattr(self, privacy_class)
        return policy


class Resources(Section):
    """Domains and tables of a portal. A domain means all of its tables."""

    include: ResourceNames = ()
    exclude: ResourceNames = ()


class DefaultSchedule(Section):
    """A schedule in `defaults`; portals that have it give what is missing."""

    cron: Cron | None = None
    resources: Annotated[ResourceNames, Field(min_length=1)] | None = None
    enabled: bool = True


class Schedule(DefaultSchedule):
    """When to read which resources. A domain means its tables that are not read on request only."""

    cron: Cron
    resources: Annotated[ResourceNames, Field(min_length=1)]


class Window(Section):
    """Months before and after the current one that the schedules read again."""

    past_months: int = Field(default=2, ge=0, le=120)
    future_months: int = Field(default=2, ge=0, le=24)


class Retries(Section):
    """`requests`: attempts per request. `step`: further attempts per table, `step_delay_seconds` apart."""

    requests: int = Field(default=5, ge=1, le=20)
    step: int = Field(default=2, ge=0, le=20)
    step_delay_seconds: int = Field(default=300, ge=0, le=86_400)


class Guard(Section):
    """The guard refuses a snapshot below `min_ratio` of the previous rows that lost more than `max_lost_rows`."""

    min_ratio: float = Field(default=0.8, ge=0, le=1, strict=False)
    max_lost_rows: int = Field(default=20, ge=0)


class Guards(Guard):
    """The guard of a portal, and guards of single tables by name, whose missing settings are the portal's."""

    tables: dict[Annotated[str, AfterValidator(resource)], Annotated[Guard, BeforeValidator(_without_nulls)]] = Field(
        default_factory=dict
    )

    def of(self, table: str) -> Guard:
        """The guard of a table (full name): its own, else its domain's, else the portal's."""
        found = Guard(min_ratio=self.min_ratio, max_lost_rows=self.max_lost_rows)
        for name in (table.partition(".")[0], table):
            if own := self.tables.get(name):
                found = found.model_copy(update=own.model_dump(exclude_unset=True))
        return found


class Webhook(Section):
    """An address that receives alerts as JSON. It is a secret itself, like those of Slack and Teams."""

    url: SecretRef
    format: Literal["slack", "teams", "json"] = "slack"


class Mail(Section):
    """A mail server and the recipients of alerts. `security: none` is accepted for this machine only."""

    host: Annotated[str, Field(min_length=1), AfterValidator(values.shown)]
    port: int = Field(default=587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: MailAddress
    to: Annotated[tuple[MailAddress, ...], Field(min_length=1, strict=False)]
    user: Annotated[str, AfterValidator(values.shown)] | None = None
    password: SecretRef | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> Mail:
        if self.security == "none" and not is_loopback(f"smtp://{self.host}"):
            raise refuse("security: starttls or tls (none is for a mail server on this machine)")
        if (self.user is None) != (self.password is None):
            raise refuse("user and password together, or neither")
        return self


class Alerts(Section):
    """Who is notified of incidents. `ui_url` is the Dagster UI's address, for links to runs."""

    webhook: Webhook | None = None
    mail: Mail | None = None
    ui_url: Link | None = None


class MartSettings(Section):
    """What marts need to know of a portal that its API does not say.

    Args:
        shift_kinds: name or id of a shift type -> what it stands for; of other types it is guessed from the name.
        currency: of all amounts; None is the symbol that the portal shows.
        absence_kinds: name of a type of account or shift -> which kind of absence it is; of others it is guessed from names.
        salary_includes_supplements: whether payroll's amount for a shift holds the supplements of that shift. None is
            unknown: they are shown, and not added to the cost.
        bradford: whether `marts.absence_monthly` has the Bradford score of each person.
        pay_gap_by: by what `marts.pay_gap` compares the pay of women and men; off means that it has no rows.
        working_time: rules that working time is compared with.
    """

    shift_kinds: Mapping[ShiftTypeName, Kind] = Field(default_factory=dict)
    absence_kinds: Mapping[TypeName, AbsenceKind] = Field(default_factory=dict)
    currency: Annotated[str, Field(min_length=1, max_length=16), AfterValidator(values.shown)] | None = None
    salary_includes_supplements: bool | None = None
    bradford: bool = False
    pay_gap_by: Literal["off", "employee_group", "department", "employee_type"] = "off"
    working_time: WorkingTime = WorkingTime()


class Defaults(Section):
    """Settings that a portal inherits or overrides; `load.BUILT_IN_DEFAULTS` has the rest."""

    timezone: TimeZone = ""
    resources: Resources = Resources()
    schedules: Mapping[Key, DefaultSchedule] = Field(default_factory=dict)
    window: Window = Window()
    retries: Retries = Retries()
    guards: Guards = Guards()


class PortalConfig(Defaults, MartSettings):
    """One portal, with the defaults merged in. `portal_id` is Planday's id; a token for another portal is refused."""

    client_id: SecretRef | AppId
    refresh_token: SecretRef
    portal_id: PortalId | None = None
    schedules: Mapping[Key, Schedule] = Field(default_factory=dict)
    retention: PortalRetention = PortalRetention()


class Config(MartSettings):
    """The whole file, with the defaults merged into portals. Paths are absolute."""

    planday: PlandayHosts = PlandayHosts()
    lake: Place = Field(default="lake", validate_default=True)
    warehouse: Place = Field(default="warehouse.duckdb", validate_default=True)
    history_start: Month = "2025-01"
    privacy: PrivacyPolicy = PrivacyPolicy()
    alerts: Alerts = Alerts()
    retention: Retention = Retention()
    deliver: Mapping[DeliveryName, Delivery] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    portals: Annotated[dict[PortalKey, PortalConfig], Field(min_length=1)]
    _file: Path

    def model_post_init(self, context: Any) -> None:  # noqa: ANN401 - what `load` gave to the validation
        """Remember where the configuration was read; this is not a setting."""
        self._file = context["file"]

    @property
    def has_retention(self) -> bool:
        """Whether there is a rule by which data becomes too old."""
        return self.retention.deliveries is not None or any(one.retention.ages() for one in self.portals.values())

    @property
    def file(self) -> Path:
        """The configuration file."""
        return self._file

    @property
    def home(self) -> Path:
        """The folder of the configuration file."""
        return self.file.parent

    @property
    def state(self) -> Path:
        """The folder of locks, budget and rotated tokens."""
        return self.home / STATE
