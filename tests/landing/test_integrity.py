import hashlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harchive_dagster.errors import LandingError
from harchive_dagster.landing import hashing
from harchive_dagster.landing.hashing import HashingFile, sha256_of
from harchive_dagster.landing.integrity import require_within, verify_files
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import probe_video


def test_files_as_declared_pass(session_folder: Path) -> None:
    assert verify_files(session_folder, read_manifest(session_folder)) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"t_device_nX\n", "file 'imu.csv' has SHA-256 [0-9a-f]{64}, declared [0-9a-f]{64}"),
        (b"t_device_ns", "file 'imu.csv' has 11 bytes, declared 12"),
        (b"", "file 'imu.csv' has 0 bytes, declared 12"),
    ],
)
def test_changed_content_is_a_checksum_mismatch(session_folder: Path, content: bytes, problem: str) -> None:
    manifest = read_manifest(session_folder)
    (session_folder / "imu.csv").write_bytes(content)
    with pytest.raises(LandingError, match=problem) as caught:
        verify_files(session_folder, manifest)
    assert caught.value.reason is Reason.CHECKSUM_MISMATCH
    (found,) = caught.value.evidence["files"]
    assert found["path"] == "imu.csv"
    assert found["declared"] != found["found"]


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "pipe"])
def test_what_is_no_regular_file_is_missing(session_folder: Path, kind: str) -> None:
    manifest = read_manifest(session_folder)
    path = session_folder / "imu.csv"
    path.rename(session_folder / "elsewhere.csv")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(session_folder / "elsewhere.csv")
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(LandingError, match=r"file 'imu\.csv'") as caught:
        verify_files(session_folder, manifest)
    assert caught.value.reason is Reason.FILE_MISSING


def test_every_missing_file_is_named_before_any_content_is_judged(session_folder: Path) -> None:
    manifest = read_manifest(session_folder)
    for name in ("imu.csv", "cap.mp4"):
        (session_folder / name).unlink()
    with pytest.raises(LandingError, match="1 more file") as caught:
        verify_files(session_folder, manifest)
    assert [file["path"] for file in caught.value.evidence["files"]] == ["cap.mp4", "imu.csv"]


def test_a_digest_that_somebody_computed_on_the_way_is_held_against_the_manifest(session_folder: Path) -> None:
    manifest = read_manifest(session_folder)
    asked: list[str] = []

    def digest_of(path: Path) -> str:
        asked.append(path.name)
        return sha256_of(path) if path.suffix == ".csv" else "0" * 64

    with pytest.raises(LandingError, match=r"file 'cap\.mp4' has SHA-256 0{64}"):
        verify_files(session_folder, manifest, digest_of=digest_of)
    assert asked == ["cap.mp4", "imu.csv"]


def test_a_file_of_another_size_is_not_read_at_all(session_folder: Path) -> None:
    manifest = read_manifest(session_folder)
    (session_folder / "cap.mp4").write_bytes(b"short")
    (session_folder / "imu.csv").write_bytes(b"short")
    with pytest.raises(LandingError, match="has 5 bytes, declared"):
        verify_files(session_folder, manifest, digest_of=lambda path: pytest.fail(f"{path.name} was read"))


@pytest.mark.parametrize(("limit", "is_within"), [(30, True), (29, False), (1, False)])
def test_the_limit_holds_for_all_files_together(session_folder: Path, limit: int, is_within: bool) -> None:
    manifest = read_manifest(session_folder)
    if is_within:
        assert require_within(session_folder, manifest, limit) is None
        return
    with pytest.raises(LandingError, match=rf"declared to have 30 bytes, 18 of them in 'cap.mp4'; at most {limit} are"):
        require_within(session_folder, manifest, limit)


def test_what_is_there_counts_even_if_less_was_declared_and_links_are_not_followed(session_folder: Path) -> None:
    manifest = read_manifest(session_folder)
    large = session_folder / "large"
    large.touch()
    os.truncate(large, 2**40)
    (session_folder / "imu.csv").unlink()
    (session_folder / "imu.csv").symlink_to(large)
    assert require_within(session_folder, manifest, 1000) is None
    (session_folder / "imu.csv").unlink()
    large.rename(session_folder / "imu.csv")
    with pytest.raises(LandingError, match=r"have \d+ bytes, 1099511627776 of them in 'imu\.csv'") as caught:
        require_within(session_folder, manifest, 1000)
    assert caught.value.reason is Reason.FILE_TOO_LARGE


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300),
    moves=st.lists(st.tuples(st.integers(0, 320), st.integers(-1, 120)), max_size=12),
    gap=st.integers(0, 60),
)
def test_reading_in_any_order_gives_the_same_bytes_and_the_whole_files_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, moves: list[tuple[int, int]], gap: int
) -> None:
    monkeypatch.setattr(hashing, "_LARGEST_GAP_BYTES", gap)
    path = tmp_path / "cap.mp4"
    path.write_bytes(content)
    with HashingFile(path) as file:
        for start, size in moves:
            assert file.seek(start) == start
            assert file.read(size) == (content[start:] if size < 0 else content[start : start + size])
            assert file.tell() == max(start, min(len(content), start + size) if size >= 0 else len(content))
        assert file.sha256() == hashlib.sha256(content).hexdigest()


def _recording(path: Path, *, is_interleaved: bool, **options: Any) -> Path:
    """Four seconds of noise with sound: some megabytes whose end holds the index, unless the options say otherwise."""
    chance = np.random.default_rng(0)
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "qp": "4"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 192_000), np.int16), format="s16", layout="mono")
        sound.sample_rate, sound.pts = 48_000, 0
        packets = []
        for number in range(100):
            frame = av.VideoFrame.from_ndarray(chance.integers(0, 255, (360, 320), np.uint8), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        packets += audio.encode(sound) + audio.encode(None)
        for packet in packets:
            (container.mux if is_interleaved else container.mux_one)(packet)
    return path


@pytest.mark.parametrize(
    ("suffix", "options", "is_interleaved"),
    [
        ("mov", {}, True),
        ("mov", {"movflags": "faststart"}, True),
        ("mov", {"movflags": "frag_keyframe+empty_moov"}, True),
        ("mov", {}, False),
        ("mkv", {}, True),
    ],
)
def test_probing_a_video_hashes_it_without_reading_it_twice(
    tmp_path: Path, suffix: str, options: dict[str, str], is_interleaved: bool
) -> None:
    path = _recording(tmp_path / f"cap.{suffix}", is_interleaved=is_interleaved, **options)
    with HashingFile(path) as content:
        facts = probe_video(path, content=content)
        assert content.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
        assert content.bytes_read <= 1.02 * path.stat().st_size + 2**20
    assert facts == probe_video(path)
    assert path.stat().st_size > 8 * 2**20
