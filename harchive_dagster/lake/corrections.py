"""The ledger of reviewers' corrections, and what a reviewer needs to know of a session.

What corrections do to redactions is in `privacy.corrections`.
"""

import difflib
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import LakeError
from harchive_dagster.lake import ledgers, rows, schemas
from harchive_dagster.lake.tables import Lake, PartitionKey, worker_day_key
from harchive_dagster.privacy.corrections import Correction
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.worker_day import WorkerDay

_NEAREST = 3
"""Names that are offered instead of one that is not there."""


@dataclass(frozen=True, eq=False)
class ReviewedSession:
    """A session that corrections can be made for.

    Attributes:
        pts_ns: int64 [N], session time of every frame.
        redactions: what is hidden of it by the last run, by frame and track.
        lifted: by correction, the frames that the last run lifted something in.
    """

    worker_day: WorkerDay
    session_id: str
    video_sha256: str
    width_px: int
    height_px: int
    pts_ns: NDArray[np.int64]
    redactions: list[Redaction]
    lifted: dict[str, int]

    def frames_in_force(self, correction: Correction) -> int:
        """Frames in which the last run hid or lifted something because of a correction."""
        hidden = sum(one.track_id == correction.track_id for one in self.redactions)
        return hidden + self.lifted.get(correction.correction_id, 0)


def reviewed_session(lake: Lake, session_id: str) -> ReviewedSession:
    """What the tables hold of a session, wherever it is.

    Raises:
        LakeError: it was never taken in, is not accepted, or nobody has looked at its frames.
    """
    known = lake.read(schemas.SESSIONS, {"session_id": session_id}).to_pylist()
    row = next((row for row in known if row["status"] == "accepted"), None)
    if row is None:
        raise _unknown_session(lake, session_id, [row["status"] for row in known])
    worker_day = WorkerDay(row["collected_on"], row["worker_id"])
    key = {**worker_day_key(worker_day), "session_id": session_id}
    frames = lake.read(schemas.FRAMES, key)
    if not frames.num_rows:
        raise LakeError(
            f"No frame of {session_id} was looked at yet.",
            consequence="Nothing can be corrected.",
            mend=f"Run {worker_day}; `harchive quarantine show {session_id}` says if it was set aside before.",
        )
    lifted = lake.read(schemas.LIFTED_REDACTIONS, key).column("correction_id").value_counts().to_pylist()
    return ReviewedSession(
        worker_day=worker_day,
        session_id=session_id,
        video_sha256=row["video_sha256"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        pts_ns=frames.column("pts_ns").to_numpy(),
        redactions=rows.objects(Redaction, lake.read(schemas.REDACTIONS, key)),
        lifted={one["values"]: one["counts"] for one in lifted},
    )


def new_correction_id() -> str:
    """An id that no other correction has."""
    return f"c-{uuid.uuid4().hex[:12]}"


def corrections_of(lake: Lake, session_id: str) -> list[Correction]:
    """Every correction of a session, on whichever day it was made for it, oldest first; revoked ones as well."""
    found = [_of(row) for row in lake.read(ledgers.REDACTION_CORRECTIONS, {"session_id": session_id}).to_pylist()]
    return sorted(found, key=lambda one: (one.made_at_utc, one.correction_id))


def standing_corrections(lake: Lake, session_ids: Sequence[str]) -> dict[str, list[Correction]]:
    """By session, what nobody revoked, oldest first."""
    return {
        session_id: [one for one in corrections_of(lake, session_id) if one.is_standing] for session_id in session_ids
    }


def keep(lake: Lake, correction: Correction) -> None:
    """Put a correction on record, or what became of it.

    Raises:
        LakeError: the table cannot be written.
    """
    key = _partition(correction)
    values = {name: value for name, value in asdict(correction).items() if name != "worker_day"}
    row = ledgers.REDACTION_CORRECTIONS.conform([{**values, **key}])
    lake.replace(ledgers.REDACTION_CORRECTIONS, key, row, run_id="harchive redact")


def forget_withdrawn(lake: Lake, worker_day: WorkerDay, *, run_id: str) -> list[str]:
    """Take the corrections of a worker-day's withdrawn sessions off the ledger; returns their ids.

    Those of an upload that is merely gone stay: it may be on its way again, corrected, and is to be hidden as before.
    """
    sessions = lake.read_worker_day(schemas.SESSIONS, worker_day).to_pylist()
    withdrawn = [row["session_id"] for row in sessions if row["status"] == "withdrawn"]
    forgotten = [one for session_id in withdrawn for one in corrections_of(lake, session_id)]
    for one in forgotten:
        empty = ledgers.REDACTION_CORRECTIONS.empty()
        lake.replace(ledgers.REDACTION_CORRECTIONS, _partition(one), empty, run_id=run_id)
    return [one.correction_id for one in forgotten]


def revoked(lake: Lake, correction_id: str, *, reason: str, by: str) -> Correction:
    """A standing correction as it will be on record once it is revoked; nothing is written.

    Raises:
        LakeError: there is none of that id, or it was revoked before.
    """
    found = lake.read(ledgers.REDACTION_CORRECTIONS, {"correction_id": correction_id}).to_pylist()
    if not found:
        raise LakeError(
            f"There is no correction {correction_id!a}.",
            consequence="Nothing was revoked.",
            mend="`harchive redact list SESSION` shows those of a session.",
        )
    correction = _of(found[0])
    if not correction.is_standing:
        raise LakeError(
            f"{correction.revoked_by} revoked {correction_id} at {correction.revoked_at_utc:%Y-%m-%d %H:%M:%S} UTC.",
            consequence="Nothing was changed.",
            mend="Nothing is left to do; make a new correction if it was right after all.",
        )
    return replace(correction, revoke_reason=reason, revoked_by=by, revoked_at_utc=datetime.now(UTC))


def _partition(correction: Correction) -> PartitionKey:
    return {**worker_day_key(correction.worker_day), "correction_id": correction.correction_id}


def _of(row: dict[str, Any]) -> Correction:
    worker_day = WorkerDay(row.pop("collected_on"), row.pop("worker_id"))
    return Correction(worker_day, **row | {name: tuple(row[name]) for name in ("path_ns", "path_px")})


def _unknown_session(lake: Lake, session_id: str, statuses: Sequence[str]) -> LakeError:
    consequence = "Nothing can be corrected."
    if statuses:
        return LakeError(
            f"Session {session_id} is {statuses[0]}.",
            consequence=consequence,
            mend=f"Nothing of it is published; `harchive quarantine show {session_id}` says why.",
        )
    names = lake.read_columns(schemas.SESSIONS, ["session_id"]).column("session_id").unique().to_pylist()
    nearest = difflib.get_close_matches(session_id, sorted(names), _NEAREST)
    return LakeError(
        f"Session {session_id!a} was never taken in.",
        consequence=consequence,
        mend=f"Called alike: {', '.join(nearest)}." if nearest else "The table `sessions` holds all that were.",
    )
