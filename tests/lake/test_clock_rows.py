from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa

from harchive_dagster.demo.clock_trials import make_trial, samples_lost
from harchive_dagster.lake import rows
from harchive_dagster.reasons import Reason
from harchive_dagster.sync.clock import PiecewiseClock
from harchive_dagster.sync.clock_breaks import align_pieces
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 2), "worker-01")


def stored(pieces) -> pa.Table:
    """Rows in another order than that of time, as a table may give them back."""
    return pa.concat_tables([rows.alignment_rows(DAY, "s-1", "head", piece) for piece in reversed(pieces)])


def test_the_pieces_of_a_clock_come_back_from_their_rows():
    trial = samples_lost(make_trial(1, "work", 48.0), 26.0, 2.0, does_clock_run=False)
    pieces = align_pieces(*trial.seen, trial.imu)
    assert len(pieces) == 2
    clock = rows.clock_mappings(stored(pieces))["head_imu"]
    device_ns = trial.imu.t_device_ns
    assert (clock.to_session_ns(device_ns) == PiecewiseClock(pieces).to_session_ns(device_ns)).all()
    before_ns = np.array([-60_000_000_000])
    assert not clock.is_broken(before_ns, before_ns + 1).any()  # a sensor that began late is not a clock that was set


def test_a_refused_piece_leaves_its_time_broken_and_a_refused_stream_has_no_clock():
    trial = samples_lost(make_trial(1, "work", 48.0), 26.0, 2.0, does_clock_run=False)
    first, second = align_pieces(*trial.seen, trial.imu)
    lost = replace(second, is_accepted=False, reason=Reason.SYNC_UNKNOWN)
    clock = rows.clock_mappings(stored([first, lost]))["head_imu"]
    late_ns = np.array([40_000_000_000])
    assert clock.is_broken(late_ns, late_ns + 1).all()
    assert rows.clock_mappings(stored([lost])) == {}
