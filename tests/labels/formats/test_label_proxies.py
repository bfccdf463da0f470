import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harchive_dagster.errors import LabelError, SettingsError
from harchive_dagster.labels.formats.proxy import Proxy, read_proxy, write_proxy

EGOVERSE = '[{"text": "fold", "start_idx": 3, "end_idx": 30}]'


def test_a_proxy_comes_back_as_it_was_written(tmp_path: Path, make_proxy: Callable[..., Proxy]) -> None:
    proxy = make_proxy("varying")
    read = read_proxy(write_proxy(proxy, tmp_path))
    assert read.boundaries_ns.tolist() == proxy.boundaries_ns.tolist()
    assert replace(read, pts_ns=proxy.pts_ns) == proxy


@pytest.mark.parametrize(
    ("fps", "expected"), [("23.976", 24000 / 1001), ("25", 25), ("29.97", 30000 / 1001), ("59.94", 60000 / 1001)]
)
def test_a_constant_rate_is_told_to_a_billionth(make_proxy: Callable[..., Proxy], fps: str, expected: float) -> None:
    assert make_proxy(fps, frame_count=100_000).fps == pytest.approx(expected, rel=1e-9)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), fps=st.sampled_from(["23.976", "29.97", "50", "varying"]))
def test_any_frames_become_times_and_the_same_frames_again(
    make_proxy: Callable[..., Proxy], data: st.DataObject, fps: str
) -> None:
    proxy = make_proxy(fps, frame_count=200)
    first = data.draw(st.integers(0, 199))
    after = data.draw(st.integers(first + 1, 200))
    assert proxy.frames(*proxy.span_ns(first, after)) == (first, after)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(t_ns=st.integers(-(10**9), 10**11))
def test_the_nearest_boundary_is_the_nearest(make_proxy: Callable[..., Proxy], t_ns: int) -> None:
    proxy = make_proxy("varying", frame_count=200)
    assert proxy.nearest_boundary(t_ns) == int(np.argmin(abs(proxy.boundaries_ns - t_ns)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 2}, "version is 2"),
        ({"video_sha256": "ab"}, "video_sha256 is 'ab'"),
        ({"pts_ns": []}, "list of whole nanoseconds"),
        ({"pts_ns": [0, 0.5]}, "list of whole nanoseconds"),
        ({"pts_ns": [0, 10, 10]}, "do not follow each other"),
        ({"pts_ns": [5, 10]}, "do not follow each other"),
        ({"pts_ns": [0, 10**30]}, "must lie within"),
        ({"end_ns": 3}, "do not follow each other"),
        ({"width_px": 0}, "width_px is 0"),
    ],
)
def test_a_damaged_proxy_is_a_settings_error(
    tmp_path: Path, make_proxy: Callable[..., Proxy], change: dict[str, Any], problem: str
) -> None:
    path = write_proxy(make_proxy(), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SettingsError, match=problem):
        read_proxy(path)


def test_two_renderings_of_one_recording_share_their_frame_table(
    annotations: Any, make_proxy: Callable[..., Proxy]
) -> None:
    annotations.know(make_proxy(), make_proxy(digest="cd"))
    annotations.drop(EGOVERSE, "asha.json")
    assert len(annotations.read()) == 1


def test_a_file_must_name_its_video_where_frame_tables_differ(
    annotations: Any, make_proxy: Callable[..., Proxy]
) -> None:
    thirty, twenty_five = make_proxy(), make_proxy("25", digest="cd")
    annotations.know(thirty, twenty_five)
    path = annotations.drop(EGOVERSE, "asha.json")
    with pytest.raises(LabelError, match="does not name its video, and jobs with different frame times were exported"):
        annotations.read()
    path.rename(path.with_name(f"asha.{twenty_five.name}.json"))
    (label,) = annotations.read()
    assert label.start_ns == 120_000_000
