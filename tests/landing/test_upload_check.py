"""Everything that is wrong with uploads is said at once, and nothing private with it."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from harchive_dagster.demo.breakage import cut_short, damage_byte, turn_time_back
from harchive_dagster.demo.session import SessionSpec, make_session
from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.errors import SettingsError
from harchive_dagster.labels.task_catalog import load_task_catalog
from harchive_dagster.landing.gate_limits import broken_limits
from harchive_dagster.landing.hashing import sha256_of
from harchive_dagster.landing.upload_check import UploadReport
from harchive_dagster.landing.upload_walk import check_uploads
from harchive_dagster.quality.rules import between
from harchive_dagster.quality.suites import SENSOR_SAMPLES, UPLOADS

NOW = datetime(2026, 3, 3, tzinfo=UTC)
TASKS = frozenset(load_task_catalog().tasks)


@pytest.fixture(scope="module")
def good_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "session"
    make_session(folder, SessionSpec("ses-1", duration_s=2, width_px=192, height_px=160))
    return folder


@pytest.fixture
def session(tmp_path: Path, good_session: Path) -> Path:
    """A good upload, with its consent, at `<tmp_path>/landing/2026-03-02/worker-01/ses-1`."""
    landing = tmp_path / "landing"
    write_consent(landing, "worker-01", first_day=date(2026, 3, 2))
    shutil.copytree(good_session, landing / "2026-03-02" / "worker-01" / "ses-1")
    return landing / "2026-03-02" / "worker-01" / "ses-1"


def check(path: Path, *, now: datetime = NOW, max_bytes: int = 10**9) -> list[UploadReport]:
    return list(check_uploads(path, known_tasks=TASKS, max_bytes=max_bytes, now=now))


def edit(session: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((session / "manifest.json").read_text())
    change(document)
    (session / "manifest.json").write_text(json.dumps(document))


def declare_as_found(session: Path) -> None:
    """Make the manifest agree with files that were damaged before they were hashed."""

    def change(document):
        for file in document["files"]:
            path = session / file["path"]
            file |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}

    edit(session, change)


def edit_consent(session: Path, **changes: Any) -> None:
    path = session.parents[2] / "consents" / "consent-worker-01.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_good_upload_has_nothing_wrong(session):
    (report,) = check(session)
    assert (report.name, report.problems, report.suspicions) == ("2026-03-02/worker-01/ses-1", [], [])


@pytest.mark.parametrize("levels", [0, 1, 2, 3], ids=["session", "worker-day", "day", "landing"])
def test_any_folder_of_the_landing_can_be_checked(session, levels):
    place = [session, *session.parents][levels]
    assert [(report.name, report.problems) for report in check(place)] == [("2026-03-02/worker-01/ses-1", [])]


def _add_stream(document):
    stream = {"stream_id": "glove", "placement": "left_hand", "kind": "imu", "rate_hz": 100}
    document["rig"]["streams"].append(stream)
    file = {
        "path": "glove.csv",
        "role": "sensor",
        "stream_id": "glove",
        "format": "csv",
        "bytes": 1,
        "sha256": "0" * 64,
    }
    document["files"].append(file)


def test_every_fault_is_said_not_only_the_first(session):
    turn_time_back(session / "imu.csv")
    cut_short(session / "cap.mp4")
    declare_as_found(session)
    damage_byte(session / "imu.csv")
    edit(session, _add_stream)
    edit(session, lambda document: document.update(task_id="fold_landry"))
    edit_consent(session, principal_id="worker-02", purposes=["quality_assurance"])
    (report,) = check(session)
    said = "\n".join(report.problems)
    for part in (
        "file_missing: file 'glove.csv' was declared but is not there",
        "checksum_mismatch: file 'imu.csv' has SHA-256",
        "video_",
        "consent_invalid: consent 'consent-worker-01' does not cover this recording: it was given by 'worker-02'",
        "purpose 'robot_learning'",
        "task_unknown: task 'fold_landry' is not in the task catalogue; there is fold_laundry",
        "sensor_",
    ):
        assert part in said
    assert len(report.problems) == 6
    assert not [line for line in report.problems if "glove" in line and "file_missing" not in line]


def _break_manifest(session):
    edit(session, lambda document: document.update(worker_id="W", site={"country": "India"}, colour="red"))


def _no_manifest(session):
    (session / "manifest.json").write_text("{not json")


def _no_consent(session):
    (session.parents[2] / "consents" / "consent-worker-01.json").unlink()


def _no_inertial(session):
    def change(document):
        document["files"] = document["files"][:1]
        document["rig"]["streams"] = []

    edit(session, change)


def _wrong_rate(session):
    edit(session, lambda document: document["rig"]["streams"][0].update(rate_hz=50))


def _in_g(session):
    header, *rows = (session / "imu.csv").read_text().splitlines()
    names = header.split(",")
    accel = [index for index, name in enumerate(names) if "accel" in name]
    lines = [header]
    for row in rows:
        cells = row.split(",")
        for index in accel:
            cells[index] = f"{float(cells[index]) / 9.81:.6f}"
        lines.append(",".join(cells))
    (session / "imu.csv").write_text("\n".join(lines) + "\n")
    declare_as_found(session)


def _link(session):
    (session / "imu.csv").rename(session.parent.parent / "elsewhere.csv")
    (session / "imu.csv").symlink_to(session.parent.parent / "elsewhere.csv")


def _pipe(session):
    (session / "imu.csv").unlink()
    os.mkfifo(session / "imu.csv")


def _late_private_time(session):
    pair = [{"at_ns": 1_500, "kind": "private_start"}, {"at_ns": 1_500_000_000_000, "kind": "private_end"}]
    edit(session, lambda document: document.update(markers=pair))


def _unread_kind(session):
    edit(session, lambda document: document["rig"]["streams"][0].update(kind="depth"))


@pytest.mark.parametrize(
    ("spoil", "problems"),
    [
        (_break_manifest, ["worker_id is 'W'", "site.country is 'India'", "site.environment is missing", "'colour'"]),
        (_no_manifest, ["manifest_invalid: manifest.json is not valid JSON"]),
        (_no_consent, ["consent_missing: consent record 'consent-worker-01' does not exist"]),
        (_no_inertial, ["sensor_missing: the upload has no inertial stream"]),
        (_wrong_rate, ["sensor_implausible: stream 'head_imu': the gate expects that the rate is the declared one"]),
        (_in_g, ["sensor_implausible: stream 'head_imu': the gate expects that gravity is there"]),
        (_link, ["manifest_invalid: file 'imu.csv' is reached through the link"]),
        (_pipe, ["file_missing: file 'imu.csv' is not a regular file"]),
        (_late_private_time, ["manifest_invalid: markers[1] (private_end) is at 1500.000 s, beyond the video"]),
        (_unread_kind, ["sensor_missing", "sensor_unreadable: stream 'head_imu'"]),
    ],
)
def test_what_is_wrong_is_named(session, spoil, problems):
    spoil(session)
    (report,) = check(session)
    assert len(report.problems) == len(problems)
    for found, expected in zip(report.problems, problems, strict=True):
        assert expected in found


def test_a_clock_in_the_future_breaks_the_gates_limit(session):
    (report,) = check(session, now=datetime(2026, 2, 20, tzinfo=UTC))
    assert [line for line in report.problems if "the device's wall clock is not in the future" in line]


def test_more_bytes_than_a_session_may_have_are_wrong(session):
    (report,) = check(session, max_bytes=50_000)
    assert [line for line in report.problems if line.startswith("file_too_large: ")]


def test_a_withdrawn_recording_is_not_opened(session, monkeypatch):
    edit_consent(session, withdrawn_at="2026-03-03T12:00:00Z")
    monkeypatch.setattr("harchive_dagster.landing.upload_check.verify_files", lambda *_: pytest.fail("files were read"))
    monkeypatch.setattr("harchive_dagster.landing.upload_check.probe_video", lambda *_: pytest.fail("video was opened"))
    (report,) = check(session)
    assert len(report.problems) == 1
    assert "consent_withdrawn" in report.problems[0]


def test_what_the_pipeline_would_not_mind_is_suspicious_and_not_wrong(session):
    (session / "extra.bin").write_bytes(b"?")
    lines = (session / "imu.csv").read_text().splitlines()
    (session / "imu.csv").write_text("\n".join(lines[: len(lines) // 6]) + "\n")
    declare_as_found(session)
    edit(
        session, lambda document: document["markers"].append({"at_ns": 60_000_000_000, "kind": "step", "note": "hush"})
    )
    (report,) = check(session)
    assert report.problems == []
    for part in (
        "file 'extra.bin' lies in the folder",
        "marker step at 60.000 s lies after",
        "stream 'head_imu' lasts",
    ):
        assert [line for line in report.suspicions if part in line]
    assert "hush" not in str(report)


def test_notes_serial_numbers_and_places_are_never_shown(session):
    def change(document):
        document["rig"]["serial"] = ["SECRET-1"]
        document["markers"] = [
            {"at_ns": 0, "kind": "step", "note": {"text": "SECRET-2, with a comma"}},
            {"at_ns": 1, "kind": "step", "note": "SECRET-3\0"},
            "SECRET-4",
        ]

    edit(session, change)
    (report,) = check(session)
    assert len(report.problems) == 4
    assert "rig.serial is wrong, expected a text" in report.problems[0]
    assert "SECRET" not in str(report)

    def whole(document):
        document.update(rig="SECRET-5, SN", markers={"SECRET-6": 1})

    edit(session, whole)
    (report,) = check(session)
    assert "SECRET" not in str(report)


def test_a_damaged_file_of_positions_is_not_quoted(session):
    def change(document):
        document["rig"]["streams"].append({"stream_id": "way", "placement": "head", "kind": "gps", "rate_hz": 1})
        document["files"].append({"path": "way.csv", "role": "sensor", "stream_id": "way", "format": "csv"})

    names = "t_device_ns,latitude_deg,longitude_deg"
    (session / "way.csv").write_text(f"{names}\n0,12.97SECRET,77.59\n1000000000,12.97,77.59\n")
    edit(session, change)
    declare_as_found(session)
    (report,) = check(session)
    assert len(report.problems) == 1
    assert "'way.csv' cannot be read as positions" in report.problems[0]
    assert "12.97" not in str(report)


def test_what_is_passed_over_or_still_arriving_is_said(session):
    landing = session.parents[2]
    (landing / "2026-3-2").mkdir()
    (session.parent.parent / "Worker Two").mkdir()
    (session.parent / "ses-2").mkdir()
    (session.parent / "Session 3").mkdir()
    (session.parent / "ses-4").symlink_to(session)
    reports = {report.name: report for report in check(landing)}
    assert {name: len(report.problems) for name, report in reports.items()} == {
        "2026-3-2": 1,
        "Worker Two": 1,
        "Session 3": 1,
        "ses-4": 1,
        "2026-03-02/worker-01/ses-2": 0,
        "2026-03-02/worker-01/ses-1": 0,
    }
    assert "still arriving" in reports["2026-03-02/worker-01/ses-2"].suspicions[0]


def test_a_session_outside_a_landing_is_told_where_it_does_not_belong(good_session):
    (report,) = check(good_session)
    assert "session_id is 'ses-1', the folder says 'session'" in report.problems[0]


@pytest.mark.parametrize("is_whole_landing", [True, False])
def test_one_id_in_two_worker_days_is_wrong(session, is_whole_landing):
    other = session.parents[2] / "2026-03-01" / "worker-01" / "ses-1"
    shutil.copytree(session, other)
    edit(other, lambda document: document.update(collected_on="2026-03-01"))
    reports = check(session.parents[2] if is_whole_landing else session)
    mine = next(report for report in reports if report.name == "2026-03-02/worker-01/ses-1")
    assert "duplicate_session: the same session id lies in 2026-03-01|worker-01" in mine.problems[0]


def test_one_video_under_two_ids_is_wrong(session):
    other = session.parent / "ses-2"
    shutil.copytree(session, other)
    edit(other, lambda document: document.update(session_id="ses-2"))
    assert [len(report.problems) for report in check(session.parent)] == [0, 1]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(SettingsError, match="is not a folder"):
        check(tmp_path / "nowhere")


def test_a_defect_of_ours_is_one_more_fault_and_hides_none(session, monkeypatch):
    def broken(path):
        raise ZeroDivisionError("SECRET")

    monkeypatch.setattr("harchive_dagster.landing.upload_check.probe_video", broken)
    edit(session, lambda document: document.update(task_id="dance"))
    (report,) = check(session)
    assert [line.split(":")[0] for line in report.problems] == ["unexpected_error", "task_unknown"]
    assert "SECRET" not in str(report)


@pytest.mark.parametrize("suite", [UPLOADS, SENSOR_SAMPLES], ids=lambda suite: suite.stage)
def test_every_limit_that_is_checked_here_is_a_range(suite):
    assert {rule.expectation for rule in suite.session_rules} == {between("x", 0, 1, "").expectation}
    figures = dict.fromkeys((rule.arguments["column"] for rule in suite.session_rules), float("nan"))
    assert len(list(broken_limits(suite.session_rules, figures))) == len(suite.session_rules)
