"""Pixels of private time reach nothing that looks at pictures, wherever its borders lie between two frames."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from harchive_dagster.recording import look as module
from harchive_dagster.recording.cadence import DetectedBox
from harchive_dagster.recording.decoding import iterate_frames
from harchive_dagster.recording.look import look
from harchive_dagster.recording.private_time import shows_private_time

MS = 1_000_000


class CountingDetector:
    def __init__(self) -> None:
        self.looks = 0

    def detect(self, rgb: NDArray[np.uint8]) -> list[DetectedBox]:
        self.looks += rgb.ndim == 3
        return []


@pytest.mark.parametrize(
    "private_ms",
    [
        [(160, 280)],
        [(170, 281)],
        [(199, 201)],
        [(201, 202)],
        [(0, 1), (330, 10_000)],
        [(0, 10_000)],
        [(5000, 6000)],
        [(90, 130), (130, 131), (239, 300)],
    ],
    ids=str,
)
def test_no_frame_that_is_on_screen_in_private_time_is_looked_at(
    make_clip: Callable[..., str],
    panning: Callable[[int], list[NDArray[np.uint8]]],
    monkeypatch: pytest.MonkeyPatch,
    private_ms: Sequence[tuple[int, int]],
) -> None:
    path = make_clip(panning(12), b_frames=2)
    intervals_ns = [(start * MS, end * MS) for start, end in private_ms]
    pts_ns = np.array([frame.pts_ns for frame in iterate_frames(path)])
    is_private = shows_private_time(pts_ns, intervals_ns)
    measured: list[float] = []
    real = module.small_luma
    monkeypatch.setattr(module, "small_luma", lambda frame: measured.append(frame.time) or real(frame))
    detector = CountingDetector()
    seen, _ = look(path, detector=detector, detect_every=1, private_intervals_ns=intervals_ns)
    first_s = next(iterate_frames(path)).frame.time
    assert [round((time_s - first_s) * 1e9) for time_s in measured] == pts_ns[~is_private].tolist()
    assert detector.looks == np.count_nonzero(~is_private)
    assert (seen.is_detected == ~is_private).all()
    assert not seen.luma_mean[is_private].any()
    assert seen.luma_mean[~is_private].all()


def test_the_last_frame_before_private_time_is_always_searched(
    make_clip: Callable[..., str], panning: Callable[[int], list[NDArray[np.uint8]]]
) -> None:
    seen, _ = look(
        make_clip(panning(12)),
        detector=CountingDetector(),
        detect_every=100,
        private_intervals_ns=[(170 * MS, 281 * MS)],
    )
    # The frame at 160 ms is still on screen at 170, and the one at 280 at 281: both are private.
    assert seen.is_detected[[0, 3, 8, 11]].all()
    assert not seen.is_detected[4:8].any()
