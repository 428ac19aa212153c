"""The punch clock: when people came, went and paused. Facts: docs/api-facts.md#punch-clock.

Not here: `byShift`, `employeeshifts/today` (the list has everything), `breakaccess` (needs the right to create).
"""

from __future__ import annotations

from planday_io.catalogue.endpoint import Endpoint, FanOut, Pages, Window
from planday_io.catalogue.model import Column, Person, Table

_DOCS = "https://openapi.planday.com/api/punchclock"

_ZONE = Column(
    "time_zone",
    "VARCHAR",
    "Zone of the times: the portal's, because the API sends none. Use the zone of the shift where it has one.",
    member="@zone",
)

PUNCH_CLOCK_SHIFTS = Endpoint(
    path="/punchclock/v1.0/punchclockshifts",
    scope="punchclockshift:read",
    docs=_DOCS,
    # The largest page is not documented and 50 is safe; without a limit the default is said to be 0.
    pages=Pages(limit=50),
    window=Window(start_param="from", end_param="to", longest_days=31, is_instant=True),
    tables=(
        Table(
            domain="punchclock",
            name="punch_clock_shifts",
            doc="Punches: begin and end as punched, and as scheduled or approved. Approving may round the latter, so the "
            "two differ for most. Times are local and sent without a zone: use that of the shift, or of the portal.",
            key=("id",),
            people=(Person(column="employee_id", role="worker"),),
            month_by=("start_date_time", "shift_start_date_time"),
            logs_changes=True,
            columns=(
                Column("id", "BIGINT", "Punch id, unique within the portal."),
                Column(
                    "shift_id",
                    "BIGINT",
                    "Id in `scheduling.shifts`; NULL until an unscheduled punch is approved.",
                    references="scheduling.shifts",
                ),
                Column("department_id", "BIGINT", "Id in `hr.departments`.", references="hr.departments"),
                Column("employee_id", "BIGINT", "Id in `hr.employees`.", references="hr.employees"),
                Column("start_date_time", "TIMESTAMP", "Punched in, local wall clock."),
                Column("end_date_time", "TIMESTAMP", "Punched out, local wall clock; NULL means open or forgotten."),
                _ZONE,
                Column("shift_start_date_time", "TIMESTAMP", "Start as scheduled, or as approved."),
                Column("shift_end_date_time", "TIMESTAMP", "End as scheduled, or as approved."),
                Column("description", "VARCHAR", "Note, as typed.", "free_text"),
                Column("is_approved", "BOOLEAN", "Whether a manager approved it."),
            ),
        ),
    ),
)

PUNCH_CLOCK_BREAKS = Endpoint(
    path="/punchclock/v1.0/punchclockshifts/{punch_clock_shift_id}/breaks",
    scope="punchclockshift:read",
    docs=_DOCS,
    fan_out=FanOut(
        parent="punchclock.punch_clock_shifts",
        bind=(("punch_clock_shift_id", "id"),),
        missing_statuses=(),
        changed_by="*",
        open_while_null="end_date_time",
    ),
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="punchclock",
            name="punch_clock_breaks",
            doc="Breaks as punched. One call per punch that is new, changed or still open; `--full` reads all.",
            key=("id",),
            month_by=(),
            logs_changes=True,
            aged_by=("start_date_time",),
            columns=(
                Column("id", "BIGINT", "Break id, unique within the portal."),
                Column(
                    "punch_clock_shift_id",
                    "BIGINT",
                    "Id in `punchclock.punch_clock_shifts`.",
                    member="{punch_clock_shift_id}",
                    references="punchclock.punch_clock_shifts",
                ),
                Column("punch_clocks_shift_id", "BIGINT", "The same id again; the API sends it under both names."),
                Column("start_date_time", "TIMESTAMP", "Start of the break, local wall clock."),
                Column("end_date_time", "TIMESTAMP", "End of the break, local wall clock; NULL means still open."),
                _ZONE,
                Column(
                    "duration",
                    "TEXT",
                    "Length as Planday writes it; the format is not documented, so take the two times.",
                    confidence="unknown",
                ),
            ),
        ),
    ),
)

ENDPOINTS = (PUNCH_CLOCK_SHIFTS, PUNCH_CLOCK_BREAKS)
