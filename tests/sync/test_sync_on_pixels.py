from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harchive_dagster.demo.session import SessionSpec, make_session
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.look import look
from harchive_dagster.sync.alignment import align_gyro
from harchive_dagster.sync.resampling import synced_frames


def _imu(path: Path) -> ImuStream:
    table = np.genfromtxt(path, delimiter=",", skip_header=1)
    times = np.array([row.split(",", 1)[0] for row in path.read_text().splitlines()[1:]], dtype=np.int64)
    return ImuStream("head_imu", "head", times, table[:, 1:4], table[:, 4:7])


@pytest.mark.slow
def test_the_clock_of_a_rendered_session_with_parallax_is_found_from_its_pixels(tmp_path):
    folder = tmp_path / "session"
    truth = make_session(folder, SessionSpec("s0302-w01-a", seed=5, duration_s=14.0, drift_ppm=60.0))
    seen, _ = look(folder / "cap.mp4", detector=None)
    imu = _imu(folder / "imu.csv")
    alignment = align_gyro(seen.pts_ns, seen.rotation_rad, seen.rotation_inliers, imu)
    assert alignment.is_accepted, alignment.detail
    at_ns = int(seen.pts_ns[-1]) // 2
    device_ns = round((at_ns - truth.offset_ns) / (1 + truth.drift_ppm * 1e-6))
    assert alignment.to_session_ns(np.array([device_ns]))[0] == pytest.approx(at_ns, abs=2_500_000)
    found, true = (Rotation.from_quat([*q[1:], q[0]]) for q in (alignment.camera_from_sensor, truth.camera_from_sensor))
    assert np.degrees((found * true.inv()).magnitude()) < 4
    frames = synced_frames(seen.pts_ns, imu, alignment)
    assert not frames.has_gap.any()
    level = Rotation.from_quat(frames.orientation_wxyz[:, [1, 2, 3, 0]]).apply(frames.accel_m_s2.copy())
    assert np.allclose(level.mean(axis=0), [0, 0, 9.81], atol=0.4)
