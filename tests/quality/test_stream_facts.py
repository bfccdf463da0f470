"""What the gate of poses, pressure arrays and depth pictures measures, and what it lets through."""

import numpy as np
import pyarrow as pa
import pytest

from harchive_dagster.lake import stream_schemas
from harchive_dagster.quality.gate import judge_batch, judge_sessions
from harchive_dagster.quality.stream_facts import stream_facts
from harchive_dagster.quality.suites import SYNCED_STREAMS
from harchive_dagster.reasons import Reason

COUNT = 20
STREAMS = ("one", "two", "three", "four")
DURATION_NS = 1_000_000_000
IDENTITY = {"collected_on": None, "worker_id": "worker-01", "session_id": "s-one", "clock": "device"}
VALUES = {
    "imu_samples": {
        f"{kind}_{axis}_{unit}": 1.0 for kind, unit in (("accel", "m_s2"), ("gyro", "rad_s")) for axis in "xyz"
    },
    "pose_samples": {"joint": "wrist", "x_m": 0.1, "y_m": 0.2, "z_m": None, "qw": 1.0, "qx": 0.0, "qy": 0.0, "qz": 0.0},
    "tactile_samples": {"row_count": 1, "column_count": 2, "unit": "N", "values": [1.0, 2.0]},
    "depth_frames": {"width_px": 4, "height_px": 3, "valid_fraction": 1.0, "min_m": 1.0, "median_m": 2.0, "max_m": 3.0},
}


def make_rows(name="pose_samples", **overrides):
    """Twenty samples at 50 Hz; an override is a value for every row, or a list of twenty."""
    contract = next(table for table in stream_schemas.STREAM_TABLES if table.name == name)
    times = np.arange(COUNT) * 20_000_000
    columns = IDENTITY | VALUES[name] | {"stream_id": "one", "placement": "head", "t_device_ns": times, "t_ns": times}
    columns |= overrides
    return pa.table(
        {
            field.name: pa.array(
                columns.get(field.name)
                if isinstance(columns.get(field.name), np.ndarray)
                else [columns.get(field.name)] * COUNT,
                type=field.type,
            )
            for field in contract.columns
        }
    )


def facts_of(*tables, declared_hz=50.0):
    declared = {("s-one", stream_id): declared_hz for stream_id in STREAMS}
    return stream_facts(tables, declared, {"s-one": DURATION_NS})


@pytest.mark.parametrize("name", VALUES)
def test_a_good_stream_passes(name):
    figures = facts_of(make_rows(name))
    assert judge_sessions(SYNCED_STREAMS, figures)[0] == []
    assert judge_batch(SYNCED_STREAMS, figures).broken == ()
    (row,) = figures.to_dict("records")
    assert (row["sample_count"], row["min_step_ns"], row["rate_ratio"]) == (COUNT, 20_000_000, 1.0)


def test_every_stream_has_one_row_of_figures_whatever_its_kind():
    figures = facts_of(*(make_rows(name, stream_id=f) for name, f in zip(VALUES, STREAMS, strict=True)))
    assert figures["stream_id"].tolist() == list(STREAMS)


def test_joints_of_one_sample_are_one_sample():
    both = pa.concat_tables([make_rows(), make_rows(joint="index_tip")])
    (row,) = facts_of(both).to_dict("records")
    assert (row["sample_count"], row["min_step_ns"]) == (COUNT, 20_000_000)


def test_no_stream_at_all_breaks_nothing():
    figures = facts_of(*(table.empty() for table in stream_schemas.STREAM_TABLES))
    assert judge_sessions(SYNCED_STREAMS, figures)[1].broken == ()
    assert judge_batch(SYNCED_STREAMS, figures).broken == ()


@pytest.mark.parametrize(
    ("table", "declared_hz", "reason"),
    [
        (make_rows(t_ns=np.arange(COUNT) * 20_000_000 * -1), 50, Reason.SENSOR_NOT_MONOTONIC),
        (make_rows(t_ns=np.zeros(COUNT, dtype=np.int64)), 50, Reason.SENSOR_NOT_MONOTONIC),
        (make_rows(), 100, Reason.SENSOR_IMPLAUSIBLE),
        (make_rows(), 25, Reason.SENSOR_IMPLAUSIBLE),
        (make_rows(t_ns=np.r_[np.arange(19) * 20_000_000, 31_000_000_000]), 50, Reason.SENSOR_IMPLAUSIBLE),
        (make_rows(qw=0.9), 50, Reason.SENSOR_IMPLAUSIBLE),
        (make_rows(qw=None), 50, Reason.SENSOR_IMPLAUSIBLE),
    ],
)
def test_a_session_with_a_stream_that_cannot_be_right_is_set_aside(table, declared_hz, reason):
    (rejection,), _ = judge_sessions(SYNCED_STREAMS, facts_of(table, declared_hz=declared_hz))
    assert (rejection.session_id, rejection.reason) == ("s-one", reason)


def test_a_gap_in_native_samples_is_for_the_frames_to_judge():
    with_gap = make_rows("imu_samples", t_ns=np.r_[np.arange(19) * 20_000_000, 31_000_000_000])
    assert judge_sessions(SYNCED_STREAMS, facts_of(with_gap))[0] == []


def test_a_quaternion_that_was_not_tracked_is_no_fault():
    figures = facts_of(make_rows(qw=None, qx=None, qy=None, qz=None))
    assert judge_sessions(SYNCED_STREAMS, figures)[0] == []


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        (make_rows(t_ns=np.arange(COUNT) * 20_000_000 - 1), "outside_recording"),
        (make_rows(t_ns=np.arange(COUNT) * 20_000_000 + DURATION_NS), "outside_recording"),
        (make_rows(x_m=float("nan")), "not_finite"),
        (make_rows("imu_samples", gyro_y_rad_s=float("nan")), "not_finite"),
        (make_rows("depth_frames", max_m=float("inf")), "not_finite"),
        (make_rows("tactile_samples", values=[1.0, float("inf")]), "not_finite"),
        (make_rows(clock="guessed"), "clock"),
    ],
)
def test_rows_that_no_code_should_have_made_stop_the_batch(table, rule):
    (broken,) = judge_batch(SYNCED_STREAMS, facts_of(table)).broken
    assert broken.rule.arguments["column"] == rule
