"""Which worker-days have arrived, in what state. Which of them a look must read again is decided in `watch`."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from harchive_dagster.landing.layout import CONSENTS_FOLDER, MANIFEST_NAME
from harchive_dagster.landing.listing import Content, LocalUploads, Sessions, Uploads
from harchive_dagster.worker_day import WorkerDay


@dataclass(frozen=True)
class Arrival:
    """One worker-day in the landing.

    Attributes:
        digest: SHA-256 (hex) over every complete session's name, manifest and consent record: it changes when an
            upload does, and when a consent arrives or is withdrawn. Empty while no session is complete.
        waiting_count: sessions whose manifest has not arrived yet.
    """

    worker_day: WorkerDay
    digest: str
    complete_count: int
    waiting_count: int


class ArrivalReader:
    """Reads manifests, and each consent once, into arrivals. One instance serves one look."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._consent_digests: dict[str, str] = {"": ""}

    def read(self, day: date, sessions: Sessions) -> list[Arrival]:
        """The arrivals of one day, sorted by worker, from what a listing of it found."""
        complete = sorted(key for key, stamp in sessions.items() if stamp)
        contents = self._uploads.read([f"{day}/{worker}/{session}/{MANIFEST_NAME}" for worker, session in complete])
        manifests = dict(zip(complete, contents, strict=True))
        self._read_consents(content.consent_id for content in contents)
        by_worker: dict[str, dict[str, Content | None]] = defaultdict(dict)
        for worker, session in sorted(sessions):
            by_worker[worker][session] = manifests.get((worker, session))
        return [self._arrival(WorkerDay(day, worker), found) for worker, found in by_worker.items()]

    def _read_consents(self, consent_ids: Iterable[str]) -> None:
        new = sorted(set(consent_ids) - set(self._consent_digests))
        contents = self._uploads.read([f"{CONSENTS_FOLDER}/{consent_id}.json" for consent_id in new])
        self._consent_digests |= {id_: content.digest for id_, content in zip(new, contents, strict=True)}

    def _arrival(self, worker_day: WorkerDay, found: Mapping[str, Content | None]) -> Arrival:
        digest, complete_count = hashlib.sha256(), 0
        for session_id, manifest in found.items():
            if manifest is not None:
                complete_count += 1
                consent = self._consent_digests[manifest.consent_id]
                digest.update(f"{session_id}\0{manifest.digest}\0{consent}\n".encode())
        hexdigest = digest.hexdigest() if complete_count else ""
        return Arrival(worker_day, hexdigest, complete_count, len(found) - complete_count)


def arrival_of(landing: Path, worker_day: WorkerDay) -> Arrival:
    """The state of one worker-day in a landing folder on disk."""
    uploads = LocalUploads(landing)
    sessions = uploads.sessions(worker_day.collected_on, worker_day.worker_id)
    found = ArrivalReader(uploads).read(worker_day.collected_on, sessions)
    return found[0] if found else Arrival(worker_day, "", 0, 0)


def list_arrivals(uploads: Uploads, *, since: date | None = None) -> list[Arrival]:
    """Every worker-day in the landing, sorted; reads every manifest.

    Raises:
        SettingsError, StoreError: the landing cannot be read.
    """
    reader = ArrivalReader(uploads)
    return [
        arrival
        for day in uploads.days()
        if since is None or day >= since
        for arrival in reader.read(day, uploads.sessions(day))
    ]
