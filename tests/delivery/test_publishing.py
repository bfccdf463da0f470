"""What leaves the house: pseudonyms for names, no free words, no private time, media whole or not at all."""

from datetime import date

import pyarrow as pa
import pytest

from harchive_dagster.delivery.publishing import (
    drop_stale_media,
    media_uri,
    publish_media,
    published_copy,
    without_free_joints,
    without_free_words,
    without_private_time,
)
from harchive_dagster.labels.taxonomy import load_taxonomy
from harchive_dagster.lake import schemas, stream_schemas
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.worker_day import WorkerDay

KEY = Pseudonymiser(b"0123456789abcdef")
DAY = WorkerDay(date(2026, 3, 2), "worker-01")


def make_segments(**overrides):
    row = {
        "collected_on": DAY.collected_on,
        "worker_id": DAY.worker_id,
        "session_id": "s-one",
        "segment_id": "action-1",
        "layer": "action",
        "start_ns": 0,
        "end_ns": 10,
        "verb": "grasp",
        "noun": "plate",
        "label": "grasp plate",
        "source": "annotator",
        "annotator_count": 1,
        "agreement": None,
        "confidence": 0.5,
        "model": None,
        "model_version": None,
    }
    return schemas.SEGMENTS.conform([row | overrides])


def published(segments):
    clean = without_free_words(segments, load_taxonomy(), KEY)
    return published_copy(clean, schemas.PUBLISHED_SEGMENTS, KEY).to_pylist()[0]


def test_names_become_pseudonyms_and_nothing_else_changes():
    row = published(make_segments())
    assert row["participant_id"] == KEY.participant("worker-01")
    assert row["session_pseudonym"] == KEY.session("s-one")
    assert (row["verb"], row["noun"], row["label"]) == ("grasp", "plate", "grasp plate")
    assert not {"worker_id", "session_id"} & set(row)


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ({"verb": "talks to Ramesh", "label": "talks to Ramesh plate"}, "other"),
        ({"verb": None, "noun": None, "label": "Ramesh comes in"}, "other"),
        ({"noun": "Ramesh", "label": "grasp Ramesh"}, "other"),
        ({"verb": None, "label": "Ramesh has it"}, "other"),
    ],
)
def test_words_that_an_annotator_wrote_freely_are_not_published(words, label):
    row = published(make_segments(**words))
    assert row["label"] == label
    assert "Ramesh" not in str(row)


def test_an_activity_that_an_annotator_corrected_is_published_in_its_word():
    row = published(make_segments(layer="activity", verb=None, noun=None, label="locomotion"))
    assert (row["verb"], row["label"]) == (None, "locomotion")


def test_a_published_segment_id_cannot_be_recomputed_from_its_words():
    assert published(make_segments())["segment_id"] == KEY.segment("s-one/action-1")


def make_synced(times_ns):
    names = schemas.SYNCED_FRAMES.schema.names
    fixed = {"session_id": "s-one", "stream_id": "head", "placement": "head", "worker_id": "w1", "has_gap": False}
    fixed |= {"collected_on": DAY.collected_on, "imu_window": [0.0], "clock": "content"}
    rows = [
        {name: fixed.get(name, 0) for name in names} | {"frame_index": i, "t_ns": t} for i, t in enumerate(times_ns)
    ]
    return schemas.SYNCED_FRAMES.conform(rows)


def test_private_time_and_the_frame_it_starts_in_are_left_out():
    kept = without_private_time(make_synced([0, 10, 20, 30, 40]), {"s-one": [(15, 30)]})
    assert kept.column("t_ns").to_pylist() == [0, 30, 40]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (3, 1, 5, 0, 4, 2)])
def test_samples_with_several_rows_are_left_out_whole(order):
    times_ns = [0, 0, 10, 10, 20, 20]
    joints = make_synced([times_ns[place] for place in order])
    assert without_private_time(joints, {"s-one": [(15, 18)]}).column("t_ns").to_pylist() == [
        times_ns[place] for place in order if times_ns[place] != 10
    ]


