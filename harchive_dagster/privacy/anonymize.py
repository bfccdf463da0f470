"""One session's recording made fit to be seen: rendered, audited, tried with planted faces, kept under its digest.

The steps are in `rendering`, `audit`, `seeded_faces` and `contact_sheet`; whether the figures are good enough is judged
by the suite.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.audit import AuditEyes, AuditReport, audit_rendered
from harchive_dagster.privacy.contact_sheet import contact_sheet
from harchive_dagster.privacy.corrections import Lifted, without_accepted
from harchive_dagster.privacy.detection import Detector
from harchive_dagster.privacy.hiding import Hiding
from harchive_dagster.privacy.parts import earlier_file, keys_path
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import RenderReport, render_anonymized
from harchive_dagster.privacy.seeded_faces import SeededRecall, seeded_recall

_PREVIEWED = 6
"""Moments in the preview: Dagster's event log keeps it for ever."""


@dataclass(frozen=True)
class AnonymizedVideo:
    """A rendered file and everything that was found out about it.

    Attributes:
        path: of the video.
        sheet: of the PNG file beside it that shows its riskiest moments.
        audit: without what a reviewer accepts.
        accepted: how many finds of the audit those were.
        preview_png: the riskiest of them only.
    """

    path: Path
    sheet: Path
    render: RenderReport
    audit: AuditReport
    accepted: int
    seeded: SeededRecall
    preview_png: bytes


def anonymize(
    source: Path,
    folder: Path,
    name: str,
    redactions: Sequence[Redaction],
    pts_ns: NDArray[np.int64],
    *,
    motion_px: NDArray[np.float64],
    detector: Detector,
    eyes: AuditEyes,
    how: Hiding = Hiding.MOSAIC,
    lifted: Sequence[Lifted] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> AnonymizedVideo:
    """Render one recording and audit what came out.

    Args:
        source: the recording.
        folder: where the files are kept, as `<name>-<start of the video's digest>`.mp4 and .png; created.
        name: of the session.
        redactions: what to hide.
        pts_ns: int64 [N], session time of the source's frames.
        motion_px: float64 [N], displacement since the previous frame.
        detector: the one that looked at the session; tried on planted faces.
        eyes: what searches the rendered file.
        how: what is put in the place of what is hidden.
        lifted: what a reviewer said is nobody; the audit's finds there are accepted.
        on_progress: called with the number of frames rendered and of all.

    Raises:
        RecordingError, PrivacyError: it could not be rendered or audited; no file is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{name}.rendered.mp4"
    try:
        report = render_anonymized(
            source, draft, redactions, how=how, earlier=earlier_file(folder, name), on_progress=on_progress
        )
        audit = audit_rendered(draft, source, pts_ns, redactions, report.groups, motion_px=motion_px, eyes=eyes, seed=0)
        residuals, accepted = without_accepted(audit.report.residuals, lifted)
        # Planted into rendered pictures: the source's light and clutter, and nobody's face but those planted.
        recall = seeded_recall(audit.pictures, detector, seed=0)
        sheet = _written(folder / f"{name}-{report.sha256[:16]}.png", contact_sheet(audit.moments))
        path = sheet.with_suffix(".mp4")
        draft.replace(path)
        keys_path(draft).replace(keys_path(path))
    finally:
        draft.unlink(missing_ok=True)
        keys_path(draft).unlink(missing_ok=True)
    preview = contact_sheet(audit.moments, most=_PREVIEWED)
    judged = replace(audit.report, residuals=residuals)
    return AnonymizedVideo(path, sheet, report, judged, accepted, recall, preview)


def _written(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    return draft.replace(path)
