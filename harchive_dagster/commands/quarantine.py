"""`harchive quarantine list|show|release`: options in, sentences out. What they do is in `lake.quarantine`."""

import json
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from harchive_dagster.commands import rerun
from harchive_dagster.commands.terminal import columns, printable
from harchive_dagster.errors import HarchiveError
from harchive_dagster.reasons import Reason
from harchive_dagster.settings import Settings
from harchive_dagster.stages import STAGES

if TYPE_CHECKING:
    from harchive_dagster.lake.quarantine import SetAside
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.worker_day import WorkerDay


@click.group()
def quarantine() -> None:
    """Sessions that were set aside, and why."""


@quarantine.command("list")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Only of this local day.")
@click.option("--worker", help="Only of this worker.")
@click.option("--stage", type=click.Choice(list(STAGES)), metavar="STAGE", help="Only what this asset set aside.")
@click.option("--reason", type=click.Choice(list(map(str, Reason))), metavar="CODE", help="Only with this code.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Rows that are printed.")
@click.option("--json", "is_json", is_flag=True, help="Everything about all of them, as JSON.")
def list_(
    day: datetime | None, worker: str | None, stage: str | None, reason: str | None, limit: int, is_json: bool
) -> None:
    """Print what is in quarantine, newest first, and how often each reason occurs."""
    from harchive_dagster.lake.quarantine import set_aside
    from harchive_dagster.lake.tables import Lake

    lake = Lake(Settings.from_environment().lake)
    found = set_aside(lake, day=day.date() if day else None, worker_id=worker, stage=stage, reason=reason)
    if is_json:
        click.echo(json.dumps([_plain(row) for row in found], indent=2))
        return
    shown = [
        (f"{row.at_utc:%Y-%m-%d %H:%M}", str(row.worker_day), row.session_id, row.stage, row.reason)
        for row in found[:limit]
    ]
    if shown:
        columns([("since (UTC)", "worker-day", "session", "stage", "reason"), *shown])
        click.echo()
    if len(found) > limit:
        click.echo(f"and {len(found) - limit} older ones: --limit shows more")
    for code, count in Counter(row.reason for row in found).most_common():
        click.echo(f"{count:6d}  {code}")
    click.echo(f"{len(found):6d}  in quarantine")


@quarantine.command()
@click.argument("session")
def show(session: str) -> None:
    """Print everything about one session in quarantine: stage, reason, what helps, evidence."""
    from harchive_dagster.lake.quarantine import set_aside_session
    from harchive_dagster.lake.tables import Lake

    settings = Settings.from_environment()
    lake = Lake(settings.lake)
    for row in set_aside_session(lake, session):
        click.echo(f"{row.session_id} of {row.worker_day}")
        told = [
            *_facts(row),
            ("upload", _since(lake, settings, row)),
            ("worker-day", _standing(lake, row.worker_day)),
        ]
        for name, text in told:
            click.echo(f"  {name:<10}  {printable(text)}")
        click.echo(textwrap.indent(f"evidence\n{json.dumps(row.evidence, indent=2)}", "  "))


@quarantine.command()
@click.argument("session")
@click.option("--now", "is_now", is_flag=True, help="Run its worker-day at once, in this process.")
@click.option("--note", default="", help="Why; kept with the release, and with the run of --now.")
def release(session: str, is_now: bool, note: str) -> None:
    """Have the worker-day of a session run again although its upload did not change.

    For when something else was mended: a model, a setting, the catalogue. The session stays in quarantine until that
    run finds it sound.
    """
    from harchive_dagster.lake.quarantine import set_aside_session
    from harchive_dagster.lake.tables import Lake

    settings = Settings.from_environment()
    lake = Lake(settings.lake)
    worker_days = sorted({row.worker_day for row in set_aside_session(lake, session)})
    arrivals = rerun.require_runnable(settings, worker_days, is_now=is_now)
    if not is_now:
        for worker_day in worker_days:
            rerun.request(lake, worker_day, note)
        return
    outcomes = [rerun.run_now(lake, arrival, session, note) for arrival in arrivals]
    if not all(outcomes):
        sys.exit(1)


def _facts(row: "SetAside") -> list[tuple[str, str]]:
    facts = [("stage", row.stage)]
    try:
        reason = Reason(row.reason)
    except ValueError:  # written by a later version of this package
        facts.append(("reason", row.reason))
    else:
        facts += [("reason", f"{reason}: {reason.meaning}"), ("what helps", reason.mend)]
    facts += [("detail", row.detail), ("since", f"{row.at_utc:%Y-%m-%d %H:%M:%S} UTC"), ("run", row.run_id)]
    return [*facts, ("rule", row.expectation)] if row.expectation else facts


def _since(lake: "Lake", settings: Settings, row: "SetAside") -> str:
    from harchive_dagster.lake.quarantine import since_taken_in

    try:
        return since_taken_in(lake, rerun.uploads(settings), row)
    except HarchiveError as error:
        return f"cannot be told: {error}"


def _standing(lake: "Lake", worker_day: "WorkerDay") -> str:
    from harchive_dagster.lake.quarantine import is_finished, release_note

    if is_finished(lake, worker_day):
        return "went through the whole chain"
    note = release_note(lake, worker_day)
    why = "not finished" if note is None else f"released ({note})" if note else "released"
    return f"{why}: it is run again by the nightly sweep at the latest"


def _plain(row: "SetAside") -> dict[str, object]:
    worker_day = {"collected_on": row.worker_day.collected_on.isoformat(), "worker_id": row.worker_day.worker_id}
    rest = {name: value for name, value in asdict(row).items() if name != "worker_day"}
    return worker_day | rest | {"at_utc": row.at_utc.astimezone(UTC).isoformat()}
