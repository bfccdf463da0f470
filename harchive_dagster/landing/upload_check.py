"""Everything that is wrong with one upload, at once and for a person. The checks themselves are in the modules it asks.

The pipeline keeps the leading fault only; whoever has to mend an upload wants all of them. Nothing private is
repeated: no marker's note, no serial number, no place.
"""

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

from harchive_dagster.errors import ConsentError, LandingError, SessionRejectedError
from harchive_dagster.landing.calibration import read_lens, require_same_shape
from harchive_dagster.landing.formats.protocol import KIND_OF, Reading, unreadable
from harchive_dagster.landing.formats.registry import read_stream
from harchive_dagster.landing.gate_limits import stream_breaches, upload_breaches
from harchive_dagster.landing.integrity import require_within, verify_files
from harchive_dagster.landing.layout import MANIFEST_NAME, list_worker_days, worker_day_folder
from harchive_dagster.landing.manifest import Manifest, ManifestFile, StreamSpec, read_manifest
from harchive_dagster.landing.manifest_checks import require_private_within
from harchive_dagster.landing.streams import require_inertial
from harchive_dagster.privacy.consent import ConsentRecord, check_consent, read_consent
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import VideoFacts, probe_video
from harchive_dagster.worker_day import WorkerDay

T = TypeVar("T")
P = ParamSpec("P")

_LEAST_COVER = 0.8
"""Sensors have to cover four fifths of the frames (suite of synced_frames), and a video of that share is suspicious."""

_RUN_ON_S = 30.0
"""Sensors are switched on before the camera and off after it."""


@dataclass
class UploadReport:
    """What was found out about one upload.

    Attributes:
        name: `<day>/<worker>/<session>`.
        problems: sentences; any of them keeps the upload from being used.
        suspicions: sentences; what a person should look at, and the pipeline would go on with.
        video_sha256: what the manifest declares; None where it cannot be read.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    suspicions: list[str] = field(default_factory=list)
    video_sha256: str | None = None

    def tried(self, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What a check gives; None, and its refusal among the problems, where it refuses."""
        try:
            return check(*args, **kwargs)
        except SessionRejectedError as error:
            self.refuse(error.reason, error.detail, error.mend)
        except Exception as error:  # a defect of ours must not hide what else is wrong with an upload
            self.refuse(Reason.UNEXPECTED_ERROR, f"{type(error).__name__} while it was looked at.", "Report it.")
        return None

    def refuse(self, reason: Reason, detail: str, mend: str = "") -> None:
        """Note a problem."""
        self.problems.append(f"{reason}: {detail} {mend}".rstrip())


def task_problem(task_id: str | None, known_tasks: Collection[str]) -> str | None:
    """What is wrong with a task id, and which ones were perhaps meant; None where it is known or there is none."""
    if task_id is None or task_id in known_tasks:
        return None
    # 0.5: a slip of the hand or one wrong word of two, not any two words that share letters.
    near = difflib.get_close_matches(task_id, sorted(known_tasks), n=3, cutoff=0.5) or sorted(known_tasks)
    return f"task {task_id!r} is not in the task catalogue; there is {', '.join(near[:8])}"


def elsewhere(landing: Path, worker_day: WorkerDay, session_id: str) -> list[WorkerDay]:
    """The other worker-days in the landing folder that hold a session of the same id."""
    return [
        other
        for other in list_worker_days(landing)
        if other != worker_day and (worker_day_folder(landing, other) / session_id).is_dir()
    ]


def upload_name(session: Path) -> str:
    """`<day>/<worker>/<session>`, printable whatever the folders are called."""
    return "/".join(ascii(part)[1:-1] for part in session.parts[-3:])


def check_session(
    landing: Path,
    folder: Path,
    *,
    others: Collection[WorkerDay],
    known_tasks: Collection[str],
    max_bytes: int,
    now: datetime,
) -> UploadReport:
    """Everything that can be found out about one upload without decoding a picture.

    Args:
        landing: holds `consents`.
        folder: the session's.
        others: further worker-days that hold a session of the same id.
        known_tasks: ids of the task catalogue.
        max_bytes: what the files may come to.
        now: aware.
    """
    report = UploadReport(upload_name(folder))
    manifest = _manifest(report, folder)
    if manifest is None:
        return report
    report.video_sha256 = manifest.video_file.sha256
    consent = report.tried(read_consent, landing, manifest.consent_id)
    refusal = report.tried(_refusal, consent, manifest, None, now) if consent else None
    if refusal and refusal.reason is Reason.CONSENT_WITHDRAWN:
        report.refuse(refusal.reason, refusal.detail, refusal.mend)
        report.suspicions.append("nothing else was looked at: a recording that is withdrawn is not opened")
        return report
    report.tried(require_within, folder, manifest, max_bytes)
    present = report.tried(_check_files, report, folder, manifest) or frozenset()
    video = manifest.video_file
    facts = report.tried(probe_video, folder / video.path) if video.path in present else None
    refusal = report.tried(_refusal, consent, manifest, facts, now) if consent else None
    if refusal:
        report.refuse(refusal.reason, refusal.detail, refusal.mend)
    problem = task_problem(manifest.task_id, known_tasks)
    if problem:
        report.refuse(Reason.TASK_UNKNOWN, f"{problem}.")
    for other in others:
        report.refuse(Reason.DUPLICATE_SESSION, f"the same session id lies in {other}.", "Give one of them another id.")
    if facts:
        report.tried(_check_recording, report, manifest, facts, now)
    report.tried(require_inertial, manifest)
    if manifest.lens_file and manifest.lens_file.path in present:
        report.tried(_check_lens, folder, manifest, facts)
    left_out: set[str] = set()
    for file in manifest.sensor_files:
        if file.path in present:
            left_out |= report.tried(_check_stream, report, folder, manifest, file, facts) or set()
    report.suspicions += sorted(left_out)
    return report


