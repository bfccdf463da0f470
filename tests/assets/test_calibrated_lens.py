"""The lens that an upload tells reaches the look at its frames; one that cannot be sets its session aside."""

import json

import numpy as np
from scipy.spatial.transform import Rotation

from harchive_dagster.demo.motion import Phase, PhaseKind
from harchive_dagster.demo.session import SessionSpec, motion_of
from harchive_dagster.lake import ledgers, schemas

WORK = {"phases": (Phase(PhaseKind.WORK, 0.0, 4.0),), "duration_s": 4.0, "has_face": False, "has_hands": False}


def _share_of_true_angle(frames, session_id):
    """How large the tracked rotation is against what the head did."""
    rows = sorted((row for row in frames if row["session_id"] == session_id), key=lambda row: row["frame_index"])
    seen = np.array([[row[f"rotation_{axis}_rad"] for axis in "xyz"] for row in rows])[1:]
    body = Rotation.from_matrix(
        motion_of(SessionSpec(session_id, **WORK)).world_from_camera(np.array([row["pts_ns"] for row in rows]) * 1e-9)
    )
    true = (body[:-1].inv() * body[1:]).as_rotvec()
    return float(np.sum(seen * true) / np.sum(true**2))


def _rewrite(house, session_id, **changes):
    path = house.folder_of(session_id) / "lens.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    house.declare(path)


def test_angles_are_those_of_the_lens_and_a_broken_calibration_stops_its_own_session_only(house):
    for session_id in ("s-known", "s-half", "s-wrong"):
        house.add(session_id=session_id, has_calibration=True, **WORK)
    _rewrite(house, "s-half", fx_px=143.0, fy_px=143.0)
    _rewrite(house, "s-wrong", model="omni")
    assert house.run(selection=["uploads", "frame_observations"]).success
    frames = house.lake.read(schemas.FRAMES).to_pylist()
    assert abs(_share_of_true_angle(frames, "s-known") - 1) < 0.03
    assert _share_of_true_angle(frames, "s-half") > 1.1  # roll is right through any lens
    ((session, reason, detail),) = [
        (row["session_id"], row["reason"], row["detail"]) for row in house.lake.read(ledgers.QUARANTINE).to_pylist()
    ]
    assert (session, reason) == ("s-wrong", "sensor_unreadable")
    assert "model is 'omni'" in detail
