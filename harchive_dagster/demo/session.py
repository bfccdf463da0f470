"""Makes one synthetic session: its files, its manifest and what is true about it. `uploads` fills whole landings."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime, time, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harchive_dagster.demo.breakage import EXPECTED_REASON, Breakage, cut_short, damage_byte, turn_time_back
from harchive_dagster.demo.clip import ClipTags, write_clip
from harchive_dagster.demo.glove import (
    HAND_RATE_HZ,
    HAND_STREAM_ID,
    PLACEMENT,
    TOUCH_RATE_HZ,
    TOUCH_STREAM_ID,
    hand_stream,
    touch_stream,
    write_hand,
    write_touch,
)
from harchive_dagster.demo.motion import HeadMotion, Phase, PhaseKind, make_motion
from harchive_dagster.demo.scene import Box, Camera, render, render_covered
from harchive_dagster.demo.scenery import Picture, make_scenery
from harchive_dagster.demo.sensors import (
    HEAD_STREAM_ID,
    DeviceClock,
    SensorErrors,
    measure,
    random_quaternion,
    write_imu,
)
from harchive_dagster.demo.timeline import default_phases, markers_of, segments_of, visits_of
from harchive_dagster.demo.truth import FaceBox, SessionTruth
from harchive_dagster.errors import SettingsError
from harchive_dagster.worker_day import WorkerDay

RECIPE_VERSION = 2
"""Raise it when the same spec gives other files: kept sessions are then made again."""

_INDIA = timezone(timedelta(hours=5, minutes=30))
_LARGEST_OFFSET_S = 1.5
_LARGEST_DRIFT_PPM = 80.0
_SCENERY_COUNT = 3  # a place is slow to build and is kept in memory


@dataclass(frozen=True)
class SessionSpec:
    """The recipe of one session; everything left None is drawn by chance from the seed and the session's id.

    Attributes:
        phases: what the worker does, without gaps from 0 to duration_s.
        imu_format: "csv" or "parquet".
        offset_ns, drift_ppm: of the device clock, as in `DeviceClock`.
        camera_from_sensor: the mount, quaternion w, x, y, z.
        errors: of the sensor.
        has_private: the worker marks two seconds in the middle as private.
        has_glove: the right hand's poses are recorded on the sensor's clock, and what it feels on another one.
        has_calibration: the camera's lens comes with the upload.
        broken: kind of breakage, or None for a good session.

    Raises:
        SettingsError: sizes that H.264 cannot hold, nothing to record, or an unknown format.
    """

    session_id: str
    worker_id: str = "worker-01"
    collected_on: date = date(2026, 3, 2)
    started_at: datetime | None = None
    seed: int = 7
    task_id: str | None = "fold_laundry"
    consent_id: str | None = None
    duration_s: float = 20.0
    width_px: int = 640
    height_px: int = 360
    fps: int = 30
    phases: tuple[Phase, ...] | None = None
    has_face: bool = True
    has_hands: bool = True
    has_audio: bool = True
    has_private: bool = False
    has_glove: bool = False
    has_calibration: bool = False
    imu_format: str = "csv"
    rate_hz: float = 200.0
    offset_ns: int | None = None
    drift_ppm: float | None = None
    camera_from_sensor: tuple[float, float, float, float] | None = None
    errors: SensorErrors = field(default_factory=SensorErrors)
    region: str = "IN-KA"
    environment: str = "home"
    serial: str = "SN-7F3A-0001"
    broken: Breakage | None = None

    def __post_init__(self) -> None:
        _ = self.worker_day  # refuses ids that cannot be a folder
        problems = [
            (self.width_px < 32 or self.width_px % 2, f"width_px {self.width_px} is not an even number from 32 on."),
            (
                self.height_px < 32 or self.height_px % 2,
                f"height_px {self.height_px} is not an even number from 32 on.",
            ),
            (self.fps < 1, f"fps {self.fps} is not positive."),
            (self.frame_count < 2, f"duration_s {self.duration_s} holds fewer than two frames."),
            (self.imu_format not in ("csv", "parquet"), f"imu_format {self.imu_format!r} is not csv or parquet."),
            (
                self.broken is Breakage.TIME_GOES_BACK and self.imu_format != "csv",
                "time_goes_back can only be written as csv.",
            ),
        ]
        for is_wrong, culprit in problems:
            if is_wrong:
                raise SettingsError(culprit, consequence="The session cannot be made.", mend="Change the SessionSpec.")

    @property
    def worker_day(self) -> WorkerDay:
        """The partition that the session belongs to."""
        return WorkerDay(self.collected_on, self.worker_id)

    @property
    def frame_count(self) -> int:
        """Frames of the whole clip."""
        return round(self.duration_s * self.fps)

    @property
    def recipe_sha256(self) -> str:
        """Over every setting: equal for equal sessions."""
        recipe = {field.name: repr(getattr(self, field.name)) for field in fields(self)}
        return hashlib.sha256(json.dumps([RECIPE_VERSION, recipe], sort_keys=True).encode()).hexdigest()

    def rng(self, purpose: str) -> np.random.Generator:
        """A source of chance of its own for each purpose, so that changing one thing leaves the others."""
        digest = hashlib.sha256(f"{self.seed}/{self.session_id}/{purpose}".encode()).digest()
        return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32).tolist())


def folder_of(landing: Path, spec: SessionSpec) -> Path:
    """Where a session's upload belongs: <landing>/<day>/<worker>/<session_id>."""
    return landing / spec.collected_on.isoformat() / spec.worker_id / spec.session_id


