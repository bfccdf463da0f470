"""Holds the tables of a demonstration against the truth of its uploads. Reads both, writes neither."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harchive_dagster.delivery.publishing import participant_day_key
from harchive_dagster.demo.truth import SessionTruth
from harchive_dagster.errors import SettingsError
from harchive_dagster.lake import ledgers, rows, schemas
from harchive_dagster.lake.tables import Lake
from harchive_dagster.privacy.detection import Box
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.privacy.redaction import Redaction, covered_fraction
from harchive_dagster.sync.clock import Clock, ClockMapping
from harchive_dagster.worker_day import WorkerDay

COVERED = 0.8
"""Share of the face's box that must be hidden: the ellipse leaves its corners, which show background."""


@dataclass(frozen=True)
class SessionOutcome:
    """One session's fate beside its truth.

    Attributes:
        reason: quarantine code, or None when it was published.
        sync_error_ms: at mid-recording; None when it was not aligned.
        face_frames, covered_frames: frames that show the face, and those in which it is hidden.
    """

    truth: SessionTruth
    is_published: bool
    reason: str | None
    sync_error_ms: float | None
    face_frames: int
    covered_frames: int

    @property
    def is_as_expected(self) -> bool:
        """Published when whole; quarantined for its own reason when broken."""
        expected = self.truth.expected_reason
        return self.is_published if expected is None else (not self.is_published and self.reason == expected.value)


def outcomes_of(
    lake: Lake, worker_day: WorkerDay, truths: Sequence[SessionTruth], pseudonyms: Pseudonymiser
) -> list[SessionOutcome]:
    """What became of each generated session of a worker-day."""
    aside = {
        row["session_id"]: row["reason"] for row in lake.read_worker_day(ledgers.QUARANTINE, worker_day).to_pylist()
    }
    episodes = lake.read(schemas.EPISODES, participant_day_key(worker_day, pseudonyms))
    published = set(episodes.column("session_pseudonym").to_pylist())
    alignments = lake.read_worker_day(schemas.CLOCK_ALIGNMENTS, worker_day)
    redactions = lake.read_worker_day(schemas.REDACTIONS, worker_day)
    outcomes = []
    for truth in truths:
        mappings = rows.clock_mappings(rows.of_session(alignments, truth.session_id))
        hidden = rows.objects(Redaction, rows.of_session(redactions, truth.session_id))
        is_published = pseudonyms.session(truth.session_id) in published
        mapping = mappings.get(truth.stream_id)
        outcomes.append(
            SessionOutcome(
                truth=truth,
                is_published=is_published,
                reason=aside.get(truth.session_id),
                sync_error_ms=_sync_error_ms(truth, mapping) if mapping else None,
                face_frames=len(truth.faces) if is_published else 0,
                covered_frames=_covered_frames(truth, hidden) if is_published else 0,
            )
        )
    return outcomes


