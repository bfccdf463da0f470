from datetime import date
from pathlib import Path
from typing import Any

import pytest

from harchive_dagster.demo.truth import FaceBox, SessionTruth, TruthMarker, TruthSegment
from harchive_dagster.reasons import Reason


def truth(**overrides: Any) -> SessionTruth:
    settings: dict[str, Any] = {
        "session_id": "s-1",
        "worker_id": "worker-01",
        "collected_on": date(2026, 3, 2),
        "task_id": None,
        "stream_id": "head_imu",
        "offset_ns": -1_234_567_890,
        "drift_ppm": 12.5,
        "camera_from_sensor": (0.5, 0.5, -0.5, 0.5),
        "focal_px": 381.4,
        "width_px": 640,
        "height_px": 360,
        "frame_count": 60,
        "faces": (FaceBox(3, 1.5, -2.0, 30.0, 40.25),),
        "segments": (
            TruthSegment("walk", "walk", None, 0, 10),
            TruthSegment("fold garment", "fold", "garment", 10, 20),
        ),
        "markers": (TruthMarker(5, "task_start"),),
        "broken": None,
        "expected_reason": None,
        "has_motion": True,
        "recipe_sha256": "ab" * 32,
    }
    return SessionTruth(**(settings | overrides))


@pytest.mark.parametrize(
    "overrides", [{}, {"broken": "covered_lens", "expected_reason": Reason.LENS_COVERED}, {"faces": (), "markers": ()}]
)
def test_what_is_written_is_read_back(tmp_path: Path, overrides: dict[str, Any]) -> None:
    path = truth(**overrides).write(tmp_path)
    assert path == tmp_path / "2026-03-02" / "worker-01" / "s-1.json"
    assert SessionTruth.read(path) == truth(**overrides)


def test_all_truths_are_read_by_day_worker_and_session(tmp_path: Path) -> None:
    wanted = [truth(), truth(session_id="s-2"), truth(session_id="s-0", collected_on=date(2026, 3, 3))]
    for one in reversed(wanted):
        one.write(tmp_path)
    assert SessionTruth.read_all(tmp_path) == wanted


def test_writing_leaves_no_partial_file(tmp_path: Path) -> None:
    truth().write(tmp_path)
    truth(offset_ns=1).write(tmp_path)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert SessionTruth.read(path).offset_ns == 1
