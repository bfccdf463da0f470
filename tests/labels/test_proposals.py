import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harchive_dagster.demo.activity_trials import make_activity_trial
from harchive_dagster.labels.layers import ACTIVITIES
from harchive_dagster.labels.proposals import (
    COVER_MODEL,
    MOTION_MODEL,
    activities,
    changes,
    labelled,
    propose_activity,
)
from harchive_dagster.labels.proposals_evidence import CELL_NS, MOVEMENTS, Evidence
from harchive_dagster.labels.segments import Segment

Motion = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
SECOND = 1_000_000_000


def _still(seconds: float, rate_hz: float = 30.0, seed: int = 0) -> Motion:
    """A resting head, camera axes: gravity's reaction points up, along -y."""
    count = int(seconds * rate_hz)
    rng = np.random.default_rng(seed)
    accel = rng.normal([0.0, -9.81, 0.0], 0.03, (count, 3))
    return (np.arange(count) * 1e9 / rate_hz).astype(np.int64), accel, rng.normal(0, 0.01, (count, 3))


def _walk(motion: Motion, start: float, end: float) -> None:
    time_ns, accel, gyro = motion
    s = time_ns / 1e9
    inside = (s >= start) & (s < end)
    accel[inside, 1] += 2.0 * np.sin(2 * np.pi * 1.9 * s[inside])
    gyro[inside, 1] += 0.2 * np.sin(2 * np.pi * 0.95 * s[inside])


def _turn(motion: Motion, start: float, end: float) -> None:
    time_ns, _, gyro = motion
    s = time_ns / 1e9
    inside = (s >= start) & (s < end)
    gyro[inside, 1] += 1.6


def _work(motion: Motion, start: float, end: float, seed: int = 2) -> None:
    time_ns, accel, gyro = motion
    s = time_ns / 1e9
    inside = (s >= start) & (s < end)
    for axis in range(3):
        gyro[inside, axis] += 0.3 * np.sin(2 * np.pi * (0.4 + 0.13 * axis) * s[inside] + axis)
        accel[inside, axis] += 0.5 * np.sin(2 * np.pi * (0.5 + 0.17 * axis) * s[inside] + axis)


NO_FRAMES = (np.empty(0, dtype=np.int64), np.empty(0))


def _proposed(motion: Motion, frames: tuple[NDArray[np.int64], NDArray[np.float64]] = NO_FRAMES) -> list[Segment]:
    return propose_activity(*motion, *frames)


def _frames(seconds: float, *covered: tuple[float, float], fraction: float = 0.9) -> tuple[NDArray, NDArray]:
    """30 frames a second of which some are covered."""
    s = np.arange(int(seconds * 30)) / 30
    obstructed = np.full(len(s), 0.1)
    for start, end in covered:
        obstructed[(s >= start) & (s < end)] = fraction
    return np.rint(s * SECOND).astype(np.int64), obstructed


def _spans(segments: list[Segment], label: str) -> list[tuple[float, float]]:
    return [(s.start_ns / SECOND, s.end_ns / SECOND) for s in segments if s.label == label]


def _share(segments: list[Segment], label: str, start: float, end: float) -> float:
    """Share of [start, end) that carries the label."""
    common = sum(
        max(0.0, min(s.end_ns / SECOND, end) - max(s.start_ns / SECOND, start)) for s in segments if s.label == label
    )
    return common / (end - start)


@pytest.mark.parametrize("rate_hz", [10.0, 29.97, 200.0])
def test_each_activity_is_found_where_it_happens(rate_hz: float) -> None:
    motion = _still(40, rate_hz)
    _work(motion, 8, 18)
    _walk(motion, 18, 28)
    _turn(motion, 34, 35.5)
    segments = _proposed(motion)
    assert _share(segments, "idle", 1, 7) > 0.95
    assert _share(segments, "manipulation", 9, 17) > 0.9
    assert _share(segments, "locomotion", 19, 27) > 0.95
    assert _share(segments, "idle", 29.5, 33) > 0.9
    assert _share(segments, "head_turn", 34, 35.5) > 0.7


