"""What one worker-day's uploads become: rows and faults, in the order in which a person would want to hear of them."""

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harchive_dagster.demo.clip import ClipTags, write_clip
from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.errors import SettingsError, StoreError
from harchive_dagster.landing import intake as module
from harchive_dagster.landing.intake import Intake, KnownSession, take_in
from harchive_dagster.landing.object_store import UnlistableError
from harchive_dagster.landing.storage import Landing
from harchive_dagster.reasons import Reason
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 14), "worker-7")
OTHER_DAY = WorkerDay(date(2026, 3, 13), "worker-7")
NOW = datetime(2026, 3, 15, tzinfo=UTC)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Three recordings of 12 frames, no two of which have the same bytes."""
    folder = tmp_path_factory.mktemp("clips")
    contents = []
    for shade in (40, 120, 200):
        pictures = [np.full((64, 96, 3), shade + number, np.uint8) for number in range(12)]
        tags = ClipTags(NOW, location="+1+1/", serial="SN")
        write_clip(folder / "cap.mp4", pictures, fps=12, size_px=(96, 64), duration_s=1.0, tags=tags)
        contents.append((folder / "cap.mp4").read_bytes())
    return contents


Upload = Callable[..., Path]


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    write_consent(tmp_path, DAY.worker_id, first_day=DAY.collected_on, consent_id="consent-7")
    return Landing(tmp_path, tmp_path / "annotations")


@pytest.fixture
def upload(landing: Landing, manifest_json: Callable[..., dict[str, Any]], clips: list[bytes]) -> Upload:
    """Puts a whole upload into the landing; `video` is its recording's bytes."""

    def put(session_id: str, *, video: bytes | None = None, **overrides: Any) -> Path:
        folder = landing.session_folder(DAY, session_id)
        folder.mkdir(parents=True)
        contents = {"cap.mp4": clips[0] if video is None else video, "imu.csv": b"t_device_ns\n"}
        document = manifest_json(session_id=session_id, **{"markers": [], **overrides})
        for file in document["files"]:
            content = contents[file["path"]]
            (folder / file["path"]).write_bytes(content)
            file |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (folder / "manifest.json").write_text(json.dumps(document))
        return folder

    return put


def taken_in(landing: Landing, known: dict[str, KnownSession] | None = None) -> Intake:
    return take_in(
        landing,
        DAY,
        participant_id="p-1",
        known_tasks=frozenset({"fold_laundry"}),
        known_sessions=known or {},
        now=NOW,
    )


def reasons(intake: Intake) -> dict[str, str]:
    return {session_id: fault.reason.value for session_id, fault in intake.faults.items()}


def known_from(intake: Intake, day: WorkerDay = DAY, **changes: datetime) -> dict[str, KnownSession]:
    """What the lake would say after this intake."""
    return {
        row["session_id"]: KnownSession(
            day, row["manifest_sha256"], row["video_sha256"], changes.get("ingested_at_utc", row["ingested_at_utc"])
        )
        for row in intake.rows
        if row["session_id"] not in intake.faults
    }


def edit_consent(landing: Landing, **changes: Any) -> None:
    path = landing.uploads / "consents" / "consent-7.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_whole_upload_becomes_a_row_of_measured_figures(landing: Landing, upload: Upload, clips: list[bytes]) -> None:
    upload("ses-001")
    intake = taken_in(landing)
    (row,) = intake.rows
    assert not intake.faults
    assert (row["frame_count"], row["width_px"], row["video_codec"]) == (12, 96, "h264")
    assert row["video_sha256"] == hashlib.sha256(clips[0]).hexdigest()
    assert row["bytes"] == len(clips[0]) + 12


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "late"),
    [
        (400_000_000, 2_000_000_000, None),
        (400_000_000, 400_000_000_000, r"markers\[1\] \(private_end\) is at 400.000 s, beyond the video, .* 1.000 s"),
        (3_000_000_000_000, 4_000_000_000_000, r"markers\[0\] \(private_start\) is at 3000.000 s; markers\[1\]"),
    ],
)
def test_private_time_beyond_the_video_is_not_taken_for_nothing(
    landing: Landing, upload: Upload, start_ns: int, end_ns: int, late: str | None
) -> None:
    pair = [{"at_ns": start_ns, "kind": "private_start"}, {"at_ns": end_ns, "kind": "private_end"}]
    upload("ses-001", markers=pair)
    intake = taken_in(landing)
    assert reasons(intake) == ({"ses-001": "manifest_invalid"} if late else {})
    for fault in intake.faults.values():
        assert late is not None
        assert re.search(late, fault.detail)


