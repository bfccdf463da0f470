"""Videos that lie in one file with their sensors: found, taken out as they are, and their start told."""

import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.contained_video import contained_videos, take_out
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
    with pytest.raises(SettingsError, match=r"holds 2 videos that could be meant; it has .*--channel"):
        take_out(archive, tmp_path / "cap.mp4")
    with pytest.raises(SettingsError, match=r"0 videos that could be meant by '/other'.* Nothing was written"):
        take_out(archive, tmp_path / "cap.mp4", "/other")
    assert take_out(archive, tmp_path / "cap.mp4", second).name == second


def test_a_file_without_a_video_says_so_and_nothing_is_left(tmp_path):
    (tmp_path / "imu.csv").write_text("t_device_ns\n1\n")
    with pytest.raises(SettingsError, match="it has none"):
        take_out(tmp_path / "imu.csv", tmp_path / "cap.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["imu.csv"]


@pytest.fixture(params=["recorder.mcap", "phone.zip"])
def source(request, tmp_path, make_recorder_file):
    """A recording with one video, of each container."""
    path = tmp_path / request.param
    is_mcap = path.suffix == ".mcap"
    return make_recorder_file(path) if is_mcap else phone_archive(path, "Camera/1772424000000.mp4")


def _itself(source):
    return source


def _another_video(source):
    target = source.with_name("cap.mp4")
    target.write_text("the only copy")
    return target


def _dangling_link(source):
    target = source.with_name("cap.mp4")
    target.symlink_to("nowhere")
    return target


@pytest.mark.parametrize("target_of", [_itself, _another_video, _dangling_link])
def test_nothing_that_is_there_is_overwritten(source, target_of):
    before, target = source.read_bytes(), target_of(source)
    content = target.read_bytes() if target.exists() else None
    with pytest.raises(SettingsError, match=r"is there already\. Nothing was written"):
        take_out(source, target)
    assert (source.read_bytes(), target.read_bytes() if target.exists() else None) == (before, content)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere/cap.mp4", "No such file"),
        (f"{'a' * 250}.mp4", "name too long"),
        ("recorder.txt/cap.mp4", "Not a directory"),
    ],
)
def test_a_target_that_cannot_be_written_is_not_blamed_on_the_recording(source, name, problem):
    source.with_name("recorder.txt").touch()
    before = sorted(path.name for path in source.parent.iterdir())
    with pytest.raises(SettingsError, match=rf"(cap|a)\.mp4. cannot be written: .*{problem}.* Nothing was written"):
        take_out(source, source.parent / name)
    assert sorted(path.name for path in source.parent.iterdir()) == before


def test_a_disk_that_is_full_is_not_blamed_on_the_recording(source):
    # The hidden file that is written first leads to a device that takes nothing.
    source.with_name(".cap.mp4.partial").symlink_to("/dev/full")
    with pytest.raises(SettingsError, match=r"cap\.mp4' cannot be written: No space left"):
        take_out(source, source.with_name("cap.mp4"))
    assert [path.name for path in source.parent.iterdir()] == [source.name]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: None, "cannot be read: No such file"),
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is not a regular file"),
    ],
)
def test_a_source_that_is_no_file_is_said_to_be_none(tmp_path, make, problem):
    make(tmp_path / "recorder.mcap")
    with pytest.raises(SettingsError, match=rf"recorder\.mcap' {problem}"):
        take_out(tmp_path / "recorder.mcap", tmp_path / "cap.mp4")
