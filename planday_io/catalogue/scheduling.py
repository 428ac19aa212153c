"""The scheduling domain: the roster, what it consists of, what it costs, what was deleted.

Facts: docs/api-facts.md#scheduling.

Not here: `reports` (needs the right to change shifts), shifts by id (the list has everything).
"""

from __future__ import annotations

from planday_io.catalogue.endpoint import ChangeDetection, Endpoint, FanOut, Feed, Pages, Window
from planday_io.catalogue.model import Column, Document, Person, ScalarList, StructList, Table

_DOCS = "https://openapi.planday.com/api/schedule"

_PAGES = Pages(limit=50)
_MONTH = Window(start_param="from", end_param="to")
_EACH_DEPARTMENT = (("department_id", "id"),)
_CLOSED = ("scheduling.shifts", "department_id")

_DRAFTS = ((("shiftStatus", "Draft"),),)
"""Whether the list has drafts without being asked for them is unknown, so they are asked for as well."""

_SHIFT = (
    Column("id", "BIGINT", "Shift id, unique within the portal."),
    Column("department_id", "BIGINT", "Id in `hr.departments`.", references="hr.departments"),
    Column("employee_id", "BIGINT", "Id in `hr.employees`; NULL means an open shift.", references="hr.employees"),
    Column("employee_group_id", "BIGINT", "Id in `hr.employee_groups`.", references="hr.employee_groups"),
    Column("position_id", "BIGINT", "Id in `scheduling.positions`.", references="scheduling.positions"),
    Column(
        "shift_type_id",
        "BIGINT",
        "Id in `scheduling.shift_types`; NULL means an ordinary shift.",
        references="scheduling.shift_types",
    ),
    Column("date", "DATE", "Day the shift begins."),
    Column("start_date_time", "TIMESTAMP", "Start, wall clock in `time_zone`, to the minute."),
    Column(
        "end_date_time", "TIMESTAMP", "End, wall clock in `time_zone`; at most 24 hours later, so often the next day."
    ),
    Column(
        "time_zone",
        "VARCHAR",
        "Time zone of the two times, as received; IANA names have been seen. `sync.time_zones` says which zone is used.",
        confidence="observed",
    ),
    Column(
        "status",
        "VARCHAR",
        "Open, Assigned, Approved (for payroll), ForSale, Draft, OnDuty, PendingSwapAcceptance, PendingApproval, "
        "PunchclockStarted, PunchclockFinished or PunchclockApproved.",
        values=(
            *("Open", "Assigned", "Approved", "ForSale", "Draft", "OnDuty", "PendingSwapAcceptance", "PendingApproval"),
            *("PunchclockStarted", "PunchclockFinished", "PunchclockApproved"),
        ),
    ),
    Column("comment", "VARCHAR", "Comment, as typed.", "free_text"),
    Column("date_time_created", "TIMESTAMPTZ", "When it was created; the zone is not documented, UTC is assumed."),
    Column("date_time_modified", "TIMESTAMPTZ", "When it was last changed; the zone is not documented."),
)

SHIFT_TYPES = Endpoint(
    path="/scheduling/v1.0/shifttypes",
    scope="shifttype:read",
    docs=_DOCS,
    pages=_PAGES,
    tables=(
        Table(
            domain="scheduling",
            name="shift_types",
            doc="Types of shifts (ordinary work, course, sick) and how they are paid.",
            key=("id",),
            columns=(
                Column("id", "BIGINT", "Shift type id, unique within the portal."),
                Column("name", "VARCHAR", "Name of the type."),
                Column("color", "VARCHAR", "Colour in the schedule."),
                Column("salary_code", "VARCHAR", "Payroll code; a text that may begin with zeros."),
                Column("is_active", "BOOLEAN", "Whether it can still be chosen."),
                Column("pay_percentage", "DECIMAL", "Percentage of the ordinary pay.", "pay"),
                Column("pay_monetary", "DECIMAL", "Amount in the portal's currency.", "pay"),
                Column("allows_breaks", "BOOLEAN", "Whether breaks are deducted."),
                Column("allow_booking", "BOOLEAN", "Whether employees can book it."),
                Column("payment_type", "VARCHAR", "Percentage, Monetary, MonetaryReplacement; others may come."),
                Column("include_in_schedule_print", "BOOLEAN", "Whether printed schedules show it."),
            ),
        ),
    ),
)

