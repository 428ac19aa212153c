"""The hr domain: departments, groups, types, skills, people and what was changed about them. Facts: docs/api-facts.md#hr.

Not here: memberships of departments and groups as tables (they are the LIST columns of `employees`), the image
attachments of custom fields (base64 documents, of no use in a warehouse).
"""

from __future__ import annotations

from planday_io.catalogue.endpoint import Endpoint, FanOut, Feed, Once, OptIn, Pages
from planday_io.catalogue.model import ChildMembers, Column, Document, ObjectMap, Person, ScalarList, Table

_DOCS = "https://openapi.planday.com/api/hr"

_PAGES = Pages(limit=50)
_EACH_EMPLOYEE = (("employee_id", "id"),)
_MISSING = (400, 404)

_SENSITIVE = OptIn(
    param="special",
    values=(
        ("BankAccount", "bankaccount:read", ("bank_account_registration_number", "bank_account_account_number")),
        ("BirthDate", "birthdate:read", ("birth_date",)),
        ("Ssn", "ssn:read", ("ssn",)),
    ),
)

_PERSON = (
    Column("id", "BIGINT", "Employee id, unique within the portal."),
    Column("first_name", "VARCHAR", "First name.", "identity"),
    Column("last_name", "VARCHAR", "Last name.", "identity"),
    Column("user_name", "VARCHAR", "Login, usually an e-mail address.", "contact"),
    Column("email", "VARCHAR", "E-mail address.", "contact"),
    Column("cell_phone", "VARCHAR", "Mobile number; with dialling prefix on lists, without on details.", "contact"),
    Column("cell_phone_country_prefix", "VARCHAR", "Dialling prefix of the mobile number.", "contact"),
    Column("cell_phone_country_code", "VARCHAR", "ISO 3166-1 alpha-2 country of the mobile number.", "contact"),
    Column("phone", "VARCHAR", "Second phone number.", "contact"),
    Column("phone_country_prefix", "VARCHAR", "Dialling prefix of the second number.", "contact"),
    Column("phone_country_code", "VARCHAR", "ISO 3166-1 alpha-2 country of the second number.", "contact"),
    Column("street1", "VARCHAR", "Street, first line.", "contact"),
    Column("street2", "VARCHAR", "Street, second line.", "contact"),
    Column("zip", "VARCHAR", "Postal code.", "contact"),
    Column("city", "VARCHAR", "City.", "contact"),
    Column("departments", ScalarList(of="BIGINT"), "Ids of the departments the person belongs to."),
    Column("employee_groups", ScalarList(of="BIGINT"), "Ids of the employee groups the person belongs to."),
    Column("employee_type_id", "BIGINT", "Id in `hr.employee_types`.", references="hr.employee_types"),
    Column("salary_identifier", "VARCHAR", "Payroll code of the person; a text that may begin with zeros.", "identity"),
    Column("is_public", "BOOLEAN", "Whether colleagues see the contact details."),
    Column("deactivation_date", "DATE", "Day the person leaves; may be in the future."),
    Column("deactivation_reason", "VARCHAR", "Why the person left, as typed.", "free_text"),
    Column("termination_type_id", "BIGINT", "Id in `hr.termination_types`.", references="hr.termination_types"),
    Column("termination_type_name", "VARCHAR", "Name of the termination type."),
    Column("date_time_created", "TIMESTAMPTZ", "When the record was created; lists may give the date only."),
    Column("date_time_modified", "TIMESTAMPTZ", "When the record was last changed."),
    Column("ssn", "VARCHAR", "Social security number.", "sensitive"),
    Column(
        "bank_account_registration_number",
        "VARCHAR",
        "Bank registration number.",
        "sensitive",
        "bankAccount.registrationNumber",
    ),
    Column("bank_account_account_number", "VARCHAR", "Bank account number.", "sensitive", "bankAccount.accountNumber"),
    Column("birth_date", "DATE", "Date of birth.", "sensitive"),
)

