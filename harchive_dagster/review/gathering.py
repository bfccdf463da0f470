"""What a review page shows of a worker-day, read from the lake: audited videos, motion outside private time, labels.

Under pseudonyms and in the taxonomy's words unless asked otherwise. How it looks is in `page` and its template.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harchive_dagster.delivery.publishing import media_uri, participant_day_key
from harchive_dagster.errors import LakeError
from harchive_dagster.labels.task_catalog import Task, load_task_catalog
from harchive_dagster.lake import ledgers, rows, schemas
from harchive_dagster.lake.contract import RESTRICTED
from harchive_dagster.lake.quarantine import SetAside, set_aside
from harchive_dagster.lake.standing import require_same_arrival, standing_ids
from harchive_dagster.lake.tables import Lake
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.privacy.redaction import PRIVATE_KIND
from harchive_dagster.reasons import Reason
from harchive_dagster.review import session_lanes
from harchive_dagster.review.lanes import Lane
from harchive_dagster.review.session_tracks import public_motion, session_tracks, unmeasured
from harchive_dagster.review.traces import Track
from harchive_dagster.worker_day import WorkerDay

_TABLES = {
    contract.name: contract
    for contract in (
        schemas.FRAMES,
        schemas.SYNCED_FRAMES,
        schemas.CLOCK_ALIGNMENTS,
        schemas.REDACTIONS,
        schemas.SEGMENTS,
        schemas.ANNOTATIONS,
        schemas.REJECTED_SPANS,
        schemas.ANONYMIZED_VIDEOS,
    )
}
_MEASURES = (
    "pts_ns",
    "sharpness",
    "luma_mean",
    "obstructed_fraction",
    *(f"rotation_{axis}_rad" for axis in "xyz"),
    "rotation_inliers",
)
_LAST_OF_PICTURES = "anonymized_videos"
_LAST_STAGE = "episodes"


@dataclass(frozen=True)
class Aside:
    """Where and why a session was set aside.

    Attributes:
        session: what it is called on the page.
        reason: the code; `meaning` and `mend` are what it stands for, empty for a code of a later version.
        detail: what was said about this one; None where the page names nobody.
    """

    session: str
    stage: str
    reason: str
    meaning: str
    mend: str
    detail: str | None


@dataclass(frozen=True, eq=False)
class SessionView:
    """One session that has an anonymized video.

    Attributes:
        name: its pseudonym.
        session_id: None where the page names nobody.
        frame_ns: time from frame to frame.
        video, video_name: the rendered file, and what it is called beside the page.
        facts: the row of `anonymized_videos`.
        clocks: rows of `clock_alignments`.
        asides: where it was set aside all the same.
    """

    name: str
    session_id: str | None
    task: Task | None
    duration_ns: int
    frame_ns: int
    video: Path
    video_name: str
    facts: Mapping[str, Any]
    lanes: tuple[Lane, ...]
    tracks: tuple[Track, ...]
    clocks: Sequence[Mapping[str, Any]]
    asides: tuple[Aside, ...]


@dataclass(frozen=True)
class DayView:
    """One worker-day.

    Attributes:
        participant: the worker's pseudonym.
        worker_id: None where the page names nobody.
        sessions: those with an anonymized video, by pseudonym.
        asides: why others have none.
    """

    collected_on: date
    participant: str
    worker_id: str | None
    sessions: tuple[SessionView, ...]
    asides: tuple[Aside, ...]

    @property
    def aside_count(self) -> int:
        """How many sessions there is no picture of; several stages may have set one aside."""
        return len({aside.session for aside in self.asides})


def find_worker_day(lake: Lake, collected_on: date, worker: str, pseudonyms: Pseudonymiser) -> WorkerDay:
    """The worker-day of a worker who is named by id or by pseudonym.

    Raises:
        LakeError: nothing of that worker was taken in on that day.
    """
    # Not `sessions`, which has no row where no manifest can be read, or all uploads of the day were deleted.
    known = lake.read(ledgers.ARRIVALS, {"collected_on": collected_on}).column("worker_id").to_pylist()
    named = {pseudonyms.participant(worker_id): worker_id for worker_id in known} | {one: one for one in known}
    if worker not in named:
        others = f"that day's workers are {', '.join(sorted(known)[:10])}" if known else "nobody's is from that day"
        raise LakeError(
            f"The lake in {lake.root} holds no session of {worker!a} on {collected_on} ({others}).",
            consequence="No page was written.",
            mend="Give the worker's id or pseudonym, and the local day of the recordings.",
        )
    return WorkerDay(collected_on, named[worker])


def view_of(lake: Lake, worker_day: WorkerDay, pseudonyms: Pseudonymiser, *, is_restricted: bool) -> DayView:
    """Gather a worker-day.

    Args:
        lake: where it is.
        worker_day: which one.
        pseudonyms: makes the names on the page.
        is_restricted: say ids, free words and the details of quarantine as well.

    Raises:
        LakeError: its stages were not run for what arrived last or since a consent was withdrawn, with another key
            than this, or a rendered file is missing.
    """
    require_same_arrival(lake, worker_day, _LAST_STAGE)
    tables = {name: lake.read_worker_day(contract, worker_day) for name, contract in _TABLES.items()}
    episodes = lake.read(schemas.EPISODES, participant_day_key(worker_day, pseudonyms))
    found = set_aside(lake, day=worker_day.collected_on, worker_id=worker_day.worker_id)
    reader = _Reader(lake, worker_day, pseudonyms, tables, episodes, found, is_restricted)
    sessions = {row["session_id"]: row for row in lake.read_worker_day(schemas.SESSIONS, worker_day).to_pylist()}
    rendered = {row["session_id"]: row for row in tables["anonymized_videos"].to_pylist()}
    shown = [session_id for session_id in standing_ids(lake, worker_day, _LAST_OF_PICTURES) if session_id in rendered]
    _require_same_key(sessions.values(), pseudonyms.participant(worker_day.worker_id))
    _require_consents(lake, worker_day, {sessions[session_id]["consent_id"] for session_id in shown})
    views = [reader.session(sessions[session_id], rendered[session_id]) for session_id in shown]
    return DayView(
        collected_on=worker_day.collected_on,
        participant=pseudonyms.participant(worker_day.worker_id),
        worker_id=worker_day.worker_id if is_restricted else None,
        sessions=tuple(sorted(views, key=lambda view: view.name)),
        asides=reader.asides({row.session_id for row in found} - set(shown)),
    )


def _require_same_key(sessions: Collection[Mapping[str, Any]], participant: str) -> None:
    if any(row["participant_id"] != participant for row in sessions):
        raise LakeError(
            "HARCHIVE_PSEUDONYM_KEY is not the key that this worker-day was taken in with.",
            consequence="No page was written: its names would be nobody's, and no episode would be found.",
            mend="Set the key that the pipeline runs with.",
        )


def _require_consents(lake: Lake, worker_day: WorkerDay, consent_ids: Collection[str]) -> None:
    """A run that fails after a withdrawal leaves the worker-day's rows as they were."""
    records = lake.read_columns(ledgers.CONSENTS, ["consent_id", "withdrawn_at_utc"]).to_pylist()
    withdrawn = sorted(one["consent_id"] for one in records if one["withdrawn_at_utc"] is not None)
    if found := [consent_id for consent_id in withdrawn if consent_id in consent_ids]:
        raise LakeError(
            f"Consent {found[0]} was withdrawn, and {worker_day} was not run since.",
            consequence="No page was written; an older one still shows the recording.",
            mend="Remove that one, and run the worker-day again.",
        )


