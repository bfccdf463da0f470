from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.lake import schemas
from harchive_dagster.review import session_lanes
from harchive_dagster.review.lanes import Lane, Span, colours, flagged, stacked

INTERVALS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=40)


@given(INTERVALS)
def test_no_two_spans_of_a_line_overlap_and_none_is_lost(intervals):
    spans = [Span(start, start + length, "x") for start, length in intervals]
    lines = stacked(spans)
    assert sorted((span.start_ns, span.end_ns) for line in lines for span in line) == sorted(
        (span.start_ns, span.end_ns) for span in spans
    )
    for line in lines:
        assert all(one.end_ns <= other.start_ns for one, other in pairwise(line))
    most_at_once = max((sum(a.start_ns <= t < a.end_ns for a in spans) for t in range(71)), default=0)
    assert len(lines) == most_at_once


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 10))
def test_flagged_frames_lie_in_spans_and_others_only_where_they_flicker(flags, step_ds):
    step_ns = step_ds * 10**8
    pts_ns = np.arange(len(flags), dtype=np.int64) * step_ns
    end_ns = len(flags) * step_ns
    spans = flagged(pts_ns, end_ns, np.array(flags), "dark")
    inside = [any(span.start_ns <= t < span.end_ns for span in spans) for t in pts_ns]
    assert all(is_in for is_in, is_flagged in zip(inside, flags, strict=True) if is_flagged)
    assert all(later.start_ns - earlier.end_ns >= 5 * 10**8 for earlier, later in pairwise(spans))
    for span in spans:
        members = [flag for flag, t in zip(flags, pts_ns, strict=True) if span.start_ns <= t < span.end_ns]
        assert members[0]
        assert members[-1]
        unflagged = "".join("x" if flag else "-" for flag in members).split("x")
        assert all(len(run) * step_ns < 5 * 10**8 for run in unflagged)


def test_a_label_has_one_colour_in_every_lane_of_its_layer_and_the_longest_have_their_own():
    mine = Lane("annotation", "action: a", (Span(0, 9, "fold"), Span(9, 10, "lift")), "action")
    yours = Lane("annotation", "action: b", (Span(0, 8, "lift"), Span(8, 16, "place")), "action")
    steps = Lane("segment", "step: c", (Span(0, 5, "fold"),), "step")
    found = colours([mine, yours, steps], 2)
    assert found["action", "fold"] != found["action", "lift"]
    assert set(found.values()) <= {0, 1}
    assert found["step", "fold"] == 0


def test_a_label_that_is_no_label_is_cut():
    assert len(Span(0, 1, "x" * 10_000).shown_label) == 201


def annotation(**overrides):
    row = {
        "collected_on": date(2026, 3, 2),
        "worker_id": "worker-01",
        "session_id": "ses-1",
        "annotation_id": "1",
        "annotator": "a-anna",
        "tool": "csv",
        "tool_version": "1",
        "layer": "action",
        "start_ns": 0,
        "end_ns": 10**9,
        "verb": "fold",
        "noun": "garment",
        "text": None,
        "attributes": "{}",
        "created_at_utc": None,
        "source_file_sha256": "0" * 64,
    }
    return row | overrides


def lanes_of(*rows, is_as_written=False):
    return session_lanes.label_lanes(
        schemas.SEGMENTS.empty(), schemas.ANNOTATIONS.conform(rows), is_as_written=is_as_written
    )


@pytest.mark.parametrize(
    ("words", "as_written", "in_our_words"),
    [
        ({"verb": "fold", "noun": "garment"}, "fold garment", "fold garment"),
        ({"verb": "fold", "noun": "asha's shirt"}, "fold asha's shirt", "other"),
        ({"verb": "greet asha", "noun": None}, "greet asha", "other"),
        ({"verb": "fold", "noun": None, "text": "asha folds"}, "fold", "fold"),
        ({"verb": None, "noun": "plate", "layer": "object"}, "plate", "plate"),
        ({"verb": None, "noun": "asha", "layer": "object"}, "asha", "other"),
        ({"verb": None, "noun": None, "text": "asha is here"}, "asha is here", "other"),
        ({"verb": None, "noun": None, "text": "idle", "layer": "activity"}, "idle", "idle"),
        ({"verb": None, "noun": None, "text": "success", "layer": "episode"}, "success", "success"),
    ],
)
def test_words_that_people_wrote_freely_are_shown_only_as_written(words, as_written, in_our_words):
    row = annotation(**words)
    for is_as_written, expected in ((True, as_written), (False, in_our_words)):
        (lane,) = lanes_of(row, is_as_written=is_as_written)
        assert [span.label for span in lane.spans] == [expected]


