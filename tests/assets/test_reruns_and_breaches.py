"""What a second run, a correction, a withdrawal and a broken batch do to tables that readers already use."""

import dataclasses
import json
import shutil
from datetime import UTC, date, datetime

import dagster as dg
import pytest

import assets.labeled
import assets.raw
from harchive_dagster.demo.breakage import Breakage
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 2), "worker-01")
WORKER_DAY_TABLES = [c for c in schemas.ALL_TABLES if {"collected_on"} <= set(c.partition_by)]


@pytest.fixture(scope="module")
def day(tmp_path_factory, make_house):
    """A house with one small worker-day that went through once."""
    house = make_house(tmp_path_factory.mktemp("rerun"))
    house.add(session_id="s-keeps", duration_s=12.0)
    house.add(session_id="s-broken", duration_s=5.0, broken=Breakage.MISSING_CONSENT)
    assert house.run().success
    return house


def versions(house):
    return {(c.zone, c.name): house.lake.version(c) for c in WORKER_DAY_TABLES}


def content(house):
    return {(c.zone, c.name): house.lake.read(c).drop_columns(list(c.volatile)).to_pylist() for c in WORKER_DAY_TABLES}


def test_running_an_unchanged_worker_day_again_commits_nothing(day):
    before = versions(day)
    assert day.run().success
    assert versions(day) == before


def test_the_same_upload_twice_makes_no_duplicate(day):
    assert day.run().success
    assert len(day.lake.read(schemas.SESSIONS)) == 2


