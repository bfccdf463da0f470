"""Videos that lie in one file with their sensors: found, taken out as they are, and their start told."""

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.contained_video import contained_videos, take_out
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import probe_video


def phone_archive(path: Path, *members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Metadata.csv", "platform,standardisation\nandroid,true\n")
        for member in members:
            archive.writestr(member, f"pictures of {member}")
    return path


def test_the_video_of_an_mcap_file_keeps_its_frames_and_tells_its_start(tmp_path, make_recorder_file):
    recorder = make_recorder_file(tmp_path / "recorder.mcap")
    assert contained_videos(recorder) == ("/camera",)
    video = take_out(recorder, tmp_path / "cap.mp4")
    assert (video.name, video.is_exact) == ("/camera", True)
    assert video.started_at == datetime(2026, 3, 2, 4, tzinfo=UTC)
    facts = probe_video(tmp_path / "cap.mp4")
    assert (facts.frame_count, facts.codec) == (60, "h264")


def test_the_video_of_a_phone_s_archive_is_copied_byte_for_byte(tmp_path):
    member = "Camera/1772424000000.mp4"
    video = take_out(phone_archive(tmp_path / "phone.zip", member), tmp_path / "cap.mp4")
    assert (tmp_path / "cap.mp4").read_text() == f"pictures of {member}"
    assert (video.started_at, video.is_exact) == (datetime(2026, 3, 2, 4, tzinfo=UTC), False)


def test_one_of_several_videos_is_named(tmp_path):
    first, second = "Camera/1772424000000.mp4", "Camera/1772424060000.mp4"
    archive = phone_archive(tmp_path / "phone.zip", first, second)
    with pytest.raises(LandingError, match=r"holds 2 videos that could be meant; it has .*--channel"):
        take_out(archive, tmp_path / "cap.mp4")
    assert take_out(archive, tmp_path / "cap.mp4", second).name == second
    with pytest.raises(LandingError, match="0 videos that could be meant by '/other'") as caught:
        take_out(archive, tmp_path / "cap.mp4", "/other")
    assert caught.value.reason is Reason.VIDEO_UNREADABLE


def test_a_file_without_a_video_says_so_and_nothing_is_left(tmp_path):
    (tmp_path / "imu.csv").write_text("t_device_ns\n1\n")
    with pytest.raises(LandingError, match="it has none"):
        take_out(tmp_path / "imu.csv", tmp_path / "cap.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["imu.csv"]
