from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.demo.motion import Phase, PhaseKind, make_motion
from harchive_dagster.demo.sensors import (
    COLUMNS,
    DeviceClock,
    SensorErrors,
    measure,
    quaternion_matrix,
    random_quaternion,
    write_imu,
)
from harchive_dagster.recording.imu import ImuStream

DURATION_S = 5.0
WALK = make_motion((Phase(PhaseKind.WALK, 0.0, DURATION_S),), np.random.default_rng(2))


def imu(**overrides: Any) -> ImuStream:
    settings: dict[str, Any] = {
        "duration_s": DURATION_S,
        "rate_hz": 200.0,
        "clock": DeviceClock(offset_ns=0, drift_ppm=0.0),
        "camera_from_sensor": (1.0, 0.0, 0.0, 0.0),
        "errors": SensorErrors.none(),
        "rng": np.random.default_rng(9),
    }
    return measure(WALK, **(settings | overrides))


def session_s(stream: ImuStream, clock: DeviceClock) -> np.ndarray:
    return ((1 + clock.drift_ppm * 1e-6) * stream.t_device_ns + clock.offset_ns) / 1e9


@given(
    st.integers(-(10**10), 10**10),
    st.floats(-300, 300),
    st.lists(st.integers(-(10**10), 10**13), min_size=1, max_size=20),
)
def test_the_clock_formula_takes_device_time_back_to_session_time(offset_ns: int, ppm: float, times: list[int]) -> None:
    clock = DeviceClock(offset_ns, ppm)
    device_ns = clock.device_ns(np.array(times, dtype=np.float64))
    np.testing.assert_allclose((1 + ppm * 1e-6) * device_ns + offset_ns, times, atol=0.01)


@pytest.mark.parametrize("offset_ns", [-1_500_000_000, 0, 1_500_000_000])
@pytest.mark.parametrize("drift_ppm", [-80.0, 80.0])
def test_the_sensor_covers_the_video_with_more_than_a_second_to_spare(offset_ns: int, drift_ppm: float) -> None:
    clock = DeviceClock(offset_ns, drift_ppm)
    t_s = session_s(imu(clock=clock, errors=SensorErrors()), clock)
    assert t_s[0] < -1.0
    assert t_s[-1] > DURATION_S + 1.0


def test_a_perfect_sensor_repeats_the_motion_on_its_own_clock() -> None:
    clock = DeviceClock(700_000_000, 60.0)
    stream = imu(clock=clock)
    t_s = session_s(stream, clock)
    np.testing.assert_allclose(stream.gyro_rad_s, WALK.at(WALK.gyro_rad_s, t_s), atol=1e-4)
    np.testing.assert_allclose(stream.accel_m_s2, WALK.at(WALK.accel_m_s2, t_s), atol=1e-3)


def test_the_mount_takes_sensor_axes_into_camera_axes() -> None:
    mount = random_quaternion(np.random.default_rng(4))
    turned, straight = imu(camera_from_sensor=mount), imu()
    np.testing.assert_allclose(turned.gyro_rad_s @ quaternion_matrix(mount).T, straight.gyro_rad_s, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_random_mount_is_a_rotation(seed: int) -> None:
    matrix = quaternion_matrix(random_quaternion(np.random.default_rng(seed)))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    half = np.sqrt(0.5)
    np.testing.assert_allclose(quaternion_matrix((half, 0.0, 0.0, half)) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_errors_are_of_the_stated_size() -> None:
    errors = SensorErrors(gyro_noise_rad_s=0.02, gyro_bias_rad_s=0.0, jitter_ns=0.0, dropped_share=0.0)
    noise = imu(errors=errors).gyro_rad_s - imu().gyro_rad_s
    assert noise.std() == pytest.approx(0.02, rel=0.1)


def test_one_sample_in_a_hundred_is_dropped() -> None:
    whole, holey = len(imu()), len(imu(errors=SensorErrors()))
    assert whole == 1800
    assert 0.97 * whole < holey < whole


@given(jitter_ns=st.floats(0, 1e8), seed=st.integers(0, 2**32))
def test_device_time_increases_whatever_the_jitter(jitter_ns: float, seed: int) -> None:
    stream = imu(errors=SensorErrors(jitter_ns=jitter_ns), rng=np.random.default_rng(seed))
    assert (np.diff(stream.t_device_ns) > 0).all()


@pytest.mark.parametrize(("name", "read"), [("imu.csv", pa_csv.read_csv), ("imu.parquet", pa_parquet.read_table)])
def test_a_sensor_file_has_the_agreed_columns_and_the_same_values(tmp_path: Path, name: str, read: Any) -> None:
    stream = imu(errors=SensorErrors())
    write_imu(tmp_path / name, stream)
    table = read(tmp_path / name)
    assert table.column_names == list(COLUMNS)
    np.testing.assert_array_equal(table["t_device_ns"].to_numpy(), stream.t_device_ns)
    np.testing.assert_allclose(table["gyro_z_rad_s"].to_numpy(), stream.gyro_rad_s[:, 2], atol=1e-7)
