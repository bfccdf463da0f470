"""Times and boxes as a reviewer writes them."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy.review_input import interval_ns, moment_ns, require_box

PTS_NS = np.arange(300, dtype=np.int64) * 33_366_667


@pytest.mark.parametrize(
    ("first", "last", "interval"),
    [
        ("1.5s", "2s", (1_500_000_000, 2_000_000_000)),
        ("0.000000001s", "1s", (1, 1_000_000_000)),
        ("10f", "10f", (333_666_670, 333_666_671)),
        ("0s", "20f", (0, 667_333_341)),
        ("299f", "10.5s", (9_976_633_433, 10_500_000_000)),
    ],
)
def test_moments_are_seconds_or_frames_and_a_last_frame_is_inside(first, last, interval):
    assert interval_ns(first, last, PTS_NS) == interval


@given(st.integers(0, 299))
def test_a_frame_is_its_presentation_time(frame):
    assert moment_ns(f"{frame}f", PTS_NS) == PTS_NS[frame]


@given(st.integers(0, 9_000_000_000))
def test_seconds_are_read_to_the_nanosecond(t_ns):
    assert moment_ns(f"{t_ns // 10**9}.{t_ns % 10**9:09d}s", PTS_NS) == t_ns


@given(st.text(max_size=12).filter(lambda text: not re.fullmatch(r"[0-9.]+[sf]", text)))
def test_any_other_text_is_refused_in_words(text):
    with pytest.raises(SettingsError, match=r"is no time\. Nothing was put on record"):
        moment_ns(text, PTS_NS)


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("12", "15s", "'12' is no time.*12.3s"),
        ("-1s", "2s", "'-1s' is no time"),
        ("1e3s", "2s", "no time"),
        ("1s", "infs", "no time"),
        ("٣s", "4s", "no time"),
        ("1s", "90s", r"90s lies behind the recording, whose last frame is 299f at 9\.977s"),
        ("300f", "301f", "300f lies behind the recording"),
        ("2s", "2s", "from 2s to 2s is empty"),
        ("20f", "19f", "is empty"),
    ],
)
def test_what_is_no_time_of_the_recording_is_refused(first, last, message):
    with pytest.raises(SettingsError, match=message):
        interval_ns(first, last, PTS_NS)


@pytest.mark.parametrize("box", [(0, 0, 10, 10), (-5, -5, 10, 10), (630, 350, 100, 100), (-100, -100, 5000, 5000)])
def test_a_box_may_reach_over_the_pictures_border(box):
    require_box(box, 640, 360)


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 0, 10),
        (0, 0, 10, -1),
        (640, 0, 10, 10),
        (-10, 0, 10, 10),
        (float("nan"), 0, 1, 1),
        (0, 0, float("inf"), 1),
    ],
)
def test_a_box_that_hides_nothing_is_refused(box):
    with pytest.raises(SettingsError, match="hides nothing of a picture of 640x360 px"):
        require_box(box, 640, 360)
