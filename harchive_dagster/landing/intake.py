"""Takes in one worker-day: every session's manifest, files, container, consent and task, checked before any pixel.

What is found becomes rows and rejections; nothing is written here and nothing stops at the first bad session.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harchive_dagster.errors import HarchiveError, LandingError, RecordingError, SessionRejectedError, UnexpectedError
from harchive_dagster.landing.calibration import lens_of
from harchive_dagster.landing.hashing import HashingFile, sha256_of
from harchive_dagster.landing.integrity import require_within, verify_files
from harchive_dagster.landing.layout import list_sessions
from harchive_dagster.landing.manifest import Manifest, read_manifest
from harchive_dagster.landing.manifest_checks import require_private_within
from harchive_dagster.landing.object_store import UnlistableError
from harchive_dagster.landing.storage import Landing
from harchive_dagster.privacy.consent import ConsentRecord, check_consent, read_consent
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import VideoFacts, probe_video
from harchive_dagster.worker_day import WorkerDay


@dataclass(frozen=True)
class KnownSession:
    """What an earlier run recorded about a session id."""

    worker_day: WorkerDay
    manifest_sha256: str
    video_sha256: str
    ingested_at_utc: datetime


@dataclass(frozen=True)
class Intake:
    """One worker-day as it arrived.

    Attributes:
        rows: of the sessions table (without status), for sessions whose manifest could be read.
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
    examined = {
        folder.name: _Examination(landing, folder, worker_day, known_tasks, known_sessions.get(folder.name), now)
        for folder in listing.complete
    }
    faults = {session_id: one.fault for session_id, one in examined.items() if one.fault}
    sound = [one.manifest for one in examined.values() if one.manifest and not one.fault]
    faults |= _copies(landing, sound, worker_day, known_sessions)
    rows = tuple(one.row(participant_id) for one in examined.values() if one.manifest)
    return Intake(rows, faults, tuple(folder.name for folder in listing.waiting))


