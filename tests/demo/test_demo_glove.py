"""The demo's glove: files that the landing reads back as the truth that made them."""

from pathlib import Path

import numpy as np
import pytest

from harchive_dagster.demo.glove import (
    HAND_RATE_HZ,
    HAND_STREAM_ID,
    JOINTS,
    TOUCH_RATE_HZ,
    TOUCH_STREAM_ID,
    grip_n,
    hand_position_m,
    hand_stream,
    touch_stream,
)
from harchive_dagster.demo.sensors import HEAD_STREAM_ID, SENSOR_LEAD_S, DeviceClock
from harchive_dagster.demo.session import SessionSpec, folder_of, make_session
from harchive_dagster.landing.integrity import verify_files
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.landing.streams import read_streams
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

DURATION_S = 1.0
CLOCK = DeviceClock(offset_ns=123_456_789, drift_ppm=40.0)
STARTED_NS = 1_772_424_000_000_000_000


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = SessionSpec("s-glove", duration_s=DURATION_S, width_px=96, height_px=64, fps=10, has_glove=True)
    folder = folder_of(tmp_path_factory.mktemp("landing"), spec)
    make_session(folder, spec)
    return folder


def test_the_upload_is_whole_and_says_which_clock_times_the_hand(upload: Path) -> None:
    manifest = read_manifest(upload)
    verify_files(upload, manifest)
    assert manifest.sharing_clock_with(HAND_STREAM_ID) == (HEAD_STREAM_ID,)
    assert manifest.sharing_clock_with(TOUCH_STREAM_ID) == ()


def test_the_landing_reads_what_the_glove_recorded(upload: Path) -> None:
    manifest = read_manifest(upload)
    ((hand, hand_spec, _),) = read_streams(upload, manifest, PoseStream)
    ((touch, touch_spec, _),) = read_streams(upload, manifest, TactileStream)
    assert hand.rate_hz == pytest.approx(hand_spec.rate_hz, rel=1e-3)
    assert touch.rate_hz == pytest.approx(touch_spec.rate_hz, rel=1e-3)
    assert (hand.joints, touch.unit) == (JOINTS, "N")
    t_s = (touch.t_device_ns - STARTED_NS) / 1e9
    np.testing.assert_allclose(touch.values[:, 1, 1], grip_n(t_s), atol=1e-5)


def test_the_hand_is_where_its_formula_says_at_session_time() -> None:
    hand = hand_stream(DURATION_S, CLOCK, np.random.default_rng(1))
    t_s = ((1 + CLOCK.drift_ppm * 1e-6) * hand.t_device_ns + CLOCK.offset_ns) / 1e9
    assert hand.position_m is not None
    is_seen = np.isfinite(hand.position_m)
    assert 0.9 < is_seen.mean() < 1.0
    np.testing.assert_allclose(hand.position_m[is_seen], hand_position_m(t_s)[is_seen], atol=1e-6)


def test_both_streams_cover_the_recording_with_a_lead() -> None:
    hand = hand_stream(DURATION_S, DeviceClock(0, 0.0), np.random.default_rng(1))
    touch = touch_stream(DURATION_S, zero_ns=0)
    for t_ns, rate_hz in ((hand.t_device_ns, HAND_RATE_HZ), (touch.t_device_ns, TOUCH_RATE_HZ)):
        assert t_ns[0] == -SENSOR_LEAD_S * 1e9
        assert t_ns[-1] >= (DURATION_S + SENSOR_LEAD_S) * 1e9 - 2e9 / rate_hz


def test_the_glove_s_wall_clock_is_exact_to_the_nanosecond() -> None:
    touch = touch_stream(DURATION_S, zero_ns=STARTED_NS)
    np.testing.assert_array_equal(touch.t_device_ns - STARTED_NS, touch_stream(DURATION_S, zero_ns=0).t_device_ns)
