"""The quarantine ledger read, and worker-days released: both requesters see it, and nothing is forgotten over it."""

from datetime import UTC, date, datetime

import pytest

from harchive_dagster.errors import LakeError, SettingsError
from harchive_dagster.lake import ledgers
from harchive_dagster.lake.arrivals import EMPTY_ARRIVAL, finished, finished_version, unprocessed
from harchive_dagster.lake.quarantine import (
    Since,
    is_finished,
    release,
    release_note,
    set_aside,
    set_aside_session,
    since_taken_in,
)
from harchive_dagster.lake.tables import worker_day_key
from harchive_dagster.landing.arrivals import list_arrivals
from harchive_dagster.landing.listing import LocalUploads

FIRST_DAY = date(2026, 1, 1)


def left(ward):
    found = unprocessed(ward.lake, list_arrivals(ward.uploads), since=FIRST_DAY)
    return {str(arrival.worker_day): arrival.digest for arrival in found}


@pytest.fixture
def worker_day(ward):
    """A worker-day that went through, with a session in quarantine."""
    worker_day = ward.arrive()
    ward.finish(worker_day)
    ward.set_aside(worker_day)
    return worker_day


def test_nothing_is_set_aside_in_a_lake_without_the_table(ward):
    assert set_aside(ward.lake) == []


def test_a_row_is_handed_out_as_it_was_written(ward, worker_day):
    (row,) = set_aside(ward.lake)
    assert (row.worker_day, row.session_id, row.stage) == (worker_day, "ses-0042", "uploads")
    assert (row.reason, row.evidence, row.run_id) == ("task_unknown", {"task_id": "juggle"}, "run-1")
    assert row.at_utc == datetime(2026, 3, 3, 1, 30, tzinfo=UTC)


def test_the_newest_comes_first(ward, worker_day):
    ward.set_aside(worker_day, session_id="ses-later", at_utc=datetime(2026, 3, 4, tzinfo=UTC))
    ward.set_aside(worker_day, session_id="ses-early", at_utc=datetime(2026, 3, 1, tzinfo=UTC))
    assert [row.session_id for row in set_aside(ward.lake)] == ["ses-later", "ses-0042", "ses-early"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"day": date(2026, 3, 5)}, ["ses-other"]),
        ({"worker_id": "worker-01"}, ["ses-0042", "ses-synced"]),
        ({"stage": "clock_alignments"}, ["ses-synced"]),
        ({"reason": "task_unknown"}, ["ses-0042", "ses-other"]),
        ({"reason": "task_unknown", "worker_id": "worker-01"}, ["ses-0042"]),
        ({"day": date(2026, 3, 9)}, []),
    ],
    ids=str,
)
def test_only_what_was_asked_for_is_found(ward, worker_day, wanted, found):
    ward.set_aside(worker_day, session_id="ses-synced", stage="clock_alignments", reason="sync_unknown")
    ward.set_aside(ward.arrive("ses-other", "worker-02", "2026-03-05"), session_id="ses-other")
    assert sorted(row.session_id for row in set_aside(ward.lake, **wanted)) == found


def test_a_session_that_two_branches_set_aside_is_found_twice(ward, worker_day):
    ward.set_aside(worker_day, stage="annotations", reason="annotation_invalid")
    assert {row.stage for row in set_aside_session(ward.lake, "ses-0042")} == {"uploads", "annotations"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("ses-0024", "'ses-0024' is not in quarantine.*Called alike: ses-0042"),
        ("xyz", r"'xyz' is not in quarantine\. There is nothing to show or release\. `harchive quarantine list`"),
        ("\x1b[31m", r"'\\x1b\[31m' is not in quarantine"),
    ],
    ids=["misspelt", "nothing alike", "control characters"],
)
def test_a_session_that_is_not_there_is_answered_with_those_called_alike(ward, worker_day, asked, message):
    with pytest.raises(LakeError, match=message):
        set_aside_session(ward.lake, asked)