def test_the_sensor_s_axes_do_not_matter() -> None:
    motion = _still(20)
    _turn(motion, 8, 10)
    _walk(motion, 12, 18)
    time_ns, accel, gyro = motion
    turned = np.array([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0], [-0.8, 0.6, 0.0]])
    straight = [(s.label, s.start_ns, s.end_ns) for s in _proposed(motion)]
    mounted = [(s.label, s.start_ns, s.end_ns) for s in _proposed((time_ns, accel @ turned.T, gyro @ turned.T))]
    assert straight == mounted
    assert {label for label, _, _ in straight} >= {"idle", "head_turn", "locomotion"}


def test_a_nod_is_not_a_head_turn() -> None:
    time_ns, accel, gyro = _still(12)
    gyro[150:180, 0] += 1.6
    assert _share(_proposed((time_ns, accel, gyro)), "head_turn", 0, 12) == 0.0


def test_a_flicker_does_not_make_a_segment() -> None:
    motion = _still(20)
    motion[2][300:303, 0] += 0.4
    assert len(_proposed(motion)) <= 3


def test_a_glance_while_resting_is_still_rest() -> None:
    motion = _still(30)
    _, _, gyro = motion
    s = motion[0] / 1e9
    for at in (6.0, 12.0, 18.0):
        gyro[:, 1] += 0.3 * np.exp(-(((s - at) / 0.5) ** 2))
    assert [(segment.label, segment.start_ns) for segment in _proposed(motion)] == [("idle", 0)]


def test_turning_a_corner_is_locomotion() -> None:
    motion = _still(30)
    _walk(motion, 4, 26)
    _turn(motion, 14, 15.5)
    assert _share(_proposed(motion), "locomotion", 5, 25) == 1.0


def test_hammering_off_the_rhythm_of_steps_is_manipulation() -> None:
    motion = _still(30)
    _work(motion, 5, 25)
    motion[1][:, 1] += np.where(
        (motion[0] >= 5e9) & (motion[0] < 25e9), 1.5 * np.sin(2 * np.pi * 4.2 * motion[0] / 1e9), 0
    )
    assert _share(_proposed(motion), "manipulation", 6, 24) > 0.95


def _evidence(*stretches: tuple[int, tuple[float, float, float]]) -> Evidence:
    log_odds = np.vstack([np.tile(values, (count, 1)) for count, values in stretches])
    return Evidence(0, len(log_odds) * CELL_NS, log_odds, np.ones(len(log_odds), dtype=bool))


IDLE, WALK, WORK = (-3.0, -4.0, -4.0), (4.0, 3.0, -1.0), (3.0, -4.0, -4.0)


def test_time_is_cut_where_the_evidence_changes() -> None:
    evidence = _evidence((40, IDLE), (100, WORK), (60, WALK), (30, IDLE))
    stretches = changes(evidence)
    assert stretches == [(0, 40), (40, 140), (140, 200), (200, 230)]
    assert [found.label for found in labelled(evidence, stretches)] == ["idle", "manipulation", "locomotion", "idle"]


def test_neighbours_that_say_the_same_are_one() -> None:
    found = labelled(_evidence((60, WORK), (40, IDLE)), [(0, 20), (20, 60), (60, 100)])
    assert [(one.start_ns, one.end_ns) for one in found] == [(0, 60 * CELL_NS), (60 * CELL_NS, 100 * CELL_NS)]


