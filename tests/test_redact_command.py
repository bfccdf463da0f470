"""`harchive redact` as a person runs it, and as docs/operations.md shows it."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import click
import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner

from harchive_dagster import running
from harchive_dagster.cli import cli
from harchive_dagster.errors import LakeError, SettingsError
from harchive_dagster.lake import ledgers, rows, schemas
from harchive_dagster.lake.corrections import corrections_of, forget_withdrawn, standing_corrections
from harchive_dagster.lake.quarantine import is_finished, release_note
from harchive_dagster.lake.tables import worker_day_key
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.recording.observations import FrameObservations

FRAMES = 600
PTS_NS = np.arange(FRAMES, dtype=np.int64) * 33_366_667
SESSION = "ses-0042"
PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text()
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", "").splitlines()
    if line.startswith("harchive redact ")
]


def run(*arguments):
    return CliRunner().invoke(cli, ["redact", *map(str, arguments)], catch_exceptions=False)


def add(*arguments, reason="seen in a mirror"):
    return run("add", SESSION, "--from", "2s", "--to", "3s", *arguments, "--reason", reason)


def only(ward):
    (correction,) = corrections_of(ward.lake, SESSION)
    return correction


def session_row(worker_day, **overrides):
    plain = {field.name: None if field.nullable else "x" for field in schemas.SESSIONS.columns}
    numbers = {"width_px": 640, "height_px": 360, "bytes": 1}
    times = dict.fromkeys(("started_at_utc", "ingested_at_utc"), datetime(2026, 3, 3, tzinfo=UTC))
    row = plain | numbers | times | {"session_id": SESSION, "status": "accepted", "video_sha256": "5" * 64}
    return row | worker_day_key(worker_day) | overrides


def write(ward, contract, worker_day, table):
    ward.lake.replace(contract, worker_day_key(worker_day), contract.conform(table), run_id="r")


@pytest.fixture
def seen(ward, monkeypatch):
    """A session that went through, with tracks of a face (3) and private time (4); the environment points at it."""
    monkeypatch.setenv("HARCHIVE_LANDING", str(ward.landing))
    monkeypatch.setenv("HARCHIVE_LAKE", str(ward.lake.root))
    worker_day = ward.arrive()
    ward.finish(worker_day)
    write(ward, schemas.SESSIONS, worker_day, [session_row(worker_day)])
    measures = {name: np.zeros(FRAMES) for name in FrameObservations.__dataclass_fields__}
    measures |= {name: np.zeros(FRAMES, bool) for name in ("is_keyframe", "is_detected")}
    measures |= {"rotation_inliers": np.zeros(FRAMES, np.int32), "rotation_rad": np.zeros((FRAMES, 3))}
    looked = FrameObservations(**measures | {"pts_ns": PTS_NS})
    write(ward, schemas.FRAMES, worker_day, rows.frame_rows(worker_day, SESSION, looked))
    face = [Redaction(frame, 3, "face", 10.0 + frame, 20, 30, 40, "detected", 0.41) for frame in range(90, 120)]
    private = [Redaction(frame, 4, "private", 0, 0, 640, 360, "private_time", 1.0) for frame in range(200, 220)]
    hidden = rows.records(schemas.REDACTIONS, worker_day, SESSION, [*face, *private])
    write(ward, schemas.REDACTIONS, worker_day, hidden)
    return worker_day


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A Dagster instance, as DAGSTER_HOME names it."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(folder))


def test_the_pages_commands_do_what_it_says(ward, seen):
    assert [arguments[1] for arguments in COMMANDS] == ["list", "add", "remove", "revoke"]
    ids = []
    for arguments in COMMANDS:
        ready = [ids[0] if argument.startswith("c-") else argument for argument in arguments]
        outcome = CliRunner().invoke(cli, ready, catch_exceptions=False)
        assert outcome.exit_code == 0, outcome.output
        ids = ids or re.findall(r"c-[0-9a-f]{12}", outcome.output)
    added, removed = corrections_of(ward.lake, SESSION)
    assert (added.action, added.is_standing) == ("add", False)
    assert (removed.action, removed.is_standing) == ("remove", True)


def test_an_addition_is_on_record_with_who_when_why(ward, seen):
    before = datetime.now(UTC)
    outcome = add("--box", "10,20,30,40", "--box-at-end", "50,20,30,40", "--kind", "plate", "--by", "anna")
    made = only(ward)
    assert (made.action, made.kind, made.reason, made.made_by) == ("add", "plate", "seen in a mirror", "anna")
    assert before <= made.made_at_utc <= datetime.now(UTC)
    assert (made.start_ns, made.end_ns, made.video_sha256) == (2_000_000_000, 3_000_000_000, "5" * 64)
    assert made.boxes_at(np.array([0, 2_000_000_000, 3_000_000_000]))[:, 0].tolist() == [10, 10, 50]
    assert outcome.output.startswith(f"on record: {made.correction_id} of ses-0042 hides the plate from 2s to 3s\n")


def test_who_decided_is_the_user_unless_it_is_said(ward, seen, monkeypatch):
    monkeypatch.setenv("LOGNAME", "devi")
    add("--whole-frame")
    assert (only(ward).made_by, only(ward).kind, only(ward).path_px) == ("devi", "private", (0.0, 0.0, 640.0, 360.0))


def test_a_hidden_picture_is_not_taken_for_private_time(ward, seen):
    head, note = add("--whole-frame").output.splitlines()[:2]
    assert head.endswith("hides the whole picture from 2s to 3s")
    assert note.startswith("The picture alone is hidden: motion")
    assert "private_start and private_end in the upload's manifest" in note
    assert "The picture alone" not in add("--box", "10,20,30,40").output


def test_a_removal_remembers_where_its_track_was_in_every_frame(ward, seen):
    run("remove", SESSION, 3, "--to", "99f", "--reason", "a clock")
    made = only(ward)
    assert (made.action, made.kind) == ("remove", "face")
    assert made.path_ns == tuple(PTS_NS[90:100].tolist())
    assert made.path_px[:8] == (100, 20, 30, 40, 101, 20, 30, 40)
    assert (made.start_ns, made.end_ns) == (PTS_NS[90], PTS_NS[99] + 1)


def test_a_revoked_correction_stays_on_record_with_who_when_why(ward, seen):
    add("--whole-frame")
    run("revoke", only(ward).correction_id, "--reason", "wrong session", "--by", "anna")
    made = only(ward)
    assert (made.is_standing, made.revoked_by, made.revoke_reason) == (False, "anna", "wrong session")
    assert made.reason == "seen in a mirror"


def test_the_worker_day_is_run_again_and_the_run_names_the_correction(ward, seen):
    assert "at its next tick" in add("--whole-frame").output
    assert not is_finished(ward.lake, seen)
    assert release_note(ward.lake, seen) == f"correction {only(ward).correction_id}"


@pytest.mark.parametrize("is_success", [True, False])
def test_a_correction_now_runs_the_redactions_and_what_depends_on_them(ward, seen, home, monkeypatch, is_success):
    asked = []

    def run_worker_day(arrival, *, note, stages):
        asked.append((arrival.worker_day, note, stages))
        assert only(ward).is_standing
        return is_success

    monkeypatch.setattr(running, "run_worker_day", run_worker_day)
    outcome = add("--whole-frame", "--now")
    stages = ("redactions", "anonymized_videos", "episodes")
    assert asked == [(seen, f"correction {only(ward).correction_id}", stages)]
    assert outcome.exit_code == (0 if is_success else 1)
    assert is_finished(ward.lake, seen) == is_success


def test_with_more_to_follow_the_worker_day_is_left_as_it_is(ward, seen):
    output = add("--whole-frame", "--later").output
    assert is_finished(ward.lake, seen)
    assert '--partition "2026-03-02|worker-01" --select redactions,anonymized_videos,episodes' in output


def test_the_list_shows_tracks_and_corrections(ward, seen):
    add("--box", "1,2,3,4", "--by", "an\x1b[31mna", reason="no\x07te")
    output = run("list", SESSION).output
    assert ["3", "face", "3.003s", "90f", "3.971s", "119f", "30", "30", "0.41"] in [
        line.split() for line in output.splitlines()
    ]
    assert "add face, 2.000s to 3.000s" in output
    assert "an?[31mna: no?te" in output
    assert "not in force" in output


def test_the_list_can_be_of_one_moment_with_boxes(ward, seen):
    assert ["3", "face", "110,20,30,40", "detected", "0.41", "100f"] in [
        line.split() for line in run("list", SESSION, "--at", "100f").output.splitlines()
    ]
    assert "face" not in run("list", SESSION, "--at", "1s").output


def test_a_session_in_quarantine_downstream_can_be_corrected(ward, seen):
    ward.set_aside(seen, stage="anonymized_videos", reason="audit_found_faces")
    assert add("--whole-frame").exit_code == 0


TIME = ["--from", "2s", "--to", "3s"]
WHY = ["--reason", "why"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["add", "ses-0024", *TIME, "--whole-frame", *WHY], LakeError, "never taken in.*Called alike: ses-0042"),
        (["add", SESSION, "--from", "2", "--to", "3s", "--whole-frame", *WHY], SettingsError, "'2' is no time"),
        (["add", SESSION, *TIME, "--box", "700,0,5,5", *WHY], SettingsError, "hides nothing of a picture of 640x360"),
        (["remove", SESSION, "17", *WHY], LakeError, "has no track 17"),
        (["remove", SESSION, "4", *WHY], LakeError, "private time.*nobody but the worker"),
        (["remove", SESSION, "3", *TIME, *WHY], SettingsError, "Track 3 hides nothing from 2s to 3s"),
        (["revoke", "c-000000000000", *WHY], LakeError, "There is no correction 'c-000000000000'"),
        (["list", "ses-0024"], LakeError, "never taken in"),
    ],
)
def test_what_cannot_be_done_is_a_known_error_and_leaves_nothing_on_record(ward, seen, arguments, error, message):
    with pytest.raises(error, match=message):
        run(*arguments)
    assert corrections_of(ward.lake, SESSION) == []
    assert is_finished(ward.lake, seen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", SESSION, *TIME, *WHY], "either --box"),
        (["add", SESSION, *TIME, "--box", "1,2,3,4", "--whole-frame", *WHY], "either --box"),
        (["add", SESSION, *TIME, "--box-at-end", "1,2,3,4", "--whole-frame", *WHY], "either --box"),
        (["add", SESSION, *TIME, "--box", "1,2,3", *WHY], "'1,2,3' is not of the form x,y,w,h"),
        (["add", SESSION, *TIME, "--whole-frame", "--reason", " "], "--reason is empty"),
        (["add", SESSION, *TIME, "--whole-frame", *WHY, "--now", "--later"], "either --now or --later"),
        (["add", SESSION, *TIME, "--whole-frame"], "Missing option '--reason'"),
    ],
)
def test_options_that_contradict_each_other_are_told_apart(ward, seen, arguments, message):
    outcome = run(*arguments)
    assert outcome.exit_code == click.UsageError.exit_code
    assert message in outcome.output
    assert corrections_of(ward.lake, SESSION) == []


def test_what_was_added_is_revoked_and_not_removed(ward, seen):
    add("--whole-frame")
    made = only(ward)
    added = [Redaction(60, made.track_id, "private", 0, 0, 640, 360, "reviewed", 1.0)]
    write(ward, schemas.REDACTIONS, seen, rows.records(schemas.REDACTIONS, seen, SESSION, added))
    with pytest.raises(LakeError, match=r"was added by a correction.*Revoke"):
        run("remove", SESSION, made.track_id, "--reason", "why")
    assert "in force in 1 frames" in run("list", SESSION).output


def test_a_correction_is_revoked_once(ward, seen):
    add("--whole-frame")
    run("revoke", only(ward).correction_id, "--reason", "wrong", "--by", "anna")
    with pytest.raises(LakeError, match=r"anna revoked c-[0-9a-f]{12} at 20.* UTC"):
        run("revoke", only(ward).correction_id, "--reason", "again")


@pytest.mark.parametrize(
    ("status", "frames", "message"),
    [
        ("withdrawn", True, "Session ses-0042 is withdrawn"),
        ("accepted", False, "No frame of ses-0042 was looked at yet"),
    ],
)
def test_a_session_that_does_not_stand_cannot_be_corrected(ward, seen, status, frames, message):
    write(ward, schemas.SESSIONS, seen, [session_row(seen, status=status)])
    if not frames:
        write(ward, schemas.FRAMES, seen, schemas.FRAMES.empty())
    with pytest.raises(LakeError, match=message):
        add("--whole-frame")


@pytest.mark.parametrize("options", [[], ["--now"]])
def test_while_a_run_is_under_way_nothing_is_put_on_record(ward, seen, home, options):
    with dg.DagsterInstance.get() as instance:
        tags = {"dagster/partition": str(seen)}
        instance.add_run(dg.DagsterRun(job_name="worker_day", status=dg.DagsterRunStatus.STARTED, tags=tags))
        with pytest.raises(SettingsError, match=r"is queued or under way\. Nothing was changed"):
            add("--whole-frame", *options)
        assert corrections_of(ward.lake, SESSION) == []
        assert add("--whole-frame", "--later").exit_code == 0


def test_a_worker_day_whose_uploads_were_deleted_takes_no_correction(ward, seen):
    (ward.landing / "2026-03-02" / "worker-01" / SESSION / "manifest.json").unlink()
    with pytest.raises(LakeError, match="Nothing complete of"):
        add("--whole-frame")
    assert corrections_of(ward.lake, SESSION) == []


def test_two_reviewers_never_overwrite_each_others_corrections(ward, seen):
    for number in range(3):
        add("--box", f"{number},2,3,4", "--later")
    add("--whole-frame", "--later")
    run("revoke", corrections_of(ward.lake, SESSION)[1].correction_id, "--reason", "wrong", "--later")
    assert [one.is_standing for one in corrections_of(ward.lake, SESSION)] == [True, False, True, True]
    assert {"correction_id", "collected_on", "worker_id"} == set(ledgers.REDACTION_CORRECTIONS.partition_by)


@pytest.mark.parametrize(("status", "left"), [("withdrawn", 0), ("accepted", 2), ("quarantined", 2)])
def test_corrections_go_when_the_consent_is_withdrawn_and_not_before(ward, seen, status, left):
    add("--whole-frame", "--later")
    run("remove", SESSION, 3, "--reason", "a clock", "--later")
    write(ward, schemas.SESSIONS, seen, [session_row(seen, status=status)])
    forgotten = forget_withdrawn(ward.lake, seen, run_id="r")
    assert (len(forgotten), len(corrections_of(ward.lake, SESSION))) == (2 - left, left)


def test_corrections_of_an_upload_that_is_gone_wait_for_it(ward, seen):
    add("--whole-frame", "--later")
    write(ward, schemas.SESSIONS, seen, schemas.SESSIONS.empty())
    assert forget_withdrawn(ward.lake, seen, run_id="r") == []
    assert len(corrections_of(ward.lake, SESSION)) == 1


def test_corrections_are_found_when_the_session_moved_to_another_day(ward, seen):
    add("--whole-frame", "--later")
    write(ward, schemas.SESSIONS, seen, schemas.SESSIONS.empty())
    assert standing_corrections(ward.lake, [SESSION])[SESSION] == [only(ward)]