def test_what_a_file_calls_its_tool_is_shown_only_as_written():
    row = annotation(tool="asha's laptop", attributes='{"is_known_verb": false}')
    for is_as_written, note in (
        (True, "asha's laptop, words that the taxonomy lacks"),
        (False, "words that the taxonomy lacks"),
    ):
        (lane,) = lanes_of(row, is_as_written=is_as_written)
        assert [span.note for span in lane.spans] == [note]


def segment(**overrides):
    (row,) = schemas.SEGMENTS.conform(
        [
            {
                "collected_on": date(2026, 3, 2),
                "worker_id": "worker-01",
                "session_id": "ses-1",
                "segment_id": "seg-1",
                "layer": "action",
                "start_ns": 0,
                "end_ns": 10**9,
                "verb": "fold",
                "noun": "garment",
                "label": "fold garment",
                "source": "annotator",
                "annotator_count": 3,
                "agreement": 0.5,
                "confidence": 0.5,
                "model": None,
                "model_version": None,
                "is_known": True,
                **overrides,
            }
        ]
    ).to_pylist()
    return row


@pytest.mark.parametrize(
    ("overrides", "lane", "label", "is_doubtful"),
    [
        ({}, "action: merged", "fold garment", True),
        ({"agreement": 1.0}, "action: merged", "fold garment", False),
        ({"agreement": None, "noun": "asha", "label": "fold asha", "is_known": False}, "action: merged", "other", True),
        ({"verb": None, "label": "asha has it"}, "action: merged", "other", True),
        (
            {"source": "worker_marker", "layer": "step", "label": "step 2", "agreement": None},
            "step: worker's presses",
            "step 2",
            False,
        ),
        (
            {"source": "model", "model": "thresholds", "layer": "activity", "label": "idle", "agreement": None},
            "activity: thresholds",
            "idle",
            False,
        ),
    ],
)
def test_a_segment_lies_on_the_lane_of_its_source(overrides, lane, label, is_doubtful):
    rows = schemas.SEGMENTS.conform([segment(**overrides)])
    (found,) = session_lanes.label_lanes(rows, schemas.ANNOTATIONS.empty(), is_as_written=False)
    assert (found.name, found.spans[0].label, found.spans[0].is_doubtful) == (lane, label, is_doubtful)


def test_each_annotator_of_a_layer_has_a_lane_below_the_layers_segments():
    drawn = schemas.ANNOTATIONS.conform(
        [
            annotation(annotator="a-b", annotation_id="2"),
            annotation(annotator="a-a"),
            annotation(annotator="a-a", layer="step", annotation_id="3", attributes='{"is_known_noun": false}'),
        ]
    )
    segments = schemas.SEGMENTS.conform([segment()])
    lanes = session_lanes.label_lanes(segments, drawn, is_as_written=False)
    assert [(lane.name, len(lane.spans), lane.spans[0].is_doubtful) for lane in lanes] == [
        ("action: merged", 1, True),
        ("action: a-a", 1, False),
        ("action: a-b", 1, False),
        ("step: a-a", 1, True),
    ]


def test_pictures_of_private_time_are_neither_dark_nor_blurred():
    count, step_ns = 40, 10**8
    frames = {
        "pts_ns": np.arange(count, dtype=np.int64) * step_ns,
        "luma_mean": np.where(np.arange(count) < 20, 0.0, 90.0),
        "sharpness": np.where(np.arange(count) < 20, 0.0, 500.0),
        "obstructed_fraction": np.where(np.arange(count) >= 30, 0.9, 0.0),
    }
    hidden = {"private": np.arange(20), "face": np.array([25])}
    found = session_lanes.flag_lanes(frames, hidden, np.array([39]), count * step_ns)
    assert {
        lane.name: [(span.start_ns // step_ns, span.end_ns // step_ns) for span in lane.spans] for lane in found
    } == {
        "private time": [(0, 20)],
        "hidden: face": [(25, 26)],
        "dark": [],
        "blurred": [],
        "obstructed": [(30, 40)],
        "no sensor": [(39, 40)],
    }
