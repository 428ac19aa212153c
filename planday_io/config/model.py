"""The configuration as checked values.

Belongs here: which settings there are. Not here: what a single one may be (`values`), YAML, files and line numbers
(`load`), reading secrets (`secrets`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from planday_io.catalogue import DOMAINS
from planday_io.config import values
from planday_io.config.addresses import is_loopback
from planday_io.config.values import nearest, refuse


def _off_is_drop(value: str) -> str:
    return "drop" if value == "off" else value


def _resource(value: str, info: ValidationInfo) -> str:
    known: tuple[str, ...] = (info.context or {}).get("resources", ())
    if known and value not in known:
        raise refuse(f"a domain or a table of docs/tables.md{nearest(value, known)}")
    return value


Url = Annotated[str, AfterValidator(values.url)]
Link = Annotated[str, AfterValidator(values.link)]
TimeZone = Annotated[str, AfterValidator(values.time_zone)]
Cron = Annotated[str, AfterValidator(values.cron)]
Month = Annotated[str, AfterValidator(values.history_start)]
Key = Annotated[str, AfterValidator(values.name)]
PathText = Annotated[str, Field(min_length=1), AfterValidator(values.path)]
AppId = Annotated[str, Field(min_length=1), AfterValidator(values.app_id)]
MailAddress = Annotated[str, AfterValidator(values.mail_address)]
PortalId = Annotated[int, BeforeValidator(values.portal_id)]
ResourceNames = Annotated[tuple[Annotated[str, AfterValidator(_resource)], ...], Field(strict=False)]
Policy = Annotated[Literal["keep", "drop", "hash", "off"], AfterValidator(_off_is_drop)]
"""keep writes the value, drop leaves a typed NULL, hash writes a keyed HMAC. `off` is another word for drop."""


class Section(BaseModel):
    """A mapping of the file. Types are strict: `"5"` is no number; and every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:  # noqa: ANN401 - this is where outside data comes in
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    hint = nearest(str(key), cls.model_fields) or f"; known keys are {', '.join(cls.model_fields)}"
                    raise refuse(f"a known key{hint}", key=str(key))
        return data


class SecretRef(Section):
    """Where a secret is: `{env: NAME}` or `{file: PATH}`. Holds the place, never the value."""

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
    """Where the API and the identity server are, and how much of what they send is taken.

    Args:
        api_url: of the API.
        identity_url: of the identity server.
        timeout_seconds: that an answer may be silent for.
        answer_seconds: that a whole answer may take; None is twice `timeout_seconds`.
        answer_mib: MiB that an answer may have, decompressed.
        list_rows: that a list may always have.
        list_growth: how many times the rows of the previous read a list may have, where that is more. A table that was never
            read may have so many times `list_rows`.
    """

    api_url: Url = "https://openapi.planday.com"
    identity_url: Url = "https://id.planday.com"
    timeout_seconds: int = Field(default=60, ge=1, le=600)
    answer_seconds: int | None = Field(default=None, ge=1, le=7200)
    answer_mib: int = Field(default=128, ge=1, le=8192)
    list_rows: int = Field(default=200_000, ge=1, le=1_000_000_000)
    list_growth: int = Field(default=10, ge=1, le=1000)


class PrivacyPolicy(Section):
    """What is done with each class of personal data before anything is written."""

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
    """Domains and tables a portal has. A domain stands for all of its tables."""

    include: ResourceNames = DOMAINS
    exclude: ResourceNames = ()


class Schedule(Section):
    """When which resources are read. A domain stands for its tables that are not on request only."""

    cron: Cron
    resources: Annotated[ResourceNames, Field(min_length=1)]
    enabled: bool = True


class ScheduleOverride(Section):
    """A schedule as `defaults` or a portal writes it: what is left out is inherited."""

    cron: Cron | None = None
    resources: Annotated[ResourceNames, Field(min_length=1)] | None = None
    enabled: bool | None = None


class Window(Section):
    """Months around the current one that the portal's schedules read again."""

    past_months: int = Field(default=2, ge=0, le=120)
    future_months: int = Field(default=2, ge=0, le=24)


