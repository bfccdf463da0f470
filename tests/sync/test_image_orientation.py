"""A camera that steadies its picture: its own word on that is believed as far as the picture shows it."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harchive_dagster.errors import SyncError
from harchive_dagster.sync.alignment import METHOD as PICTURE_METHOD
from harchive_dagster.sync.alignment import align_gyro
from harchive_dagster.sync.image_orientation import (
    CAMERA_FROM_TELEMETRY,
    METHOD,
    CameraRotation,
    camera_rotation,
    is_stabilised,
)

LEFT = 0.25
"""Share of the head's rotation that is left in the picture."""


@dataclass(frozen=True, eq=False)
class Steadied:
    """A session whose picture shows a part of the head's motion, and what its camera tells of that."""

    session: object
    picture: CameraRotation
    t_ns: np.ndarray
    camera_wxyz: np.ndarray
    image_wxyz: np.ndarray

    @property
    def told(self):
        return {
            "camera_t_ns": self.t_ns,
            "camera_wxyz": self.camera_wxyz,
            "image_t_ns": self.t_ns,
            "image_wxyz": self.image_wxyz,
        }


def orientations(steps_rad):
    """Where a body points that turns by these steps, in its own axes."""
    turned = Rotation.identity()
    found = []
    for step in Rotation.from_rotvec(steps_rad):
        turned = turned * step
        found.append(turned)
    return Rotation.concatenate(found)


def wxyz(rotations):
    axes = Rotation.from_matrix(CAMERA_FROM_TELEMETRY)
    return (axes.inv() * rotations * axes).as_quat()[:, [3, 0, 1, 2]]


def steady(session, seed=0):
    step_s = np.diff(session.pts_ns, prepend=session.pts_ns[0])[:, None] * 1e-9
    rate = session.rate_rad_s
    steps = (rate + np.roll(rate, 1, axis=0)) / 2 * step_s
    camera, shown = orientations(steps), orientations(LEFT * steps)
    seen = LEFT * steps + np.random.default_rng(seed).normal(size=steps.shape) * 3e-4
    picture = CameraRotation(session.pts_ns, seen, session.rotation_inliers)
    # The camera's clock and the container's differ by a constant, as edit lists make them.
    return Steadied(session, picture, session.pts_ns + 40_000_000, wxyz(camera), wxyz(camera.inv() * shown))


@pytest.fixture(scope="module", params=["work", "walk"])
def steadied(request, make_session):
    return steady(make_session(4, manner=request.param, duration_s=30.0))


def test_a_picture_that_turns_against_its_camera_is_stabilised_and_no_other(steadied):
    assert is_stabilised(steadied.t_ns, steadied.image_wxyz)
    tilted = np.tile(steadied.image_wxyz[7], (len(steadied.t_ns), 1))
    assert not is_stabilised(steadied.t_ns, tilted)
    assert not is_stabilised(np.empty(0, np.int64), np.empty((0, 4)))
    assert not is_stabilised(steadied.t_ns, np.full_like(tilted, np.nan))


def test_a_gyro_is_aligned_with_what_the_camera_did_and_not_with_what_is_left_of_it(steadied):
    session = steadied.session
    turned = camera_rotation(steadied.picture, **steadied.told)
    (alignment,) = turned.qualified(
        [align_gyro(turned.t_ns, turned.rotation_rad, turned.rotation_inliers, session.imu)]
    )
    assert alignment.is_accepted, alignment.detail
    assert alignment.method == METHOD
    assert abs(session.error_ms(alignment)) < 1.0
    found, true = (
        Rotation.from_quat([*alignment.camera_from_sensor[1:], alignment.camera_from_sensor[0]]),
        session.mount,
    )
    assert np.degrees((found * true.inv()).magnitude()) < 2


def test_an_alignment_is_never_better_than_the_picture_s_word_for_it(make_alignment):
    turned = CameraRotation(np.arange(3), np.zeros((3, 3)), np.zeros(3, np.int32), 0.6, 2.0, 3e6)
    (worse,) = turned.qualified([make_alignment(offset_sd_ns=4e6, correlation=0.9, distinctness=5.0, confidence=0.8)])
    assert (worse.correlation, worse.distinctness) == (0.6, 2.0)
    assert worse.confidence == pytest.approx(0.3)
    assert worse.offset_sd_ns == pytest.approx(5e6)


def test_a_picture_that_nobody_turned_qualifies_nothing(make_alignment):
    alignment = make_alignment(method=PICTURE_METHOD)
    picture = CameraRotation(np.arange(3), np.zeros((3, 3)), np.zeros(3, np.int32))
    assert picture.qualified([alignment]) == (alignment,)


def moved_by_frames(steadied, frames):
    return {
        "camera_t_ns": steadied.t_ns[:-frames],
        "camera_wxyz": steadied.camera_wxyz[frames:],
        "image_t_ns": steadied.t_ns[:-frames],
        "image_wxyz": steadied.image_wxyz[frames:],
    }


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (lambda s: moved_by_frames(s, 1), "follows it by"),
        (lambda s: moved_by_frames(s, 3), "follows it by"),
        (lambda s: s.told | {"camera_wxyz": s.camera_wxyz[::-1], "image_wxyz": s.image_wxyz[::-1]}, "no lag explains"),
        (lambda s: s.told | {"image_wxyz": np.full_like(s.image_wxyz, np.nan)}, "for a moment only"),
        (lambda s: s.told | {"image_t_ns": s.t_ns[:1], "image_wxyz": s.image_wxyz[:1]}, "for a moment only"),
        (lambda s: s.told | {"camera_t_ns": s.t_ns[:2], "camera_wxyz": s.camera_wxyz[:2]}, "cannot be compared"),
        (
            lambda s: (
                s.told | {"camera_wxyz": s.camera_wxyz[:, [0, 2, 3, 1]], "image_wxyz": s.image_wxyz[:, [0, 2, 3, 1]]}
            ),
            "other axes",
        ),
    ],
    ids=["a frame late", "three frames late", "backwards", "not known", "once", "too short", "axes swapped"],
)
def test_an_orientation_that_the_picture_does_not_show_is_refused(steadied, told, problem):
    with pytest.raises(SyncError, match=problem):
        camera_rotation(steadied.picture, **told(steadied))


def test_frames_without_an_orientation_are_left_out(steadied):
    told = dict(steadied.told)
    told["camera_wxyz"] = told["camera_wxyz"].copy()
    told["camera_wxyz"][100:110] = np.nan
    turned = camera_rotation(steadied.picture, **told)
    assert (np.flatnonzero(turned.rotation_inliers == 0) == [0, *range(100, 111)]).all()
    assert not turned.rotation_rad[100:111].any()
    alignment = align_gyro(turned.t_ns, turned.rotation_rad, turned.rotation_inliers, steadied.session.imu)
    assert abs(steadied.session.error_ms(alignment)) < 1.0