def _sync_error_ms(truth: SessionTruth, measured: Clock) -> float:
    true = ClockMapping(
        offset_ns=truth.offset_ns,
        drift_ppm=truth.drift_ppm,
        camera_from_sensor=truth.camera_from_sensor,
        gyro_bias_rad_s=np.zeros(3),
    )
    # Thirty frames a second is what the demonstration renders; the middle needs no better than that.
    middle_ns = np.array([truth.frame_count * 1_000_000_000 // 60], dtype=np.int64)
    return float(measured.to_session_ns(true.to_device_ns(middle_ns))[0] - middle_ns[0]) / 1e6


def _covered_frames(truth: SessionTruth, redactions: Sequence[Redaction]) -> int:
    by_frame: dict[int, list[Redaction]] = defaultdict(list)
    for redaction in redactions:
        by_frame[redaction.frame_index].append(redaction)
    return sum(covered_fraction(_visible(face, truth), by_frame[face.frame_index]) >= COVERED for face in truth.faces)


def _visible(face: Any, truth: SessionTruth) -> Box:
    left, top = max(0.0, face.x), max(0.0, face.y)
    right, bottom = min(truth.width_px, face.x + face.w), min(truth.height_px, face.y + face.h)
    return Box("face", left, top, right - left, bottom - top, 1.0)


def build_report(lake: Lake, truth_folder: Path, pseudonyms: Pseudonymiser) -> str:
    """The demonstration's closing table and where to look further.

    Raises:
        SettingsError: there is no truth to compare with.
    """
    truths = SessionTruth.read_all(truth_folder)
    if not truths:
        raise SettingsError(
            f"No truth lies in {truth_folder}.",
            consequence="The tables cannot be compared with anything.",
            mend="Run `harchive demo uploads` first.",
        )
    by_day: dict[WorkerDay, list[SessionTruth]] = defaultdict(list)
    for item in truths:
        by_day[WorkerDay(item.collected_on, item.worker_id)].append(item)
    lines, everything = [_HEADER, "-" * len(_HEADER)], []
    for worker_day, mine in sorted(by_day.items()):
        outcomes = outcomes_of(lake, worker_day, mine, pseudonyms)
        everything += outcomes
        lines.append(_line(lake, worker_day, outcomes))
    return "\n".join([*lines, "", _summary(everything), "", _where_to_look(lake)])


_HEADER = f"{'worker-day':<22} {'published':>9} {'minutes':>8} {'sync error':>11} {'faces hidden':>13}  quarantined"


def _line(lake: Lake, worker_day: WorkerDay, outcomes: Sequence[SessionOutcome]) -> str:
    minutes = (
        sum(row["published_ns"] for row in lake.read_worker_day(ledgers.WORKER_DAYS, worker_day).to_pylist()) / 60e9
    )
    published = sum(outcome.is_published for outcome in outcomes)
    errors = [abs(o.sync_error_ms) for o in outcomes if o.sync_error_ms is not None]
    sync = f"{np.median(errors):.2f} ms" if errors else "-"
    shown = sum(outcome.face_frames for outcome in outcomes)
    hidden = f"{sum(outcome.covered_frames for outcome in outcomes)}/{shown}" if shown else "-"
    aside = ", ".join(f"{o.truth.session_id}: {o.reason}" for o in outcomes if o.reason) or "none"
    return f"{worker_day!s:<22} {published:>9} {minutes:>8.2f} {sync:>11} {hidden:>13}  {aside}"


def _summary(outcomes: Sequence[SessionOutcome]) -> str:
    errors = [abs(o.sync_error_ms) for o in outcomes if o.sync_error_ms is not None and o.truth.has_motion]
    shown, hidden = sum(o.face_frames for o in outcomes), sum(o.covered_frames for o in outcomes)
    surprises = [_surprise(outcome) for outcome in outcomes if not outcome.is_as_expected]
    sync = f"median {np.median(errors):.2f} ms, worst {max(errors):.2f} ms" if errors else "nothing aligned"
    return (
        f"Against the truth: sync error {sync}; {hidden} of {shown} frames that show the face have it hidden;\n"
        f"{len(outcomes) - len(surprises)} of {len(outcomes)} sessions ended as they should"
        + (f", not: {', '.join(surprises)}." if surprises else ".")
    )


def _surprise(outcome: SessionOutcome) -> str:
    came = outcome.reason or ("published" if outcome.is_published else "nothing")
    return f"{outcome.truth.session_id} ({came} instead of {outcome.truth.expected_reason or 'published'})"


def _where_to_look(lake: Lake) -> str:
    published = lake.root / "published"
    clips = sorted((published / "media").rglob("*.mp4"))
    clip = clips[0] if clips else published / "media"
    return (
        "Look further:\n"
        "  make ui                      every asset, check and run, on http://localhost:3000\n"
        f"  .venv/bin/python -c \"import polars as pl; print(pl.read_delta('{published / 'episodes'}'))\"\n"
        f"  open {clip}"
    )