SHIFT_STATUSES = Endpoint(
    path="/scheduling/v1.0/shifts/shiftstatus/all",
    scope="shift:read",
    docs=_DOCS,
    tables=(
        Table(
            domain="scheduling",
            name="shift_statuses",
            doc="The statuses that the API numbers. Shifts name them instead, and have more.",
            key=("id",),
            columns=(
                Column("id", "BIGINT", "Number of the status."),
                Column("name", "VARCHAR", "Name of the status."),
            ),
        ),
    ),
)

POSITIONS = Endpoint(
    path="/scheduling/v1.0/positions",
    scope="shiftposition:read",
    docs=_DOCS,
    pages=_PAGES,
    tables=(
        Table(
            domain="scheduling",
            name="positions",
            doc="Positions of departments that shifts are planned for.",
            key=("id",),
            columns=(
                Column("id", "BIGINT", "Position id, unique within the portal."),
                Column("name", "VARCHAR", "Name of the position."),
                Column("start_date", "DATE", "First day it is used."),
                Column("end_date", "DATE", "Last day it is used."),
                Column("is_active", "BOOLEAN", "Whether it can still be chosen."),
                Column("department_id", "BIGINT", "Id in `hr.departments`.", references="hr.departments"),
                Column("section_id", "BIGINT", "Id in `scheduling.sections`.", references="scheduling.sections"),
                Column("employee_group_id", "BIGINT", "Id in `hr.employee_groups`.", references="hr.employee_groups"),
                Column("affect_revenue", "BOOLEAN", "Whether it counts in revenue figures."),
                Column(
                    "revenue_unit_id", "BIGINT", "Id in `revenue.revenue_units`.", references="revenue.revenue_units"
                ),
                Column(
                    "skill_ids", ScalarList(of="BIGINT"), "Ids in `scheduling.skills`.", references="scheduling.skills"
                ),
                Column("color", "VARCHAR", "Colour in the schedule.", confidence="inferred"),
            ),
        ),
    ),
)

SECTIONS = Endpoint(
    path="/scheduling/v1.0/sections",
    scope="shiftposition:read",
    docs=_DOCS,
    pages=_PAGES,
    tables=(
        Table(
            domain="scheduling",
            name="sections",
            doc="Sections of departments, which group positions.",
            key=("id",),
            columns=(
                Column("id", "BIGINT", "Section id, unique within the portal."),
                Column("name", "VARCHAR", "Name of the section."),
                Column("department_id", "BIGINT", "Id in `hr.departments`.", references="hr.departments"),
            ),
        ),
    ),
)

SKILLS = Endpoint(
    path="/scheduling/v1.0/skills",
    scope="shifttype:read",
    docs=_DOCS,
    pages=_PAGES,
    params=(("departmentId", "{department_id}"),),
    fan_out=FanOut(parent="hr.departments", bind=_EACH_DEPARTMENT, missing_statuses=(404,)),
    tables=(
        Table(
            domain="scheduling",
            name="skills",
            doc="Skills that shifts of a department may require. Not the skills of people (`hr.skills`).",
            key=("department_id", "id"),
            columns=(
                Column("department_id", "BIGINT", "Department that was requested.", member="{department_id}"),
                Column("id", "BIGINT", "Skill id; the same skill may belong to several departments."),
                Column("name", "VARCHAR", "Name of the skill."),
                Column("is_removed", "BOOLEAN", "Whether it was removed from the department."),
                Column("is_deleted", "BOOLEAN", "Whether it was deleted."),
                Column("description", "VARCHAR", "Description, as typed.", "free_text"),
                Column(
                    "employee_group_ids",
                    ScalarList(of="BIGINT"),
                    "Ids in `hr.employee_groups`.",
                    references="hr.employee_groups",
                ),
                Column("all_employee_groups", "BOOLEAN", "Whether it is for every group."),
            ),
        ),
    ),
)

