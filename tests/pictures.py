"""Screenshots of both report pages for docs/pictures, from the demo: `make pictures`.

Needs Debian's Chromium (`apt-get install chromium`), and a demo (`make demo`) of the same day, because the pages say how old
what they show is. Works on a copy of the demo, where schedules are switched on, one portal's access was revoked, and
another's was revoked and is back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from pipelines.cli.demo import local_planday
from planday_io.sandbox.state import demo_sandbox

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
SIZES = {390: 2300, 1280: 1500}
"""Width in CSS pixels -> how much of the page is shown."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAGES = {"operators": "planday-report.html", "managers": "planday-managers.html"}
READ = "hr.departments"


def main() -> int:
    """Make all pictures. Returns the exit code."""
    demo, chromium = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "demo"), shutil.which("chromium")
    if not (demo / "warehouse.duckdb").exists():
        print(f"there is no {demo / 'warehouse.duckdb'}: run `make demo` first", file=sys.stderr)
        return 2
    if chromium is None:
        print("there is no chromium: `apt-get install chromium` (Debian), then the same again", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(demo, Path(folder) / "demo"))
        write_pages(copy)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for reader, file in PAGES.items():
                take(browser, copy / file, reader)
            browser.close()
    return 0


def write_pages(folder: Path) -> None:
    """Both pages, with an incident that is open and one that ended."""
    sandbox = demo_sandbox()
    with local_planday(folder, sandbox) as file:
        file.write_text(file.read_text().replace("{enabled: false}", "{enabled: true}"))
        app = next(app for app in sandbox.apps.values() if "oslo" in app.refresh_tokens)
        token = app.refresh_tokens["oslo"]
        sandbox.revoke("oslo")
        planday(folder, "sync", "oslo", "--resources", READ, fails=True)
        app.refresh_tokens["oslo"] = token
        planday(folder, "sync", "oslo", "--resources", READ)
        sandbox.revoke("london")
        planday(folder, "sync", "london", "--resources", READ, fails=True)
        for reader in PAGES:
            planday(folder, "report", "--for", reader)


def planday(folder: Path, *arguments: str, fails: bool = False) -> None:
    """Run a command in the demo's folder."""
    program = str(Path(sys.executable).with_name("planday"))
    environment = {**os.environ, "DAGSTER_HOME": str(folder), "PLANDAY_CONFIG": str(folder / "portals.yaml")}
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    if (done.returncode != 0) is not fails:
        raise SystemExit(f"planday {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def take(browser: Browser, file: Path, name: str) -> None:
    """The top of a page, in each width and scheme."""
    for width, height in SIZES.items():
        for scheme in SCHEMES:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(file.as_uri())
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png")
            page.close()


if __name__ == "__main__":
    raise SystemExit(main())
