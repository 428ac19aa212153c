"""Renaming a portal in portals.yaml: only the key changes, whatever the file looks like."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from planday_io.catalogue import CATALOGUE
from planday_io.config import load_config
from planday_io.onboarding.editing import replace_text, text_with_key
from planday_io.onboarding.renaming import rename_portal
from tests.support.installation import Installation

KEYS = {
    "oslo: {ENTRY}  # ours": "bergen: {ENTRY}  # ours",
    '"oslo"   : {ENTRY}': '"bergen"   : {ENTRY}',
    "'oslo': {ENTRY}": "'bergen': {ENTRY}",
    "? oslo\n  : {ENTRY}": "? bergen\n  : {ENTRY}",
    "oslo: &oslo {ENTRY}": "bergen: &oslo {ENTRY}",
}


@pytest.mark.parametrize(
    ("ending", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8-sig"), ("\r\n", "utf-16"), ("\n", "utf-8-sig")]
)
@pytest.mark.parametrize("written", KEYS)
def test_only_the_key_changes_in_the_file(tmp_path: Path, written: str, ending: str, encoding: str) -> None:
    entry = "{client_id: oslo, refresh_token: {file: oslo.txt}}"
    text = f"# oslo, ÆØÅ\nportals:\n  # oslo\n  {written}\n  oslo_2: {entry}\nlake: oslo\n"
    text = text.replace("{ENTRY}", entry).replace("\n", ending)
    file = tmp_path / "portals.yaml"
    file.write_bytes(text.encode(encoding))
    replace_text(file, text_with_key(file, CATALOGUE, "oslo", "bergen"))
    wanted = KEYS[written].replace("{ENTRY}", entry).replace("\n", ending)
    old = written.replace("{ENTRY}", entry).replace("\n", ending)
    assert file.read_bytes().decode(encoding) == text.replace(f"  {old}{ending}", f"  {wanted}{ending}")
    assert list(load_config(file, CATALOGUE).portals) == ["bergen", "oslo_2"]
    assert [path.name for path in tmp_path.iterdir()] == ["portals.yaml"]


def test_deliveries_name_the_new_key(tmp_path: Path) -> None:
    file = tmp_path / "portals.yaml"
    text = """deliver:
  oslo: {marts: [hours], portals: [oslo_2, "oslo", oslo], days: all, to: oslo}  # oslo
  other: {marts: [hours], portals: &both [oslo_2], days: all, to: oslo}
  both: &one
    marts: [hours]
    portals:
    - oslo
    - oslo_2
    days: all
    to: oslo
  again: *one
portals:
  oslo: {client_id: oslo, refresh_token: {file: oslo.txt}}
  oslo_2: {client_id: oslo, refresh_token: {file: oslo.txt}}
"""
    file.write_text(text)
    replace_text(file, text_with_key(file, CATALOGUE, "oslo", "bergen"))
    wanted = text.replace('"oslo", oslo]', '"bergen", bergen]').replace("    - oslo\n", "    - bergen\n")
    assert file.read_text() == wanted.replace("\n  oslo: {client_id", "\n  bergen: {client_id")


def test_file_behind_a_link_is_edited(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.config_path.unlink()
    planday.config_path.symlink_to(planday.folder / "none" / "portals.yaml")
    (planday.folder / "none").mkdir()
    real = planday.folder / "none" / "portals.yaml"
    real.write_text("portals:\n  oslo: {client_id: x, refresh_token: {env: X}}\n")
    rename_portal(planday.installation, "oslo", "bergen")
    assert planday.config_path.is_symlink(), "the file behind a link is edited"
    assert list(yaml.safe_load(real.read_text())["portals"]) == ["bergen"]