_LISTED = (
    Column("cell_phone_without_country_prefix", "VARCHAR", "Mobile number without dialling prefix.", "contact"),
    Column("phone_without_country_prefix", "VARCHAR", "Second number without dialling prefix.", "contact"),
    Column("hired_date", "DATE", "First day of employment (the details call it `hired_from`)."),
    Column("date_time_deleted", "TIMESTAMPTZ", "When the person was last deactivated."),
)

_SUPERVISED = (
    Column("primary_department_id", "BIGINT", "Id of the main department."),
    Column(
        "supervisor_id",
        "BIGINT",
        "Id in `hr.supervisors`: a supervisor record, not an employee.",
        references="hr.supervisors",
    ),
    Column(
        "security_groups",
        ScalarList(of="BIGINT"),
        "Ids of security groups, where the API sends them. Lists send an empty array for everybody, which is NULL here.",
        empty_is_unknown=True,
    ),
)

DEPARTMENTS = Endpoint(
    path="/hr/v1.0/departments",
    scope="department:read",
    docs=_DOCS,
    pages=_PAGES,
    tables=(
        Table(
            domain="hr",
            name="departments",
            doc="Departments that are not deleted.",
            key=("id",),
            columns=(
                Column("id", "BIGINT", "Department id, unique within the portal."),
                Column("name", "VARCHAR", "Department name."),
                Column("number", "VARCHAR", "Department number, a text that may begin with zeros."),
            ),
        ),
    ),
)

EMPLOYEE_GROUPS = Endpoint(
    path="/hr/v1.0/employeegroups",
    scope="employeegroup:read",
    docs=_DOCS,
    pages=_PAGES,
    tables=(
        Table(
            domain="hr",
            name="employee_groups",
            doc="Employee groups: what people do (waiter, cook, cashier).",
            key=("id",),
            columns=(
                Column("id", "BIGINT", "Employee group id, unique within the portal."),
                Column("name", "VARCHAR", "Name of the group."),
            ),
        ),
    ),
)

EMPLOYEE_TYPES = Endpoint(
    path="/hr/v1.0/employeetypes",
    scope="employeetype:read",
    docs=_DOCS,
    pages=_PAGES,
    tables=(
        Table(
            domain="hr",
            name="employee_types",
            doc="Employee types: how people are employed (full time, hourly, trainee).",
            key=("id",),
            columns=(
                Column("id", "BIGINT", "Employee type id, unique within the portal."),
                Column("name", "VARCHAR", "Name of the type."),
                Column("description", "VARCHAR", "Description, as typed.", "free_text"),
            ),
        ),
    ),
)

TERMINATION_TYPES = Endpoint(
    path="/hr/v1.0/terminationtypes",
    scope=None,
    docs=_DOCS,
    # Whether it is paged is unknown: asking for pages reads it completely either way.
    pages=_PAGES,
    tables=(
        Table(
            domain="hr",
            name="termination_types",
            doc="Reasons for leaving that a portal distinguishes. The path is documented, the members are inferred "
            "from `employees.termination_type_id` and `_name`.",
            key=("id",),
            confidence="inferred",
            columns=(
                Column("id", "BIGINT", "Termination type id."),
                Column("name", "VARCHAR", "Name of the termination type."),
            ),
        ),
    ),
    none_statuses=(204, 404),
)

SKILLS = Endpoint(
    path="/hr/v1.0/skills",
    scope="skill:read",
    docs=_DOCS,
    tables=(
        Table(
            domain="hr",
            name="skills",
            doc="Skills of people (certificates, languages). Not the skills of the schedule.",
            key=("skill_id",),
            rows=Document(member=""),
            columns=(
                Column("skill_id", "BIGINT", "Skill id, unique within the portal."),
                Column("name", "VARCHAR", "Name of the skill."),
                Column("description", "VARCHAR", "Description, as typed.", "free_text"),
                Column("is_time_limited", "BOOLEAN", "Whether the skill expires."),
            ),
        ),
    ),
    none_statuses=(204, 404),
)