def _manifest(report: UploadReport, folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except SessionRejectedError as error:
        problems = error.evidence.get("problems") or [error.detail]
        report.problems += [f"{error.reason}: {problem}" for problem in problems]
        report.suspicions.append("nothing else could be checked: the manifest has to be right first")
        return None


def _check_files(report: UploadReport, folder: Path, manifest: Manifest) -> frozenset[str]:
    """The declared files that are there to be looked into."""
    present = {file.path: file for file in manifest.files}
    while present:
        try:
            verify_files(folder, replace(manifest, files=tuple(present.values())))
            break
        except SessionRejectedError as error:
            faulty = error.evidence.get("files", [])
            for one in faulty:
                report.problems.append(f"{error.reason}: file {one['path']!r} {one['what']}.")
            if error.reason is not Reason.FILE_MISSING or not faulty:
                break
            # Differences are told only when nothing is missing: ask again about the rest.
            present = {path: file for path, file in present.items() if path not in {one["path"] for one in faulty}}
    declared = {file.path for file in manifest.files} | {MANIFEST_NAME}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in declared and not path.name.startswith("."):
            report.suspicions.append(f"file {name!a} lies in the folder and is not in the manifest")
    return frozenset(present)


def _refusal(
    consent: ConsentRecord, manifest: Manifest, facts: VideoFacts | None, now: datetime
) -> ConsentError | None:
    duration = timedelta(microseconds=facts.duration_ns // 1000 if facts else 0)
    try:
        check_consent(
            consent,
            worker_id=manifest.worker_id,
            started_at=manifest.started_at,
            ended_at=manifest.started_at + duration,
            country=manifest.site.country,
            now=now,
        )
    except ConsentError as error:
        return error
    return None


def _check_recording(report: UploadReport, manifest: Manifest, facts: VideoFacts, now: datetime) -> None:
    for reason, sentence in upload_breaches(manifest, facts, now):
        report.refuse(reason, sentence)
    report.tried(require_private_within, manifest.markers, facts.duration_ns)
    for marker in manifest.markers:
        if marker.at_ns > facts.duration_ns and not marker.kind.startswith("private_"):
            report.suspicions.append(
                f"marker {marker.kind} at {marker.at_ns / 1e9:.3f} s lies after the video's end "
                f"at {facts.duration_ns / 1e9:.3f} s"
            )


def _check_lens(folder: Path, manifest: Manifest, facts: VideoFacts | None) -> None:
    file = manifest.lens_file
    assert file is not None
    lens = read_lens(folder / file.path, file.format)
    if facts:
        require_same_shape(lens, file.path, width_px=facts.width_px, height_px=facts.height_px)


def _check_stream(
    report: UploadReport, folder: Path, manifest: Manifest, file: ManifestFile, facts: VideoFacts | None
) -> set[str]:
    """Notes what is wrong with one stream; gives back what reading it left out, which streams of a file may share."""
    spec = manifest.stream_of(file)
    if spec.kind not in KIND_OF.values():
        report.suspicions.append(f"stream {spec.stream_id!r} is of kind {spec.kind!r}, which nothing reads")
        return set()
    reading = report.tried(_read, folder, file, spec)
    if reading is None:
        return set()
    for reason, sentence in stream_breaches(manifest, reading.stream, spec):
        report.refuse(reason, f"stream {spec.stream_id!r}: {sentence}")
    times_ns = reading.stream.t_device_ns
    span_s = int(times_ns[-1] - times_ns[0]) / 1e9
    video_s = facts.duration_ns / 1e9 if facts else span_s
    if span_s < _LEAST_COVER * video_s or video_s < _LEAST_COVER * (span_s - _RUN_ON_S):
        report.suspicions.append(f"stream {spec.stream_id!r} lasts {span_s:.1f} s, the video {video_s:.1f} s")
    return {f"file {file.path!r} is read without {one}" for one in reading.dropped}


def _read(folder: Path, file: ManifestFile, spec: StreamSpec) -> Reading:
    path = folder / file.path
    try:
        return read_stream(path, spec, file_format=file.format, channel=file.channel)
    except LandingError as error:
        if spec.kind != "gps":
            raise
        # What a reader quotes of a damaged file may be a place.
        raise unreadable(
            path, spec, "cannot be read as positions; what is wrong is not shown", mend=error.mend
        ) from None