def test_an_upload_that_nobody_touched_is_unchanged(ward, worker_day):
    assert since_taken_in(ward.lake, ward.uploads, set_aside(ward.lake)[0]) is Since.UNCHANGED


def test_a_corrected_manifest_shows_as_a_change(ward, worker_day):
    ward.arrive(manifest='{"corrected": 1}')
    assert since_taken_in(ward.lake, ward.uploads, set_aside(ward.lake)[0]) is Since.CHANGED


def test_a_deleted_session_shows_as_gone_though_its_neighbours_stay(ward, worker_day):
    ward.set_aside(worker_day, session_id="ses-deleted")
    row = next(row for row in set_aside(ward.lake) if row.session_id == "ses-deleted")
    assert since_taken_in(ward.lake, ward.uploads, row) is Since.GONE


def test_a_landing_that_cannot_be_read_does_not_pass_for_a_deletion(ward, worker_day):
    nowhere = LocalUploads(ward.root / "nowhere")
    with pytest.raises(SettingsError, match="cannot be read"):
        since_taken_in(ward.lake, nowhere, set_aside(ward.lake)[0])


def test_a_finished_worker_day_is_left_alone_until_it_is_released(ward, worker_day):
    assert left(ward) == {}
    assert release(ward.lake, worker_day, note="mended")
    assert list(left(ward)) == [str(worker_day)]
    assert not is_finished(ward.lake, worker_day)


def test_a_release_leaves_the_other_worker_days_and_the_quarantine_as_they_are(ward, worker_day):
    other = ward.arrive("ses-other", "worker-02")
    ward.finish(other)
    before = ward.lake.read(ledgers.QUARANTINE)
    release(ward.lake, worker_day)
    assert list(finished(ward.lake)) == [other]
    assert ward.lake.read(ledgers.QUARANTINE).equals(before)


def test_releasing_what_is_not_finished_changes_no_table(ward, worker_day):
    release(ward.lake, worker_day)
    version = finished_version(ward.lake)
    assert not release(ward.lake, worker_day)
    assert finished_version(ward.lake) == version


def test_releasing_before_anything_was_finished_makes_no_table(ward):
    assert not release(ward.lake, ward.arrive())
    assert finished_version(ward.lake) is None


def test_the_note_is_kept_with_the_release_of_its_worker_day(ward, worker_day):
    other = ward.arrive("ses-other", "worker-02")
    ward.finish(other)
    release(ward.lake, worker_day, note="task added")
    release(ward.lake, other, note="detector mended")
    assert (release_note(ward.lake, worker_day), release_note(ward.lake, other)) == ("task added", "detector mended")


def test_what_was_never_released_has_no_note(ward, worker_day):
    assert release_note(ward.lake, worker_day) is None


def test_a_released_worker_day_that_is_deleted_before_its_run_is_swept_all_the_same(ward, worker_day):
    release(ward.lake, worker_day)
    manifest = ward.landing / "2026-03-02" / "worker-01" / "ses-0042" / "manifest.json"
    manifest.unlink()
    assert left(ward) == {str(worker_day): EMPTY_ARRIVAL}


def test_a_deletion_that_was_swept_is_not_swept_again(ward, worker_day):
    release(ward.lake, worker_day)
    (ward.landing / "2026-03-02" / "worker-01" / "ses-0042" / "manifest.json").unlink()
    ward.finish(worker_day)
    assert left(ward) == {}


def test_a_worker_day_that_was_taken_in_and_never_finished_is_swept_when_it_is_deleted(ward, worker_day):
    ward.lake.replace(
        ledgers.WORKER_DAYS, worker_day_key(worker_day), ledgers.WORKER_DAYS.empty(), run_id="a run that died"
    )
    (ward.landing / "2026-03-02" / "worker-01" / "ses-0042" / "manifest.json").unlink()
    assert left(ward) == {str(worker_day): EMPTY_ARRIVAL}