@dataclass(frozen=True)
class _Reader:
    lake: Lake
    worker_day: WorkerDay
    pseudonyms: Pseudonymiser
    tables: Mapping[str, pa.Table]
    episodes: pa.Table
    found_aside: Sequence[SetAside]
    is_restricted: bool

    def asides(self, session_ids: Collection[str]) -> tuple[Aside, ...]:
        mine = (self._aside(row) for row in self.found_aside if row.session_id in session_ids)
        return tuple(sorted(mine, key=lambda aside: aside.session))

    def _aside(self, row: SetAside) -> Aside:
        session = self.pseudonyms.session(row.session_id)
        try:
            reason = Reason(row.reason)
        except ValueError:  # written by a later version of this package
            meaning = mend = ""
        else:
            meaning, mend = reason.meaning, reason.mend
        name = f"{session} ({row.session_id})" if self.is_restricted else session
        return Aside(name, row.stage, row.reason, meaning, mend, row.detail if self.is_restricted else None)

    def session(self, session: Mapping[str, Any], facts: Mapping[str, Any]) -> SessionView:
        session_id, end_ns = session["session_id"], session["duration_ns"]
        mine = {name: rows.of_session(table, session_id) for name, table in self.tables.items()}
        frames = {name: mine["frames"].column(name).to_numpy() for name in _MEASURES}
        hidden = session_lanes.hidden_frames(mine["redactions"])
        private = hidden.get(PRIVATE_KIND, np.empty(0, dtype=np.int64))
        synced = public_motion(mine["synced_frames"], frames["pts_ns"], end_ns, private)
        steps_ns = np.diff(frames["pts_ns"])
        return SessionView(
            name=self.pseudonyms.session(session_id),
            session_id=session_id if self.is_restricted else None,
            task=load_task_catalog().tasks.get(session["task_id"] or ""),
            duration_ns=end_ns,
            frame_ns=int(np.median(steps_ns)) if len(steps_ns) else end_ns,
            video=self._video(facts),
            video_name=media_uri(self.worker_day, session_id, facts["sha256"], self.pseudonyms).rpartition("/")[2],
            facts=facts,
            lanes=(
                *session_lanes.episode_lanes(self._episodes(session_id), mine["rejected_spans"].to_pylist()),
                *session_lanes.label_lanes(mine["segments"], mine["annotations"], is_as_written=self.is_restricted),
                *session_lanes.flag_lanes(frames, hidden, unmeasured(synced), end_ns),
            ),
            tracks=tuple(session_tracks(frames, synced, end_ns, private)),
            clocks=mine["clock_alignments"].to_pylist(),
            asides=self.asides([session_id]),
        )

    def _episodes(self, session_id: str) -> list[dict[str, Any]]:
        is_mine = pc.equal(self.episodes.column("session_pseudonym"), self.pseudonyms.session(session_id))
        found: list[dict[str, Any]] = self.episodes.filter(is_mine).to_pylist()
        return found

    def _video(self, facts: Mapping[str, Any]) -> Path:
        path = self.lake.media_folder(RESTRICTED) / str(facts["uri"])
        if not path.is_file():
            raise LakeError(
                f"The anonymized video {facts['uri']} is not in the lake's media folder.",
                consequence="No page was written.",
                mend=f"Run {self.worker_day} again: what is missing is rendered anew.",
            )
        return path
