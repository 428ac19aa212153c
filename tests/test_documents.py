"""What code and pages cite exists: files, sections, addresses."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from planday_io.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
TEXTS = [
    name for name in TRACKED if Path(name).suffix in (".py", ".md", ".sql", ".sh", ".yaml", ".yml", ".toml", ".service")
]
PAGES = [name for name in TRACKED if name.endswith(".md")]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings, and those that are written out."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


def missing(place: Path, anchor: str) -> bool:
    return not place.exists() or (bool(anchor) and anchor not in anchors(place))


@pytest.mark.parametrize("name", PAGES)
def test_links_between_pages_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        if "://" not in target:
            assert not missing(page.parent / target if target else page, anchor), f"{name}: {target}#{anchor}"


def test_cited_sections_exist() -> None:
    cited = 0
    for name in TEXTS:
        for page, anchor in re.findall(r"docs/([a-z-]+\.md)(?:#([a-z-]+))?", (ROOT / name).read_text()):
            cited += 1
            assert not missing(ROOT / "docs" / page, anchor), f"{name}: docs/{page}#{anchor}"
    assert cited > 50
    switches = (ROOT / "planday_io/sandbox/variants.py").read_text()
    assert set(re.findall(r"\(#([a-z-]+)\)", switches)) <= anchors(ROOT / "docs/api-facts.md")


def test_cited_files_exist() -> None:
    cited = set()
    for name in TEXTS:
        for path in re.findall(
            r"`((?:planday_io|pipelines|tests|benchmarks|docs)/[\w/.-]+\.\w+)`", (ROOT / name).read_text()
        ):
            cited.add(path)
            assert (ROOT / path).exists(), f"{name}: {path}"
    assert len(cited) > 10


def test_code_cites_no_document_from_elsewhere() -> None:
    pattern = re.compile(r"\bshared/|design\.md|(?<!RFC \d{4} )(?<!Unicode, )\b[Ss]ections? \d|design decisions? \d")
    found = {name: pattern.findall((ROOT / name).read_text()) for name in TEXTS if name != "tests/test_documents.py"}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_sources_of_tables_are_public_addresses() -> None:
    page = (ROOT / "docs/tables.md").read_text()
    for endpoint in CATALOGUE.endpoints:
        assert re.fullmatch(r"https://openapi\.planday\.com/\S+", endpoint.docs), endpoint.path
        assert f"[`GET {endpoint.path}`]({endpoint.docs})" in page
