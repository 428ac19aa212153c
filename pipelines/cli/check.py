"""`planday check`: whether portals can be read, and whether anything stands in the way of the next runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.arguments import AsJson, Portals, current_installation, known_portals, print_json, terminal

if TYPE_CHECKING:
    from rich.console import Console

    from planday_io.monitoring.health import Health
    from planday_io.onboarding.check import Finding

_NAMES = 3


def check(
    portals: Portals = None,
    tables: Annotated[bool, typer.Option("--tables", help="Show all that was tried, not only what failed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try each portal's token, identity and scopes, with one row each, and say what stands in the way of the next runs.

    Also says what would be delivered. Exit code 1 if something that was tried does not work, if a schedule or a sensor is
    switched off in Dagster, or if no daemon runs although something was read before.
    """
    from pipelines.cli.console import print_rows
    from pipelines.cli.health import health_facts
    from pipelines.cli.status import current_health
    from planday_io.config.secrets import remarks
    from planday_io.onboarding.check import advice, personal_data
    from planday_io.onboarding.check import check as check_portals

    installation = current_installation()
    config = installation.config
    for remark in remarks(config):
        typer.echo(f"planday: {remark}", err=True)
    chosen = known_portals(config, portals)
    findings = check_portals(installation, chosen)
    if config.deliver:
        # Not above: it reads the warehouse, and DuckDB takes as long to load as the rest.
        from planday_io.delivery.checking import delivery_findings

        findings += delivery_findings(installation, chosen, datetime.now(UTC))
    health = current_health(installation, chosen)
    is_wrong, sentence = _verdict(health, findings)
    if as_json:
        tried = [asdict(finding) for finding in findings]
        print_json({"is_wrong": is_wrong, "sentence": sentence, "findings": tried, "status": health_facts(health)})
    else:
        console = terminal()
        _print(console, health, findings, sentence, with_tables=tables)
        typer.echo("".join(f"\n{line}" for line in advice(installation, findings)))
        print_rows(
            console,
            "\nPersonal data that will be stored, according to the `privacy` section of portals.yaml",
            ("class", "policy", "columns", "tables"),
            personal_data(installation),
        )
    raise typer.Exit(1 if is_wrong else 0)


def _verdict(health: Health, findings: Sequence[Finding]) -> tuple[bool, str]:
    """Whether anything stands in the way of the next runs, and the sentence that says it.

    What runs left undone before is the verdict of `status`. Where nothing ever ran, the sentence says that no daemon did,
    and that is not wrong: `check` is tried before services are set up.
    """
    from planday_io.monitoring.messages import some

    bad = [one for one in findings if not one.is_good]
    portals = [*dict.fromkeys(one.portal for one in bad if one.portal)]
    others = [*dict.fromkeys(one.subject for one in bad if not one.portal)]
    count = f"{len(health.portals)} portal{'s' if len(health.portals) != 1 else ''}"
    tried = f"{count} answered everything that was asked"
    if portals:
        tried = f"checks fail at {len(portals)} of {count} ({some(portals, _NAMES)})"
    off = [f"{one.portal} {', '.join(one.off)}" for one in health.portals if one.off]
    problems = [f"not as it should be: {some(others, _NAMES)}"] if others else []
    problems += [f"schedules are switched off in Dagster: {some(off, _NAMES)}"] if off else []
    is_wrong = bool(bad or off or (health.schedule_problems and health.has_run))
    return is_wrong, f"{'Wrong' if is_wrong else 'OK'}: {'; '.join([tried, *problems, *health.schedule_problems])}."


def _print(console: Console, health: Health, findings: Sequence[Finding], sentence: str, *, with_tables: bool) -> None:
    from pipelines.cli.console import print_rows, say
    from pipelines.cli.health import FACTS, facts

    say(console, sentence, f"What was read before: {health.sentence}", "")
    of_portal = {
        one.portal: [finding for finding in findings if finding.portal == one.portal] for one in health.portals
    }
    failed_first = sorted(health.portals, key=lambda one: all(finding.is_good for finding in of_portal[one.portal]))
    rows = [(one.portal, _outcome(of_portal[one.portal]), *facts(one, health.at)) for one in failed_first]
    print_rows(console, "", ("portal", "tried", *FACTS), rows)
    # Notes are what nothing else says: people without pay, guesses from names.
    shown = [one for one in findings if with_tables or not one.is_good or not one.was_tried]
    if shown:
        lines = [(one.portal, one.subject, _word(one), one.detail) for one in shown]
        title = "\nAll that was tried" if with_tables else "\nWhat failed, and what is worth knowing"
        print_rows(console, title, ("portal", "what", "", "detail"), lines)


def _outcome(found: Sequence[Finding]) -> str:
    tried = [one for one in found if one.was_tried or not one.is_good]
    bad = sum(not one.is_good for one in tried)
    return f"FAILED {bad} of {len(tried)}" if bad else f"ok, all {len(tried)}"


def _word(finding: Finding) -> str:
    """A finding without an API call is a note, because it proves nothing."""
    return ("ok" if finding.was_tried else "note") if finding.is_good else "FAILED"
