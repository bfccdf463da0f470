from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harchive_dagster.errors import SettingsError
from harchive_dagster.recording.lens import Lens
from harchive_dagster.recording.look import look
from harchive_dagster.recording.observations import Detection

FOCAL_PX = 240.0
LENS = Lens("pinhole", 320, 180, FOCAL_PX, FOCAL_PX, 159.5, 89.5, (0.0,) * 5)


@dataclass(frozen=True)
class FoundBox:
    kind: str
    x: float
    y: float
    w: float
    h: float
    score: float
    model: str = "counting"
    model_version: str = "1"
    is_hint: bool = False


class CountingDetector:
    def __init__(self, score=0.5):
        self.pictures = []
        self._score = score

    def detect(self, rgb):
        self.pictures.append(rgb)
        return [FoundBox("face", 1.0, 2.0, 3.0, 4.0, self._score)]


def _detected(observations):
    return np.flatnonzero(observations.is_detected).tolist()


def _still(scene, count):
    return [scene.seen(Rotation.identity())] * count


def test_every_frame_has_one_row_with_its_time_and_its_rotation(make_clip, scene):
    angles = np.cumsum([0.0, 0.01, 0.02, 0.015, -0.01, -0.02, 0.005])
    pictures = [scene.seen(Rotation.from_rotvec([0, angle, 0])) for angle in angles]
    times = [0, 40, 80, 150, 190, 230, 300]
    observations, detections = look(make_clip(pictures, pts_ms=times), detector=None, lens=LENS)
    assert observations.pts_ns.tolist() == [time * 1_000_000 for time in times]
    assert observations.is_keyframe[0]
    assert np.allclose(observations.rotation_rad[1:, 1], np.diff(angles), atol=1e-3)
    assert (observations.rotation_inliers[1:] > 40).all()
    assert observations.rotation_inliers[0] == 0
    assert (observations.sharpness > 0).all()
    assert (observations.obstructed_fraction < 0.3).all()
    assert not observations.is_detected.any()
    assert detections == []


def test_motion_is_given_at_source_width(make_clip, scene):
    import cv2

    pictures = [
        cv2.resize(scene.seen(Rotation.from_rotvec([0, angle, 0])), (960, 540), interpolation=cv2.INTER_CUBIC)
        for angle in (0.0, 0.03)
    ]
    observations, _ = look(make_clip(pictures), detector=None, lens=LENS)
    assert observations.motion_px[1] == pytest.approx(0.03 * 3 * FOCAL_PX, rel=0.15)
    assert observations.rotation_rad[1, 1] == pytest.approx(0.03, abs=1e-3)


def test_detection_runs_at_both_ends_at_the_stride_between_and_sooner_after_somebody_came(make_clip, scene):
    detector = CountingDetector()
    observations, detections = look(make_clip(_still(scene, 13)), detector=detector, detect_every=5)
    assert _detected(observations) == [0, 2, 7, 12]
    assert [detection.frame_index for detection in detections] == [0, 2, 7, 12]
    assert {(picture.shape, picture.dtype) for picture in detector.pictures} == {((180, 320, 3), np.dtype(np.uint8))}
    assert detections[0] == Detection(0, "face", 1.0, 2.0, 3.0, 4.0, 0.5, "counting", "1", is_slow=False)


class HintingDetector:
    """Finds somebody from the third look on, and hints at him and at something else before."""

    def __init__(self):
        self.looks = 0

    def detect(self, _rgb):
        self.looks += 1
        is_hint = self.looks < 3
        elsewhere = [FoundBox("face", 200.0, 20.0, 30.0, 40.0, 0.1, is_hint=True)]
        return [FoundBox("face", 60.0, 70.0, 30.0, 40.0, 0.1 if is_hint else 0.9, is_hint=is_hint), *elsewhere]


def test_hints_are_detections_where_somebody_is_found_at_the_next_look(make_clip, scene):
    _, detections = look(make_clip(_still(scene, 13)), detector=HintingDetector(), detect_every=4)
    assert [(found.frame_index, found.x, found.score) for found in detections] == [
        (0, 60.0, 0.1),
        (4, 60.0, 0.1),
        (8, 60.0, 0.9),
        (10, 60.0, 0.9),
        (12, 60.0, 0.9),
    ]


