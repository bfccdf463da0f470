"""What the gate of the redactions counts, with and without a reviewer's corrections."""

from datetime import date

import pytest

from harchive_dagster.lake import rows, schemas
from harchive_dagster.lake.tables import worker_day_key
from harchive_dagster.privacy.corrections import Lifted
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.quality.facts import redaction_facts
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 2), "worker-01")


def redaction(frame_index, **overrides):
    values = {"track_id": 1, "kind": "face", "x": 90.0, "y": 90.0, "w": 60.0, "h": 60.0, "source": "detected"}
    return Redaction(frame_index=frame_index, **values | {"score": 0.9} | overrides)


def lifted(frame_index, **overrides):
    return Lifted(**vars(redaction(frame_index, **overrides)), correction_id="c-1")


def facts(hidden=(), lifted=()):
    found = {
        "kind": "face",
        "x": 100.0,
        "y": 100.0,
        "w": 40.0,
        "h": 40.0,
        "score": 0.9,
        "model": "any",
        "is_slow": False,
    }
    found |= {**worker_day_key(DAY), "session_id": "s", "model_version": "1"}
    (row,) = redaction_facts(
        rows.records(schemas.REDACTIONS, DAY, "s", list(hidden)),
        rows.records(schemas.LIFTED_REDACTIONS, DAY, "s", list(lifted)),
        schemas.DETECTIONS.conform([found | {"frame_index": frame_index} for frame_index in (3, 6)]),
        ["s"],
    ).to_dict("records")
    return {name: row[name] for name in ("uncovered_detections", "track_holes", "lifted_private")}


NOTHING = {"uncovered_detections": 0, "track_holes": 0, "lifted_private": 0}


@pytest.mark.parametrize(
    ("hidden", "shown", "expected"),
    [
        (range(3, 7), [], {}),
        (range(3, 6), [6], {}),
        ([], range(3, 7), {}),
        ([], [], {"uncovered_detections": 2}),
        ([], [3], {"uncovered_detections": 1}),
        ([3, 6], [4], {"track_holes": 1}),
    ],
    ids=["hidden", "lifted in part", "lifted", "neither", "one of them", "a hole beside what was lifted"],
)
def test_a_detection_is_accounted_for_where_it_is_hidden_or_was_lifted_and_not_otherwise(hidden, shown, expected):
    assert facts(map(redaction, hidden), map(lifted, shown)) == NOTHING | expected


def test_lifted_private_time_is_counted():
    private = {"kind": "private", "source": "private_time", "x": 0.0, "y": 0.0, "w": 640.0, "h": 360.0}
    assert facts([], [lifted(frame, **private) for frame in range(3, 7)])["lifted_private"] == 4
