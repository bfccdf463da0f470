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

from harchive_dagster.labels.proposals import ACTIVITIES, MODEL_NAME, MODEL_VERSION, _decided, propose_activity
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
    segments = propose_activity(*motion)
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
    straight = [(s.label, s.start_ns, s.end_ns) for s in propose_activity(*motion)]
    mounted = [(s.label, s.start_ns, s.end_ns) for s in propose_activity(time_ns, accel @ turned.T, gyro @ turned.T)]
    assert straight == mounted
    assert {label for label, _, _ in straight} >= {"idle", "head_turn", "locomotion"}


def test_a_nod_is_not_a_head_turn() -> None:
    time_ns, accel, gyro = _still(12)
    gyro[150:180, 0] += 1.6
    assert _share(propose_activity(time_ns, accel, gyro), "head_turn", 0, 12) == 0.0


def test_a_flicker_does_not_make_a_segment() -> None:
    motion = _still(20)
    motion[2][300:303, 0] += 0.4
    assert len(propose_activity(*motion)) <= 3


def test_an_activity_gives_way_only_to_one_that_is_clearly_better() -> None:
    better_by = np.array([0.0, 0.1, -0.1, 0.1, 0.2, -0.1, -0.2])
    scores = np.column_stack([np.full(7, 0.5), 0.5 + better_by])
    is_measured = np.ones(7, dtype=bool)
    assert _decided(scores, is_measured) == [0, 0, 0, 0, 1, 1, 0]
    is_measured[3] = False
    assert _decided(scores, is_measured) == [0, 0, 0, -1, 1, 1, 0]


def test_time_without_samples_has_no_segment() -> None:
    time_ns, accel, gyro = _still(20)
    kept = (time_ns < 6 * SECOND) | (time_ns >= 12 * SECOND)
    accel[500:520, 0] = np.nan
    segments = propose_activity(time_ns[kept], accel[kept], gyro[kept])
    assert _share(segments, "idle", 0, 6) > 0.95
    assert sum(_share(segments, label, 6.6, 11.4) for label in ACTIVITIES) == 0.0


@pytest.mark.parametrize("count", [0, 1, 2, 25])
def test_under_a_second_nothing_is_proposed(count: int) -> None:
    time_ns, accel, gyro = _still(5)
    assert propose_activity(time_ns[:count], accel[:count], gyro[:count]) == []


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    time_ns, accel, gyro = _still(5)
    with pytest.raises(ValueError, match="must both be"):
        propose_activity(time_ns, accel[:-1], gyro)


def test_proposals_name_their_model() -> None:
    (segment,) = propose_activity(*_still(5))
    assert (segment.model, segment.model_version) == (MODEL_NAME, MODEL_VERSION)
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
    segments = propose_activity(time_ns, rng.normal(0, scale, (count, 3)), rng.normal(0, scale, (count, 3)))
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
    segments = propose_activity(time_ns, motion[b"ACCL"][:count], motion[b"GYRO"][:count])
    assert _share(segments, "locomotion", 0, 10) > 0.9
