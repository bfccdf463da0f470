"""Which sessions of a worker-day still stand at a stage: accepted at intake and set aside by nothing upstream."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harchive_dagster.errors import LakeError
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.manifest import Manifest, read_manifest
from harchive_dagster.landing.storage import Landing
from harchive_dagster.stages import STAGES, upstream_of
from harchive_dagster.worker_day import WorkerDay


@dataclass(frozen=True)
class StandingSession:
    """A session that goes on: its row at intake, its manifest, and where its files lie."""

    session_id: str
    row: dict[str, Any]
    manifest: Manifest
    folder: Path

    @property
    def video(self) -> Path:
        """The cap's recording."""
        return self.folder / self.manifest.video_file.path


def arrival_of(lake: Lake, worker_day: WorkerDay) -> str:
    """The arrival that `uploads` took in last; empty before it ever ran."""
    rows = lake.read_worker_day(ledgers.ARRIVALS, worker_day).to_pylist()
    return str(rows[0]["arrival_digest"]) if rows else ""


def require_same_arrival(lake: Lake, worker_day: WorkerDay, stage: str) -> None:
    """Refuse to build on rows that were made from another version of the uploads.

    Without it, a corrected manifest (a new private interval, say) could be published over an old rendering.

    Raises:
        LakeError: a stage that this one reads was not run for the arrival that `uploads` took in last.
    """
    arrival = arrival_of(lake, worker_day)
    made_from = {
        row["stage"]: row["arrival_digest"] for row in lake.read_worker_day(ledgers.STAGE_RUNS, worker_day).to_pylist()
    }
    stale = [read for read in STAGES[stage].reads if not arrival or made_from.get(read) != arrival]
    if stale:
        raise LakeError(
            f"{', '.join(stale)} did not run for what arrived last for {worker_day}.",
            consequence=f"Nothing was written: {stage} would mix two versions of the uploads.",
            mend="Materialize the stages before this one for the worker-day first, or the whole chain.",
        )


def standing_ids(lake: Lake, worker_day: WorkerDay, stage: str) -> list[str]:
    """Ids of the sessions that no stage upstream of this one has set aside, sorted."""
    sessions = lake.read_worker_day(schemas.SESSIONS, worker_day)
    aside = lake.read(
        ledgers.QUARANTINE, {"collected_on": worker_day.collected_on, "worker_id": worker_day.worker_id}
    ).to_pylist()
    upstream = upstream_of(stage)
    out = {row["session_id"] for row in aside if row["stage"] in upstream}
    return sorted(
        row["session_id"]
        for row in sessions.to_pylist()
        if row["status"] == "accepted" and row["session_id"] not in out
    )


def standing_sessions(lake: Lake, landing: Landing, worker_day: WorkerDay, stage: str) -> list[StandingSession]:
    """The sessions that a stage works on, with their manifests.

    Raises:
        LakeError: a manifest is not the one that was taken in: the upload was corrected meanwhile.
    """
    rows = {row["session_id"]: row for row in lake.read_worker_day(schemas.SESSIONS, worker_day).to_pylist()}
    standing = []
    for session_id in standing_ids(lake, worker_day, stage):
        folder = landing.session_folder(worker_day, session_id)
        manifest = read_manifest(folder)
        if manifest.sha256 != rows[session_id]["manifest_sha256"]:
            raise LakeError(
                f"The manifest of {session_id} is not the one that `uploads` took in.",
                consequence="Nothing was written: this stage would mix two versions of the upload.",
                mend="Materialize the whole worker-day again; the arrivals sensor does so by itself.",
            )
        standing.append(StandingSession(session_id, rows[session_id], manifest, folder))
    return standing
