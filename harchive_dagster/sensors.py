"""The sensor that turns arriving uploads into runs: one whole-chain run per worker-day and content. No asset logic.

See https://docs.dagster.io/guides/automate/sensors
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date

import dagster as dg

from harchive_dagster.errors import HarchiveError
from harchive_dagster.jobs import worker_day_job
from harchive_dagster.lake.arrivals import finished, finished_version, released, worker_days_naming
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.arrivals import Arrival
from harchive_dagster.landing.storage import Landing
from harchive_dagster.landing.watch import Seen, look, read_arrivals
from harchive_dagster.partitions import days, partition_key, workers
from harchive_dagster.worker_day import WorkerDay

_LOOKING_S = 25
"""Dagster ends a tick after 60 s; the day that is being read when this is over, and the tables, need some as well."""


def run_request(arrival: Arrival, *, attempt: str = "") -> dg.RunRequest:
    """One run per worker-day, content and attempt: the same upload seen again requests nothing new."""
    return dg.RunRequest(
        run_key=f"{arrival.worker_day}|{arrival.digest}|{attempt}",
        partition_key=partition_key(arrival.worker_day),
        tags={"harchive/worker_day": str(arrival.worker_day), "harchive/arrival": arrival.digest[:16]},
    )


def in_window(found: Sequence[Arrival]) -> list[Arrival]:
    """Arrivals of days that are partitions: a cap with a wrong clock must not stop the others from being requested."""
    window = set(days.get_partition_keys())
    return [arrival for arrival in found if arrival.worker_day.collected_on.isoformat() in window]


def unregistered_workers(instance: dg.DagsterInstance, found: Sequence[Arrival]) -> list[str]:
    """Arriving workers that are not a partition yet."""
    known = set(instance.get_dynamic_partitions("worker"))
    return sorted({arrival.worker_day.worker_id for arrival in found} - known)


@dg.sensor(
    job=worker_day_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Registers arriving worker-days and requests one whole-chain run for each content.",
)
def arrivals(
    context: dg.SensorEvaluationContext, landing: dg.ResourceParam[Landing], lake: dg.ResourceParam[Lake]
) -> dg.SensorResult | dg.SkipReason:
    """Requests what changed and is not what the tables were made from.

    The cursor says what earlier ticks saw (`Seen`); run keys protect against its being lost.
    """
    window = {date.fromisoformat(day) for day in days.get_partition_keys()}
    ends_at = time.monotonic() + _LOOKING_S
    before = Seen.from_cursor(context.cursor)
    try:
        found = look(
            landing.listing,
            before,
            window,
            naming=lambda consent_ids: worker_days_naming(lake, consent_ids),
            has_time=lambda: time.monotonic() < ends_at,
        )
        version = finished_version(lake)
        is_moved = before.finished_version not in (None, version)
        done = finished(lake) if is_moved or any(arrival.digest for arrival in found.changed) else {}
        again = _released(landing, lake, done, before.finished_version) if is_moved else []
    except HarchiveError as error:
        return dg.SkipReason(str(error))
    for sentence in found.unlistable:
        context.log.warning(sentence)
    fresh = [one for one in found.changed if one.digest and done.get(one.worker_day) != one.digest]
    cursor = replace(found.seen, finished_version=version).cursor()
    if not fresh and not again:
        waiting = sum(found.seen.waiting.values())
        nothing = f"nothing new on {len(found.seen.days)} days; {waiting} sessions still arriving"
        return dg.SensorResult(skip_reason=dg.SkipReason(nothing), cursor=cursor)
    new = unregistered_workers(context.instance, [*fresh, *again])
    return dg.SensorResult(
        # Under a key of their own: their content was requested before.
        run_requests=[run_request(one) for one in fresh]
        + [run_request(one, attempt=f"released-{before.finished_version}") for one in again],
        dynamic_partitions_requests=[workers.build_add_request(new)] if new else [],
        cursor=cursor,
    )


def _released(landing: Landing, lake: Lake, done: Collection[WorkerDay], since_version: int | None) -> list[Arrival]:
    """What was finished at the last tick and was taken off that table since, so that it is run again."""
    assert since_version is not None
    missing = released(lake, done, since_version=since_version)
    return in_window([arrival for arrival in read_arrivals(landing.listing, missing) if arrival.digest])