def make_poses(*joints):
    fixed = {
        "session_id": "s-one",
        "stream_id": "hand",
        "placement": "right_hand",
        "worker_id": "w1",
        "clock": "shared",
    }
    fixed |= {"collected_on": DAY.collected_on, "t_device_ns": 0, "t_ns": 0}
    names = stream_schemas.POSE_SAMPLES.schema.names
    rows = [{name: fixed.get(name) for name in names} | {"joint": joint} for joint in joints]
    return stream_schemas.POSE_SAMPLES.conform(rows)


def test_a_joint_s_name_that_may_mean_a_person_is_not_published():
    poses = make_poses("index_tip", "ravi_kumar_9845012345", "wrist", "sn_c3461325006789")
    published_names = without_free_joints(poses).column("joint").to_pylist()
    assert sorted(published_names) == ["index_tip", "other_1", "other_2", "wrist"]


def test_the_same_joint_has_the_same_published_name_in_every_sample():
    names = without_free_joints(make_poses("wrist", "asha", "wrist", "asha", "joint_3")).column("joint").to_pylist()
    assert sorted(names) == ["joint_3", "other_0", "other_0", "wrist", "wrist"]


def make_touch(clock):
    fixed = {"collected_on": DAY.collected_on, "worker_id": "w1", "session_id": "s-one", "stream_id": "glove"}
    fixed |= {"placement": "left_hand", "clock": clock, "row_count": 1, "column_count": 1, "unit": "N", "values": [1.0]}
    return stream_schemas.TACTILE_SAMPLES.conform(
        [fixed | {"t_device_ns": 1_772_424_000_000_000_000 + t, "t_ns": t} for t in (0, 10, 20, 30)]
    )


@pytest.mark.parametrize(
    ("clock", "private_ns", "kept_ns"),
    [
        ("shared", [(15, 18)], [0, 20, 30]),
        ("shared", [], [0, 10, 20, 30]),
        ("device", [(15, 18)], []),
        ("device", [], [0, 10, 20, 30]),
    ],
)
def test_a_clock_that_nobody_measured_cannot_tell_what_is_private(clock, private_ns, kept_ns):
    kept = without_private_time(make_touch(clock), {"s-one": private_ns})
    copy = published_copy(kept, stream_schemas.WORKER_DAY_COPIES["tactile_samples"], KEY)
    assert copy.column("t_ns").to_pylist() == kept_ns
    assert not {"t_device_ns", "stream_id"} & set(copy.column_names)


def test_without_private_time_nothing_is_left_out():
    assert without_private_time(make_synced([0, 10]), {"s-one": ()}).num_rows == 2


def test_media_appears_whole_under_a_name_that_says_nothing(tmp_path):
    source = tmp_path / "rendered.mp4"
    source.write_bytes(b"pixels")
    uri = media_uri(DAY, "s-one", "ab" * 32, KEY)
    assert "worker-01" not in uri
    assert "s-one" not in uri
    publish_media({uri: source}, tmp_path / "media")
    publish_media({uri: source}, tmp_path / "media")
    files = [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
    assert [path.relative_to(tmp_path / "media").as_posix() for path in files] == [uri]
    assert files[0].read_bytes() == b"pixels"


def test_media_that_no_row_names_is_removed_drafts_included(tmp_path):
    for name in ("keep.mp4", "old.mp4", ".old.mp4.draft"):
        (tmp_path / name).write_bytes(b"")
    assert drop_stale_media(tmp_path, ["keep.mp4"]) == [".old.mp4.draft", "old.mp4"]
    assert [path.name for path in tmp_path.iterdir()] == ["keep.mp4"]


def test_a_session_without_rows_publishes_none():
    assert published_copy(schemas.SEGMENTS.empty(), schemas.PUBLISHED_SEGMENTS, KEY).equals(
        pa.Table.from_pylist([], schema=schemas.PUBLISHED_SEGMENTS.schema)
    )
