"""`harchive changes`, and the comparison of versions behind it."""

import json
from datetime import date

import pytest
from click.testing import CliRunner

from harchive_dagster.cli import cli
from harchive_dagster.errors import LakeError
from harchive_dagster.lake import schemas
from harchive_dagster.lake.changes import row_changes, versions
from harchive_dagster.lake.tables import Lake

SEGMENTS = schemas.PUBLISHED_SEGMENTS
SECOND = 1_000_000_000


def segment(session="s-one", number=0, start_s=0, end_s=2, **overrides):
    values = {
        **dict.fromkeys(SEGMENTS.schema.names),
        "session_pseudonym": session,
        "segment_id": f"seg-{number}",
        "layer": "action",
        "start_ns": start_s * SECOND,
        "end_ns": end_s * SECOND,
        "label": "fold shirt",
        "source": "annotator",
        "annotator_count": 2,
        "agreement": 0.5,
        "confidence": 0.5,
    }
    return values | overrides


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("HARCHIVE_LAKE", str(tmp_path / "lake"))
    return Lake(tmp_path / "lake")


def write(lake, *rows, participant="p-1"):
    """The version after writing a participant's day."""
    key = {"collected_on": date(2026, 3, 2), "participant_id": participant}
    return lake.replace(SEGMENTS, key, SEGMENTS.conform([row | key for row in rows]), run_id="run-7").version


def run(*arguments):
    return CliRunner().invoke(cli, ["changes", *map(str, arguments)])


def test_rows_are_added_removed_and_changed_and_others_are_not_told_of(lake):
    older = write(lake, segment(), segment(number=1), segment("s-two"))
    newer = write(lake, segment(agreement=1.0), segment(number=2, start_s=2, end_s=3), segment("s-two"))
    found = list(row_changes(lake, SEGMENTS, older, newer))
    assert [(change.kind, change.row["segment_id"], change.columns) for change in found] == [
        ("changed", "seg-0", ["agreement"]),
        ("removed", "seg-1", []),
        ("added", "seg-2", []),
    ]
    back = [change.kind for change in row_changes(lake, SEGMENTS, newer, older)]
    assert back == ["changed", "added", "removed"]


def test_only_partitions_whose_files_differ_are_read(lake, monkeypatch):
    write(lake, segment("s-other"), participant="p-2")
    older = write(lake, segment())
    newer = write(lake, segment(confidence=0.9))
    read = []
    monkeypatch.setattr(Lake, "read", lambda _, contract, key, **__: read.append(key) or contract.empty())
    list(row_changes(lake, SEGMENTS, older, newer))
    assert {key["participant_id"] for key in read} == {"p-1"}


def test_a_partition_that_came_or_went_is_told_of_row_by_row(lake):
    older = write(lake, segment())
    newer = write(lake, segment("s-late"), participant="p-2")
    assert [(one.kind, one.row["session_pseudonym"]) for one in row_changes(lake, SEGMENTS, older, newer)] == [
        ("added", "s-late")
    ]
    gone = write(lake, participant="p-2")
    assert [one.kind for one in row_changes(lake, SEGMENTS, newer, gone)] == ["removed"]


def test_files_that_were_written_anew_with_the_same_rows_are_no_change(lake):
    older = write(lake, segment())
    write(lake, segment(confidence=0.9))
    newer = write(lake, segment())
    assert newer > older
    assert list(row_changes(lake, SEGMENTS, older, newer)) == []


def test_the_command_counts_by_session_and_shows_rows(lake):
    older = write(lake, segment(), segment("s-two"), segment("s-two", number=1))
    write(lake, segment(agreement=1.0), segment("s-two", number=2, start_s=2, end_s=3, label="wipe\x1b table"))
    counted = run("segments", "--from", older)
    assert counted.output.splitlines() == [
        "s-one  1 changed",
        "s-two  1 added, 2 removed",
        f"2 sessions differ between versions {older} and {older + 1} of segments",
    ]
    shown = run("segments", "--from", older, "--rows", "--session", "s-one").output.splitlines()
    assert shown[1] == "  ~ action 0.000-2.000 s  fold shirt: agreement 0.5 -> 1"
    assert "  + action 2.000-3.000 s  wipe? table" in run("segments", "--from", older, "--rows").output
    lines = [json.loads(line) for line in run("segments", "--from", older, "--json").output.splitlines()]
    assert [line["kind"] for line in lines] == ["changed", "removed", "removed", "added"]
    assert (lines[0]["before"]["agreement"], lines[0]["after"]["agreement"]) == (0.5, 1.0)


def test_without_a_version_all_are_listed_with_their_runs(lake):
    last = write(lake, segment())
    listed = run("segments").output.splitlines()
    assert listed[0].split()[0] == str(last)
    assert listed[0].endswith("UTC  run-7")
    assert [one.version for one in versions(lake, SEGMENTS)] == list(range(last, -1, -1))


def test_what_cannot_be_compared_says_why(lake):
    with pytest.raises(LakeError, match="There is no table segments"):
        list(row_changes(lake, SEGMENTS, 0, 1))
    newest = write(lake, segment())
    with pytest.raises(LakeError, match="Version 77 of table segments cannot be read"):
        list(row_changes(lake, SEGMENTS, newest, 77))
    assert isinstance(run("episodes", "--from", 0).exception, LakeError)


def test_a_version_whose_files_were_vacuumed_says_so(lake):
    older = write(lake, segment())
    newer = write(lake, segment(confidence=0.9))
    table = lake.delta_table(SEGMENTS)
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(LakeError, match=f"Version {older} of table segments cannot be read"):
        list(row_changes(lake, SEGMENTS, older, newer))