SUPERVISORS = Endpoint(
    path="/hr/v1.0/employees/supervisors",
    scope="employee:read",
    docs=_DOCS,
    pages=_PAGES,
    tables=(
        Table(
            domain="hr",
            name="supervisors",
            doc="People who can be chosen as supervisors; leads from `supervisor_id` to an employee.",
            key=("id",),
            people=(Person(column="employee_id", role="owner"),),
            columns=(
                Column("id", "BIGINT", "Supervisor record id, unique within the portal."),
                Column("employee_id", "BIGINT", "Employee behind the record."),
                Column("name", "VARCHAR", "Name of the supervisor.", "identity"),
            ),
        ),
    ),
    none_statuses=(204, 404),
)

FIELD_DEFINITIONS = Endpoint(
    path="/hr/v1.0/employees/fielddefinitions",
    scope="employee:read",
    docs=_DOCS,
    params=(("type", "Post"),),
    tables=(
        Table(
            domain="hr",
            name="field_definitions",
            doc="The fields of an employee record as the portal defines them, custom fields included: one row per "
            "property of the JSON Schema (draft-04) that the API sends.",
            key=("field",),
            confidence="inferred",
            rows=ObjectMap(
                member="data.properties",
                flags=(
                    ("@is_required", "data.required"),
                    ("@is_read_only", "data.readOnly"),
                    ("@is_unique", "data.unique"),
                ),
                lookups=(("@definition", "data.definitions"),),
            ),
            columns=(
                Column("field", "VARCHAR", "Member name; custom fields are `custom_<number>`.", member="@key"),
                Column("title", "VARCHAR", "Title of the property."),
                Column("description", "VARCHAR", "Display name of a custom field."),
                Column("type", "JSON", "JSON type, or the list of types, of the property."),
                Column("format", "VARCHAR", "JSON Schema format, for instance `date`."),
                Column("is_required", "BOOLEAN", "Whether it is required for a new employee.", member="@is_required"),
                Column("is_read_only", "BOOLEAN", "Whether the API refuses to change it.", member="@is_read_only"),
                Column("is_unique", "BOOLEAN", "Whether no two employees may share the value.", member="@is_unique"),
                Column("items", "JSON", "Type of an array's entries."),
                Column("reference", "VARCHAR", "Reference to a definition (`$ref`).", member="$ref"),
                Column("definition", "JSON", "The definition behind it: permitted values.", member="@definition"),
            ),
        ),
    ),
)

EMPLOYEES = Endpoint(
    path="/hr/v1.0/employees",
    scope="employee:read",
    docs=_DOCS,
    pages=_PAGES,
    opt_in=_SENSITIVE,
    tables=(
        Table(
            domain="hr",
            name="employees",
            doc="Active employees, as the list gives them.",
            key=("id",),
            people=(Person(column="id", role="owner"),),
            columns=_PERSON + _LISTED + _SUPERVISED,
        ),
    ),
)

DEACTIVATED_EMPLOYEES = Endpoint(
    path="/hr/v1.0/employees/deactivated",
    scope="employee:read",
    docs=_DOCS,
    pages=_PAGES,
    opt_in=_SENSITIVE,
    tables=(
        Table(
            domain="hr",
            name="deactivated_employees",
            doc="Employees who left.",
            key=("id",),
            people=(Person(column="id", role="owner"),),
            columns=_PERSON + _LISTED,
        ),
    ),
)