class Answers:
    """Sees what it is told to at its calls, in order, then nothing; remembers how often it was asked."""

    def __init__(self, *scores):
        self._scores = list(scores)
        self.calls = 0

    def undiminished_px(self, width_px, height_px):
        return width_px // 2, height_px // 2

    def detect(self, _rgb):
        self.calls += 1
        score = self._scores[self.calls - 1] if self.calls <= len(self._scores) else 0.0
        return [FoundBox("face", 60.0, 70.0, 30.0, 40.0, score, is_hint=score < 0.2)] if score else []


def _glanced(make_clip, scene, count, looks, glances, **settings):
    """How often each was asked, the frames that were looked or glanced at, and those of detections."""
    detector, glance = Answers(*looks), Answers(*glances)
    clip = make_clip(_still(scene, count))
    observations, detections = look(clip, detector=detector, glance=glance, detect_every=2, **settings)
    return (detector.calls, glance.calls), _detected(observations), [found.frame_index for found in detections]


def test_while_nobody_is_in_sight_two_of_three_looks_are_glances(make_clip, scene):
    calls, frames, found = _glanced(make_clip, scene, 18, [], [])
    assert frames == [0, 2, 4, 6, 8, 10, 12, 14, 16, 17]
    assert (calls, found) == ((5, 5), [])  # looks at 0, 2, 8, 14 and the end


def test_a_glance_is_shown_the_picture_as_small_as_it_sees_it(make_clip, scene):
    class Glance(Answers):
        def undiminished_px(self, width_px, height_px):
            return width_px // 2, height_px // 3

        def detect(self, rgb):
            shown.append(rgb)
            return super().detect(rgb)

    shown, pictures = [], _still(scene, 5)
    look(make_clip(pictures), detector=Answers(), glance=Glance(), detect_every=1)
    height_px, width_px = pictures[0].shape[:2]
    assert [picture.shape for picture in shown] == [(height_px // 3, width_px // 2, 3)] * 2
    assert abs(shown[0].mean() - pictures[0].mean()) < 4


def test_where_a_glance_sees_anything_it_becomes_a_look(make_clip, scene):
    calls, frames, found = _glanced(make_clip, scene, 9, [0, 0, 0.9], [0.1])
    assert frames == [0, 2, 4, 5, 7, 8]  # at 4, and sooner behind it
    assert (calls, found) == ((6, 1), [4])


def test_a_glance_that_was_wrong_leaves_no_detection(make_clip, scene):
    calls, frames, found = _glanced(make_clip, scene, 9, [], [0.9])
    assert frames == [0, 2, 4, 6, 8]
    assert (calls, found) == ((4, 2), [])


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        ([0, 0, 0.9], [8]),
        ([0, 0, 0.9, 0.1, 0.9], [4, 6, 8]),
        ([0, 0, 0.9, 0.9], [4, 8]),  # also behind a look without a trace of anybody
        ([0, 0, 0.1, 0, 0.9], [6, 8]),  # a hint: the find before confirms it
        ([0, 0, 0.1], []),
    ],
)
def test_whoever_is_seen_after_glances_is_looked_for_in_their_pictures(make_clip, scene, looks, found):
    calls, frames, detected = _glanced(make_clip, scene, 9, looks, [])
    assert (frames, detected, calls) == ([0, 2, 4, 6, 8], found, (5, 2))


def test_the_pictures_of_glances_are_those_that_they_saw(make_clip, scene):
    class Seeing(CountingDetector):
        def detect(self, rgb):
            found = super().detect(rgb)
            return found if len(self.pictures) > 2 else []

    clip = make_clip([scene.seen(Rotation.from_rotvec([0, 0.002 * frame, 0])) for frame in range(9)])
    every, glancing = CountingDetector(), Seeing()
    look(clip, detector=every, detect_every=1)
    look(clip, detector=glancing, glance=Answers(), detect_every=2)
    for picture, frame in zip(glancing.pictures, [0, 2, 8, 4, 6], strict=True):
        np.testing.assert_array_equal(picture, every.pictures[frame])