@pytest.mark.parametrize("count", [5_990, 6_000, 6_010, 13_000, 30_000])
def test_the_ends_of_blocks_leave_no_trace(count: int) -> None:
    evidence = _evidence((count, WORK))
    assert [(s.start_ns, s.end_ns) for s in labelled(evidence, changes(evidence))] == [(0, count * CELL_NS)]
    evidence = _evidence((count - 20, WORK), (100, WALK), (count, WORK))
    edges = [0, count - 20, count + 80, 2 * count + 80]
    assert [s.start_ns // CELL_NS for s in labelled(evidence, changes(evidence))] == edges[:-1]


def test_what_speaks_for_the_activities_adds_up_to_one() -> None:
    log_odds = np.random.default_rng(3).uniform(-4, 4, (200, 3))
    shares = np.exp(Evidence(0, 1, log_odds, np.ones(200, dtype=bool)).log_shares)
    assert shares.shape == (200, len(MOVEMENTS))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_a_covered_camera_is_proposed_and_takes_the_place_of_what_happens_meanwhile() -> None:
    motion = _still(40)
    _work(motion, 5, 35)
    segments = _proposed(motion, _frames(40, (12.0, 18.0)))
    assert _spans(segments, "camera_covered") == [(12.0, 18.0)]
    (covered,) = (s for s in segments if s.label == "camera_covered")
    assert (covered.model, covered.model_version) == COVER_MODEL
    assert _share(segments, "manipulation", 12, 18) == 0.0
    assert _share(segments, "manipulation", 6, 12) == _share(segments, "manipulation", 18, 34) == 1.0


@pytest.mark.parametrize(
    ("covered", "expected"),
    [
        ([(5.0, 5.8)], []),
        ([(5.0, 7.0), (7.2, 9.0)], [(5.0, 9.0)]),
        ([(5.0, 7.0), (8.0, 10.0)], [(5.0, 7.0), (8.0, 10.0)]),
        ([(17.0, 20.0)], [(17.0, 20.0)]),
    ],
    ids=["a hand that passes", "light between fingers", "twice", "to the end"],
)
def test_covered_is_what_lasts(covered: list[tuple[float, float]], expected: list[tuple[float, float]]) -> None:
    found = _spans(_proposed(_still(20), _frames(20, *covered)), "camera_covered")
    assert found == [pytest.approx(span, abs=1e-6) for span in expected]


@pytest.mark.parametrize("fraction", [0.0, 0.5, np.nan])
def test_private_half_seen_and_unmeasured_frames_are_not_covered(fraction: float) -> None:
    assert _spans(_proposed(_still(20), _frames(20, (5.0, 9.0), fraction=fraction)), "camera_covered") == []


def test_time_without_pictures_is_not_covered() -> None:
    pts_ns, obstructed = _frames(20, (5.0, 15.0))
    kept = (pts_ns < 7 * SECOND) | (pts_ns >= 13 * SECOND)
    found = _spans(_proposed(_still(20), (pts_ns[kept], obstructed[kept])), "camera_covered")
    assert found == [pytest.approx((5.0, 7.0), abs=1e-6), pytest.approx((13.0, 15.0), abs=1e-6)]


def test_a_camera_is_covered_even_where_no_sensor_says_anything() -> None:
    nothing = (np.empty(0, dtype=np.int64), np.empty((0, 3)), np.empty((0, 3)))
    assert _spans(_proposed(nothing, _frames(20, (5.0, 9.0))), "camera_covered") == [(5.0, 9.0)]


def test_generated_recordings_come_out_mostly_as_they_were_made() -> None:
    trial = make_activity_trial(2000, 120.0)
    found = activities(trial.t_ns, trial.accel_m_s2, trial.gyro_rad_s, trial.t_ns, trial.obstructed_fraction)
    right_ns = sum(
        max(0, min(one.end_ns, end_ns) - max(one.start_ns, start_ns))
        for one in found
        for start_ns, end_ns, label in trial.spans
        if one.label == label
    )
    assert right_ns > 0.85 * 120 * SECOND


def test_time_without_samples_has_no_segment() -> None:
    time_ns, accel, gyro = _still(20)
    kept = (time_ns < 6 * SECOND) | (time_ns >= 12 * SECOND)
    accel[500:520, 0] = np.nan
    segments = _proposed((time_ns[kept], accel[kept], gyro[kept]))
    assert _share(segments, "idle", 0, 6) > 0.95
    assert sum(_share(segments, label, 6.6, 11.4) for label in ACTIVITIES) == 0.0


@pytest.mark.parametrize("count", [0, 1, 2, 25])
def test_under_a_second_nothing_is_proposed(count: int) -> None:
    time_ns, accel, gyro = _still(5)
    assert _proposed((time_ns[:count], accel[:count], gyro[:count])) == []


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    time_ns, accel, gyro = _still(5)
    with pytest.raises(ValueError, match="must both be"):
        _proposed((time_ns, accel[:-1], gyro))
    with pytest.raises(ValueError, match="must have the shape"):
        _proposed((time_ns, accel, gyro), (time_ns, np.zeros(3)))


def test_proposals_name_their_model() -> None:
    (segment,) = _proposed(_still(5))
    assert (segment.model, segment.model_version) == MOTION_MODEL
    assert (segment.source, segment.layer, segment.annotator_count) == ("model", "activity", 0)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(2, 400),
    step_ms=st.integers(2, 300),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([0.0, 0.05, 0.5, 5.0]),
    start_ns=st.integers(0, 10**12),
)
def test_proposals_lie_in_order_inside_the_samples(
    count: int, step_ms: int, seed: int, scale: float, start_ns: int
) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.integers(1, step_ms * 1_000_000, count) * rng.choice([1, 1, 1, 1, 20], count)
    time_ns = start_ns + np.cumsum(steps)
    segments = _proposed((time_ns, rng.normal(0, scale, (count, 3)), rng.normal(0, scale, (count, 3))))
    end_ns = time_ns[-1] + int(np.median(np.diff(time_ns)))
    for segment in segments:
        assert time_ns[0] <= segment.start_ns < segment.end_ns <= end_ns
        assert segment.end_ns - segment.start_ns > 0.45 * SECOND  # the last cell may be cut short
        assert 0.0 < segment.confidence <= 1.0
        assert segment.label in ACTIVITIES
    for a, b in pairwise(segments):
        assert a.end_ns <= b.start_ns
        assert a.label != b.label or a.end_ns < b.start_ns


