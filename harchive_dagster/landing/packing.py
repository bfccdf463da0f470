"""Makes an upload out of files and of what a person says about them. Putting it in place is for `placing`."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from harchive_dagster.errors import ConsentError, LandingError, SettingsError
from harchive_dagster.landing.calibration import format_of, read_lens, require_same_shape
from harchive_dagster.landing.fields import is_identifier, parse_day, parse_moment
from harchive_dagster.landing.inspection import InspectedFile, inspect_file
from harchive_dagster.landing.layout import list_sessions, worker_day_folder
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.landing.manifest_draft import Answers, RecordingTime, as_json, draft_manifest, manifest_problems
from harchive_dagster.landing.placing import SourceFile
from harchive_dagster.landing.rig_draft import draft_streams
from harchive_dagster.landing.upload_check import elsewhere, task_problem
from harchive_dagster.privacy.consent import ConsentRecord, check_consent, read_consent
from harchive_dagster.reasons import Reason
from harchive_dagster.worker_day import WorkerDay

_STAND_IN_TIME = datetime(2001, 1, 1, 12, tzinfo=UTC)
"""For a start that is not known, so that everything else can still be checked."""

_FIRST_YEAR_OF_SET_CLOCKS = 2001
"""Clocks that were never set show 1904, 1970, 1980 or 2000."""


@dataclass(frozen=True)
class Plan:
    """An upload that is ready to be put in place.

    Attributes:
        manifest: the bytes of its file.
        remarks: sentences about what was taken from where.
    """

    worker_day: WorkerDay
    session_id: str
    manifest: bytes
    sources: tuple[SourceFile, ...]
    remarks: tuple[str, ...]

    def folder_in(self, landing: Path) -> Path:
        """Where it belongs."""
        return worker_day_folder(landing, self.worker_day) / self.session_id


def plan_upload(
    paths: Sequence[Path],
    answers: Answers,
    *,
    landing: Path,
    calibration: Path | None = None,
    known_tasks: Collection[str],
    max_bytes: int,
    timezone: str,
    now: datetime,
) -> Plan:
    """Look into all files, and make the manifest. Nothing is written.

    Args:
        paths: one video, and sensor files.
        answers: what a person says.
        landing: where the upload will lie; its consents are looked at.
        calibration: file of the camera's lens.
        known_tasks: ids of the task catalogue.
        max_bytes: what the files of one session may come to.
        timezone: IANA name; where a start is only known in UTC, it says which day that was.
        now: aware; the time that consent must hold at.

    Raises:
        SettingsError: naming everything that is wrong.
    """
    problems: list[str] = []
    _refuse_same_names([*paths, *([calibration] if calibration else [])], problems)
    files = _inspect_all(paths, problems)
    lens = _lens(calibration, files, problems) if calibration else None
    total = sum(file.source.bytes for file in files) + (lens[0].bytes if lens else 0)
    if total > max_bytes:
        problems.append(f"the files have {total} bytes, and one session may have {max_bytes}")
    streams = draft_streams(
        files, problems, placements=answers.placements, without=answers.without, clocks=answers.clocks
    )
    files = [file for file in files if file.video or any(stream.file is file for stream in streams)]
    video = next((file for file in files if file.video), None)
    duration_ns = video.video.duration_ns if video and video.video else None
    time = _time(answers, video, ZoneInfo(timezone), now, problems)
    consent = _consent(landing, answers.consent_id, problems)
    document = draft_manifest(answers, time, consent, files, streams, [lens[1]] if lens else [], problems)
    problems += manifest_problems(document, duration_ns)
    problems += filter(None, [task_problem(answers.task_id, known_tasks)])
    if consent and time.is_known:
        problems += _consent_problems(consent, document, time, duration_ns or 0, now)
    session_id = str(document["session_id"])
    if not problems and landing.is_dir():
        others = elsewhere(landing, WorkerDay(time.collected_on, answers.worker_id), session_id)
        problems += [f"session {session_id!r} lies in {other} already" for other in others]
        problems += _twins(landing, WorkerDay(time.collected_on, answers.worker_id), session_id, document)
    if problems:
        raise SettingsError(
            f"{'; '.join(problems)}.",
            consequence="Nothing was packed.",
            mend="Correct the command or the files, and run it again.",
        )
    worker_day = WorkerDay(time.collected_on, answers.worker_id)
    remarks = tuple(_remarks(answers, time, video, consent))
    sources = (*(file.source for file in files), *([lens[0]] if lens else []))
    return Plan(worker_day, session_id, as_json(document), sources, remarks)


def _twins(landing: Path, worker_day: WorkerDay, session_id: str, document: dict[str, Any]) -> Iterator[str]:
    """Sessions of the same worker-day that declare the same video; the pipeline would set the second one aside."""
    mine = next(file["sha256"] for file in document["files"] if file["role"] == "video")
    for session in list_sessions(landing, worker_day).complete:
        if session.name == session_id:
            continue
        try:
            other = read_manifest(session)
        except LandingError:  # said when that one is taken in
            continue
        if other.video_file.sha256 == mine:
            yield f"session {session.name!r} of {worker_day} has the same video already"


def _remarks(
    answers: Answers, time: RecordingTime, video: InspectedFile | None, consent: ConsentRecord | None
) -> Iterator[str]:
    if video and not answers.started_at:
        yield (
            f"started_at {time.started_at.isoformat()} is the creation_time in {video.source.name!a}; some cameras "
            "write local time as UTC there, or the recording's end: --started-at says it better"
        )
    if consent is None:
        yield (
            f"warning: there is no consent record {answers.consent_id!r} in the landing folder yet; "
            "until it is there, the upload is quarantined"
        )


def _refuse_same_names(paths: Sequence[Path], problems: list[str]) -> None:
    for name, count in Counter(path.name for path in paths).items():
        if count > 1:
            problems.append(f"{count} files are named {name!a}")


def _lens(path: Path, files: Sequence[InspectedFile], problems: list[str]) -> tuple[SourceFile, dict[str, Any]] | None:
    """The camera's calibration and its entry in the manifest; None, with a sentence, where it cannot be used."""
    try:
        source, file_format = SourceFile.of(path), format_of(path)
        lens = read_lens(path, file_format)
        for video in (file.video for file in files if file.video):
            require_same_shape(lens, path.name, width_px=video.width_px, height_px=video.height_px)
    except OSError as error:
        problems.append(f"calibration {path.name!a} cannot be read: {error.strerror}")
    except ValueError as error:
        problems.append(f"calibration {error}")
    except LandingError as error:
        problems.append(error.detail.rstrip("."))
    else:
        return source, {**source.proof, "role": "calibration", "format": file_format}
    return None


