"""The tables of native inertial samples, poses, pressure arrays and depth pictures: one narrow table a kind, in session
time.

The tables of the rest of the flow are in `schemas`.
"""

import pyarrow as pa

from harchive_dagster.lake.columns import REAL, TEXT, TIME, published_table, restricted_table, vector
from harchive_dagster.lake.contract import column

CLOCK_MEANING = (
    "What session time rests on: content (the stream's own rotation, found in the picture's), shared (a measured "
    "stream on the same hardware clock), event (knocks felt together with a measured stream) or device (its own claim, "
    "not measured)"
)

_STREAM = column("stream_id", TEXT, "The rig's name for the stream")
_DEVICE_TIME = column("t_device_ns", TIME, "Device clock", unit="ns")
_PLACED = (
    column("placement", TEXT, "Where it is worn, or what it shows"),
    column("t_ns", TIME, "Session time, as far as `clock` tells it", unit="ns"),
    column("clock", TEXT, CLOCK_MEANING),
)

_IMU_COLUMNS = (
    *_PLACED,
    *vector("accel_{axis}_m_s2", "m/s^2", "Specific force, sensor axes"),
    *vector("gyro_{axis}_rad_s", "rad/s", "Angular velocity, sensor axes, bias not subtracted"),
    *vector("mag_{axis}_ut", "uT", "Magnetic field, sensor axes", is_nullable=True),
)

_POSE_COLUMNS = (
    *_PLACED,
    column("joint", TEXT, "Joint or thing whose pose it is; published as other_<n> unless it is a plain name"),
    *vector("{axis}_m", "m", "Position in the device's frame; null where not tracked or not given", is_nullable=True),
    *(
        column(f"q{part}", REAL, f"Orientation in the device's frame, {part} of w,x,y,z", is_nullable=True)
        for part in "wxyz"
    ),
    column("confidence", REAL, "0-1, where the device gives one", is_nullable=True),
)

_TACTILE_COLUMNS = (
    *_PLACED,
    column("row_count", pa.int32(), "Rows of cells"),
    column("column_count", pa.int32(), "Cells in a row"),
    column("unit", TEXT, "Of the values: raw (counts), N (force per cell) or Pa (pressure per cell)"),
    column("values", pa.list_(pa.float32()), "row_count x column_count cells, row-major"),
)

_DEPTH_COLUMNS = (
    *_PLACED,
    column("width_px", pa.int32(), "Picture width", unit="px"),
    column("height_px", pa.int32(), "Picture height", unit="px"),
    column("valid_fraction", REAL, "Share of pixels with a depth"),
    column("min_m", REAL, "Nearest valid pixel", unit="m", is_nullable=True),
    column("median_m", REAL, "Median of the valid pixels", unit="m", is_nullable=True),
    column("max_m", REAL, "Farthest valid pixel", unit="m", is_nullable=True),
)

IMU_SAMPLES = restricted_table(
    "imu_samples",
    "Inertial samples in session time, at their native rate: one row per sample",
    ("stream_id", "t_device_ns"),
    _STREAM,
    _DEVICE_TIME,
    *_IMU_COLUMNS,
)
POSE_SAMPLES = restricted_table(
    "pose_samples",
    "Poses in session time: one row per sample and joint",
    ("stream_id", "t_device_ns", "joint"),
    _STREAM,
    _DEVICE_TIME,
    *_POSE_COLUMNS,
)
TACTILE_SAMPLES = restricted_table(
    "tactile_samples",
    "Pressure arrays in session time: one row per sample",
    ("stream_id", "t_device_ns"),
    _STREAM,
    _DEVICE_TIME,
    *_TACTILE_COLUMNS,
)
DEPTH_FRAMES = restricted_table(
    "depth_frames",
    "Depth pictures in session time, as figures: one row per picture",
    ("stream_id", "t_device_ns"),
    _STREAM,
    _DEVICE_TIME,
    *_DEPTH_COLUMNS,
)
STREAM_TABLES = (IMU_SAMPLES, DEPTH_FRAMES, TACTILE_SAMPLES, POSE_SAMPLES)

# Without device time, which may be a wall clock and would tell when somebody worked.
WORKER_DAY_COPIES = {
    "imu_samples": published_table(
        "imu_samples",
        "Inertial samples at their native rate: one row per sample; clock_alignments says how to turn their axes",
        ("placement", "t_ns"),
        *_IMU_COLUMNS,
    ),
    "depth_frames": published_table(
        "depth_frames", "Depth pictures as figures: one row per picture", ("placement", "t_ns"), *_DEPTH_COLUMNS
    ),
    "tactile_samples": published_table(
        "tactile_samples", "Pressure arrays: one row per sample", ("placement", "t_ns"), *_TACTILE_COLUMNS
    ),
    "pose_samples": published_table(
        "pose_samples", "Poses: one row per sample and joint", ("placement", "t_ns", "joint"), *_POSE_COLUMNS
    ),
}
"""Restricted tables of streams by name, and the pseudonymised copy that a lab sees."""