def phases_of(spec: SessionSpec) -> tuple[Phase, ...]:
    """What the worker does in a session."""
    return spec.phases if spec.phases is not None else default_phases(spec.frame_count / spec.fps)


def motion_of(spec: SessionSpec) -> HeadMotion:
    """The head's true motion in a session: the same in every call."""
    return make_motion(phases_of(spec), spec.rng("motion"))


def make_session(folder: Path, spec: SessionSpec) -> SessionTruth:
    """Makes one session in `folder`, which appears whole or not at all and replaces what was there.

    Args:
        folder: the session's own folder; `folder_of` names it inside a landing.
        spec: the recipe.

    Returns:
        what is true about it. Nothing of that is in the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    truth = _Build(spec, building).run()
    retired = folder.with_name(f".{folder.name}.retired")
    shutil.rmtree(retired, ignore_errors=True)
    if folder.exists():
        folder.rename(retired)
    building.rename(folder)
    shutil.rmtree(retired, ignore_errors=True)
    return truth


class _Build:
    """One session in the making: everything drawn by chance is drawn once and kept."""

    def __init__(self, spec: SessionSpec, folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        self.phases = phases_of(spec)
        self.camera = Camera(spec.width_px, spec.height_px)
        self.markers = markers_of(self.phases, spec.task_id, has_private=spec.has_private)
        rng = spec.rng("clock and mount")
        offset_ns, drift_ppm = rng.uniform(-1, 1, 2) * (_LARGEST_OFFSET_S * 1e9, _LARGEST_DRIFT_PPM)
        self.clock = DeviceClock(
            offset_ns=round(offset_ns) if spec.offset_ns is None else spec.offset_ns,
            drift_ppm=float(drift_ppm) if spec.drift_ppm is None else spec.drift_ppm,
        )
        self.mount = spec.camera_from_sensor or random_quaternion(rng)

    @cached_property
    def motion(self) -> HeadMotion:
        return motion_of(self.spec)

    @cached_property
    def started_at(self) -> datetime:
        return self.spec.started_at or datetime.combine(self.spec.collected_on, time(9, 30), tzinfo=_INDIA)

    def run(self) -> SessionTruth:
        video, sensor = self.folder / "cap.mp4", self.folder / f"imu.{self.spec.imu_format}"
        faces: list[FaceBox] = []
        write_clip(
            video,
            self._pictures(faces),
            fps=self.spec.fps,
            size_px=(self.spec.width_px, self.spec.height_px),
            duration_s=self.spec.frame_count / self.spec.fps,
            tags=ClipTags(self.started_at, location="+12.9716+077.5946/", serial=self.spec.serial),
            has_audio=self.spec.has_audio,
        )
        self._write_sensor(sensor)
        sensors = {HEAD_STREAM_ID: sensor} | (self._write_glove() if self.spec.has_glove else {})
        if self.spec.broken is Breakage.TRUNCATED_VIDEO:
            cut_short(video)
        if self.spec.broken is Breakage.TIME_GOES_BACK:
            turn_time_back(sensor)
        manifest = self._manifest(video, sensors)
        if self.spec.has_calibration:
            manifest["files"].append(self._write_lens())
        if self.spec.broken is Breakage.WRONG_CHECKSUM:
            damage_byte(video)
        (self.folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        return self._truth(tuple(faces))

    def _pictures(self, faces: list[FaceBox]) -> Iterator[Picture]:
        """The clip's pictures; the faces seen on the way are added to the list."""
        spec = self.spec
        if spec.broken is Breakage.COVERED_LENS:
            yield from render_covered(self.camera, spec.frame_count, spec.rng("cloth"))
            return
        t_s = np.arange(spec.frame_count) / spec.fps
        is_work = np.zeros(spec.frame_count, dtype=np.bool_)
        for phase in self.phases:
            if phase.kind is PhaseKind.WORK and spec.has_hands:
                is_work |= (t_s >= phase.start_s) & (t_s < phase.end_s)
        visits = visits_of(self.phases, spec.height_px, spec.rng("visits")) if spec.has_face else ()
        scenery = make_scenery(spec.seed * _SCENERY_COUNT + int(spec.rng("scenery").integers(_SCENERY_COUNT)))
        drawn = render(scenery, self.motion, self.camera, t_s, visits=visits, has_hands=is_work)
        for frame_index, (picture, box) in enumerate(drawn):
            if box is not None:
                faces.append(_face(frame_index, box))
            yield picture

    def _write_sensor(self, path: Path) -> None:
        spec = self.spec
        motion = self.motion
        if spec.broken is Breakage.FOREIGN_IMU:
            # Somebody who walks all the time: the same phases would make the same nods at the same times.
            elsewhere = (Phase(PhaseKind.WALK, 0.0, self.phases[-1].end_s),)
            motion = make_motion(elsewhere, spec.rng("foreign motion"))
        imu = measure(
            motion,
            duration_s=spec.frame_count / spec.fps,
            rate_hz=spec.rate_hz,
            clock=self.clock,
            camera_from_sensor=self.mount,
            errors=spec.errors,
            rng=spec.rng("sensor"),
        )
        write_imu(path, imu)

    def _write_glove(self) -> dict[str, Path]:
        """By stream, the files of the glove."""
        duration_s = self.spec.frame_count / self.spec.fps
        hand, touch = self.folder / "hand.csv", self.folder / "touch.parquet"
        write_hand(hand, hand_stream(duration_s, self.clock, self.spec.rng("hand")))
        write_touch(touch, touch_stream(duration_s, round(self.started_at.timestamp() * 1e6) * 1000))
        return {HAND_STREAM_ID: hand, TOUCH_STREAM_ID: touch}

    def _write_lens(self) -> dict[str, Any]:
        """The calibration of the camera, and its entry in the manifest."""
        path, camera = self.folder / "lens.json", self.camera
        centre = {"cx_px": (camera.width_px - 1) / 2, "cy_px": (camera.height_px - 1) / 2}
        focal = {"fx_px": camera.focal_px, "fy_px": camera.focal_px}
        size = {"width_px": camera.width_px, "height_px": camera.height_px}
        path.write_text(json.dumps({"model": "pinhole", **size, **focal, **centre, "distortion": [0.0] * 5}) + "\n")
        return {"path": path.name, "role": "calibration", "format": "lens", **_proof(path)}

    def _manifest(self, video: Path, sensors: Mapping[str, Path]) -> dict[str, Any]:
        spec = self.spec
        is_lost = spec.broken is Breakage.MISSING_CONSENT
        consent_id = spec.consent_id or f"consent-{spec.worker_id}"
        return {
            "manifest_version": 1,
            "session_id": spec.session_id,
            "worker_id": spec.worker_id,
            "collected_on": spec.collected_on.isoformat(),
            "started_at": self.started_at.isoformat(),
            "consent_id": f"{consent_id}-lost" if is_lost else consent_id,
            "task_id": spec.task_id,
            "site": {"country": "IN", "region": spec.region, "environment": spec.environment},
            "rig": {"model": "CapOne", "camera": "wide-80", "serial": spec.serial, "streams": self._streams()},
            "files": [
                {"path": video.name, "role": "video", "format": "mp4", **_proof(video)},
                *(
                    {
                        "path": path.name,
                        "role": "sensor",
                        "stream_id": stream_id,
                        "format": path.suffix.removeprefix("."),
                        **_proof(path),
                    }
                    for stream_id, path in sensors.items()
                ),
            ],
            "markers": [
                {name: value for name, value in asdict(marker).items() if value is not None} for marker in self.markers
            ],
            "worker_attributes": {"handedness": "right", "experience": "1-3 years"},
        }

    def _streams(self) -> list[dict[str, Any]]:
        head = {"stream_id": HEAD_STREAM_ID, "placement": "head", "kind": "imu", "rate_hz": self.spec.rate_hz}
        if not self.spec.has_glove:
            return [head]
        pose = {"stream_id": HAND_STREAM_ID, "placement": PLACEMENT, "kind": "pose", "rate_hz": HAND_RATE_HZ}
        touch = {"stream_id": TOUCH_STREAM_ID, "placement": PLACEMENT, "kind": "tactile", "rate_hz": TOUCH_RATE_HZ}
        return [head | {"clock": "cap_clock"}, pose | {"clock": "cap_clock"}, touch]

    def _truth(self, faces: tuple[FaceBox, ...]) -> SessionTruth:
        spec = self.spec
        is_moving = any(phase.kind is not PhaseKind.STILL for phase in self.phases)
        return SessionTruth(
            session_id=spec.session_id,
            worker_id=spec.worker_id,
            collected_on=spec.collected_on,
            task_id=spec.task_id,
            stream_id=HEAD_STREAM_ID,
            offset_ns=self.clock.offset_ns,
            drift_ppm=self.clock.drift_ppm,
            camera_from_sensor=self.mount,
            focal_px=self.camera.focal_px,
            width_px=spec.width_px,
            height_px=spec.height_px,
            frame_count=spec.frame_count,
            faces=faces,
            segments=segments_of(self.phases, spec.task_id),
            markers=self.markers,
            broken=None if spec.broken is None else spec.broken.value,
            expected_reason=None if spec.broken is None else EXPECTED_REASON[spec.broken],
            has_motion=is_moving,
            recipe_sha256=spec.recipe_sha256,
        )


def _face(frame_index: int, box: Box) -> FaceBox:
    return FaceBox(frame_index, *(round(value, 2) for value in (box.x, box.y, box.w, box.h)))


def _proof(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