EMPLOYEE_DETAILS = Endpoint(
    path="/hr/v1.0/employees/{employee_id}",
    scope="employee:read",
    docs=_DOCS,
    opt_in=_SENSITIVE,
    fan_out=FanOut(
        parent="hr.employees",
        bind=_EACH_EMPLOYEE,
        missing_statuses=_MISSING,
        changed_by="date_time_modified",
        once=Once(parent="hr.deactivated_employees"),
    ),
    tables=(
        Table(
            domain="hr",
            name="employee_details",
            doc="What the list of employees lacks, one row per employee. Read again for new and modified employees "
            "only; `--full` reads all. People who left keep what was read last, and are requested once more: whether the "
            "API answers for them is not known.",
            key=("id",),
            people=(Person(column="id", role="owner"),),
            rows=Document(member="data", form="object"),
            columns=(
                *_PERSON,
                *_SUPERVISED,
                Column("is_deactivated", "BOOLEAN", "Whether the person has left."),
                Column("gender", "VARCHAR", "Male or Female.", "identity", values=("Male", "Female")),
                Column("job_title", "VARCHAR", "Job title."),
                Column("hired_from", "DATE", "First day of employment (the list calls it `hired_date`)."),
                Column("country_id", "BIGINT", "Planday's id of the country."),
                Column("work_hours", "DECIMAL", "Contracted hours per month."),
                Column("contract_rules_rule_id", "BIGINT", "Id of the contract rule."),
                Column("supervisor_employee_id", "BIGINT", "Employee id of the supervisor."),
                Column("skill_ids", ScalarList(of="BIGINT"), "Ids in `hr.skills`.", references="hr.skills"),
            ),
        ),
        Table(
            domain="hr",
            name="employee_custom_fields",
            doc="Custom fields, one row per person and filled field; of people who left as in `hr.employee_details`.",
            key=("employee_id", "field"),
            people=(Person(column="employee_id", role="owner"),),
            rows=ChildMembers(pattern=r"^custom_[0-9]+$"),
            columns=(
                Column("employee_id", "BIGINT", "Employee the field belongs to.", member="@parent"),
                Column("field", "VARCHAR", "Member name, `custom_<number>`; differs per portal.", member="@member"),
                Column("name", "VARCHAR", "Display name of the field."),
                Column(
                    "type",
                    "VARCHAR",
                    "Text, Numeric, Boolean, Date, Dropdown or Image.",
                    values=("Text", "Numeric", "Boolean", "Date", "Dropdown", "Image"),
                ),
                Column("value", "TEXT", "The value, as text.", "free_text"),
                Column("url", "VARCHAR", "Address of an image's content.", "free_text"),
            ),
        ),
    ),
)

EMPLOYEE_HISTORY = Endpoint(
    path="/hr/v1.0/employees/{employee_id}/history",
    scope="employee:history",
    docs=_DOCS,
    pages=_PAGES,
    fan_out=FanOut(parent="hr.employees", bind=_EACH_EMPLOYEE, missing_statuses=_MISSING),
    feed=Feed(since_param="startDateTime"),
    tables=(
        Table(
            domain="hr",
            name="employee_history",
            doc="What was changed about each employee and when. A feed: rows are added and never removed, even "
            "when the person leaves.",
            key=("employee_id", "modification_date_time", "path", "op", "ordinal"),
            people=(Person(column="employee_id", role="owner"),),
            ordinal="ordinal",
            on_request=True,
            aged_by=("modification_date_time",),
            columns=(
                Column("employee_id", "BIGINT", "Employee who was changed.", member="{employee_id}"),
                Column("modification_date_time", "TIMESTAMP", "When; without offset, the zone is not documented."),
                Column("path", "VARCHAR", "Member that was changed."),
                Column("op", "VARCHAR", "Operation: add, replace, remove."),
                Column(
                    "ordinal",
                    "BIGINT",
                    "Number of the entry among those that are equal in all of the above.",
                    member="@ordinal",
                ),
                Column("value", "TEXT", "The new value, as text.", "free_text"),
                Column("modified_by", "BIGINT", "User who made the change."),
                Column("modified_by_user_guid", "VARCHAR", "The same user's GUID."),
            ),
        ),
    ),
)

ENDPOINTS = (
    DEPARTMENTS,
    EMPLOYEE_GROUPS,
    EMPLOYEE_TYPES,
    TERMINATION_TYPES,
    SKILLS,
    SUPERVISORS,
    FIELD_DEFINITIONS,
    EMPLOYEES,
    DEACTIVATED_EMPLOYEES,
    EMPLOYEE_DETAILS,
    EMPLOYEE_HISTORY,
)
