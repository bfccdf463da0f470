"""What a glove would have recorded of a hand: poses of its joints and the pressure under its fingers, of known truth.

Both follow formulas of session time, so that a table's rows can be held against their own times.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.demo.sensors import SENSOR_LEAD_S, DeviceClock
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

HAND_STREAM_ID = "right_hand_pose"
TOUCH_STREAM_ID = "right_hand_touch"
PLACEMENT = "right_hand"
HAND_RATE_HZ = 60.0
TOUCH_RATE_HZ = 50.0

_QUATERNION = ("qw", "qx", "qy", "qz")
JOINTS = ("wrist", "thumb_tip", "index_tip")
_REACH_M = 0.3
_SWING_S = 3.0  # there and back: fast enough that a millisecond shows, slow enough for any rate
_CELLS = (4, 3)
_GRIP_N = 5.0


def hand_position_m(t_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """True positions of the joints at session times: float64 [N, 3, 3], in front of the head (x right, z ahead)."""
    angle = 2 * np.pi * t_s / _SWING_S
    wrist = np.stack([_REACH_M * np.sin(angle), np.full_like(t_s, 0.2), 0.4 + 0.1 * np.cos(angle)], axis=-1)
    from_wrist = np.array([[0.0, 0.0, 0.0], [-0.04, 0.02, 0.1], [0.02, 0.0, 0.16]])
    return np.asarray(wrist[:, None, :] + from_wrist)


def grip_n(t_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """True force on the middle cell at session times; the others feel half of it."""
    return np.asarray(_GRIP_N * (1 - np.cos(2 * np.pi * t_s / _SWING_S)) / 2)


def hand_stream(duration_s: float, clock: DeviceClock, rng: np.random.Generator) -> PoseStream:
    """The hand's poses; the wrist alone has an orientation, and a fingertip is out of sight now and then."""
    t_s = _times_s(duration_s, HAND_RATE_HZ)
    position_m = hand_position_m(t_s)
    position_m[rng.random(len(t_s)) < 0.1, 2] = np.nan
    orientation = np.full((len(t_s), len(JOINTS), 4), np.nan)
    half_angle = 0.3 * np.sin(2 * np.pi * t_s / _SWING_S)
    zeros = np.zeros_like(t_s)
    orientation[:, 0] = np.stack([np.cos(half_angle), zeros, np.sin(half_angle), zeros], axis=-1)
    return PoseStream(
        stream_id=HAND_STREAM_ID,
        placement=PLACEMENT,
        t_device_ns=np.rint(clock.device_ns(t_s * 1e9)).astype(np.int64),
        joints=JOINTS,
        position_m=position_m,
        orientation_wxyz=orientation,
    )


def touch_stream(duration_s: float, zero_ns: int) -> TactileStream:
    """The pressure under the hand, on a clock of its own that is `zero_ns` at the first frame."""
    t_s = _times_s(duration_s, TOUCH_RATE_HZ)
    force_n = np.repeat(grip_n(t_s)[:, None] / 2, _CELLS[0] * _CELLS[1], axis=1).reshape(-1, *_CELLS)
    force_n[:, 1, 1] *= 2
    return TactileStream(
        stream_id=TOUCH_STREAM_ID,
        placement=PLACEMENT,
        # In whole nanoseconds: as a float, a time since 1970 would be off by up to 128 ns.
        t_device_ns=np.rint(t_s * 1e9).astype(np.int64) + zero_ns,
        values=force_n.astype(np.float32),
        unit="N",
    )


def write_hand(path: Path, stream: PoseStream) -> None:
    """Writes poses as CSV; what was not tracked is an empty cell."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    table = {"t_device_ns": pa.array(stream.t_device_ns)}
    assert stream.position_m is not None
    assert stream.orientation_wxyz is not None
    for index, joint in enumerate(stream.joints):
        for values, parts in ((stream.position_m, ("x_m", "y_m", "z_m")), (stream.orientation_wxyz, _QUATERNION)):
            rounded = np.round(values[:, index], 7)  # a tenth of a micrometre halves the file
            table |= {f"{joint}_{part}": pa.array(rounded[:, i], from_pandas=True) for i, part in enumerate(parts)}
    pa_csv.write_csv(pa.table(table), path, pa_csv.WriteOptions(quoting_style="none"))


def write_touch(path: Path, stream: TactileStream) -> None:
    """Writes the pressure as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pa_parquet

    _, rows, width = stream.values.shape
    cells = {f"cell_{row}_{place}_n": stream.values[:, row, place] for row in range(rows) for place in range(width)}
    pa_parquet.write_table(pa.table({"t_device_ns": stream.t_device_ns, **cells}), path)


def _times_s(duration_s: float, rate_hz: float) -> NDArray[np.float64]:
    return np.asarray(np.arange(int((duration_s + 2 * SENSOR_LEAD_S) * rate_hz)) / rate_hz - SENSOR_LEAD_S)
