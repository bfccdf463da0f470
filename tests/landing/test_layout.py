from datetime import date
from pathlib import Path

import pytest

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.arrivals import arrival_of
from harchive_dagster.landing.layout import (
    list_sessions,
    list_worker_days,
    worker_day_folder,
)
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 14), "worker-7")


def _session(landing: Path, name: str, *, manifest: bytes | None = b"{}", day: WorkerDay = DAY) -> Path:
    folder = worker_day_folder(landing, day) / name
    folder.mkdir(parents=True)
    if manifest is not None:
        (folder / "manifest.json").write_bytes(manifest)
    return folder


def test_worker_days_are_listed_in_order_of_day_and_worker(tmp_path: Path) -> None:
    days = [
        WorkerDay(date(2026, 3, 14), "worker-7"),
        WorkerDay(date(2026, 3, 14), "worker-8"),
        WorkerDay(date(2026, 3, 15), "worker-1"),
    ]
    for day in reversed(days):
        _session(tmp_path, "ses-001", day=day)
    assert list_worker_days(tmp_path) == days
    assert list_worker_days(tmp_path, since=date(2026, 3, 15)) == days[2:]


@pytest.mark.parametrize(
    "stray",
    [
        "consents/worker-7",
        ".2026-03-14/worker-7",
        "20260314/worker-7",
        "2026-02-30/worker-7",
        "2026-03-15/.worker-7",
        "2026-03-15/Worker 7",
        "2026-03-15/w",
    ],
)
def test_folders_that_do_not_fit_are_passed_over(tmp_path: Path, stray: str) -> None:
    (tmp_path / stray).mkdir(parents=True)
    _session(tmp_path, "ses-001")
    assert list_worker_days(tmp_path) == [DAY]


def test_files_and_links_are_no_worker_days(tmp_path: Path) -> None:
    _session(tmp_path, "ses-001")
    (tmp_path / "2026-03-16").write_text("a file")
    (tmp_path / "2026-03-14" / "worker-8").write_text("a file")
    (tmp_path / "2026-03-14" / "worker-9").symlink_to(tmp_path / "2026-03-14" / "worker-7")
    assert list_worker_days(tmp_path) == [DAY]


def test_a_landing_folder_that_does_not_exist_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        list_worker_days(tmp_path / "nowhere")


def test_a_session_without_its_manifest_is_waiting(tmp_path: Path) -> None:
    whole = [_session(tmp_path, "ses-002"), _session(tmp_path, "ses-001")]
    coming = _session(tmp_path, "ses-003", manifest=None)
    listing = list_sessions(tmp_path, DAY)
    assert listing.complete == tuple(sorted(whole))
    assert listing.waiting == (coming,)
    assert listing.ignored == ()


def test_a_manifest_that_is_a_dangling_link_has_arrived(tmp_path: Path) -> None:
    folder = _session(tmp_path, "ses-001", manifest=None)
    (folder / "manifest.json").symlink_to("nowhere")
    assert list_sessions(tmp_path, DAY).complete == (folder,)
    assert arrival_of(tmp_path, DAY).digest


def test_what_cannot_be_a_session_is_named(tmp_path: Path) -> None:
    folder = _session(tmp_path, "ses-001")
    _session(tmp_path, "Session 2")
    (folder.parent / "notes.txt").write_text("")
    (folder.parent / ".DS_Store").write_text("")
    listing = list_sessions(tmp_path, DAY)
    assert listing.complete == (folder,)
    assert listing.ignored == ("'Session 2'", "'notes.txt'")


def test_a_worker_day_without_a_folder_has_no_sessions(tmp_path: Path) -> None:
    listing = list_sessions(tmp_path, DAY)
    assert (listing.complete, listing.waiting, listing.ignored) == ((), (), ())


def test_the_arrival_digest_changes_with_every_complete_upload_and_with_nothing_else(tmp_path: Path) -> None:
    nothing = arrival_of(tmp_path, DAY).digest
    first = _session(tmp_path, "ses-001")
    one = arrival_of(tmp_path, DAY).digest
    second = _session(tmp_path, "ses-002", manifest=None)
    (first / "cap.mp4").write_bytes(b"more")
    assert arrival_of(tmp_path, DAY).digest == one
    (second / "manifest.json").write_bytes(b"{}")
    two = arrival_of(tmp_path, DAY).digest
    (first / "manifest.json").write_bytes(b"{ }")
    assert len({nothing, one, two, arrival_of(tmp_path, DAY).digest}) == 4


def test_a_renamed_session_changes_the_arrival_digest(tmp_path: Path) -> None:
    folder = _session(tmp_path, "ses-001")
    before = arrival_of(tmp_path, DAY).digest
    folder.rename(folder.with_name("ses-009"))
    assert arrival_of(tmp_path, DAY).digest != before
