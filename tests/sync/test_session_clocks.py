"""Who decides about a session's clocks, and what the others are put on the camera's clock by."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from harchive_dagster.errors import SyncError
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.session_clocks import SessionFacts, claimed_clocks, session_clocks
from harchive_dagster.sync.stream_clock import CONTENT, DEVICE, EVENT, SHARED

DURATION_S = 20.0
STARTED_AT = datetime(2026, 3, 2, 4, tzinfo=UTC)
STARTED_NS = 1_772_424_000_000_000_000


def make_facts(**overrides):
    return SessionFacts(**{"started_at": STARTED_AT, "duration_ns": round(DURATION_S * 1e9), "sharing": {}} | overrides)


def make_imu(stream_id, placement, *, claps_s=(), zero_ns=0, start_s=0.0, end_s=DURATION_S):
    t_s = np.arange(start_s, end_s, 0.005)
    force = np.full(len(t_s), 9.81)
    for clap_s in claps_s:
        force[np.argmin(np.abs(t_s - clap_s))] += 50
    accel = np.column_stack([np.zeros((len(t_s), 2)), force])
    return ImuStream(stream_id, placement, np.rint(t_s * 1e9).astype(np.int64) + zero_ns, accel, np.zeros_like(accel))


@pytest.fixture
def times(make_alignment):
    """Times streams as if those named turned with the picture, 1 s late; says of which it was asked."""

    def run(streams, turning, facts=None):
        asked = []

        def align(stream):
            asked.append(stream.stream_id)
            verdict = {"is_accepted": True, "reason": None, "detail": "", "confidence": turning.get(stream.stream_id)}
            if stream.stream_id not in turning:
                verdict = {"is_accepted": False, "reason": Reason.SYNC_UNKNOWN, "detail": "other.", "confidence": 0.1}
            mount = (0.0, 1.0, 0.0, 0.0)
            return (
                make_alignment(
                    stream_id=stream.stream_id, offset_ns=1_000_000_000, camera_from_sensor=mount, **verdict
                ),
            )

        timings, error = session_clocks(streams, align, facts or make_facts())
        return {timing.stream.stream_id: timing for timing in timings}, error, asked

    return run


HEAD = make_imu("head_imu", "head", claps_s=(3.0, 5.2, 11.0))
WRIST = make_imu("wrist_imu", "left_wrist")


def test_a_wrist_is_never_compared_with_the_picture(times):
    timings, error, asked = times([HEAD, WRIST], {"head_imu": 0.8, "wrist_imu": 0.9})
    assert error is None
    assert asked == ["head_imu"]
    assert (timings["head_imu"].clock, timings["wrist_imu"].clock) == (CONTENT, DEVICE)


def test_the_head_decides_about_the_session_whatever_the_wrist_does(times):
    timings, error, _ = times([HEAD, WRIST], {"wrist_imu": 0.9})
    assert error.reason == Reason.SYNC_UNKNOWN
    assert "other." in str(error)
    assert not any(timing.is_accepted for timing in timings.values())


def test_without_a_sensor_on_the_head_every_one_may_decide(times):
    back = make_imu("back_imu", "back")
    timings, error, asked = times([WRIST, back], {"back_imu": 0.8})
    assert error is None
    assert asked == ["wrist_imu", "back_imu"]
    assert (timings["back_imu"].clock, timings["back_imu"].is_accepted) == (CONTENT, True)
    assert not timings["wrist_imu"].is_accepted


def test_a_shared_hardware_clock_comes_first_and_brings_no_mount(times):
    wrist = make_imu("wrist_imu", "left_wrist", claps_s=(3.0, 5.2, 11.0))
    facts = make_facts(sharing={"wrist_imu": ("head_imu",)})
    timings, error, _ = times([HEAD, wrist], {"head_imu": 0.8}, facts)
    assert error is None
    shared = timings["wrist_imu"]
    assert (shared.clock, shared.best.method, shared.best.stream_id) == (SHARED, "shared_clock/1", "wrist_imu")
    assert shared.best.offset_ns == 1_000_000_000
    assert shared.best.camera_from_sensor == (1.0, 0.0, 0.0, 0.0)


def test_claps_that_head_and_wrist_felt_come_before_what_the_wrist_claims(times):
    wrist = make_imu("wrist_imu", "left_wrist", claps_s=(3.0, 5.2, 11.0), zero_ns=0)
    timings, _, _ = times([HEAD, wrist], {"head_imu": 0.8})
    event = timings["wrist_imu"]
    assert (event.clock, event.is_accepted) == (EVENT, True)
    assert event.best.offset_ns == pytest.approx(1_000_000_000, abs=1_000_000)


@pytest.mark.parametrize("zero_ns", [0, STARTED_NS])
def test_what_shares_nothing_keeps_its_device_s_claim_and_says_so(times, zero_ns):
    wrist = make_imu("wrist_imu", "left_wrist", zero_ns=zero_ns)
    timings, error, _ = times([HEAD, wrist], {"head_imu": 0.8})
    assert error is None
    claimed = timings["wrist_imu"]
    assert (claimed.clock, claimed.best.method, claimed.best.confidence) == (DEVICE, "device_time/1", 0)
    assert (claimed.best.offset_sd_ns, claimed.best.drift_sd_ppm) == (None, None)
    assert claimed.best.to_session_ns(wrist.t_device_ns)[0] == 0


def test_a_rolling_shutter_moves_a_claim_by_half_its_read_out_and_nothing_measured(times):
    timings, _, _ = times([HEAD, WRIST], {"head_imu": 0.8}, make_facts(readout_ms=16.0, is_device_time_ok=True))
    assert timings["wrist_imu"].best.offset_ns == -8_000_000
    assert timings["head_imu"].best.offset_ns == 1_000_000_000


@pytest.mark.parametrize("span_s", [(0.0, 15.0), (6.0, 20.0), (5_000.0, 5_020.0), (-30.0, -5.0)])
def test_a_claim_that_misses_the_recording_leaves_that_stream_out_and_no_session(times, span_s):
    wrist = make_imu("wrist_imu", "left_wrist", start_s=span_s[0], end_s=span_s[1])
    timings, error, _ = times([HEAD, wrist], {"head_imu": 0.8})
    assert error is None
    assert not timings["wrist_imu"].is_accepted
    assert "of the recording" in timings["wrist_imu"].best.detail


def test_a_head_sensor_that_does_not_turn_with_the_picture_is_left_out_unless_it_shares_a_clock(times):
    other = make_imu("other_imu", "head", claps_s=(3.0, 5.2, 11.0))
    timings, error, _ = times([HEAD, other], {"head_imu": 0.8})
    assert error is None
    assert (timings["other_imu"].clock, timings["other_imu"].is_accepted) == (CONTENT, False)
    facts = make_facts(sharing={"other_imu": ("head_imu",)})
    timings, _, _ = times([HEAD, other], {"head_imu": 0.8}, facts)
    assert (timings["other_imu"].clock, timings["other_imu"].is_accepted) == (SHARED, True)


def test_a_task_may_do_with_device_time(times):
    timings, error, _ = times([HEAD, WRIST], {}, make_facts(is_device_time_ok=True))
    assert error is None
    assert {timing.clock for timing in timings.values()} == {DEVICE}
    assert all(timing.is_accepted for timing in timings.values())


def test_device_time_that_misses_the_recording_will_not_do_for_any_task(times):
    head = replace(HEAD, t_device_ns=HEAD.t_device_ns + 10**15)
    timings, error, _ = times([head], {}, make_facts(is_device_time_ok=True))
    assert error.reason == Reason.SYNC_UNKNOWN
    assert timings["head_imu"].clock == CONTENT


@pytest.mark.parametrize("is_device_time_ok", [True, False])
def test_a_session_whose_camera_is_not_understood_goes_on_where_device_time_will_do(is_device_time_ok):
    error = SyncError(Reason.SYNC_UNKNOWN, "the picture is stabilised.", mend="Switch it off.")
    timings, found = claimed_clocks([HEAD], make_facts(is_device_time_ok=is_device_time_ok), error)
    assert found is (None if is_device_time_ok else error)
    assert [timing.clock for timing in timings] == [DEVICE]
