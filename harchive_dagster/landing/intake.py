"""Takes in one worker-day: every session's manifest, files, container, consent and task, checked before any pixel.

What is found becomes rows and rejections; nothing is written here and nothing stops at the first bad session.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from harchive_dagster.errors import LandingError, SessionRejectedError, UnexpectedError
from harchive_dagster.landing.integrity import verify_files
from harchive_dagster.landing.layout import list_sessions
from harchive_dagster.landing.manifest import Manifest, read_manifest
from harchive_dagster.landing.storage import Landing
from harchive_dagster.privacy.consent import check_consent, read_consent
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import VideoFacts, probe_video
from harchive_dagster.worker_day import WorkerDay

_T = TypeVar("_T")


@dataclass(frozen=True)
class KnownSession:
    """What an earlier run recorded about a session id."""

    worker_day: WorkerDay
    manifest_sha256: str
    ingested_at_utc: datetime


@dataclass(frozen=True)
class Intake:
    """One worker-day as it arrived.

    Attributes:
        rows: of the sessions table (without status), for sessions whose manifest and container could be read.
        faults: by session, why it cannot be accepted.
        waiting: sessions whose manifest has not arrived yet.
    """

    rows: tuple[dict[str, Any], ...]
    faults: Mapping[str, SessionRejectedError]
    waiting: tuple[str, ...]

    def rows_with_status(self, rejected: Mapping[str, Reason]) -> list[dict[str, Any]]:
        """The rows with their verdict: accepted, or why not."""
        return [row | _verdict(rejected.get(row["session_id"])) for row in self.rows]


def _verdict(reason: Reason | None) -> dict[str, str | None]:
    if reason is None:
        return {"status": "accepted", "reason": None}
    status = "withdrawn" if reason is Reason.CONSENT_WITHDRAWN else "quarantined"
    return {"status": status, "reason": reason.value}


def take_in(
    landing: Landing,
    worker_day: WorkerDay,
    *,
    participant_id: str,
    known_tasks: frozenset[str],
    known_sessions: Mapping[str, KnownSession],
    now: datetime,
) -> Intake:
    """Examine every complete session of a worker-day.

    Args:
        landing: where it arrived.
        worker_day: which one.
        participant_id: the worker's pseudonym.
        known_tasks: ids of the task catalogue.
        known_sessions: sessions recorded by earlier runs, by session id.
        now: the time that consent must hold at, and the ingestion time of new content.
    """
    listing = list_sessions(landing.uploads, worker_day)
    rows, faults = [], {}
    for folder in listing.complete:
        examined = _Examination(landing, folder, worker_day, known_tasks, known_sessions.get(folder.name), now)
        if examined.fault:
            faults[folder.name] = examined.fault
        if examined.manifest and examined.facts:
            rows.append(examined.row(participant_id))
    return Intake(tuple(rows), faults, tuple(folder.name for folder in listing.waiting))


class _Examination:
    """All that is found out about one session; the first fault, in the order of the checks, is the one that counts."""

    def __init__(
        self,
        landing: Landing,
        folder: Path,
        worker_day: WorkerDay,
        known_tasks: frozenset[str],
        known: KnownSession | None,
        now: datetime,
    ) -> None:
        self.fault: SessionRejectedError | None = None
        self.facts: VideoFacts | None = None
        self._known = known
        self._now = now
        self.manifest = manifest = self._try(lambda: read_manifest(folder))
        if manifest is None:
            return
        # Consent leads: whoever withdrew it is told so whatever else is wrong with the upload.
        consent = self._try(lambda: read_consent(landing.uploads, manifest.consent_id))
        self._try(lambda: verify_files(folder, manifest))
        self.facts = facts = self._try(lambda: probe_video(folder / manifest.video_file.path))
        duration_ns = facts.duration_ns if facts else 0
        if consent:
            self._try(
                lambda: check_consent(
                    consent,
                    worker_id=worker_day.worker_id,
                    started_at=manifest.started_at,
                    ended_at=manifest.started_at + timedelta(microseconds=duration_ns // 1000),
                    country=manifest.site.country,
                    now=now,
                ),
                is_leading=True,
            )
        self._try(lambda: _require_known_task(manifest, known_tasks))
        self._try(lambda: _require_new(manifest, worker_day, known))

    def _try(self, check: Callable[[], _T], *, is_leading: bool = False) -> _T | None:
        try:
            return check()
        except SessionRejectedError as error:
            if self.fault is None or is_leading:
                self.fault = error
            return None
        except Exception as error:  # one upload must not stop the others, nor a withdrawal among them
            self.fault = self.fault or UnexpectedError(error)
            return None

    def row(self, participant_id: str) -> dict[str, Any]:
        """The session's row, without its verdict."""
        manifest, facts = self.manifest, self.facts
        assert manifest is not None
        assert facts is not None
        is_same = self._known is not None and self._known.manifest_sha256 == manifest.sha256
        return {
            "collected_on": manifest.collected_on,
            "worker_id": manifest.worker_id,
            "session_id": manifest.session_id,
            "participant_id": participant_id,
            "consent_id": manifest.consent_id,
            "task_id": manifest.task_id,
            "started_at_utc": manifest.started_at,
            "duration_ns": facts.duration_ns,
            "country": manifest.site.country,
            "region": manifest.site.region,
            "environment": manifest.site.environment,
            "rig_model": manifest.rig.model,
            "camera": manifest.rig.camera,
            "width_px": facts.width_px,
            "height_px": facts.height_px,
            "fps": facts.fps,
            "frame_count": facts.frame_count,
            "video_codec": facts.codec,
            "bytes": sum(file.bytes for file in manifest.files),
            "manifest_sha256": manifest.sha256,
            "ingested_at_utc": self._known.ingested_at_utc if is_same and self._known else self._now,
        }


def _require_known_task(manifest: Manifest, known_tasks: frozenset[str]) -> None:
    if manifest.task_id is not None and manifest.task_id not in known_tasks:
        raise LandingError(
            Reason.TASK_UNKNOWN,
            f"task {manifest.task_id!r} is not in the task catalogue.",
            mend="Add the task to the catalogue, or correct the manifest's task_id.",
            evidence={"task_id": manifest.task_id},
        )


def _require_new(manifest: Manifest, worker_day: WorkerDay, known: KnownSession | None) -> None:
    if known is not None and known.worker_day != worker_day:
        raise LandingError(
            Reason.DUPLICATE_SESSION,
            f"session {manifest.session_id!r} was already taken in for {known.worker_day}.",
            mend="Give the second recording an id of its own, or remove it from landing.",
            evidence={"first_seen": str(known.worker_day)},
        )