def _klv(payload: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """GPMF's key-length-value items as (key, type, data)."""
    at = 0
    while at + 8 <= len(payload):
        size = payload[at + 5] * struct.unpack_from(">H", payload, at + 6)[0]
        yield payload[at : at + 4], payload[at + 4 : at + 5], payload[at + 8 : at + 8 + size]
        at += 8 + -(-size // 4) * 4


def _gopro_motion(path: Path) -> dict[bytes, NDArray[np.float64]]:
    import av

    found: dict[bytes, list[NDArray[np.float64]]] = {b"ACCL": [], b"GYRO": []}
    with av.open(str(path)) as container:
        payloads = [bytes(p) for p in container.demux() if p.stream.type == "data" and bytes(p)[:4] == b"DEVC"]
    for payload in payloads:
        for _, _, device in _klv(payload):
            for key, _, stream in _klv(device):
                items = {name: (kind, data) for name, kind, data in _klv(stream)} if key == b"STRM" else {}
                for name in found.keys() & items.keys():
                    scale = np.frombuffer(items[b"SCAL"][1], ">i2" if items[b"SCAL"][0] == b"s" else ">i4")
                    found[name].append(np.frombuffer(items[name][1], ">i2").reshape(-1, 3) / scale)
    return {name: np.concatenate(parts) for name, parts in found.items()}


@pytest.mark.realdata
def test_a_real_walk_is_locomotion() -> None:
    folder = Path(os.environ.get("HARCHIVE_REALDATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    path = folder / "gopro_max_walk.mp4"
    if not path.exists():
        pytest.skip("real recordings are not beside the checkout")
    motion = _gopro_motion(path)
    count = min(len(values) for values in motion.values())
    time_ns = (np.arange(count) * 1e9 / 197.46).astype(np.int64)
    segments = _proposed((time_ns, motion[b"ACCL"][:count], motion[b"GYRO"][:count]))
    assert _share(segments, "locomotion", 0, 10) > 0.9
