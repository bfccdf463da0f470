import os
from pathlib import Path

import pytest

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.integrity import verify_files
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.reasons import Reason


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
