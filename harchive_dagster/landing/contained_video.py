"""Takes a video out of a recording that holds it beside its sensors, as it is. How each container is laid out is in
`formats`.
"""

import os
import shutil
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harchive_dagster.errors import LandingError, SettingsError
from harchive_dagster.landing.archives import open_archive
from harchive_dagster.landing.formats.mcap_video import begun, extract_video, not_written, video_channels
from harchive_dagster.landing.formats.sensor_logger import camera_videos
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.wall_clock import counts_from_1970, utc_moment


@dataclass(frozen=True)
class ContainedVideo:
    """A video that was taken out.

    Attributes:
        name: of the topic or archive member.
        started_at: of its first picture, UTC, where the file's clock is one.
        is_exact: whether that time is the picture's own, or only near it.
        remarks: what was left out.
    """

    name: str
    started_at: datetime | None
    is_exact: bool
    remarks: tuple[str, ...] = ()


def contained_videos(path: Path) -> tuple[str, ...]:
    """Names of the videos in an MCAP file or a Sensor Logger archive; none for any other file.

    Raises:
        LandingError: the file is damaged or unsafe.
    """
    topics = tuple(channel.name for channel in video_channels(path))
    return topics or tuple(video.member for video in camera_videos(path))


def take_out(path: Path, target: Path, name: str = "") -> ContainedVideo:
    """Write one video into a new file of its own, whole or not at all.

    Args:
        path: MCAP file or Sensor Logger archive.
        target: the new file.
        name: which video; may be empty where there is only one.

    Raises:
        SettingsError: there is no such file, no such video in it, several to choose from, one that cannot be taken
            out, or a target that is there already or cannot be written.
    """
    _require_file(path)
    if os.path.lexists(target):  # it may be the recording itself
        raise _refused(f"{str(target)!a} is there already.", "Name a file that is not there yet.")
    try:
        return _taken_out(path, target, name)
    except LandingError as error:  # no session is set aside here, as such an error says
        raise _refused(error.detail, error.mend) from None


def _require_file(path: Path) -> None:
    try:
        # Asked before opening: a pipe would be waited for without end.
        problem = None if stat.S_ISREG(path.stat().st_mode) else "is not a regular file"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    if problem:
        raise _refused(f"{str(path)!a} {problem}.", "Name an MCAP file or an archive of the Sensor Logger app.")


def _refused(culprit: str, mend: str) -> SettingsError:
    return SettingsError(culprit, consequence="Nothing was written.", mend=mend)


def _taken_out(path: Path, target: Path, name: str) -> ContainedVideo:
    names = contained_videos(path)
    wanted = [one for one in names if name in ("", one)]
    if len(wanted) != 1:
        raise LandingError(
            Reason.VIDEO_UNREADABLE,
            f"file {path.name!a} holds {len(wanted)} videos that could be meant"
            f"{f' by {name!a}' if name else ''}; it has {', '.join(map(ascii, names[:8])) or 'none'}.",
            mend="Name one of them by --channel." if names else "Give a file that holds a video.",
            evidence={"file": path.name},
        )
    videos = {video.member: video for video in camera_videos(path)}
    if wanted[0] in videos:
        _copy_member(path, wanted[0], target)
        started_at = utc_moment(videos[wanted[0]].session_start_ms * 1_000_000)
        return ContainedVideo(wanted[0], started_at, is_exact=False)
    extracted = extract_video(path, wanted[0], target)
    first = utc_moment(extracted.first_time_ns) if counts_from_1970(extracted.first_time_ns) else None
    return ContainedVideo(wanted[0], first, is_exact=True, remarks=tuple(map(str, extracted.dropped)))


def _copy_member(path: Path, member: str, target: Path) -> None:
    partial = begun(target)
    try:
        with open_archive(path) as archive, archive.open(member) as source, partial.open("wb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
        partial.replace(target)
    except OSError as error:  # the archive's own come as LandingError
        raise not_written(target, error) from None
    finally:
        partial.unlink(missing_ok=True)