class _Examination:
    """All that is found out about one session; the first fault, in the order of the checks, ends them."""

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
        self.manifest: Manifest | None = None
        self.facts: VideoFacts | None = None
        self._landing = landing
        self._folder = folder
        self._worker_day = worker_day
        self._known = known
        self._now = now
        try:
            self._examine(known_tasks)
        except SessionRejectedError as error:
            self.fault = error
        except HarchiveError:  # a setting or a store that fails is no upload's fault
            raise
        except Exception as error:  # one upload must not stop the others, nor a withdrawal among them
            self.fault = UnexpectedError(error)

    def _examine(self, known_tasks: frozenset[str]) -> None:
        self.manifest = manifest = read_manifest(self._folder)
        # Consent leads: whoever withdrew it is told so whatever else is wrong, and no file of theirs is opened.
        consent = read_consent(self._landing.uploads, manifest.consent_id)
        self._require_consent(consent, manifest, duration_ns=0)
        require_within(self._folder, manifest, self._landing.max_session_bytes)
        self.facts = facts = _probe_whole(self._landing, self._folder, manifest)
        self._require_consent(consent, manifest, duration_ns=facts.duration_ns)
        require_private_within(manifest.markers, facts.duration_ns)
        lens_of(self._folder, manifest, width_px=facts.width_px, height_px=facts.height_px)
        _require_known_task(manifest, known_tasks)
        _require_new(self._landing, manifest, self._worker_day, self._known)

    def _require_consent(self, consent: ConsentRecord, manifest: Manifest, *, duration_ns: int) -> None:
        check_consent(
            consent,
            worker_id=self._worker_day.worker_id,
            started_at=manifest.started_at,
            ended_at=manifest.started_at + timedelta(microseconds=duration_ns // 1000),
            country=manifest.site.country,
            now=self._now,
        )

    def row(self, participant_id: str) -> dict[str, Any]:
        """The session's row, without its verdict."""
        manifest, facts = self.manifest, self.facts
        assert manifest is not None
        is_same = self._known is not None and self._known.manifest_sha256 == manifest.sha256
        return {
            "collected_on": manifest.collected_on,
            "worker_id": manifest.worker_id,
            "session_id": manifest.session_id,
            "participant_id": participant_id,
            "consent_id": manifest.consent_id,
            "task_id": manifest.task_id,
            "started_at_utc": manifest.started_at,
            "duration_ns": facts and facts.duration_ns,
            "country": manifest.site.country,
            "region": manifest.site.region,
            "environment": manifest.site.environment,
            "rig_model": manifest.rig.model,
            "camera": manifest.rig.camera,
            "width_px": facts and facts.width_px,
            "height_px": facts and facts.height_px,
            "fps": facts and facts.fps,
            "frame_count": facts and facts.frame_count,
            "video_codec": facts and facts.codec,
            "video_sha256": manifest.video_file.sha256,
            "bytes": sum({file.path: file.bytes for file in manifest.files}.values()),
            "manifest_sha256": manifest.sha256,
            "ingested_at_utc": self._known.ingested_at_utc if is_same and self._known else self._now,
        }


def _probe_whole(landing: Landing, folder: Path, manifest: Manifest) -> VideoFacts:
    """Prove the files and measure the video, in one pass over it.

    Raises:
        LandingError, RecordingError: what is wrong with the bytes goes before what is wrong with the video: a file
            that is not the one that was recorded need not be readable.
    """
    video = folder / manifest.video_file.path
    probed: list[VideoFacts | RecordingError] = []

    def digest_of(path: Path) -> str:
        fetched = landing.fetched_digest(path)
        if path != video:
            return fetched or sha256_of(path)
        with HashingFile(path) as content:
            try:
                probed.append(probe_video(path, content=None if fetched else content))
            except RecordingError as error:
                probed.append(error)
            return fetched or content.sha256()

    verify_files(folder, manifest, digest_of=digest_of)
    (result,) = probed
    if isinstance(result, RecordingError):
        raise result
    return result


def _require_known_task(manifest: Manifest, known_tasks: frozenset[str]) -> None:
    if manifest.task_id is not None and manifest.task_id not in known_tasks:
        raise LandingError(
            Reason.TASK_UNKNOWN,
            f"task {manifest.task_id!r} is not in the task catalogue.",
            mend="Add the task to the catalogue, or correct the manifest's task_id.",
            evidence={"task_id": manifest.task_id},
        )


def _require_new(landing: Landing, manifest: Manifest, worker_day: WorkerDay, known: KnownSession | None) -> None:
    is_elsewhere = known is not None and known.worker_day != worker_day
    if known and is_elsewhere and _is_there(landing, known.worker_day, manifest.session_id):
        raise LandingError(
            Reason.DUPLICATE_SESSION,
            f"session {manifest.session_id!r} was already taken in for {known.worker_day}.",
            mend="Give the second recording an id of its own, or remove it from landing.",
            evidence={"first_seen": str(known.worker_day)},
        )


def _is_there(landing: Landing, worker_day: WorkerDay, session_id: str) -> bool:
    """Whether an upload that was taken in still lies in the landing: what was moved or deleted has no duplicate."""
    try:
        sessions = landing.listing.sessions(worker_day.collected_on, worker_day.worker_id)
    except UnlistableError:  # nobody knows, and one odd key must not stop another worker-day
        return True
    return bool(sessions.get((worker_day.worker_id, session_id)))


def _copies(
    landing: Landing, sound: Iterable[Manifest], worker_day: WorkerDay, known_sessions: Mapping[str, KnownSession]
) -> dict[str, LandingError]:
    """Sessions whose video was recorded under another id: the one that was taken in first keeps it while it lies in the
    landing, of several new ones the first by id.
    """
    never = datetime.max.replace(tzinfo=UTC)
    mine = {manifest.session_id: manifest.video_file.sha256 for manifest in sound}
    claims: dict[str, list[tuple[datetime, WorkerDay, str]]] = {sha256: [] for sha256 in mine.values()}
    for session_id, known in known_sessions.items():
        is_elsewhere = known.worker_day != worker_day and known.video_sha256 in claims
        if is_elsewhere and _is_there(landing, known.worker_day, session_id):
            claims[known.video_sha256].append((known.ingested_at_utc, known.worker_day, session_id))
    for session_id, sha256 in mine.items():
        earlier = known_sessions.get(session_id)
        is_known = earlier is not None and (earlier.worker_day, earlier.video_sha256) == (worker_day, sha256)
        since = earlier.ingested_at_utc if earlier and is_known else never
        claims[sha256].append((since, worker_day, session_id))
    first = {session_id: min(claims[sha256]) for session_id, sha256 in mine.items()}
    return {
        session_id: _copy(session_id, mine[session_id], original, original_day)
        for session_id, (_, original_day, original) in first.items()
        if original != session_id
    }


def _copy(session_id: str, video_sha256: str, original: str, original_day: WorkerDay) -> LandingError:
    return LandingError(
        Reason.DUPLICATE_SESSION,
        f"session {session_id!r} has the same video as {original!r} of {original_day}.",
        mend="Remove the copy from landing; if it is the better one, remove the other.",
        evidence={"first_seen": str(original_day), "session_id": original, "video_sha256": video_sha256},
    )