SHIFTS = Endpoint(
    path="/scheduling/v1.0/shifts",
    scope="shift:read",
    docs=_DOCS,
    pages=Pages(limit=5000),
    window=_MONTH,
    variants=_DRAFTS,
    tables=(
        Table(
            domain="scheduling",
            name="shifts",
            doc="The roster: every shift of the month, open and draft ones included (see `status`). `marts.spans` has "
            "instants and hours, also for shifts whose zone is missing or unknown.",
            key=("id",),
            people=(Person(column="employee_id", role="worker"),),
            month_by=("date",),
            logs_changes=True,
            columns=(
                *_SHIFT,
                Column(
                    "punch_clock_shift_id",
                    "BIGINT",
                    "Id in `punchclock.punch_clock_shifts`.",
                    references="punchclock.punch_clock_shifts",
                ),
                Column(
                    "skill_ids", ScalarList(of="BIGINT"), "Ids in `scheduling.skills`.", references="scheduling.skills"
                ),
            ),
        ),
    ),
)

SCHEDULE_DAYS = Endpoint(
    path="/scheduling/v1.0/scheduleDay",
    scope="shift:read",
    docs=_DOCS,
    pages=_PAGES,
    params=(("departmentId", "{department_id}"),),
    fan_out=FanOut(parent="hr.departments", bind=_EACH_DEPARTMENT, missing_statuses=(404,), extra_parents=_CLOSED),
    window=Window(start_param="from", end_param="to", wider_days=0),
    tables=(
        Table(
            domain="scheduling",
            name="schedule_days",
            doc="Days of each department's schedule: notes, holidays, and whether the day is locked. SalaryLocked is the "
            "best indication that a period is closed.",
            key=("department_id", "date"),
            month_by=("date",),
            columns=(
                Column("department_id", "BIGINT", "Id in `hr.departments`.", references="hr.departments"),
                Column("date", "DATE", "The day."),
                Column("id", "BIGINT", "Schedule day id."),
                Column("title", "VARCHAR", "Title of the day, as typed.", "free_text"),
                Column("description", "VARCHAR", "Notes of the manager.", "free_text"),
                Column("is_visible", "BOOLEAN", "Whether employees see the day."),
                Column(
                    "holiday",
                    StructList(
                        fields=(
                            Column("title", "VARCHAR", "Name of the holiday."),
                            Column("calendar_name", "VARCHAR", "Calendar it comes from."),
                        )
                    ),
                    "Holidays on that day.",
                ),
                Column(
                    "lock_state",
                    "VARCHAR",
                    "Unlocked, ManagerLocked or SalaryLocked.",
                    values=("Unlocked", "ManagerLocked", "SalaryLocked"),
                ),
            ),
        ),
    ),
)

TIME_AND_COSTS = Endpoint(
    path="/scheduling/v1.0/timeandcost/{department_id}",
    scope="timeandcost:read",
    docs=_DOCS,
    fan_out=FanOut(parent="hr.departments", bind=_EACH_DEPARTMENT, missing_statuses=(404,), extra_parents=_CLOSED),
    window=Window(start_param="from", end_param="to", wider_days=0),
    tables=(
        Table(
            domain="scheduling",
            name="time_and_costs",
            doc="Planned hours and cost per shift, as Planday computes them: the hours exclude breaks, the "
            "cost includes paid ones; `marts.planned_costs` has both as numbers. Rows without a shift are supplements. Open "
            "shifts, and types that do not count in payroll, are missing. This is planned cost: never add it to payroll.",
            key=("department_id", "date", "shift_id", "ordinal"),
            people=(Person(column="employee_id", role="worker"),),
            ordinal="ordinal",
            month_by=("date",),
            rows=Document(
                member="data.costs",
                envelope=(
                    ("@currency_symbol", "data.currencySymbol"),
                    ("@currency_format_string", "data.currencyFormatString"),
                ),
            ),
            columns=(
                Column("department_id", "BIGINT", "Department that was requested.", member="{department_id}"),
                Column("date", "DATE", "Day the cost belongs to."),
                Column(
                    "shift_id",
                    "BIGINT",
                    "Id in `scheduling.shifts`; NULL for supplements.",
                    references="scheduling.shifts",
                ),
                Column(
                    "ordinal",
                    "BIGINT",
                    "Number of the row among those that are equal in all of the above.",
                    member="@ordinal",
                ),
                Column("employee_id", "BIGINT", "Id in `hr.employees`.", references="hr.employees"),
                Column(
                    "shift_type_id", "BIGINT", "Id in `scheduling.shift_types`.", references="scheduling.shift_types"
                ),
                Column("position_id", "BIGINT", "Id in `scheduling.positions`.", references="scheduling.positions"),
                Column(
                    "duration",
                    "TEXT",
                    "Hours as Planday writes them, without breaks: `0:07:30` is 7.5 in one source, `8:00:00` is 8 in "
                    "another, and the text alone does not say which form it has. `marts.planned_costs` has hours.",
                ),
                Column("cost", "DECIMAL", "Cost in the portal's currency, paid breaks included.", "pay"),
                Column(
                    "currency_symbol",
                    "VARCHAR",
                    "Symbol the portal shows; not a reliable currency code.",
                    member="@currency_symbol",
                ),
                Column(
                    "currency_format_string",
                    "VARCHAR",
                    "How the portal writes amounts.",
                    member="@currency_format_string",
                ),
            ),
        ),
    ),
)

