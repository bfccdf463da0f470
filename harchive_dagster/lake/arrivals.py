"""What has arrived but is not in the tables: the completeness that a colour in a grid cannot tell."""

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.arrivals import Arrival, arrival_of
from harchive_dagster.landing.intake import KnownSession
from harchive_dagster.worker_day import WorkerDay

EMPTY_ARRIVAL = "none"
"""The digest of a worker-day without a complete session."""


def arrival_row(uploads: Path, worker_day: WorkerDay) -> dict[str, Any]:
    """The row of `arrivals` for what lies in the landing folder now."""
    arrival = arrival_of(uploads, worker_day)
    return {
        "collected_on": worker_day.collected_on,
        "worker_id": worker_day.worker_id,
        "arrival_digest": arrival.digest or EMPTY_ARRIVAL,
        "complete_count": arrival.complete_count,
        "waiting_count": arrival.waiting_count,
    }


def finished_row(lake: Lake, worker_day: WorkerDay, episodes: pa.Table, rejected: Collection[str]) -> dict[str, Any]:
    """The row of `worker_days` that says: this arrival went through the whole chain.

    Args:
        lake: where the earlier stages wrote.
        worker_day: which one.
        episodes: its published rows.
        rejected: sessions that the last stage sets aside in this run.
    """
    arrival = lake.read_worker_day(ledgers.ARRIVALS, worker_day).to_pylist()
    aside = lake.read_worker_day(ledgers.QUARANTINE, worker_day).to_pylist()
    earlier = {row["session_id"] for row in aside if row["stage"] != "episodes"}
    starts, ends = episodes.column("start_ns").to_numpy(), episodes.column("end_ns").to_numpy()
    return {
        "collected_on": worker_day.collected_on,
        "worker_id": worker_day.worker_id,
        "arrival_digest": arrival[0]["arrival_digest"] if arrival else "",
        "published_sessions": len(episodes.column("session_pseudonym").unique()),
        "published_episodes": episodes.num_rows,
        "published_ns": int((ends - starts).sum()),
        "quarantined_sessions": len(earlier | set(rejected)),
    }


def known_sessions(lake: Lake) -> dict[str, KnownSession]:
    """The first accepted recording of every session id: what a second one of that id is a duplicate of."""
    columns = ["session_id", "collected_on", "worker_id", "manifest_sha256", "ingested_at_utc", "status"]
    rows = lake.read_columns(schemas.SESSIONS, columns).to_pylist()
    # One that was not accepted is nobody's original.
    rows = [row for row in rows if row["status"] == "accepted"]
    newest_first = sorted(rows, key=lambda row: (row["ingested_at_utc"], row["collected_on"]), reverse=True)
    return {
        row["session_id"]: KnownSession(
            WorkerDay(row["collected_on"], row["worker_id"]), row["manifest_sha256"], row["ingested_at_utc"]
        )
        for row in newest_first
    }


def finished(lake: Lake) -> dict[WorkerDay, str]:
    """The arrival that went through the whole chain last, by worker-day."""
    return {
        WorkerDay(row["collected_on"], row["worker_id"]): row["arrival_digest"]
        for row in lake.read(ledgers.WORKER_DAYS).to_pylist()
    }


def unprocessed(lake: Lake, arrivals: Sequence[Arrival], *, since: date) -> list[Arrival]:
    """Arrivals whose content did not go through the whole chain, in order; deleted ones included.

    A worker-day is done when the last stage wrote the digest of the arrival it worked on.

    Args:
        lake: where the last stage wrote it.
        arrivals: everything in the landing folder from `since` on.
        since: worker-days before it are left alone.
    """
    done = finished(lake)
    left = [arrival for arrival in arrivals if arrival.digest and done.get(arrival.worker_day) != arrival.digest]
    here = {arrival.worker_day for arrival in arrivals if arrival.digest}
    gone = [
        worker_day
        for worker_day, digest in done.items()
        if worker_day.collected_on >= since and worker_day not in here and digest != EMPTY_ARRIVAL
    ]
    # Uploads that were deleted from landing: what was published of them has to go as well.
    left += [Arrival(worker_day, EMPTY_ARRIVAL, 0, 0) for worker_day in gone]
    return sorted(left, key=lambda arrival: arrival.worker_day)
