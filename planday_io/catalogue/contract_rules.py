"""Contract rules: how much people may and must work.

Facts: docs/api-facts.md#contract-rules. Hours are in the names only.
"""

from __future__ import annotations

from planday_io.catalogue.endpoint import Endpoint, FanOut, Once, Pages
from planday_io.catalogue.model import Column, Document, Person, Table

_DOCS = "https://openapi.planday.com/contractrules/swagger/v1.0/swagger.json"

CONTRACT_RULES = Endpoint(
    path="/contractrules/v1.0/contractrules",
    scope="contractrules:read",
    docs=_DOCS,
    pages=Pages(limit=50),
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="contract_rules",
            name="contract_rules",
            doc="The contract rules of the portal.",
            key=("id",),
            confidence="observed",
            columns=(
                Column("id", "BIGINT", "Contract rule id, unique within the portal."),
                Column("name", "VARCHAR", "Name of the rule, often with its hours."),
                Column("description", "VARCHAR", "Description, as typed.", "free_text"),
            ),
        ),
    ),
)

EMPLOYEE_CONTRACT_RULES = Endpoint(
    path="/contractrules/v1.0/employees/{employee_id}",
    scope="contractrules:read",
    docs=_DOCS,
    fan_out=FanOut(
        parent="hr.employees",
        bind=(("employee_id", "id"),),
        missing_statuses=(400,),
        once=Once(parent="hr.deactivated_employees"),
    ),
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="contract_rules",
            name="employee_contract_rules",
            doc="The rule of each employee; those without one have no row. One call per active employee. People who left "
            "keep the rule that was read last, and are requested once more.",
            key=("employee_id",),
            people=(Person(column="employee_id", role="owner"),),
            confidence="observed",
            rows=Document(form="object_or_none"),
            columns=(
                Column(
                    "employee_id", "BIGINT", "Id in `hr.employees`.", member="{employee_id}", references="hr.employees"
                ),
                Column(
                    "id", "BIGINT", "Id in `contract_rules.contract_rules`.", references="contract_rules.contract_rules"
                ),
                Column("name", "VARCHAR", "Name of the rule."),
                Column("description", "VARCHAR", "Description, as typed.", "free_text", confidence="inferred"),
            ),
        ),
    ),
)

ENDPOINTS = (CONTRACT_RULES, EMPLOYEE_CONTRACT_RULES)
