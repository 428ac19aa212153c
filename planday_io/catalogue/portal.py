"""The portal domain: the one endpoint whose id is unique across all portals. Facts: docs/api-facts.md#portal."""

from __future__ import annotations

from planday_io.catalogue.endpoint import Endpoint
from planday_io.catalogue.model import Column, Document, ScalarList, StructList, Table

PORTALS = Endpoint(
    path="/portal/v1.0/info",
    scope=None,
    docs="https://openapi.planday.com/api/portal",
    tables=(
        Table(
            domain="portal",
            name="portals",
            doc="The portal behind the token: one row per portal.",
            key=("id",),
            rows=Document(member="data", form="object"),
            columns=(
                Column("id", "BIGINT", "Planday's portal id, the only id that is unique across portals."),
                Column("name", "VARCHAR", "Portal name."),
                Column("company_name", "VARCHAR", "Company name."),
                Column("country", "VARCHAR", "Country; whether a code or a name is not documented."),
                Column("time_zone", "VARCHAR", "Time zone; whether IANA or Windows naming is not documented."),
                Column(
                    "configured_time_zone",
                    "VARCHAR",
                    "Zone of the portal in portals.yaml, used for times without a zone while the portal's own is not known.",
                    member="@zone",
                ),
                Column("max_departments", "BIGINT", "Departments the subscription allows."),
                Column("aliases", ScalarList(of="VARCHAR"), "Other names of the portal."),
                Column(
                    "portals",
                    StructList(
                        fields=(
                            Column("id", "BIGINT", "Portal id of the child portal."),
                            Column("name", "VARCHAR", "Name of the child portal."),
                            Column("aliases", ScalarList(of="VARCHAR"), "Other names of the child portal."),
                        )
                    ),
                    "Child portals, where the token belongs to a master portal.",
                ),
            ),
        ),
    ),
)

ENDPOINTS = (PORTALS,)
