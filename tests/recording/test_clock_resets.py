import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.errors import LandingError
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.clock_resets import PAUSE_NS, carried_on
from harchive_dagster.recording.imu import ImuStream

PERIOD_NS = 5_000_000
YEAR_NS = 365 * 86_400 * 10**9


def runs(*starts_ns: int, count: int = 1000) -> np.ndarray:
    """Even samples that begin anew at each start."""
    return np.concatenate([start_ns + PERIOD_NS * np.arange(count, dtype=np.int64) for start_ns in starts_ns])


@pytest.mark.parametrize(
    "starts_ns",
    [
        pytest.param((0, 0), id="counts from zero again"),
        pytest.param((0, 999 * PERIOD_NS - 60_000_000), id="set back by 60 ms"),
        pytest.param((-(10**9), 56 * YEAR_NS), id="learned the year"),
        pytest.param((56 * YEAR_NS, 0), id="forgot the year"),
        pytest.param((-(2**63), 2**62), id="as far as numbers go"),
        pytest.param((0, 0, 0, 0), id="three times"),
    ],
)
def test_a_clock_that_was_set_is_carried_on_a_second_later(starts_ns):
    carried = carried_on(runs(*starts_ns))
    steps_ns = np.diff(carried)
    assert carried[0] == starts_ns[0]
    assert sorted(set(steps_ns.tolist())) == [PERIOD_NS, PAUSE_NS]
    assert np.flatnonzero(steps_ns == PAUSE_NS).tolist() == [1000 * k - 1 for k in range(1, len(starts_ns))]


def _one_row_early(times_ns):
    times_ns[500] -= 40_000_000
    return times_ns


def _one_row_twice(times_ns):
    times_ns[500] = times_ns[499]
    return times_ns


def _jitter(times_ns):
    times_ns[500] = times_ns[499] - 1_000_000
    return times_ns


@pytest.mark.parametrize(
    "times_ns",
    [
        pytest.param(_one_row_early(runs(0)), id="one row early"),
        pytest.param(_one_row_twice(runs(0)), id="one row twice"),
        pytest.param(_jitter(runs(0)), id="one row late by jitter"),
        pytest.param(runs(0, 0, 0, 0, 0), id="four resets"),
        pytest.param(np.concatenate([runs(0), runs(0, count=100)]), id="ends within a second"),
        pytest.param(runs(0)[::-1].copy(), id="backwards"),
        pytest.param(np.random.default_rng(0).permutation(runs(0)), id="shuffled"),
    ],
)
def test_rows_in_disorder_are_left_as_they_are_and_refused(times_ns):
    assert carried_on(times_ns) is times_ns
    values = np.ones((len(times_ns), 3))
    with pytest.raises(LandingError, match="goes back") as caught:
        ImuStream("head_imu", "head", times_ns, values, values)
    assert caught.value.reason is Reason.SENSOR_NOT_MONOTONIC


def test_a_stream_takes_a_clock_that_was_set():
    values = np.ones((2000, 3))
    stream = ImuStream("head_imu", "head", runs(0, 0), values, values)
    assert (np.diff(stream.t_device_ns) > 0).all()


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30))
def test_no_times_make_it_fail_or_change_their_number(times_ns):
    assert len(carried_on(np.array(times_ns, dtype=np.int64))) == len(times_ns)