def test_a_broken_batch_writes_nothing_and_is_red_at_the_check_that_names_it(day, monkeypatch):
    before, rows = versions(day), content(day)
    real = assets.labeled.build_segments
    monkeypatch.setattr(
        assets.labeled,
        "build_segments",
        lambda **arguments: [dataclasses.replace(segment, confidence=2.0) for segment in real(**arguments)],
    )
    result = day.run()
    assert not result.success
    assert versions(day) == before
    assert content(day) == rows
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    red = checks["segments_suite"]
    assert (red.passed, red.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert red.metadata["broken_expectations"].value == ["ExpectColumnValuesToBeBetween(confidence)"]
    assert "2.0" in red.metadata["offending"].value
    assert "episodes_suite" not in checks
    assert result.asset_materializations_for_node("segments") == []
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert failure.step_key == "segments"
    assert "Nothing was written" in failure.step_failure_data.error.message


def test_after_the_mend_the_worker_day_is_green_again(day):
    assert day.run().success


def test_a_late_session_joins_its_worker_day(day):
    day.add(session_id="s-late", duration_s=12.0)
    assert day.run().success
    sessions = set(day.lake.read(schemas.EPISODES).column("session_pseudonym").to_pylist())
    assert sessions == {day.pseudonyms.session("s-keeps"), day.pseudonyms.session("s-late")}


def test_a_withdrawn_consent_takes_published_rows_and_media_away(day):
    record = next(day.landing.uploads.glob("consents/*.json"))
    consent = json.loads(record.read_text())
    record.write_text(json.dumps(consent | {"withdrawn_at": datetime.now(UTC).isoformat()}))
    result = day.run()
    assert result.success
    assert day.lake.read(schemas.EPISODES).num_rows == 0
    assert day.lake.read(schemas.PUBLISHED_SYNCED_FRAMES).num_rows == 0
    assert list(day.lake.media_folder("published").rglob("*.mp4")) == []
    statuses = {row["session_id"]: row["status"] for row in day.lake.read(schemas.SESSIONS).to_pylist()}
    assert statuses["s-keeps"] == "withdrawn"
    reasons = {row["session_id"]: row["reason"] for row in day.lake.read(ledgers.QUARANTINE).to_pylist()}
    assert reasons["s-keeps"] == "consent_withdrawn"


def test_a_worker_day_without_any_session_left_is_written_empty_and_warns(day):
    checks = {check.check_name: check for check in day.run().get_asset_check_evaluations()}
    assert (checks["uploads_suite"].passed, checks["uploads_suite"].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert checks["episodes_suite"].passed


def test_a_stage_run_alone_before_its_upstream_says_what_to_run(house):
    house.add(session_id="s-alone", duration_s=5.0)
    assert house.run(selection=["uploads"]).success
    result = house.run(selection=["clock_alignments"])
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "Materialize the stages before this one" in str(failure.step_failure_data.error)


def test_a_correction_is_never_published_over_an_old_rendering(house):
    house.add(session_id="s-corrected", duration_s=12.0)
    assert house.run().success
    before = content(house)["published", "episodes"]
    manifest = house.landing.session_folder(DAY, "s-corrected") / "manifest.json"
    document = json.loads(manifest.read_text())
    private = [{"at_ns": 2_000_000_000, "kind": "private_start"}, {"at_ns": 4_000_000_000, "kind": "private_end"}]
    document["markers"] = sorted([*document["markers"], *private], key=lambda marker: marker["at_ns"])
    manifest.write_text(json.dumps(document))
    assert house.run(selection=["uploads"]).success
    assert not house.run(selection=["episodes"]).success
    assert content(house)["published", "episodes"] == before
    assert house.run().success
    synced = house.lake.read(schemas.PUBLISHED_SYNCED_FRAMES).column("t_ns").to_numpy()
    assert not ((synced >= 2_000_000_000) & (synced < 4_000_000_000)).any()
    assert synced.max() > 8_000_000_000


def test_what_nobody_foresaw_sets_one_session_aside_and_not_its_neighbours(house, monkeypatch):
    house.add(session_id="s-good", duration_s=5.0)
    house.add(session_id="s-odd", duration_s=5.0)
    real = assets.raw.read_streams

    def read(folder, manifest, kind):
        if manifest.session_id == "s-odd":
            raise OverflowError("a number of the device")
        return real(folder, manifest, kind)

    monkeypatch.setattr(assets.raw, "read_streams", read)
    assert house.run(selection=["uploads", "sensor_samples"]).success
    (row,) = house.lake.read(ledgers.QUARANTINE).to_pylist()
    assert (row["session_id"], row["reason"]) == ("s-odd", "unexpected_error")
    assert set(house.lake.read(schemas.SENSOR_SAMPLES).column("session_id").to_pylist()) == {"s-good"}


def test_a_session_id_used_twice_is_refused_the_second_time(house):
    house.add(session_id="s-same", duration_s=5.0)
    house.add(session_id="s-same", duration_s=5.0, collected_on=date(2026, 3, 3))
    assert house.run(selection=["uploads"]).success
    assert house.run(WorkerDay(date(2026, 3, 3), "worker-01"), selection=["uploads"]).success
    assert house.run(selection=["uploads"]).success
    reasons = {row["collected_on"]: row["reason"] for row in house.lake.read(schemas.SESSIONS).to_pylist()}
    assert reasons == {date(2026, 3, 2): None, date(2026, 3, 3): "duplicate_session"}


def test_a_session_that_moved_to_another_day_leaves_the_first_and_is_accepted_on_the_second(house):
    house.add(session_id="s-moved", duration_s=5.0)
    second = WorkerDay(date(2026, 3, 3), "worker-01")
    house.add(session_id="s-moved", duration_s=5.0, collected_on=second.collected_on)
    for worker_day in (DAY, second):
        assert house.run(worker_day, selection=["uploads"]).success
    shutil.rmtree(house.landing.session_folder(DAY, "s-moved"))
    for worker_day in (second, DAY):
        assert house.run(worker_day, selection=["uploads"]).success
    (row,) = house.lake.read(schemas.SESSIONS).to_pylist()
    assert (row["collected_on"], row["status"]) == (second.collected_on, "accepted")
    assert house.lake.read(ledgers.QUARANTINE).num_rows == 0
