"""The sensor that turns arriving uploads into runs: one whole-chain run per worker-day and content. No asset logic.

See https://docs.dagster.io/guides/automate/sensors
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from harchive_dagster.errors import HarchiveError
from harchive_dagster.jobs import worker_day_job
from harchive_dagster.lake.arrivals import finished
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.arrivals import Arrival, list_arrivals
from harchive_dagster.landing.storage import Landing
from harchive_dagster.partitions import days, partition_key, workers
from harchive_dagster.settings import Settings


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
    """Requests what changed since the last tick.

    The cursor keeps the fingerprints that were already requested as a digest per worker-day, so that a tick compares
    and does not ask the run history; run keys protect against the cursor being lost.
    """
    try:
        found = in_window(list_arrivals(landing.uploads, since=Settings.from_environment().first_day))
    except HarchiveError as error:
        return dg.SkipReason(str(error))
    complete = [arrival for arrival in found if arrival.digest]
    waiting = sum(arrival.waiting_count for arrival in found)
    # On an instance's first tick, or when the cursor was lost, the lake knows what went through already.
    seen = dict(_read_cursor(context.cursor)) or {str(day): digest for day, digest in finished(lake).items()}
    fresh = [arrival for arrival in complete if seen.get(str(arrival.worker_day)) != arrival.digest]
    if not fresh:
        return dg.SkipReason(f"nothing new in {len(complete)} worker-days; {waiting} sessions still arriving")
    new = unregistered_workers(context.instance, fresh)
    return dg.SensorResult(
        run_requests=[run_request(arrival) for arrival in fresh],
        dynamic_partitions_requests=[workers.build_add_request(new)] if new else [],
        cursor="\n".join(f"{arrival.worker_day} {arrival.digest}" for arrival in complete),
    )


def _read_cursor(cursor: str | None) -> Iterator[tuple[str, str]]:
    for line in (cursor or "").splitlines():
        worker_day, _, digest = line.rpartition(" ")
        yield worker_day, digest
