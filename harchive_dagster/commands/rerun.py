"""How commands have a worker-day run again: requested from the sensor, or at once. Which and why is theirs."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harchive_dagster.commands.terminal import printable
from harchive_dagster.errors import LakeError, SettingsError

if TYPE_CHECKING:
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.landing.arrivals import Arrival
    from harchive_dagster.landing.listing import Uploads
    from harchive_dagster.settings import Settings
    from harchive_dagster.worker_day import WorkerDay


def uploads(settings: "Settings") -> "Uploads":
    """What lies in the landing."""
    from harchive_dagster.landing.storage import Landing

    return Landing.at(
        settings.landing_place, settings.annotations, settings.max_session_gb * 10**9, spool=settings.spool
    ).listing


def require_runnable(settings: "Settings", worker_days: Sequence["WorkerDay"], *, is_now: bool) -> list["Arrival"]:
    """What lies in the landing of each worker-day.

    Raises:
        SettingsError, LakeError, StoreError: no run could follow for one of them, or one is under way.
    """
    listing = uploads(settings)
    found = [_arrival(settings, listing, worker_day) for worker_day in worker_days]
    if is_now or os.environ.get("DAGSTER_HOME"):  # a shell without an instance cannot tell, and may go on all the same
        from harchive_dagster.running import require_no_run

        for worker_day in worker_days:
            require_no_run(worker_day)
    return found


def request(lake: "Lake", worker_day: "WorkerDay", note: str) -> None:
    """Have the sensor request a run, and say so."""
    from harchive_dagster.lake.quarantine import release

    if release(lake, worker_day, note=note):
        click.echo(f"released: {worker_day}. The arrivals sensor requests it at its next tick.")
    else:
        click.echo(f"{worker_day} is not finished anyway: the nightly sweep requests it. --now runs it at once.")


def run_now(
    lake: "Lake", arrival: "Arrival", session_id: str, note: str, *, stages: Sequence[str] | None = None
) -> bool:
    """Run the whole chain of a worker-day, or some stages of it, in this process.

    Returns:
        Whether the run succeeded and the session is out of quarantine.
    """
    from harchive_dagster.lake.quarantine import release, set_aside
    from harchive_dagster.running import register_workers, run_worker_day

    worker_day = arrival.worker_day
    register_workers([arrival])
    click.echo(f"running {', '.join(stages) if stages else 'the whole chain'} of {worker_day}")
    is_success = False
    try:
        is_success = run_worker_day(arrival, note=note, stages=stages)
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


def _arrival(settings: "Settings", listing: "Uploads", worker_day: "WorkerDay") -> "Arrival":
    """What lies in the landing of a worker-day; an error where no run could follow from asking for one."""
    from harchive_dagster.lake.quarantine import arrived

    if worker_day.collected_on < settings.first_day:
        raise SettingsError(
            f"{worker_day} lies before HARCHIVE_FIRST_DAY={settings.first_day}.",
            consequence="Nothing was changed: Dagster does not work on that day.",
            mend="Move HARCHIVE_FIRST_DAY back until it is through.",
        )
    arrival = arrived(listing, worker_day)
    if arrival is None:
        raise LakeError(
            f"Nothing complete of {worker_day} lies in the landing any more.",
            consequence="Nothing was changed; the nightly sweep takes out what the tables still hold of it.",
            mend="Upload it again: that alone requests a run.",
        )
    return arrival
