"""Answers that a running sandbox gives in place of its own."""

from __future__ import annotations

from typing import Any

import pytest

from planday_io.errors import PlandayError
from planday_io.sandbox.app import as_json
from planday_io.sandbox.state import Fault
from tests.support.installation import Installation


def answering(planday: Installation, path: str, *answers: Any, after: int = 0) -> None:
    for answer in answers:
        planday.sandbox.faults.append(Fault(path, lambda *_, a=answer: as_json(a), after=after))


def refusal(planday: Installation, table: str) -> PlandayError:
    with pytest.raises(PlandayError) as failed:
        planday.refresh(table)
    assert planday.provenance(table) is None
    return failed.value
