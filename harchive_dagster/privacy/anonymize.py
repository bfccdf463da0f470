"""One session's recording made fit to be seen: rendered, audited, tried with planted faces, kept under its digest.

The steps are in `rendering`, `audit` and `contact_sheet`; whether the figures are good enough is judged by the suite.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.audit import AuditReport, audit_rendered, seeded_recall
from harchive_dagster.privacy.contact_sheet import contact_sheet
from harchive_dagster.privacy.detection import Detector
from harchive_dagster.privacy.parts import earlier_file, keys_path
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import RenderReport, render_anonymized
from harchive_dagster.recording.decoding import iterate_frames

AUDIT_EVERY_S = 1 / 3
"""Between two audited frames, besides those around every track's ends."""

AUDIT_THRESHOLD = 0.6
"""Above the detection threshold on purpose: the audit asks who can be recognised, detection asks who might be there. A
hidden head on visible shoulders scored up to 0.52, its collar taken for the face; visible faces scored 0.8 and more."""

_RECALL_FRAMES = 8
_SHEET_TILES = 8


@dataclass(frozen=True)
class AnonymizedVideo:
    """A rendered file and everything that was found out about it."""

    path: Path
    render: RenderReport
    audit: AuditReport
    seeded_recall: float
    sheet_png: bytes


def anonymize(
    source: Path,
    folder: Path,
    name: str,
    redactions: Sequence[Redaction],
    pts_ns: NDArray[np.int64],
    *,
    detector: Detector,
    audit_detector: Detector,
    on_progress: Callable[[int, int], None] | None = None,
) -> AnonymizedVideo:
    """Render one recording and audit what came out.

    Args:
        source: the recording.
        folder: where the file is kept, as `<name>-<start of its digest>.mp4`; created.
        name: of the session.
        redactions: what to hide.
        pts_ns: int64 [N], session time of the source's frames.
        detector: the one that looked at the session; tried on planted faces.
        audit_detector: one that works at another operating point.
        on_progress: called with the number of frames rendered and of all.

    Raises:
        RecordingError, PrivacyError: it could not be rendered; no file is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{name}.rendered.mp4"
    try:
        report = render_anonymized(
            source, draft, redactions, earlier=earlier_file(folder, name), on_progress=on_progress
        )
        audit = audit_rendered(
            draft,
            pts_ns,
            redactions,
            detector=audit_detector,
            sample_every=_audit_stride(pts_ns),
            score_threshold=AUDIT_THRESHOLD,
        )
        # Planted into the rendered pictures: same light and clutter, and no second decoding of what nobody may see.
        recall = seeded_recall(_spread_frames(draft, len(pts_ns)), detector, seed=0)
        sheet = contact_sheet(draft, _telling_frames(redactions, len(pts_ns)))
        path = folder / f"{name}-{report.sha256[:16]}.mp4"
        draft.replace(path)
        keys_path(draft).replace(keys_path(path))
    finally:
        draft.unlink(missing_ok=True)
        keys_path(draft).unlink(missing_ok=True)
    return AnonymizedVideo(path, report, audit, recall, sheet)


def _audit_stride(pts_ns: NDArray[np.int64]) -> int:
    step_s = float(np.median(np.diff(pts_ns))) * 1e-9 if len(pts_ns) > 1 else AUDIT_EVERY_S
    return max(1, int(AUDIT_EVERY_S / step_s + 0.01))


def _spread_frames(video: Path, frame_count: int) -> list[NDArray[np.uint8]]:
    wanted = set(np.linspace(0, frame_count - 1, _RECALL_FRAMES).astype(int).tolist())
    pictures: list[NDArray[np.uint8]] = []
    for decoded in iterate_frames(video):
        if decoded.frame_index in wanted:
            pictures.append(decoded.frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))  # noqa: PERF401
    return pictures


def _telling_frames(redactions: Sequence[Redaction], frame_count: int) -> list[int]:
    """Frames in which something is hidden, evenly; the whole clip where there are none."""
    hidden = sorted({redaction.frame_index for redaction in redactions}) or list(range(frame_count))
    return [hidden[index] for index in np.linspace(0, len(hidden) - 1, _SHEET_TILES).astype(int)]