def damaged(video: bytes) -> bytes:
    return video[: len(video) // 2] + bytes([video[len(video) // 2] ^ 0xFF]) + video[len(video) // 2 + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [damaged, lambda video: b"x" * len(video), lambda video: video[:40] + bytes(len(video) - 40)],
    ids=["one byte", "no video any more", "zeros from its middle on"],
)
def test_bytes_that_are_not_the_recorded_ones_are_reported_before_the_video_is_judged(
    landing: Landing, upload: Upload, spoil: Callable[[bytes], bytes]
) -> None:
    video = upload("ses-001") / "cap.mp4"
    video.write_bytes(spoil(video.read_bytes()))
    assert reasons(taken_in(landing)) == {"ses-001": "checksum_mismatch"}


@pytest.mark.parametrize(
    ("video", "reason"),
    [(b"not a video", "video_unreadable"), (b"", "video_unreadable"), (None, "video_truncated")],
    ids=["text", "empty", "cut"],
)
def test_a_video_that_was_uploaded_as_it_is_but_cannot_be_read_is_its_own_fault(
    landing: Landing, upload: Upload, clips: list[bytes], video: bytes | None, reason: str
) -> None:
    upload("ses-001", video=clips[0][: len(clips[0]) * 2 // 3] if video is None else video)
    intake = taken_in(landing)
    assert reasons(intake) == {"ses-001": reason}
    (row,) = intake.rows_with_status({"ses-001": Reason(reason)})
    assert (row["status"], row["duration_ns"]) == ("quarantined", None)


@pytest.mark.parametrize(("limit", "is_taken"), [(10**9, True), (100, False)])
def test_more_than_the_limit_is_refused_unread(
    landing: Landing, upload: Upload, limit: int, is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload("ses-001")
    opened = spy_on_files(monkeypatch)
    intake = taken_in(Landing(landing.uploads, landing.annotations, max_session_bytes=limit))
    assert reasons(intake) == ({} if is_taken else {"ses-001": "file_too_large"})
    assert bool(opened) is is_taken


def test_a_file_larger_than_declared_counts_as_what_it_is(landing: Landing, upload: Upload) -> None:
    with (upload("ses-001") / "imu.csv").open("r+b") as file:
        file.truncate(2**40)
    (fault,) = taken_in(landing).faults.values()
    assert fault.reason is Reason.FILE_TOO_LARGE
    assert fault.evidence["found_bytes"] > 2**40 > fault.evidence["limit_bytes"] > fault.evidence["declared_bytes"]


def spy_on_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content anybody of the intake asks for."""
    opened: list[str] = []

    def watch(name: str) -> None:
        real = getattr(module, name)

        def seen(path: Path, *args: Any, **more: Any) -> Any:
            opened.append(f"{name} {path.name}")
            return real(path, *args, **more)

        monkeypatch.setattr(module, name, seen)

    for name in ("probe_video", "sha256_of", "HashingFile"):
        watch(name)
    return opened


REFUSED_CONSENTS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "none": (None, "consent_missing"),
    "withdrawn": ({"withdrawn_at": "2026-03-14T12:00:00Z"}, "consent_withdrawn"),
    "run out": ({"valid_until": "2026-03-01T00:00:00Z"}, "consent_invalid"),
    "not yet begun": ({"valid_from": "2026-03-15T00:00:00Z"}, "consent_invalid"),
    "of somebody else": ({"principal_id": "worker-8"}, "consent_invalid"),
    "for something else": ({"purposes": ["quality_assurance"]}, "consent_invalid"),
    "elsewhere": ({"jurisdiction": "DE"}, "consent_invalid"),
    "incomplete": ({"controllers": []}, "consent_invalid"),
}


@pytest.mark.parametrize(("changes", "reason"), REFUSED_CONSENTS.values(), ids=REFUSED_CONSENTS.keys())
def test_no_file_is_opened_of_an_upload_that_consent_does_not_cover(
    landing: Landing,
    upload: Upload,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any] | None,
    reason: str,
) -> None:
    upload("ses-001", video=b"whatever else is wrong")
    if changes is None:
        (landing.uploads / "consents" / "consent-7.json").unlink()
    else:
        edit_consent(landing, **changes)
    opened = spy_on_files(monkeypatch)
    intake = taken_in(landing)
    assert reasons(intake) == {"ses-001": reason}
    assert not opened
    (row,) = intake.rows
    assert (row["consent_id"], row["frame_count"]) == ("consent-7", None)


def test_a_recording_that_outlasts_its_consent_is_refused_once_its_length_is_known(
    landing: Landing, upload: Upload
) -> None:
    upload("ses-001")
    edit_consent(landing, valid_until="2026-03-14T04:00:00.5Z")
    (fault,) = taken_in(landing).faults.values()
    assert fault.reason is Reason.CONSENT_INVALID
    assert "recorded to" in fault.detail


def test_the_same_video_under_two_ids_belongs_to_the_first_by_name(landing: Landing, upload: Upload) -> None:
    upload("ses-002")
    upload("ses-001")
    intake = taken_in(landing)
    assert reasons(intake) == {"ses-002": "duplicate_session"}
    assert intake.faults["ses-002"].evidence["session_id"] == "ses-001"
    assert "same video as 'ses-001'" in intake.faults["ses-002"].detail


def test_running_again_gives_the_same_verdict(landing: Landing, upload: Upload) -> None:
    for name in ("ses-003", "ses-001", "ses-002"):
        upload(name)
    first = taken_in(landing)
    again = taken_in(landing, known_from(first))
    assert reasons(again) == reasons(first) == {"ses-002": "duplicate_session", "ses-003": "duplicate_session"}


def test_a_copy_that_arrives_later_does_not_oust_what_was_taken_in_whatever_its_name(
    landing: Landing, upload: Upload
) -> None:
    upload("ses-002")
    known = known_from(taken_in(landing))
    upload("ses-001")
    assert reasons(taken_in(landing, known)) == {"ses-001": "duplicate_session"}


def test_a_copy_takes_the_place_of_an_original_that_was_deleted_or_is_not_sound(
    landing: Landing, upload: Upload
) -> None:
    folder = upload("ses-001")
    known = known_from(taken_in(landing))
    upload("ses-002")
    (folder / "imu.csv").write_bytes(b"spoilt")
    assert reasons(taken_in(landing, known)) == {"ses-001": "checksum_mismatch"}
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert not taken_in(landing, known).faults


def test_a_video_of_another_worker_day_is_a_copy_if_that_one_was_first(landing: Landing, upload: Upload) -> None:
    upload("ses-002")
    put_elsewhere(landing, "ses-001")
    intake = taken_in(landing)
    (row,) = intake.rows
    for apart, expected in ((-1, {"ses-002": "duplicate_session"}), (1, {})):
        elsewhere = KnownSession(OTHER_DAY, "0" * 64, row["video_sha256"], NOW + timedelta(hours=apart))
        known = known_from(intake) | {"ses-001": elsewhere}
        assert reasons(taken_in(landing, known)) == expected
    new_here = {"ses-001": KnownSession(OTHER_DAY, "0" * 64, row["video_sha256"], NOW + timedelta(hours=1))}
    (fault,) = taken_in(landing, new_here).faults.values()
    assert fault.evidence["first_seen"] == str(OTHER_DAY)


def test_a_corrected_video_under_a_known_id_is_no_longer_the_original(
    landing: Landing, upload: Upload, clips: list[bytes]
) -> None:
    upload("ses-001", video=clips[1])
    upload("ses-002", video=clips[0])
    known = {
        "ses-001": KnownSession(DAY, "0" * 64, hashlib.sha256(clips[0]).hexdigest(), NOW - timedelta(days=1)),
    }
    assert not taken_in(landing, known).faults


def test_different_videos_are_no_copies(landing: Landing, upload: Upload, clips: list[bytes]) -> None:
    for number, video in enumerate(clips):
        upload(f"ses-00{number}", video=video)
    assert not taken_in(landing).faults


def put_elsewhere(landing: Landing, session_id: str) -> Path:
    folder = landing.session_folder(OTHER_DAY, session_id)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


@pytest.mark.parametrize("original", ["ses-001", "ses-002"])
@pytest.mark.parametrize("is_folder_left", [True, False])
def test_a_recording_that_moved_and_a_copy_whose_original_was_removed_are_no_duplicates(
    landing: Landing, upload: Upload, clips: list[bytes], original: str, is_folder_left: bool
) -> None:
    upload("ses-001")
    folder = put_elsewhere(landing, original)
    video_sha256 = hashlib.sha256(clips[0]).hexdigest()
    known = {original: KnownSession(OTHER_DAY, "0" * 64, video_sha256, NOW - timedelta(days=1))}
    assert reasons(taken_in(landing, known)) == {"ses-001": "duplicate_session"}
    (folder / "manifest.json").unlink()
    if not is_folder_left:
        folder.rmdir()
    assert not taken_in(landing, known).faults


def test_whether_the_original_is_there_is_asked_of_the_landing_and_not_of_what_was_fetched(
    landing: Landing, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Store:
        def sessions(self, *asked: object) -> dict[tuple[str, str], str]:
            assert asked == (OTHER_DAY.collected_on, OTHER_DAY.worker_id)
            return {(OTHER_DAY.worker_id, "ses-001"): "a stamp"}

    upload("ses-001")
    known = {"ses-001": KnownSession(OTHER_DAY, "0" * 64, "1" * 64, NOW)}
    monkeypatch.setattr(Landing, "listing", Store())
    assert reasons(taken_in(landing, known)) == {"ses-001": "duplicate_session"}


@pytest.mark.parametrize(
    ("error", "outcome"), [(UnlistableError, nullcontext()), (StoreError, pytest.raises(StoreError))]
)
def test_an_original_that_cannot_be_asked_for_is_not_taken_for_gone(
    landing: Landing,
    upload: Upload,
    monkeypatch: pytest.MonkeyPatch,
    error: type[StoreError],
    outcome: AbstractContextManager[object],
) -> None:
    class Store:
        def sessions(self, *_: object) -> None:
            raise error("It cannot be listed.", consequence="-", mend="-")

    upload("ses-001")
    known = {"ses-001": KnownSession(OTHER_DAY, "0" * 64, "1" * 64, NOW)}
    monkeypatch.setattr(Landing, "listing", Store())
    with outcome:
        assert reasons(taken_in(landing, known)) == {"ses-001": "duplicate_session"}


def test_the_same_id_in_two_worker_days_is_a_duplicate(landing: Landing, upload: Upload) -> None:
    upload("ses-001")
    put_elsewhere(landing, "ses-001")
    known = {"ses-001": KnownSession(OTHER_DAY, "0" * 64, "1" * 64, NOW)}
    (fault,) = taken_in(landing, known).faults.values()
    assert fault.reason is Reason.DUPLICATE_SESSION
    assert str(OTHER_DAY) in fault.detail


def test_a_setting_that_cannot_be_used_is_no_fault_of_an_upload(
    landing: Landing, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise SettingsError("the spool is full.", consequence="Nothing can be fetched.", mend="Make room.")

    upload("ses-001")
    monkeypatch.setattr(module, "require_within", fails)
    with pytest.raises(SettingsError, match="the spool is full"):
        taken_in(landing)


def test_what_nobody_foresaw_stops_one_session_only(
    landing: Landing, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(folder: Path, *_: Any) -> None:
        if folder.name == "ses-001":
            raise ZeroDivisionError("at 0x7f")

    upload("ses-001")
    upload("ses-002")
    monkeypatch.setattr(module, "require_within", breaks)
    assert reasons(taken_in(landing)) == {"ses-001": "unexpected_error"}