def test_whoever_was_lost_sight_of_is_looked_for_twice_before_glances_begin(make_clip, scene):
    calls, frames, _ = _glanced(make_clip, scene, 12, [0, 0.9, 0.9], [])
    assert frames == [0, 2, 3, 5, 7, 9, 11]
    assert calls == (6, 1)  # a glance at 9 alone: the last frame is looked at


def test_whoever_is_only_hinted_at_after_a_find_is_not_glanced_at(make_clip, scene):
    calls, frames, found = _glanced(make_clip, scene, 24, [0.9, 0.9, *[0.1] * 20], [])
    assert calls == (len(frames), 0)
    assert found == frames


def test_a_hint_keeps_glances_away_for_another_look(make_clip, scene):
    calls, frames, _ = _glanced(make_clip, scene, 9, [0.9, 0, 0.1, 0, 0], [])
    assert (frames, calls) == ([0, 1, 3, 5, 7, 8], (6, 0))


def test_whoever_is_found_in_a_picture_that_was_glanced_at_ends_glances(make_clip, scene):
    calls, frames, found = _glanced(make_clip, scene, 15, [0, 0, 0.1, 0.9], [])
    assert (frames, found) == ([0, 2, 4, 6, 8, 10, 12, 14], [4, 8])  # not sooner behind 8: nobody came into view there
    assert calls == (8, 2)


def test_hints_alone_do_not_end_glances(make_clip, scene):
    calls, _, found = _glanced(make_clip, scene, 21, [0, 0, *[0.1] * 20], [])
    assert (calls[1], found) == (6, [])


def test_after_a_look_that_lies_far_back_a_glance_is_not_enough(make_clip, scene):
    times = [*range(0, 400, 40), *range(1000, 5000, 400)]  # ms
    detector, glance = Answers(), Answers()
    clip = make_clip(_still(scene, len(times)), pts_ms=times)
    look(clip, detector=detector, glance=glance, detect_every=2)
    assert (detector.calls, glance.calls) == (9, 2)  # glances at 4 and 6


def test_half_a_second_after_a_look_glances_end(make_clip, scene):
    detector, glance = Answers(), Answers()
    clip = make_clip(_still(scene, 8), pts_ms=range(0, 1040, 130))
    look(clip, detector=detector, glance=glance, detect_every=2)
    assert (detector.calls, glance.calls) == (4, 1)  # a glance at 4 alone, 260 ms after the look at 2


def test_the_slower_detector_is_not_glanced_for(make_clip, scene):
    slow, glance = CountingDetector(), Answers()
    clip = make_clip(_still(scene, 60))
    observations, _ = look(clip, detector=None, slow_detector=slow, glance=glance)
    assert (len(slow.pictures), glance.calls) == (4, 0)
    assert np.flatnonzero(observations.is_slow_detected).tolist() == [0, 25, 50, 59]


def test_private_time_is_neither_glanced_at_nor_looked_at_from_behind_it(make_clip, scene):
    private = [(320_000_000, 480_000_000)]  # frames 8 to 11
    calls, frames, found = _glanced(make_clip, scene, 15, [0, 0, 0, 0.9], [], private_intervals_ns=private)
    assert frames == [0, 2, 4, 6, 7, 12, 13, 14]
    assert (calls, found) == ((6, 2), [12])


def test_detection_runs_at_once_after_a_scene_cut(make_clip, scene):
    pictures = _still(scene, 4) + [scene.seen(Rotation.from_rotvec([0.3, 0.9, 0]))] * 4
    observations, _ = look(make_clip(pictures), detector=CountingDetector(), detect_every=100)
    assert _detected(observations) == [0, 4, 7]
    assert observations.rotation_inliers[4] == 0


@pytest.mark.parametrize(("looks", "found"), [([], []), ([0, 0, 0, 0.9], [4])])
def test_a_scene_cut_ends_glances_and_looks_for_who_was_there_before_it(make_clip, scene, looks, found):
    pictures = _still(scene, 7) + [scene.seen(Rotation.from_rotvec([0.3, 0.9, 0]))] * 5
    detector, glance = Answers(*looks), Answers()
    observations, detections = look(make_clip(pictures), detector=detector, glance=glance, detect_every=2)
    assert _detected(observations) == [0, 2, 4, 6, 7, 9, 11]
    assert [one.frame_index for one in detections] == found
    assert (detector.calls, glance.calls) == (7, 2)  # glances at 4 and 6 alone


