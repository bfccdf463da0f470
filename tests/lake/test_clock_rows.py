from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa

from harchive_dagster.demo.clock_trials import make_trial, samples_lost
from harchive_dagster.lake import rows
from harchive_dagster.reasons import Reason
from harchive_dagster.sync.alignment import refused
from harchive_dagster.sync.clock import PiecewiseClock
from harchive_dagster.sync.clock_breaks import align_pieces
from harchive_dagster.sync.session_clocks import StreamTiming
from harchive_dagster.sync.stream_clock import CONTENT, DEVICE, SHARED
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 2), "worker-01")


def stored(imu, pieces, clock=CONTENT, readout_ms=None) -> pa.Table:
    """Rows in another order than that of time, as a table may give them back."""
    return rows.alignment_rows(DAY, "s-1", StreamTiming(imu, clock, tuple(reversed(pieces))), readout_ms)


def test_the_pieces_of_a_clock_come_back_from_their_rows():
    trial = samples_lost(make_trial(1, "work", 48.0), 26.0, 2.0, does_clock_run=False)
    pieces = align_pieces(*trial.seen, trial.imu)
    assert len(pieces) == 2
    clock = rows.clock_mappings(stored(trial.imu, pieces))["head_imu"]
    device_ns = trial.imu.t_device_ns
    assert (clock.to_session_ns(device_ns) == PiecewiseClock(pieces).to_session_ns(device_ns)).all()
    before_ns = np.array([-60_000_000_000])
    assert not clock.is_broken(before_ns, before_ns + 1).any()  # a sensor that began late is not a clock that was set


def test_a_refused_piece_leaves_its_time_broken_and_a_refused_stream_has_no_clock():
    trial = samples_lost(make_trial(1, "work", 48.0), 26.0, 2.0, does_clock_run=False)
    first, second = align_pieces(*trial.seen, trial.imu)
    lost = replace(second, is_accepted=False, reason=Reason.SYNC_UNKNOWN)
    clock = rows.clock_mappings(stored(trial.imu, [first, lost]))["head_imu"]
    late_ns = np.array([40_000_000_000])
    assert clock.is_broken(late_ns, late_ns + 1).all()
    assert rows.clock_mappings(stored(trial.imu, [lost])) == {}
    assert rows.stream_clocks(stored(trial.imu, [lost])) == {}


def test_a_clock_s_rows_say_what_it_rests_on_and_how_the_camera_reads_out():
    trial = make_trial(1, "work", 20.0)
    table = stored(trial.imu, align_pieces(*trial.seen, trial.imu), SHARED, 16.5)
    (row,) = table.to_pylist()
    assert (row["clock"], row["readout_ms"], row["placement"]) == (SHARED, 16.5, trial.imu.placement)
    assert rows.stream_clocks(table)["head_imu"].source == SHARED


def test_where_nothing_was_measured_there_is_no_uncertainty_rather_than_none_at_all():
    imu = make_trial(1, "work", 6.0).imu
    claimed = replace(refused("head_imu", ""), is_accepted=True, reason=None)
    (row,) = stored(imu, [claimed], DEVICE).to_pylist()
    assert (row["offset_sd_ns"], row["drift_sd_ppm"]) == (None, None)
    assert rows.stream_clocks(stored(imu, [claimed], DEVICE))["head_imu"].source == DEVICE
