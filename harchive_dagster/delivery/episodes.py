"""From one session's tables to its published episodes: cutting, media name, what a lab filters by.

How a recording is cut is in `labels.episodes`; this module brings the tables to it and its result to the contract.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.episodes import Episode, RejectedSpan, build_episodes
from harchive_dagster.labels.outcomes import unread_judgements
from harchive_dagster.labels.segments import Segment
from harchive_dagster.labels.task_catalog import TaskCatalog
from harchive_dagster.lake import rows, schemas, stream_schemas
from harchive_dagster.lake.standing import StandingSession
from harchive_dagster.lake.tables import Lake
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.reasons import Reason
from harchive_dagster.sync.stream_clock import CONTENT
from harchive_dagster.worker_day import WorkerDay

MOTION_SOURCES = ("synced_frames", *stream_schemas.WORKER_DAY_COPIES)
"""Restricted tables of what was worn: placed, timed, and nobody's business in private time."""

SOURCES = ("segments", "frames", *MOTION_SOURCES, "clock_alignments", "anonymized_videos")
"""Restricted tables that are copied for the lab, in the order they are published: what others point to comes first."""

_MAY_LACK = frozenset({"segments", "annotations", *stream_schemas.WORKER_DAY_COPIES})
"""A recording may have no segments, and be made without a glove or a depth camera."""


def read_sources(lake: Lake, worker_day: WorkerDay) -> dict[str, pa.Table]:
    """The worker-day's rows of every table that is copied, and of the annotations, which judge outcomes."""
    contracts = {contract.name: contract for contract in schemas.ALL_TABLES if contract.zone == "restricted"}
    return {name: lake.read_worker_day(contracts[name], worker_day) for name in (*SOURCES, "annotations")}


@dataclass(frozen=True)
class Cut:
    """What became of one session: its episodes, the spans that made none, and judgements that nobody can read."""

    episodes: list[Episode]
    rejected: list[RejectedSpan]
    unread_judgements: tuple[str, ...] = ()

    def require_episodes(self) -> None:
        """Raises LabelError where nothing of the session is worth publishing."""
        if not self.episodes:
            left_out = [str(span) for span in self.rejected]
            raise LabelError(
                Reason.NO_EPISODE,
                f"no span of the recording makes an episode: {'; '.join(left_out)}",
                mend="Look at the markers and at the activity segments of the session.",
                evidence={"left_out": left_out},
            )


def cut_session(session: StandingSession, sources: Mapping[str, pa.Table]) -> Cut:
    """Cut one session into episodes.

    Raises:
        LakeError: an earlier stage did not run for it.
    """
    mine = {
        name: rows.present(table, session.session_id, name) for name, table in sources.items() if name not in _MAY_LACK
    }
    seen = rows.frame_observations(mine["frames"])
    whole, streams = _whole_windows(mine["synced_frames"], len(seen))
    markers = session.manifest.markers
    annotations = rows.objects(Annotation, rows.of_session(sources["annotations"], session.session_id))
    episodes, rejected = build_episodes(
        markers=markers,
        task_id=session.manifest.task_id,
        pts_ns=seen.pts_ns,
        segments=rows.objects(Segment, rows.of_session(sources["segments"], session.session_id)),
        obstructed_fraction=seen.obstructed_fraction,
        sharpness=seen.sharpness,
        sync_confidence=_sync_confidence(mine["clock_alignments"]),
        has_gap=whole < streams,
        is_synced=whole > 0,
        annotations=annotations,
    )
    return Cut(episodes, rejected, tuple(unread_judgements(markers, annotations)))


def rejected_rows(cut: Mapping[str, Cut], worker_day: WorkerDay) -> pa.Table:
    """Rows of rejected_spans, of quarantined sessions as well."""
    tables = [
        rows.records(schemas.REJECTED_SPANS, worker_day, session_id, one.rejected)
        for session_id, one in cut.items()
        if one.rejected
    ]
    return rows.together(schemas.REJECTED_SPANS, tables)


def _sync_confidence(alignments: pa.Table) -> float:
    """Of the session's best stream that was found in the picture; 0 where nothing was."""
    is_seen = pc.and_(alignments.column("is_accepted"), pc.equal(alignments.column("clock"), CONTENT))
    return max(alignments.filter(is_seen).column("confidence").to_pylist(), default=0.0)


def _whole_windows(synced: pa.Table, frame_count: int) -> tuple[NDArray[np.int64], int]:
    """By frame, how many streams have a whole window there; and how many streams there are, at least one."""
    whole = np.zeros(frame_count, dtype=np.int64)
    index = synced.column("frame_index").to_numpy()
    np.add.at(whole, index, ~synced.column("has_gap").to_numpy(zero_copy_only=False))
    return whole, max(len(synced.column("stream_id").unique()), 1)


def placements(sources: Mapping[str, pa.Table], session_id: str) -> list[str]:
    """Where the sensors of a session were worn."""
    return sorted({place for name in MOTION_SOURCES for place in rows.placements(sources[name], session_id)})


def synced_counts(synced: pa.Table, frame_counts: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """By session, how many synced rows each frame has."""
    counts = {}
    for session_id, frame_count in frame_counts.items():
        index = rows.of_session(synced, session_id).column("frame_index").to_numpy()
        counts[session_id] = np.bincount(index, minlength=frame_count).astype(np.int64)
    return counts


def episode_rows(
    session: StandingSession,
    episodes: Sequence[Episode],
    *,
    media_uri: str,
    placements: Sequence[str],
    catalog: TaskCatalog,
    pseudonyms: Pseudonymiser,
) -> list[dict[str, Any]]:
    """The published rows of one session's episodes."""
    manifest = session.manifest
    public_session = pseudonyms.session(session.session_id)
    return [
        {
            "collected_on": manifest.collected_on,
            "participant_id": pseudonyms.participant(manifest.worker_id),
            "session_pseudonym": public_session,
            # An id of its own per episode that still cannot be traced: it is made from the pseudonym.
            "episode_id": f"{public_session}-{episode.episode_index:03d}",
            "task_id": episode.task_id,
            "task_text": catalog.tasks[episode.task_id].text if episode.task_id else None,
            "start_ns": episode.start_ns,
            "end_ns": episode.end_ns,
            "frame_start": episode.frame_start,
            "frame_end": episode.frame_end,
            "action_start_ns": episode.action_start_ns,
            "action_end_ns": episode.action_end_ns,
            "transition_start_ns": list(episode.transition_start_ns),
            "transition_end_ns": list(episode.transition_end_ns),
            "trimmed_idle_s": episode.trimmed_idle_s,
            "outcome": episode.outcome,
            "outcome_source": episode.outcome_source,
            "quality_score": episode.quality_score,
            **{f"quality_{name}": term for name, term in episode.quality_terms.items()},
            "media_uri": media_uri,
            "environment": manifest.site.environment,
            "country": manifest.site.country,
            "placements": list(placements),
            "handedness": manifest.worker_attributes.handedness,
        }
        for episode in episodes
    ]
