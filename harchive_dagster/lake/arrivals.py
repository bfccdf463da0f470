"""What has arrived but is not in the tables: the completeness that a colour in a grid cannot tell."""

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.lake.contract import TableContract
from harchive_dagster.lake.quarantine import set_aside
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.arrivals import Arrival, arrival_of
from harchive_dagster.landing.intake import KnownSession
from harchive_dagster.reasons import Reason
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
    """The first recording of every session id that was accepted, or whose consent was withdrawn: what a second one is a
    duplicate of.

    Withdrawn ones as well: the same video under another id must not be published in their place.
    """
    digests = ["manifest_sha256", "video_sha256"]
    columns = ["session_id", "collected_on", "worker_id", *digests, "ingested_at_utc", "status"]
    rows = lake.read_columns(schemas.SESSIONS, columns).to_pylist()
    # One that was set aside for its faults is nobody's original.
    rows = [row for row in rows if row["status"] in ("accepted", "withdrawn")]
    newest_first = sorted(rows, key=lambda row: (row["ingested_at_utc"], row["collected_on"]), reverse=True)
    return {
        row["session_id"]: KnownSession(
            WorkerDay(row["collected_on"], row["worker_id"]),
            row["manifest_sha256"],
            row["video_sha256"],
            row["ingested_at_utc"],
        )
        for row in newest_first
    }


def finished(lake: Lake, *, version: int | None = None) -> dict[WorkerDay, str]:
    """The arrival that went through the whole chain last, by worker-day.

    A worker-day's row has a file to itself, and the table's log holds the least and greatest value in every file: with
    100,000 worker-days that is the difference between a second and two minutes.

    Args:
        lake: where the last stage wrote it.
        version: of the table; the current one where None.
    """
    files = _files(lake, ledgers.WORKER_DAYS, "arrival_digest", version)
    known = {worker_day: least for worker_day, least, greatest in files if least is not None and least == greatest}
    if len(known) == len(files):
        return known
    rows = lake.read(ledgers.WORKER_DAYS).to_pylist()
    return {WorkerDay(row["collected_on"], row["worker_id"]): row["arrival_digest"] for row in rows}


def finished_version(lake: Lake) -> int | None:
    """Changes whenever `finished` may have; None before anything was."""
    return lake.version(ledgers.WORKER_DAYS)


def released(lake: Lake, done: Collection[WorkerDay], *, since_version: int) -> set[WorkerDay]:
    """Worker-days that were finished at an earlier version and are not in `done`: somebody wants them run again."""
    from deltalake.exceptions import DeltaError

    try:
        return set(finished(lake, version=since_version)) - set(done)
    except (DeltaError, OSError):  # that version is no longer kept: the nightly sweep finds what is not finished
        return set()


def worker_days_naming(lake: Lake, consent_ids: Collection[str]) -> dict[str, list[WorkerDay]]:
    """Where sessions that name a consent were taken in; with them neighbours whose consents lie to both sides of it."""
    found: dict[str, set[WorkerDay]] = {consent_id: set() for consent_id in consent_ids}
    for worker_day, least, greatest in _files(lake, schemas.SESSIONS, "consent_id") if consent_ids else []:
        if least is not None and least == greatest:  # as a rule: a worker has one consent
            found.get(least, set()).add(worker_day)
        else:
            for consent_id in consent_ids:
                if (least or "") <= consent_id <= (greatest or consent_id):
                    found[consent_id].add(worker_day)
    return {consent_id: sorted(worker_days) for consent_id, worker_days in found.items()}


def _files(
    lake: Lake, contract: TableContract, column: str, version: int | None = None
) -> list[tuple[WorkerDay, str | None, str | None]]:
    """Worker-day, least and greatest value of a column for every file of a table, from its log alone.

    Both are None for a file of which the log does not hold them.
    """
    from deltalake import DeltaTable

    if lake.version(contract) is None:
        return []
    files = pa.table(DeltaTable(lake.uri(contract), version=version).get_add_actions(flatten=True))
    if not files.num_rows:
        return []
    names = ("partition.collected_on", "partition.worker_id", f"min.{column}", f"max.{column}")
    unknown = [None] * files.num_rows
    days, workers, least, greatest = (
        files.column(name).to_pylist() if name in files.column_names else unknown for name in names
    )
    return list(zip(map(WorkerDay, days, workers), least, greatest, strict=True))


def unprocessed(lake: Lake, arrivals: Sequence[Arrival], *, since: date) -> list[Arrival]:
    """Arrivals whose content did not go through the whole chain, in order; deleted ones included.

    A worker-day is done when the last stage wrote the digest of the arrival it worked on, unless it set a session aside
    as the duplicate of one that is gone meanwhile.

    Args:
        lake: where the last stage wrote it.
        arrivals: everything in the landing folder from `since` on.
        since: worker-days before it are left alone.
    """
    done = finished(lake)
    here = {arrival.worker_day for arrival in arrivals if arrival.digest}
    # Not only what is finished: a worker-day that is to be run again, or whose runs failed, has rows as well.
    taken_in = {worker_day for worker_day, _, _ in _files(lake, ledgers.ARRIVALS, "arrival_digest")}
    gone = [
        worker_day
        for worker_day in done.keys() | taken_in
        if worker_day.collected_on >= since and worker_day not in here and done.get(worker_day) != EMPTY_ARRIVAL
    ]
    outlived = _outlived_duplicates(lake, gone)
    left = [
        arrival
        for arrival in arrivals
        if arrival.digest and (done.get(arrival.worker_day) != arrival.digest or arrival.worker_day in outlived)
    ]
    # Uploads that were deleted from landing: what was published of them has to go as well.
    left += [Arrival(worker_day, EMPTY_ARRIVAL, 0, 0) for worker_day in gone]
    return sorted(left, key=lambda arrival: arrival.worker_day)


def _outlived_duplicates(lake: Lake, gone: Collection[WorkerDay]) -> set[WorkerDay]:
    """Worker-days with a session set aside as the duplicate of another worker-day's, which is no original any more or
    whose worker-day is gone.
    """
    copies = set_aside(lake, stage="uploads", reason=Reason.DUPLICATE_SESSION.value)
    known = known_sessions(lake) if copies else {}
    found = set()
    for copy in copies:
        first_seen = copy.evidence["first_seen"]
        original = known.get(copy.evidence.get("session_id", copy.session_id))
        is_there = original and str(original.worker_day) == first_seen and original.worker_day not in gone
        # An original of the same worker-day goes through with its copy: nothing changes unless the arrival does.
        if not is_there and first_seen != str(copy.worker_day):
            found.add(copy.worker_day)
    return found
