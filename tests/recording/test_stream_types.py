"""What a stream of poses, tactile cells, depth pictures or places refuses to be built from."""

import numpy as np
import pytest

from harchive_dagster.errors import LandingError
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.depth import DepthStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

COUNT = 4
TIMES_NS = np.arange(COUNT, dtype=np.int64) * 10_000_000
UNIT = np.tile([1.0, 0.0, 0.0, 0.0], (COUNT, 1, 1))


def pose(**overrides):
    values = {"t_device_ns": TIMES_NS, "joints": ("wrist",), "orientation_wxyz": UNIT} | overrides
    return PoseStream(stream_id="hand", placement="left_hand", **values)


def tactile(**overrides):
    values = {"t_device_ns": TIMES_NS, "values": np.ones((COUNT, 2, 3)), "unit": "N"} | overrides
    return TactileStream(stream_id="glove", placement="left_hand", **values)


def depth(**overrides):
    figures = {name: np.full(COUNT, 0.5) for name in ("valid_fraction", "min_m", "median_m", "max_m")}
    values = {"t_device_ns": TIMES_NS, "width_px": 64, "height_px": 48} | figures | overrides
    return DepthStream(stream_id="depth", placement="head", **values)


def location(**overrides):
    names = ("latitude_deg", "longitude_deg", "altitude_m", "speed_m_s")
    values = {"t_device_ns": TIMES_NS} | {name: np.full(COUNT, 12.5) for name in names} | overrides
    return LocationStream(stream_id="gps", placement="head", **values)


@pytest.mark.parametrize("build", [pose, tactile, depth, location])
def test_a_sound_stream_is_built_read_only_and_knows_its_rate(build):
    stream = build()
    assert len(stream) == COUNT
    assert stream.rate_hz == pytest.approx(100)
    with pytest.raises(ValueError, match="read-only"):
        stream.t_device_ns[0] = 1


def test_quaternions_are_made_exactly_unit_and_what_was_not_tracked_stays_nan():
    rough = UNIT * 1.01
    rough[2] = np.nan
    orientation = pose(orientation_wxyz=rough).orientation_wxyz
    assert orientation[0, 0, 0] == 1.0
    assert np.isnan(orientation[2]).all()


def test_a_receiver_may_not_know_its_height_or_speed():
    assert np.isnan(location(altitude_m=np.full(COUNT, np.nan)).altitude_m).all()


@pytest.mark.parametrize("build", [pose, tactile, depth, location])
def test_device_time_that_does_not_increase_is_refused(build):
    with pytest.raises(LandingError, match="device time goes back by 5 ns after row 1") as caught:
        build(t_device_ns=np.array([0, 10, 5, 20]))
    assert caught.value.reason is Reason.SENSOR_NOT_MONOTONIC


def test_a_step_over_the_whole_range_of_time_is_no_overflow():
    with pytest.raises(LandingError, match="device time goes back"):
        tactile(t_device_ns=np.array([0, 2**62, -(2**62) - 2**61, 5]))


@pytest.mark.parametrize(
    ("build", "overrides", "problem"),
    [
        (pose, {"orientation_wxyz": None}, "neither positions nor orientations"),
        (pose, {"orientation_wxyz": UNIT * 2}, "4 quaternions of length 2, expected 1"),
        (pose, {"orientation_wxyz": UNIT[:, :, :3]}, "for 1 joints"),
        (pose, {"position_m": np.full((COUNT, 1, 3), np.inf)}, "infinite values in position_m"),
        (pose, {"confidence": np.full((COUNT, 1), 1.5)}, "confidences outside 0 to 1"),
        (pose, {"joints": ()}, "0 joints, expected at least one"),
        (pose, {"joints": ("a", "a"), "orientation_wxyz": np.tile(UNIT, (1, 2, 1))}, "2 joints, expected .* distinct"),
        (pose, {"joints": ("Asha's left hand",)}, "a joint named .*, expected up to 40 of a-z"),
        (pose, {"joints": ("wrist\n",)}, "a joint named"),
        (pose, {"joints": ("j" * 41,)}, "a joint named"),
        (tactile, {"values": np.ones((COUNT, 6))}, "expected samples x rows x columns"),
        (tactile, {"values": np.ones((COUNT, 0, 3))}, "expected samples x rows x columns"),
        (tactile, {"values": np.full((COUNT, 2, 3), 1e300)}, "values that is not finite in 4 samples"),
        (tactile, {"unit": "psi"}, "unit 'psi', known are N, Pa, raw"),
        (tactile, {"t_device_ns": TIMES_NS[:1]}, "1 samples; at least 2"),
        (depth, {"width_px": 0}, "pictures of 0x48 px"),
        (depth, {"valid_fraction": np.full(COUNT, 1.1)}, "valid fractions outside 0 to 1"),
        (depth, {"valid_fraction": np.full(COUNT, np.nan)}, "valid fractions outside 0 to 1"),
        (depth, {"min_m": np.full(COUNT, -1.0)}, "min_m that is negative or infinite"),
        (depth, {"max_m": np.ones(COUNT + 1)}, r"max_m of shape \(5,\) for 4 times"),
        (location, {"latitude_deg": np.full(COUNT, 91.0)}, "not on Earth"),
        (location, {"longitude_deg": np.full(COUNT, np.nan)}, "longitude_deg that is not finite"),
        (location, {"speed_m_s": np.full(COUNT, np.inf)}, "infinite heights or speeds"),
    ],
)
def test_what_cannot_be_a_stream_is_refused(build, overrides, problem):
    with pytest.raises(LandingError, match=problem) as caught:
        build(**overrides)
    assert caught.value.reason is Reason.SENSOR_UNREADABLE
