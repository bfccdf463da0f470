"""Reading the quarantine ledger, and releasing a worker-day so that it is run again.

Nothing here removes a row of quarantine: that is up to the run that finds the session mended.
"""

import difflib
import json
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from harchive_dagster.errors import LakeError
from harchive_dagster.lake import ledgers
from harchive_dagster.lake.standing import arrival_of
from harchive_dagster.lake.tables import Lake, PartitionKey, worker_day_key
from harchive_dagster.landing.arrivals import Arrival
from harchive_dagster.landing.listing import Uploads
from harchive_dagster.landing.watch import read_arrivals
from harchive_dagster.worker_day import WorkerDay

_NEAREST = 3
"""Names that are offered instead of one that is not there."""

_RELEASE = "release of"
"""How a release signs its commit, where a run writes its id."""


@dataclass(frozen=True)
class SetAside:
    """One row of `quarantine`.

    Attributes:
        reason: a code; one that a later version of this package wrote need not be a `Reason`.
        expectation: the rule that was broken, where one was.
        evidence: small facts for the engineer.
        at_utc: since when, as far as nothing else about the stage's quarantine changed.
    """

    worker_day: WorkerDay
    session_id: str
    stage: str
    reason: str
    detail: str
    expectation: str | None
    evidence: dict[str, Any]
    at_utc: datetime
    run_id: str


class Since(StrEnum):
    """What became of an upload after it was taken in."""

    UNCHANGED = "unchanged since it was taken in"
    CHANGED = "the worker-day's uploads or consents changed since it was taken in; that alone requests a run"
    GONE = "no longer in the landing"


def set_aside(
    lake: Lake,
    *,
    day: date | None = None,
    worker_id: str | None = None,
    stage: str | None = None,
    reason: str | None = None,
) -> list[SetAside]:
    """Everything in quarantine, newest first, or what of it has all of these values.

    Raises:
        LakeError: the table is not one of this data contract.
    """
    wanted = {"collected_on": day, "worker_id": worker_id, "stage": stage, "reason": reason}
    return _newest_first(lake, {name: value for name, value in wanted.items() if value is not None})


def set_aside_session(lake: Lake, session_id: str) -> list[SetAside]:
    """Where one session is in quarantine: branches of the flow may each have set it aside. Newest first.

    Raises:
        LakeError: it is not in quarantine; the message names those that are called alike.
    """
    if found := _newest_first(lake, {"session_id": session_id}):
        return found
    names = lake.read_columns(ledgers.QUARANTINE, ["session_id"]).column("session_id").unique().to_pylist()
    nearest = difflib.get_close_matches(session_id, sorted(names), _NEAREST)
    alike = f"Called alike: {', '.join(nearest)}. " if nearest else ""
    raise LakeError(
        f"Session {session_id!a} is not in quarantine.",
        consequence="There is nothing to show or release.",
        mend=f"{alike}`harchive quarantine list` shows all that are.",
    )


def since_taken_in(lake: Lake, uploads: Uploads, row: SetAside) -> Since:
    """Whether what was set aside is still what lies in the landing.

    Raises:
        SettingsError, StoreError: the landing cannot be read.
    """
    worker_day = row.worker_day
    arrival = arrived(uploads, worker_day)
    sessions = uploads.sessions(worker_day.collected_on, worker_day.worker_id) if arrival else ()
    if arrival is None or (worker_day.worker_id, row.session_id) not in sessions:
        return Since.GONE
    return Since.UNCHANGED if arrival.digest == arrival_of(lake, worker_day) else Since.CHANGED


def arrived(uploads: Uploads, worker_day: WorkerDay) -> Arrival | None:
    """What lies in the landing of a worker-day now; None where no session of it is complete.

    Raises:
        SettingsError, StoreError: the landing cannot be read, which is no deletion.
    """
    if worker_day.collected_on not in uploads.days():
        return None
    return next((arrival for arrival in read_arrivals(uploads, [worker_day]) if arrival.digest), None)


def is_finished(lake: Lake, worker_day: WorkerDay) -> bool:
    """Whether the worker-day counts as gone through the whole chain."""
    return bool(lake.read_worker_day(ledgers.WORKER_DAYS, worker_day).num_rows)


def release(lake: Lake, worker_day: WorkerDay, *, note: str = "") -> bool:
    """Take a worker-day off the finished ones, so that the arrivals sensor and the nightly sweep request it again.

    Its tables stay as they are until then.

    Args:
        lake: whose `worker_days` it is taken off.
        worker_day: which one.
        note: why; kept in the table's history.

    Returns:
        Whether it was among them. One that was not is requested by the nightly sweep in any case.

    Raises:
        LakeError: the table cannot be written.
    """
    if not is_finished(lake, worker_day):
        return False
    empty = ledgers.WORKER_DAYS.empty()
    lake.replace(ledgers.WORKER_DAYS, worker_day_key(worker_day), empty, run_id=f"{_signature(worker_day)}{note}")
    return True


def release_note(lake: Lake, worker_day: WorkerDay) -> str | None:
    """What the last release of a worker-day was noted with; None where none is on record."""
    from deltalake import DeltaTable

    if lake.version(ledgers.WORKER_DAYS) is None:
        return None
    signature = _signature(worker_day)
    signed = (str(commit.get("harchive.run_id")) for commit in DeltaTable(lake.uri(ledgers.WORKER_DAYS)).history())
    return next((by.removeprefix(signature) for by in signed if by.startswith(signature)), None)


def _signature(worker_day: WorkerDay) -> str:
    return f"{_RELEASE} {worker_day}: "


def _newest_first(lake: Lake, values: PartitionKey) -> list[SetAside]:
    found = [_of(row) for row in lake.read(ledgers.QUARANTINE, values).to_pylist()]
    return sorted(found, key=lambda row: (row.at_utc, row.worker_day, row.session_id, row.stage), reverse=True)


def _of(row: dict[str, Any]) -> SetAside:
    worker_day = WorkerDay(row.pop("collected_on"), row.pop("worker_id"))
    return SetAside(worker_day, **row | {"evidence": json.loads(row["evidence"])})
