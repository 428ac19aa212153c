"""Settings of portals.yaml that marts need: what is refused and how it says so, and what a portal overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.config import load_config
from planday_io.errors import ConfigError

PORTALS = (
    "portals:\n  oslo: {client_id: x, refresh_token: {env: A}}\n"
    "  bergen: {client_id: x, refresh_token: {env: B}, bradford: false, pay_gap_by: off, absence_kinds: {Flex: vacation}}\n"
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bradford: maybe\n", "line 1: bradford: found 'maybe'; expected true or false"),
        ("bradford: 1\n", "line 1: bradford: found 1; expected true or false"),
        (
            "pay_gap_by: salary\n",
            "line 1: pay_gap_by: found 'salary'; expected 'off', 'employee_group', 'department' or ",
        ),
        ("pay_gap_by: [department]\n", "line 1: pay_gap_by: found a list; expected 'off', "),
        (
            "currency: DKK\nabsence_kinds: {Ferie: holiday}\n",
            "line 2: absence_kinds.Ferie: found 'holiday'; expected 'sickness', ",
        ),
        ("absence_kinds: [Ferie]\n", "line 1: absence_kinds: found a list; expected a mapping"),
        ("absence_kinds: {5: vacation}\n", "line 1: absence_kinds[5]: found 5; expected a text"),
        ('absence_kinds: {"": vacation}\n', "expected a text that is not empty"),
        ('absence_kinds: {"  ": vacation}\n', "expected a text that is not empty"),
        ('shift_kinds: {"": work}\n', "expected a text that is not empty"),
        ('shift_kinds: {"a\u00adb": work}\n', "character 2 is U+00AD (soft hyphen)"),
        ("shift_kinds: {true: work}\n", "expected a text"),
        ('currency: "  "\n', "line 1: currency: found '  '; expected a text that is not empty"),
        ("currency: Danish kroner and oere\n", "expected a text of at most 16 characters"),
        ("working_time: eu\n", "line 1: working_time: found 'eu'; expected a mapping"),
        (
            "bradford: true\nworking_time: {weekly_hours: 48}\n",
            "line 2: working_time.weekly_hours: found 48; expected a",
        ),
        ('working_time: {"": 1}\n', "line 1: working_time.'': found an unknown key"),
        ("absence_kind: {Ferie: vacation}\n", "did you mean 'absence_kinds'?"),
        ("pay_gap: department\n", "did you mean 'pay_gap_by'?"),
    ],
)
def test_mistakes_in_settings_of_marts(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "portals.yaml").write_text(text + PORTALS)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "portals.yaml", CATALOGUE)
    assert says in str(caught.value)


def test_a_portal_overrides_settings_of_marts(tmp_path: Path) -> None:
    top = "bradford: true\npay_gap_by: department\nabsence_kinds: {Child sick: sickness}\n"
    (tmp_path / "portals.yaml").write_text(top + PORTALS)
    portals = load_config(tmp_path / "portals.yaml", CATALOGUE).portals
    oslo, bergen = portals["oslo"], portals["bergen"]
    assert (oslo.bradford, oslo.pay_gap_by, oslo.absence_kinds) == (True, "department", {"Child sick": "sickness"})
    assert (bergen.bradford, bergen.pay_gap_by) == (False, "off")
    assert bergen.absence_kinds == {"Child sick": "sickness", "Flex": "vacation"}
