"""What is known about a synthetic session and no pipeline may see: written beside the landing, read by tests."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from harchive_dagster.reasons import Reason


@dataclass(frozen=True)
class FaceBox:
    """Where the face is in one frame, tight around it (brow to chin), in pixels; it may reach beyond the picture."""

    frame_index: int
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class TruthSegment:
    """What the worker does in [start_ns, end_ns) of session time."""

    label: str
    verb: str
    noun: str | None
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class TruthMarker:
    """A press of the worker's button, in session time, and what was said; the manifest carries the same."""

    at_ns: int
    kind: str
    note: str | None = None


@dataclass(frozen=True)
class SessionTruth:
    """Everything known about one session.

    Attributes:
        offset_ns, drift_ppm: t_session = (1 + drift_ppm * 1e-6) * t_device + offset_ns.
        camera_from_sensor: quaternion w, x, y, z that turns a vector in sensor axes into camera axes.
        focal_px: of the pinhole camera; its centre is the picture's middle.
        frame_count: frames encoded (a cut video holds fewer).
        faces: only frames where at least half of the face is inside the picture.
        broken: kind of breakage, or None.
        expected_reason: what the session must be quarantined for, or None.
        has_motion: the head turns enough for its clock to be found.
        recipe_sha256: of everything the session was made from; equal recipes give equal sessions.
    """

    session_id: str
    worker_id: str
    collected_on: date
    task_id: str | None
    stream_id: str
    offset_ns: int
    drift_ppm: float
    camera_from_sensor: tuple[float, float, float, float]
    focal_px: float
    width_px: int
    height_px: int
    frame_count: int
    faces: tuple[FaceBox, ...]
    segments: tuple[TruthSegment, ...]
    markers: tuple[TruthMarker, ...]
    broken: str | None
    expected_reason: Reason | None
    has_motion: bool
    recipe_sha256: str

    def path_in(self, truth_folder: Path) -> Path:
        """Where this session's truth belongs: <truth>/<day>/<worker>/<session_id>.json."""
        return truth_folder / self.collected_on.isoformat() / self.worker_id / f"{self.session_id}.json"

    def write(self, truth_folder: Path) -> Path:
        """Writes the truth in one step (the file is whole or absent) and returns its path."""
        path = self.path_in(truth_folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(asdict(self), indent=1, default=str) + "\n")
        partial.replace(path)
        return path

    @classmethod
    def read(cls, path: Path) -> "SessionTruth":
        """The truth in one file."""
        return cls._from_json(json.loads(path.read_text()))

    @classmethod
    def read_all(cls, truth_folder: Path) -> list["SessionTruth"]:
        """Every session's truth, by day, worker and session."""
        return [cls.read(path) for path in sorted(truth_folder.glob("*/*/[!.]*.json"))]

    @classmethod
    def _from_json(cls, values: Mapping[str, Any]) -> "SessionTruth":
        w, x, y, z = values["camera_from_sensor"]
        reason = values["expected_reason"]
        typed = {
            "collected_on": date.fromisoformat(values["collected_on"]),
            "camera_from_sensor": (w, x, y, z),
            "faces": tuple(FaceBox(**face) for face in values["faces"]),
            "segments": tuple(TruthSegment(**segment) for segment in values["segments"]),
            "markers": tuple(TruthMarker(**marker) for marker in values["markers"]),
            "expected_reason": None if reason is None else Reason(reason),
        }
        return cls(**{**values, **typed})
