import cv2
import numpy as np

from harchive_dagster.sync.alignment import align_gyro
from harchive_dagster.sync.curve_picture import sync_curve_png


def _opened(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def _count(picture: np.ndarray, rgb: tuple[int, int, int]) -> int:
    return int((np.abs(picture[:, :, ::-1].astype(int) - rgb).max(axis=2) < 40).sum())


def test_an_accepted_alignment_is_drawn_with_both_curves(make_session):
    session = make_session(1)
    alignment = align_gyro(*session.seen, session.imu)
    png = sync_curve_png(alignment, *session.seen, session.imu)
    picture = _opened(png)
    assert picture.shape == (360, 960, 3)
    assert len(png) < 200_000
    assert _count(picture, (0x1F, 0x77, 0xB4)) > 300
    assert _count(picture, (0xD6, 0x27, 0x28)) > 300


def test_refusals_are_drawn_too(make_session):
    session = make_session(2, manner="still")
    refused = align_gyro(*session.seen, session.imu)
    assert not refused.is_accepted
    assert _opened(sync_curve_png(refused, *session.seen, session.imu)).shape == (360, 960, 3)


def test_a_recording_without_any_visual_rotation_is_drawn(make_session):
    session = make_session(3)
    nothing = np.zeros_like(session.rotation_inliers)
    refused = align_gyro(session.pts_ns, session.rotation_rad, nothing, session.imu)
    assert _opened(sync_curve_png(refused, session.pts_ns, session.rotation_rad, nothing, session.imu)).size


def test_the_same_alignment_gives_the_same_bytes(make_session):
    session = make_session(4)
    alignment = align_gyro(*session.seen, session.imu)
    assert sync_curve_png(alignment, *session.seen, session.imu) == sync_curve_png(
        alignment, *session.seen, session.imu
    )