DELETED_SHIFTS = Endpoint(
    path="/scheduling/v1.0/shifts/deleted",
    scope="shift:read",
    docs=_DOCS,
    pages=Pages(limit=1000),
    feed=Feed(since_param="deletedFrom", is_instant=True),
    change_detection=ChangeDetection(table="scheduling.shifts", since_param="modifiedFrom"),
    tables=(
        Table(
            domain="scheduling",
            name="deleted_shifts",
            doc="Shifts that were deleted. A feed: rows are added and never removed, because it is not documented how "
            "long Planday keeps them. Reading it also finds modified shifts, and requests their months again."
            "",
            key=("id",),
            people=(Person(column="employee_id", role="worker"),),
            aged_by=("date",),
            columns=(
                *_SHIFT,
                Column("date_time_deleted", "TIMESTAMPTZ", "When it was deleted; the zone is not documented."),
                Column("deleted_by", "BIGINT", "User who deleted it."),
            ),
        ),
    ),
)

SHIFT_HISTORY = Endpoint(
    path="/scheduling/v1.0/shifts/{shift_id}/history",
    scope="shift:read",
    docs=_DOCS,
    pages=_PAGES,
    fan_out=FanOut(parent="scheduling.shifts", bind=(("shift_id", "id"),), missing_statuses=(404,), changed_by="*"),
    feed=Feed(since_param=None),
    tables=(
        Table(
            domain="scheduling",
            name="shift_history",
            doc="What was changed about each shift, in Planday's sentences. One call per shift that is new or changed, so "
            "it is read on request only. A feed: rows are never taken away.",
            key=("shift_id", "modified_at", "ordinal"),
            people=(Person(column="modified_by_id", role="actor", texts=("modified_by_name", "changes")),),
            ordinal="ordinal",
            on_request=True,
            month_by=(),
            aged_by=("modified_at",),
            columns=(
                Column(
                    "shift_id",
                    "BIGINT",
                    "Id in `scheduling.shifts`.",
                    member="{shift_id}",
                    references="scheduling.shifts",
                ),
                Column("modified_at", "TIMESTAMP", "When; without offset, the zone is not documented."),
                Column("ordinal", "BIGINT", "Counts changes of one moment.", member="@ordinal"),
                Column("modified_by_id", "BIGINT", "User who made the change.", member="modifiedBy.id"),
                Column("modified_by_name", "VARCHAR", "Name of that user.", "identity", member="modifiedBy.name"),
                Column("changes", ScalarList(of="VARCHAR"), "Sentences, with names in them.", "free_text"),
            ),
        ),
    ),
)

ENDPOINTS = (
    SHIFT_TYPES,
    SHIFT_STATUSES,
    POSITIONS,
    SECTIONS,
    SKILLS,
    DELETED_SHIFTS,
    SHIFTS,
    SCHEDULE_DAYS,
    TIME_AND_COSTS,
    SHIFT_HISTORY,
)