def _inspect_all(paths: Sequence[Path], problems: list[str]) -> list[InspectedFile]:
    """The files that can be packed, the video first; the order they were named in makes no difference."""
    found = [inspect_file(path, problems) for path in paths]
    files = sorted(
        (file for file in found if file is not None), key=lambda file: (file.video is None, file.source.name)
    )
    videos = [file.source.name for file in files if file.video]
    if len(videos) > 1:
        problems.append(f"{', '.join(map(ascii, videos))} are {len(videos)} videos, and a session has one")
    if not videos and len(files) == len(paths):
        problems.append(
            "none of the files is a video, and a session has one; "
            "out of an MCAP file or a Sensor Logger archive `harchive extract-video` takes it"
        )
    return files


def _time(
    answers: Answers, video: InspectedFile | None, zone: ZoneInfo, now: datetime, problems: list[str]
) -> RecordingTime:
    said, found = answers.started_at, video.created_at if video else None
    started_at = parse_moment(said) if said else found
    if started_at and not _FIRST_YEAR_OF_SET_CLOCKS <= started_at.year <= now.year + 1:
        problems.append(
            f"the start {started_at.isoformat()} is not of a clock that was set: correct it by --started-at"
        )
        started_at = None
    elif said and not started_at:
        problems.append(f"--started-at {said!a} is not like 2026-03-02T09:30:00+05:30")
    elif video and not started_at:
        problems.append("when the recording started is not in the video: add --started-at")
    local = started_at or _STAND_IN_TIME
    # An offset of zero says that the time is UTC, not where the worker is.
    local = local if local.utcoffset() else local.astimezone(zone)
    day = parse_day(answers.collected_on) if answers.collected_on else local.date()
    if day is None:
        problems.append(f"--day {answers.collected_on!a} is not a day as YYYY-MM-DD")
    return RecordingTime(local, day or local.date(), is_known=started_at is not None)


def _consent(landing: Path, consent_id: str, problems: list[str]) -> ConsentRecord | None:
    """The record; None where it has not arrived yet, which may still happen."""
    if not is_identifier(consent_id):
        return None  # the manifest's check says so
    try:
        return read_consent(landing, consent_id)
    except ConsentError as error:
        if error.reason is not Reason.CONSENT_MISSING:
            problems.append(error.detail.rstrip("."))
        return None


def _consent_problems(
    consent: ConsentRecord, document: dict[str, Any], time: RecordingTime, duration_ns: int, now: datetime
) -> Iterator[str]:
    try:
        check_consent(
            consent,
            worker_id=document["worker_id"],
            started_at=time.started_at,
            ended_at=time.started_at + timedelta(microseconds=duration_ns // 1000),
            country=document["site"]["country"],
            now=now,
        )
    except ConsentError as error:
        yield error.detail.rstrip(".")