def test_the_slower_detector_runs_once_a_second_after_cuts_and_at_both_ends(make_clip, scene):
    pictures = _still(scene, 40) + [scene.seen(Rotation.from_rotvec([0.3, 0.9, 0]))] * 20
    fast, slow = CountingDetector(), CountingDetector()
    observations, detections = look(make_clip(pictures), detector=fast, slow_detector=slow, detect_every=10)
    assert np.flatnonzero(observations.is_slow_detected).tolist() == [0, 25, 40, 59]
    assert [found.frame_index for found in detections if found.is_slow] == [0, 25, 40, 59]
    assert _detected(observations) == [0, 5, 15, 25, 35, 40, 50, 59]
    assert len(slow.pictures) == 4


def test_the_slower_detector_sees_nothing_of_private_time(make_clip, panning):
    slow = CountingDetector()
    private = [(160_000_000, 280_000_000)]
    observations, _ = look(make_clip(panning(12)), detector=None, slow_detector=slow, private_intervals_ns=private)
    assert np.flatnonzero(observations.is_slow_detected).tolist() == [0, 3, 7, 11]
    assert not observations.is_detected.any()


def test_opencv_has_as_many_threads_after_a_look_as_before(make_clip, panning):
    import cv2

    before = cv2.getNumThreads()
    counts = []
    cv2.setNumThreads(3)
    try:
        look(make_clip(panning(2)), detector=None, progress=lambda _: counts.append(cv2.getNumThreads()))
        assert (counts, cv2.getNumThreads()) == ([1, 1], 3)
    finally:
        cv2.setNumThreads(before)


def test_nothing_is_computed_from_private_time(make_clip, panning):
    detector = CountingDetector()
    path = make_clip(panning(12))
    observations, _ = look(
        path, detector=detector, detect_every=1, private_intervals_ns=[(160_000_000, 280_000_000)], lens=LENS
    )
    private = slice(4, 7)  # frames at 160, 200 and 240 ms; the one at 280 ms is public again
    assert _detected(observations) == [0, 1, 2, 3, 7, 8, 9, 10, 11]
    assert len(detector.pictures) == 9
    for name in ("sharpness", "luma_mean", "luma_std", "clipped_fraction", "obstructed_fraction", "motion_px"):
        assert not getattr(observations, name)[private].any()
    assert not observations.rotation_rad[4:8].any()  # also none across the interval's end
    assert not observations.rotation_inliers[4:8].any()
    assert (observations.rotation_inliers[[3, 8]] > 0).all()
    assert observations.pts_ns[5] == 200_000_000


def test_detection_is_forced_on_both_sides_of_private_time(make_clip, scene):
    observations, _ = look(
        make_clip(_still(scene, 12)),
        detector=CountingDetector(),
        detect_every=100,
        private_intervals_ns=[(160_000_000, 280_000_000)],
    )
    assert _detected(observations) == [0, 3, 7, 11]


def test_a_wholly_private_recording_still_has_its_rows(make_clip, panning):
    detector = CountingDetector()
    observations, detections = look(make_clip(panning(4)), detector=detector, private_intervals_ns=[(0, 10**12)])
    assert len(observations) == 4
    assert (detector.pictures, detections) == ([], [])


def test_progress_counts_the_frames(make_clip, panning):
    counts = []
    look(make_clip(panning(4)), detector=None, progress=counts.append)
    assert counts == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("settings", "match"),
    [({"detect_every": 0}, "detect_every is 0"), ({"private_intervals_ns": [(5, 3)]}, "ends before it starts")],
)
def test_settings_that_make_no_sense_are_refused_before_decoding(tmp_path, settings, match):
    with pytest.raises(SettingsError, match=match):
        look(tmp_path / "never_opened.mp4", detector=None, **settings)


@pytest.mark.realdata
def test_real_views_are_measured_and_not_obstructed(realdata):
    observations, _ = look(realdata / "egocentric_two_faces.mp4", detector=None)
    assert len(observations) == 14
    assert observations.obstructed_fraction.max() < 0.3
    assert (observations.rotation_inliers[1:] > 0).mean() > 0.9
