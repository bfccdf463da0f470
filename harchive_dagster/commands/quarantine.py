"""`harchive quarantine list|show|release`: options in, sentences out. What they do is in `lake.quarantine`."""

import json
import os
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

from harchive_dagster.commands.terminal import printable
from harchive_dagster.errors import HarchiveError, LakeError, SettingsError
from harchive_dagster.reasons import Reason
from harchive_dagster.settings import Settings
from harchive_dagster.stages import STAGES

if TYPE_CHECKING:
    from harchive_dagster.lake.quarantine import SetAside
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.landing.arrivals import Arrival
    from harchive_dagster.landing.listing import Uploads
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
        _table([("since (UTC)", "worker-day", "session", "stage", "reason"), *shown])
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
    uploads = _uploads(settings)
    arrivals = [_require_runnable(uploads, settings.first_day, worker_day) for worker_day in worker_days]
    if is_now or os.environ.get(
        "DAGSTER_HOME"
    ):  # a shell without an instance cannot tell, and may release all the same
        from harchive_dagster.running import require_no_run

        for worker_day in worker_days:
            require_no_run(worker_day)
    if not is_now:
        for worker_day in worker_days:
            _request(lake, worker_day, note)
        return
    outcomes = [_run_now(lake, arrival, session, note) for arrival in arrivals]
    if not all(outcomes):
        sys.exit(1)


def _request(lake: "Lake", worker_day: "WorkerDay", note: str) -> None:
    from harchive_dagster.lake.quarantine import release

    if release(lake, worker_day, note=note):
        click.echo(f"released: {worker_day}. The arrivals sensor requests it at its next tick.")
    else:
        click.echo(f"{worker_day} is not finished anyway: the nightly sweep requests it. --now runs it at once.")


def _run_now(lake: "Lake", arrival: "Arrival", session_id: str, note: str) -> bool:
    """Whether the run succeeded and the session is out of quarantine."""
    from harchive_dagster.lake.quarantine import release, set_aside
    from harchive_dagster.running import register_workers, run_worker_day

    worker_day = arrival.worker_day
    register_workers([arrival])
    click.echo(f"running the whole chain of {worker_day}")
    is_success = False
    try:
        is_success = run_worker_day(arrival, note=note)
    finally:
        # Not before: the sensor would request the worker-day while this run is writing it.
        if not is_success:
            release(lake, worker_day, note=note)
    if not is_success:
        click.echo(f"FAILED: the UI shows which check of {worker_day} is red. It counts as not finished.", err=True)
        return False
    rows = set_aside(lake, day=worker_day.collected_on, worker_id=worker_day.worker_id)
    still = [row for row in rows if row.session_id == session_id]
    for row in still:
        click.echo(f"still in quarantine: {session_id}: {row.stage}: {row.reason}: {printable(row.detail)}")
    if not still:
        click.echo(f"went through: {session_id}")
    return not still


def _require_runnable(uploads: "Uploads", first_day: date, worker_day: "WorkerDay") -> "Arrival":
    """What lies in the landing of a worker-day; an error where no run could follow from releasing it."""
    from harchive_dagster.lake.quarantine import arrived

    if worker_day.collected_on < first_day:
        raise SettingsError(
            f"{worker_day} lies before HARCHIVE_FIRST_DAY={first_day}.",
            consequence="Nothing was released: Dagster does not work on that day.",
            mend="Move HARCHIVE_FIRST_DAY back until it is through.",
        )
    arrival = arrived(uploads, worker_day)
    if arrival is None:
        raise LakeError(
            f"Nothing complete of {worker_day} lies in the landing any more.",
            consequence="Nothing was released; the nightly sweep takes out what the tables still hold of it.",
            mend="Upload it again: that alone requests a run.",
        )
    return arrival


def _uploads(settings: Settings) -> "Uploads":
    from harchive_dagster.landing.storage import Landing

    return Landing.at(
        settings.landing_place, settings.annotations, settings.max_session_gb * 10**9, spool=settings.spool
    ).listing


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
        return since_taken_in(lake, _uploads(settings), row)
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


def _table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
