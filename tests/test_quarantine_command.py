"""`harchive quarantine` as a person runs it, and as docs/operations.md shows it."""

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from harchive_dagster import running
from harchive_dagster.cli import cli
from harchive_dagster.errors import LakeError, SettingsError
from harchive_dagster.lake.quarantine import is_finished, release_note, set_aside
from harchive_dagster.landing.storage import Landing
from harchive_dagster.reasons import Reason
from harchive_dagster.sensors import arrivals
from harchive_dagster.worker_day import WorkerDay

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text()
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("harchive quarantine ")
]
RUN = [sys.executable, "-c", "from harchive_dagster.cli import main; main()"]


def run(*arguments):
    return CliRunner().invoke(cli, ["quarantine", *arguments])


@pytest.fixture
def at_work(ward, monkeypatch):
    """A worker-day that went through, with a session in quarantine; the environment points at it."""
    monkeypatch.setenv("HARCHIVE_LANDING", str(ward.landing))
    monkeypatch.setenv("HARCHIVE_LAKE", str(ward.lake.root))
    worker_day = ward.arrive()
    ward.finish(worker_day)
    ward.set_aside(worker_day)
    return worker_day


def test_the_pages_commands_do_what_it_says(ward, at_work):
    assert {arguments[1] for arguments in COMMANDS} == {"list", "show", "release"}
    for arguments in COMMANDS:
        outcome = CliRunner().invoke(cli, arguments)
        assert (outcome.exit_code, outcome.exception) == (0, None), outcome.output
    assert release_note(ward.lake, at_work) == "task added to the catalogue"


def test_the_page_lists_every_reason_as_the_command_explains_it():
    table = re.findall(r"^\| `\w+` \|.*\|$", PAGE[PAGE.index("### Reason codes") :], re.MULTILINE)
    assert table == [f"| `{reason}` | {reason.meaning} | {reason.mend} |" for reason in Reason]
    assert all(reason.meaning and reason.mend for reason in Reason)


def test_an_empty_quarantine_is_said_in_one_line(ward, monkeypatch):
    monkeypatch.setenv("HARCHIVE_LAKE", str(ward.lake.root))
    assert run("list").output == "     0  in quarantine\n"


def test_the_list_is_a_table_with_counts_by_reason_at_its_end(ward, at_work):
    ward.set_aside(at_work, session_id="ses-dark", reason="lens_covered", at_utc=datetime(2026, 3, 4, tzinfo=UTC))
    ward.set_aside(at_work, session_id="ses-more")
    lines = run("list").output.splitlines()
    assert lines[1].split() == ["2026-03-04", "00:00", "2026-03-02|worker-01", "ses-dark", "uploads", "lens_covered"]
    assert [line.split() for line in lines[-3:]] == [
        ["2", "task_unknown"],
        ["1", "lens_covered"],
        ["3", "in", "quarantine"],
    ]


def test_a_long_list_is_cut_and_says_so(ward, at_work):
    ward.set_aside(at_work, session_id="ses-more")
    output = run("list", "--limit", "1").output
    assert "and 1 older ones" in output
    assert "2  in quarantine" in output


def test_the_list_can_be_narrowed_down(ward, at_work):
    ward.set_aside(ward.arrive("ses-other", "worker-02", "2026-03-05"), session_id="ses-other", stage="segments")
    for option in (["--day", "2026-03-05"], ["--worker", "worker-02"], ["--stage", "segments"]):
        assert re.findall(r"ses-\w+", run("list", *option).output) == ["ses-other"]
    assert run("list", "--reason", "lens_covered").output == "     0  in quarantine\n"


def test_the_list_as_json_holds_everything(ward, at_work):
    (row,) = json.loads(run("list", "--json").output)
    assert row["evidence"] == {"task_id": "juggle"}
    assert (row["collected_on"], row["worker_id"], row["at_utc"]) == (
        "2026-03-02",
        "worker-01",
        "2026-03-03T01:30:00+00:00",
    )


def test_show_says_what_the_reason_means_what_helps_and_on_what_evidence(ward, at_work):
    output = run("show", "ses-0042").output
    for words in (
        "ses-0042 of 2026-03-02|worker-01",
        "task_unknown: the task is not in the catalogue",
        "add it, or correct the manifest",
        "task_id 'juggle' is not in the catalogue.",
        "2026-03-03 01:30:00 UTC",
        "run-1",
        "unchanged since it was taken in",
        "went through the whole chain",
        '    "task_id": "juggle"',
    ):
        assert words in output


def test_show_copes_with_a_code_that_a_later_version_wrote(ward, at_work):
    ward.set_aside(at_work, session_id="ses-new", reason="found_on_mars")
    assert "found_on_mars" in run("show", "ses-new").output


def test_show_prints_no_control_characters(ward, at_work):
    ward.set_aside(at_work, session_id="ses-odd", detail="file \x1b[31m", evidence='{"file": "\\u001b[31m"}')
    assert "\x1b" not in run("show", "ses-odd").output


def test_show_says_why_it_cannot_tell_what_became_of_the_upload(ward, at_work, monkeypatch):
    monkeypatch.setenv("HARCHIVE_LANDING", str(ward.root / "nowhere"))
    outcome = run("show", "ses-0042")
    assert outcome.exit_code == 0
    assert "cannot be told: landing folder" in outcome.output


def test_show_tells_of_a_release(ward, at_work):
    run("release", "ses-0042", "--note", "lens wiped")
    assert "released (lens wiped): it is run again" in run("show", "ses-0042").output


