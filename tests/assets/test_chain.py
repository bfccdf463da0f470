"""One worker-day from landing to published: whom it lets through, whom it sets aside, what it leaves behind."""

import numpy as np
import pytest

from harchive_dagster.demo.report import outcomes_of
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.stages import STAGES


@pytest.fixture(scope="module")
def outcomes(materialized):
    house = materialized.house
    found = outcomes_of(house.lake, materialized.worker_day, list(materialized.truths.values()), house.pseudonyms)
    return {outcome.truth.session_id: outcome for outcome in found}


def rows_of(materialized, contract):
    return materialized.house.lake.read(contract).to_pylist()


def test_the_run_succeeds_although_sessions_are_broken(materialized):
    assert materialized.result.success


def test_every_broken_session_is_quarantined_for_its_own_reason_and_no_other_is(materialized, outcomes):
    expected = {id_: truth.expected_reason for id_, truth in materialized.truths.items() if truth.broken}
    assert {id_: outcome.reason for id_, outcome in outcomes.items() if outcome.reason} == expected
    assert len(set(expected.values())) == len(expected) == 6


def test_the_neighbours_of_broken_sessions_are_published(outcomes):
    assert {id_ for id_, outcome in outcomes.items() if outcome.is_published} == {"s-good-one", "s-good-two"}


def test_clocks_are_right_to_a_few_milliseconds(outcomes):
    errors_ms = [abs(o.sync_error_ms) for o in outcomes.values() if o.is_published]
    assert np.median(errors_ms) < 5


def test_every_frame_that_shows_the_face_has_it_hidden(outcomes):
    shown = [outcome for outcome in outcomes.values() if outcome.face_frames]
    assert sum(outcome.face_frames for outcome in shown) > 20
    assert all(outcome.covered_frames == outcome.face_frames for outcome in shown)


def test_quarantine_holds_a_sentence_and_evidence_for_a_person(materialized):
    for row in rows_of(materialized, ledgers.QUARANTINE):
        assert row["detail"].endswith(".")
        assert row["stage"] in STAGES
        assert row["run_id"] == materialized.result.run_id


def test_a_session_without_consent_is_never_looked_at(materialized):
    looked_at = {row["session_id"] for row in rows_of(materialized, schemas.FRAMES)}
    assert "s-broken-missing-consent" not in looked_at
    assert "s-good-one" in looked_at


def test_private_time_is_not_looked_at_and_hidden_whole(materialized):
    start_ns, end_ns = (
        next(m.at_ns for m in materialized.truths["s-good-two"].markers if m.kind == kind)
        for kind in ("private_start", "private_end")
    )
    frames = [row for row in rows_of(materialized, schemas.FRAMES) if row["session_id"] == "s-good-two"]
    private = {row["frame_index"] for row in frames if start_ns <= row["pts_ns"] < end_ns}
    assert len(private) > 30
    assert not any(row["is_detected"] or row["sharpness"] for row in frames if row["frame_index"] in private)
    redactions = [row for row in rows_of(materialized, schemas.REDACTIONS) if row["session_id"] == "s-good-two"]
    assert private <= {row["frame_index"] for row in redactions if row["source"] == "private_time"}
    for episode in rows_of(materialized, schemas.EPISODES):
        if episode["session_pseudonym"] == materialized.house.pseudonyms.session("s-good-two"):
            assert episode["end_ns"] <= start_ns or episode["start_ns"] >= end_ns


def test_each_frame_has_one_synced_row_with_a_full_window(materialized):
    frames = len([row for row in rows_of(materialized, schemas.FRAMES) if row["session_id"] == "s-good-one"])
    synced = [row for row in rows_of(materialized, schemas.SYNCED_FRAMES) if row["session_id"] == "s-good-one"]
    assert len(synced) == frames
    assert {len(row["imu_window"]) for row in synced} == {6 * schemas.IMU_WINDOW_SIZE}
    norms = [np.linalg.norm([row[f"accel_{axis}_m_s2"] for axis in "xyz"]) for row in synced]
    assert np.median(norms) == pytest.approx(9.81, abs=0.3)


def test_segments_come_from_annotators_from_motion_and_from_presses_that_the_task_names(materialized):
    segments = rows_of(materialized, schemas.SEGMENTS)
    assert {(row["layer"], row["source"]) for row in segments} == {
        ("action", "annotator"),
        ("activity", "model"),
        ("step", "worker_marker"),
        ("step", "model"),
    }
    steps = [row for row in segments if row["layer"] == "step"]
    assert {row["model"] for row in steps if row["source"] == "model"} == {"step-alignment"}


def test_steps_are_named_what_the_worker_did_then(materialized):
    steps = [row for row in rows_of(materialized, schemas.SEGMENTS) if row["layer"] == "step" and row["verb"]]
    assert len(steps) > 8
    for step in steps:
        done = materialized.truths[step["session_id"]].segments
        (action,) = (one for one in done if one.start_ns <= step["start_ns"] < one.end_ns)
        assert step["label"] == action.label


def test_annotators_are_pseudonyms(materialized):
    annotators = {row["annotator"] for row in rows_of(materialized, schemas.ANNOTATIONS)}
    assert annotators == {materialized.house.pseudonyms.annotator("anna")}


def test_episodes_point_to_media_that_is_there(materialized):
    media = materialized.house.lake.media_folder("published")
    uris = {row["media_uri"] for row in rows_of(materialized, schemas.EPISODES)}
    assert len(uris) == 2
    assert {path.relative_to(media).as_posix() for path in media.rglob("*.mp4")} == uris


def test_episodes_carry_the_task_in_words(materialized):
    assert {row["task_id"] for row in rows_of(materialized, schemas.EPISODES)} == {"wash_dishes", "tighten_bolts"}
    assert all(row["task_text"] for row in rows_of(materialized, schemas.EPISODES))


def test_every_stage_reports_counts_and_its_check(materialized):
    for stage in STAGES:
        (event,) = [
            event.step_materialization_data.materialization
            for event in materialized.result.events_for_node(stage)
            if event.event_type_value == "ASSET_MATERIALIZATION"
        ]
        assert {"dagster/row_count", "table_version", "accepted_sessions", "quarantined_sessions"} <= set(
            event.metadata
        )
    checks = {check.check_name: check for check in materialized.result.get_asset_check_evaluations()}
    assert set(checks) == {f"{stage}_suite" for stage in STAGES}
    assert not checks["uploads_suite"].passed
    assert checks["uploads_suite"].severity.value == "WARN"
    assert checks["episodes_suite"].passed


@pytest.mark.parametrize(
    ("stage", "picture", "sessions"),
    [
        ("clock_alignments", "sync of ", {"s-good-one", "s-good-two", "s-broken-foreign-imu"}),
        ("anonymized_videos", "anonymized ", {"s-good-one", "s-good-two"}),
    ],
)
def test_pictures_are_shown_inline(materialized, stage, picture, sessions):
    metadata = materialized.result.asset_materializations_for_node(stage)[0].metadata
    shown = {key.removeprefix(picture) for key in metadata if key.startswith(picture)}
    assert sessions <= shown
    pictures = [value.value for key, value in metadata.items() if key.startswith(picture)]
    assert all(value.startswith("![") and "data:image/png;base64," in value for value in pictures)


def test_the_worker_day_is_on_record_as_finished(materialized):
    (row,) = rows_of(materialized, ledgers.WORKER_DAYS)
    assert (row["published_sessions"], row["quarantined_sessions"]) == (2, 6)
    (arrival,) = rows_of(materialized, ledgers.ARRIVALS)
    assert row["arrival_digest"] == arrival["arrival_digest"]