class Retries(Section):
    """`requests`: tries of one request. `step`: further tries of one table, `step_delay_seconds` apart."""

    requests: int = Field(default=5, ge=1, le=20)
    step: int = Field(default=2, ge=0, le=20)
    step_delay_seconds: int = Field(default=300, ge=0, le=86_400)


class Guard(Section):
    """When a smaller snapshot is refused: below `min_ratio` of the previous and by more than `max_lost_rows`."""

    min_ratio: float = Field(default=0.8, ge=0, le=1, strict=False)
    max_lost_rows: int = Field(default=20, ge=0)


class GuardOverride(Section):
    """A guard of one table: what is left out is that of the portal."""

    min_ratio: float | None = Field(default=None, ge=0, le=1, strict=False)
    max_lost_rows: int | None = Field(default=None, ge=0)


class Guards(Guard):
    """The guard of a portal's tables, and of single ones by name."""

    tables: dict[Annotated[str, AfterValidator(_resource)], GuardOverride] = Field(default_factory=dict)

    def of(self, table: str) -> Guard:
        """The guard of a table (full name): its own, that of its domain, that of the portal, in this order."""
        found = Guard(min_ratio=self.min_ratio, max_lost_rows=self.max_lost_rows)
        for name in (table.partition(".")[0], table):
            if own := self.tables.get(name):
                found = found.model_copy(update=own.model_dump(exclude_none=True))
        return found


class Webhook(Section):
    """An address that takes alerts as JSON. It is a secret itself, as those of Slack and Teams are."""

    url: SecretRef
    format: Literal["slack", "teams", "json"] = "slack"


class Mail(Section):
    """A mail server and who gets alerts. `security: none` is taken for this machine only."""

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
    """Who is told when something has to be done. `ui_url` is the Dagster UI's address, for links to runs."""

    webhook: Webhook | None = None
    mail: Mail | None = None
    ui_url: Link | None = None


class Retention(Section):
    """Days after which Dagster's runs are removed (`changes_days`: those of the schedule `changes`).

    Runs that wrote what the warehouse shows now stay.
    """

    runs_days: int = Field(default=30, ge=1, le=3650)
    changes_days: int = Field(default=3, ge=1, le=3650)


class Overrides(Section):
    """What `defaults` sets and each portal may set again."""

    timezone: TimeZone = "Europe/Copenhagen"
    resources: Resources = Resources()
    schedules: dict[Key, ScheduleOverride] = Field(default_factory=dict)
    window: Window = Window()
    retries: Retries = Retries()
    guards: Guards = Guards()


class PortalEntry(Overrides):
    """A portal as the file writes it. `portal_id` is Planday's, for a token that may open no other portal."""

    client_id: SecretRef | AppId
    refresh_token: SecretRef
    portal_id: PortalId | None = None


class ConfigFile(Section):
    """The file as it is written, before defaults are merged into portals."""

    planday: PlandayHosts = PlandayHosts()
    lake: PathText = "lake"
    warehouse: PathText = "warehouse.duckdb"
    history_start: Month = "2025-01"
    privacy: PrivacyPolicy = PrivacyPolicy()
    alerts: Alerts = Alerts()
    retention: Retention = Retention()
    defaults: Overrides = Overrides()
    portals: Annotated[dict[Key, PortalEntry], Field(min_length=1)]


class PortalConfig(Section):
    """One portal, with the defaults merged in."""

    client_id: SecretRef | AppId
    refresh_token: SecretRef
    portal_id: PortalId | None = None
    timezone: TimeZone
    resources: Resources
    schedules: dict[str, Schedule]
    window: Window
    retries: Retries
    guards: Guards


class Config(Section):
    """The whole configuration. Paths are absolute."""

    file: Path
    planday: PlandayHosts
    lake: Path
    warehouse: Path
    history_start: str
    privacy: PrivacyPolicy
    alerts: Alerts
    retention: Retention
    portals: dict[str, PortalConfig]

    @property
    def home(self) -> Path:
        """The folder of the configuration file."""
        return self.file.parent

    @property
    def state(self) -> Path:
        """The folder of locks, budget and rotated tokens."""
        return self.home / ".planday"