def test_a_released_worker_day_is_requested_at_the_sensors_next_tick(ward, at_work):
    landing = Landing(ward.landing, ward.root / "annotations")

    def tick(cursor):
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, cursor=cursor)
            return arrivals(context, landing=landing, lake=ward.lake)

    first = tick(tick(None).cursor)
    assert not first.run_requests
    assert "at its next tick" in run("release", "ses-0042").output
    (request,) = tick(first.cursor).run_requests
    assert request.partition_key == "2026-03-02|worker-01"


def test_a_release_of_what_is_not_finished_points_to_the_sweep(ward, at_work):
    run("release", "ses-0042")
    outcome = run("release", "ses-0042")
    assert outcome.exit_code == 0
    assert "not finished anyway: the nightly sweep requests it" in outcome.output


@pytest.mark.parametrize(
    ("environment", "arguments", "error", "message"),
    [
        ({}, ["show", "ses-0024"], LakeError, "Called alike: ses-0042"),
        ({}, ["release", "ses-0024"], LakeError, "Called alike: ses-0042"),
        ({"HARCHIVE_FIRST_DAY": "2026-03-03"}, ["release", "ses-0042"], SettingsError, "before HARCHIVE_FIRST_DAY"),
        ({"HARCHIVE_LANDING": "nowhere"}, ["release", "ses-0042"], SettingsError, "landing folder .* cannot be read"),
        ({}, ["release", "ses-0042", "--now"], SettingsError, "DAGSTER_HOME is not set"),
        ({"DAGSTER_HOME": "nowhere"}, ["release", "ses-0042"], SettingsError, "No Dagster instance"),
    ],
    ids=["unknown", "unknown to release", "before the window", "no landing", "no instance", "bad instance"],
)
def test_what_cannot_be_done_is_a_known_error_and_releases_nothing(
    ward, at_work, monkeypatch, environment, arguments, error, message
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error, match=message):
        CliRunner().invoke(cli, ["quarantine", *arguments], catch_exceptions=False)
    assert is_finished(ward.lake, at_work)


def test_a_worker_day_whose_uploads_were_deleted_is_left_to_the_sweep(ward, at_work):
    (ward.landing / "2026-03-02" / "worker-01" / "ses-0042" / "manifest.json").unlink()
    with pytest.raises(LakeError, match="the nightly sweep takes out"):
        CliRunner().invoke(cli, ["quarantine", "release", "ses-0042"], catch_exceptions=False)
    assert is_finished(ward.lake, at_work)


@pytest.fixture
def instance(tmp_path, monkeypatch):
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_a_worker_day_with_a_run_under_way_is_not_released(ward, at_work, instance, status):
    under_way = dg.DagsterRun(job_name="worker_day", status=status, tags={"dagster/partition": str(at_work)})
    instance.add_run(under_way)
    with pytest.raises(SettingsError, match=f"Run {under_way.run_id} of 2026-03-02.worker-01 is queued or under way"):
        CliRunner().invoke(cli, ["quarantine", "release", "ses-0042"], catch_exceptions=False)
    assert is_finished(ward.lake, at_work)


def test_a_run_of_a_neighbour_is_no_obstacle(ward, at_work, instance):
    tags = {"dagster/partition": "2026-03-02|worker-02"}
    instance.add_run(dg.DagsterRun(job_name="worker_day", status=dg.DagsterRunStatus.STARTED, tags=tags))
    assert run("release", "ses-0042").exit_code == 0
    assert not is_finished(ward.lake, at_work)


def test_a_run_now_that_fails_leaves_the_worker_day_to_be_requested(ward, at_work, instance, monkeypatch):
    monkeypatch.setattr(running, "run_worker_day", lambda *_, **__: False)
    outcome = run("release", "ses-0042", "--now", "--note", "try")
    assert outcome.exit_code == 1
    assert "FAILED" in outcome.output
    assert release_note(ward.lake, at_work) == "try"


def test_a_run_now_that_is_interrupted_leaves_the_worker_day_to_be_requested(ward, at_work, instance, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run_worker_day", interrupted)
    assert run("release", "ses-0042", "--now").exit_code == 1
    assert not is_finished(ward.lake, at_work)


def test_a_run_now_that_finds_the_session_no_better_says_so(ward, at_work, instance, monkeypatch):
    monkeypatch.setattr(running, "run_worker_day", lambda *_, **__: True)
    outcome = run("release", "ses-0042", "--now")
    assert outcome.exit_code == 1
    assert "still in quarantine: ses-0042: uploads: task_unknown: task_id 'juggle'" in outcome.output
    assert is_finished(ward.lake, at_work)


@pytest.mark.slow
def test_a_run_now_takes_a_mended_session_through_the_whole_chain(ward, instance):
    from harchive_dagster.demo.session import SessionSpec, folder_of, make_session
    from harchive_dagster.demo.uploads import write_consent

    spec = SessionSpec("ses-0042", width_px=480, height_px=272, duration_s=10.0)
    write_consent(ward.landing, spec.worker_id, first_day=spec.collected_on)
    make_session(folder_of(ward.landing, spec), spec)
    worker_day = WorkerDay(date(2026, 3, 2), spec.worker_id)
    ward.finish(worker_day)
    ward.set_aside(worker_day)
    outcome = subprocess.run(
        [*RUN, "quarantine", "release", "ses-0042", "--now", "--note", "task added"],
        capture_output=True,
        text=True,
        env={**os.environ, "HARCHIVE_LANDING": str(ward.landing), "HARCHIVE_LAKE": str(ward.lake.root)},
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "went through: ses-0042" in outcome.stdout
    assert set_aside(ward.lake) == []
    assert is_finished(ward.lake, worker_day)
    (done,) = instance.get_runs()
    assert done.tags["harchive/note"] == "task added"
    # What an obstacle is recognised by.
    assert done.tags["dagster/partition"] == str(worker_day)
