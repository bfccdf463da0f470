"""Which worker-days have arrived, in what state. Names and manifest bytes only; nothing is opened further."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from harchive_dagster.landing.layout import arrival_digest, list_sessions, list_worker_days
from harchive_dagster.worker_day import WorkerDay


@dataclass(frozen=True)
class Arrival:
    """One worker-day in the landing folder.

    Attributes:
        digest: changes when an upload does; empty while no session is complete.
        waiting_count: sessions whose manifest has not arrived yet.
    """

    worker_day: WorkerDay
    digest: str
    complete_count: int
    waiting_count: int


def arrival_of(uploads: Path, worker_day: WorkerDay) -> Arrival:
    """The state of one worker-day's folder."""
    listing = list_sessions(uploads, worker_day)
    digest = arrival_digest(uploads, worker_day) if listing.complete else ""
    return Arrival(worker_day, digest, len(listing.complete), len(listing.waiting))


def list_arrivals(uploads: Path, *, since: date | None = None) -> list[Arrival]:
    """Every worker-day in the landing folder, sorted.

    Raises:
        SettingsError: the folder cannot be read.
    """
    return [arrival_of(uploads, worker_day) for worker_day in list_worker_days(uploads, since=since)]
