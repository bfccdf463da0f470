from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.segments import Segment, build_segments, make_segment
from harchive_dagster.landing.manifest import Marker, marked_intervals_ns

SECOND = 1_000_000_000


def _annotation(start: float, end: float, **overrides: Any) -> Annotation:
    values = {
        "annotation_id": f"a-{start}-{end}",
        "annotator": "asha",
        "tool": "csv",
        "tool_version": "1",
        "layer": "action",
        "verb": "fold",
        "noun": "shirt",
        "text": None,
        "attributes": "{}",
        "created_at_utc": None,
        "source_file_sha256": "0" * 64,
    }
    return Annotation(**{**values, "start_ns": int(start * SECOND), "end_ns": int(end * SECOND), **overrides})


def _activity(start: float, end: float, label: str = "manipulation") -> Segment:
    return make_segment(
        layer="activity",
        interval=(int(start * SECOND), int(end * SECOND)),
        label=label,
        source="model",
        confidence=0.7,
        model="m",
        model_version="1",
    )


def _markers(*presses: tuple[float, str] | tuple[float, str, str]) -> list[Marker]:
    return [Marker(int(press[0] * SECOND), *press[1:]) for press in presses]


def _build(**overrides: Any) -> list[Segment]:
    return build_segments(**{"markers": [], "annotations": [], "activity": [], "duration_ns": 60 * SECOND, **overrides})


def _spans(segments: list[Segment], layer: str) -> list[tuple[float, float, str]]:
    return [(s.start_ns / SECOND, s.end_ns / SECOND, s.label) for s in segments if s.layer == layer]


def test_presses_of_one_moment_are_one_and_keep_their_words() -> None:
    markers = _markers(
        (2, "task_start"), (4, "step", "wipe the table"), (4, "step"), (6, "step"), (6, "step"), (8, "task_end")
    )
    assert [segment.label for segment in _build(markers=markers)] == ["step 1", "wipe table", "step 3"]


def test_the_worker_s_presses_become_steps() -> None:
    markers = _markers(
        (1, "task_start"), (4, "step", "fold the shirt"), (5, "mistake"), (6, "step"), (9, "task_end"), (20, "step")
    )
    segments = _build(markers=markers)
    assert _spans(segments, "step") == [(1, 4, "step 1"), (4, 6, "fold shirt"), (6, 9, "step 3")]
    assert (segments[1].verb, segments[1].noun) == ("fold", "shirt")
    assert {s.source for s in segments} == {"worker_marker"}
    assert {s.annotator_count for s in segments} == {0}


@pytest.mark.parametrize(
    ("note", "label"),
    [("put down the spanner", "place wrench"), ("wash Priya's cup", "wash"), ("call Priya", "step 2"), ("", "step 2")],
)
def test_a_note_gives_words_of_the_taxonomy_and_never_its_own(note: str, label: str) -> None:
    markers = _markers((1, "task_start"), (2, "step", note), (3, "task_end"))
    assert _spans(_build(markers=markers), "step")[1] == (2, 3, label)


def test_the_model_s_activities_pass_through() -> None:
    activity = [_activity(0, 3, "idle"), _activity(3, 9)]
    assert _build(activity=activity) == activity


def test_a_layer_that_people_labelled_comes_from_them_alone() -> None:
    segments = _build(
        markers=_markers((1, "task_start"), (9, "task_end")),
        activity=[_activity(0, 9)],
        annotations=[
            _annotation(2, 3, layer="activity", verb="walk", noun=None),
            _annotation(4, 5, layer="step", verb=None, noun=None, text="gets the shirts"),
        ],
    )
    assert _spans(segments, "activity") == [(2, 3, "walk")]
    assert _spans(segments, "step") == [(4, 5, "gets the shirts")]


def test_one_annotator_alone_has_no_agreement_and_half_confidence() -> None:
    (segment,) = _build(annotations=[_annotation(1, 3)])
    assert (segment.annotator_count, segment.agreement, segment.confidence) == (1, None, 0.5)
    assert (segment.source, segment.model) == ("annotator", None)


def test_annotators_vote_and_a_label_of_one_alone_is_kept() -> None:
    segments = _build(
        annotations=[
            _annotation(0, 2),
            _annotation(2, 3, annotator="ravi", verb="grasp"),
            _annotation(4, 10, annotator="ravi"),
            _annotation(4, 9),
            _annotation(6, 10, annotator="meena", verb="wipe"),
        ]
    )
    assert _spans(segments, "action") == [(0, 2, "fold shirt"), (2, 3, "grasp shirt"), (4, 9.5, "fold shirt")]
    assert [s.agreement for s in segments] == [0.0, 0.0, 0.5]
    assert [s.annotator_count for s in segments] == [3, 3, 3]
    assert [s.confidence for s in segments] == pytest.approx([1 / 4, 1 / 4, 2 / 4])


def test_time_labelled_twice_by_one_annotator_counts_once() -> None:
    twice = [
        _annotation(0, 3, annotator="ravi", verb="wipe", annotation_id=annotation_id)
        for annotation_id in ("a", "again")
    ]
    segments = _build(annotations=[*twice, _annotation(0, 4)])
    assert _spans(segments, "action") == [(0, 4, "fold shirt")]


def test_an_overlapping_label_begins_where_the_one_before_it_ends() -> None:
    labels = [_annotation(0, 4), _annotation(2, 6, verb="wipe"), _annotation(5, 6), _annotation(3, 3.5)]
    assert _spans(_build(annotations=labels), "action") == [(0, 4, "fold shirt"), (4, 6, "wipe shirt")]


def test_private_time_is_cut_out_of_every_layer() -> None:
    markers = _markers((1, "task_start"), (3, "private_start"), (5, "private_end"), (9, "task_end"))
    segments = _build(markers=markers, activity=[_activity(0, 4)], annotations=[_annotation(2, 8)])
    assert _spans(segments, "activity") == [(0, 3, "manipulation")]
    assert _spans(segments, "action") == [(2, 3, "fold shirt"), (5, 8, "fold shirt")]
    assert _spans(segments, "step") == [(1, 3, "step 1"), (5, 9, "step 1")]


def test_nothing_reaches_beyond_the_recording() -> None:
    segments = _build(
        markers=_markers((1, "task_start"), (90, "task_end")), activity=[_activity(58, 61), _activity(61, 62)]
    )
    assert _spans(segments, "activity") == [(58, 60, "manipulation")]
    assert _spans(segments, "step") == [(1, 60, "step 1")]


def test_ids_follow_from_the_content() -> None:
    first = _build(annotations=[_annotation(1, 3), _annotation(4, 5)])
    assert _build(annotations=[_annotation(4, 5), _annotation(1, 3)]) == first
    assert len({s.segment_id for s in first}) == 2
    (by_another,) = _build(annotations=[_annotation(1, 3, annotator="ravi")])
    (other_verb,) = _build(annotations=[_annotation(1, 3, verb="wipe")])
    assert by_another.segment_id == first[0].segment_id
    assert other_verb.segment_id != first[0].segment_id


@pytest.mark.parametrize(("interval", "confidence"), [((3, 3), 0.5), ((4, 3), 0.5), ((0, 3), 0.0), ((0, 3), 1.1)])
def test_an_empty_segment_cannot_exist(interval: tuple[int, int], confidence: float) -> None:
    with pytest.raises(ValueError, match="has interval"):
        make_segment(layer="step", interval=interval, label="x", source="model", confidence=confidence)


TIMES = st.integers(0, 30)
LABELS = st.builds(
    lambda start, length, annotator, layer, verb: _annotation(
        start, start + length, annotator=annotator, layer=layer, verb=verb, annotation_id=f"{start}{length}{verb}"
    ),
    TIMES,
    st.integers(1, 12),
    st.sampled_from(["asha", "ravi", "meena"]),
    st.sampled_from(["activity", "action", "step"]),
    st.sampled_from(["fold", "wipe"]),
)


def _alternating(times: list[int], start: str, end: str) -> list[Marker]:
    kinds = [start, end] * len(times)
    return [Marker(time * SECOND, kind) for time, kind in zip(sorted(set(times)), kinds, strict=False)]


@settings(deadline=None)
@given(
    labels=st.lists(LABELS, max_size=10),
    tasks=st.lists(TIMES, max_size=6),
    private=st.lists(TIMES, max_size=6),
    steps=st.lists(TIMES, max_size=4),
    duration=st.integers(1, 32),
)
def test_no_segments_of_a_layer_overlap_and_none_is_private_or_outside(
    labels: list[Annotation], tasks: list[int], private: list[int], steps: list[int], duration: int
) -> None:
    markers = sorted(
        [
            *_alternating(tasks, "task_start", "task_end"),
            *_alternating(private, "private_start", "private_end"),
            *(Marker(time * SECOND, "step") for time in steps),
        ],
        key=lambda marker: marker.at_ns,
    )
    segments = _build(
        markers=markers,
        annotations=labels,
        activity=[_activity(0, 10), _activity(12, 40)],
        duration_ns=duration * SECOND,
    )
    assert len({s.segment_id for s in segments}) == len(segments)
    for a, b in pairwise(segments):
        assert a.layer < b.layer or a.end_ns <= b.start_ns
    for segment in segments:
        assert 0 <= segment.start_ns < segment.end_ns <= duration * SECOND
        assert 0.0 < segment.confidence <= 1.0
        for start_ns, end_ns in marked_intervals_ns(markers, "private"):
            assert segment.end_ns <= start_ns or segment.start_ns >= end_ns


@pytest.mark.parametrize(
    ("words", "label", "is_known"),
    [
        ({"verb": "fold", "noun": "shirt"}, "fold shirt", True),
        ({"verb": "Juggle", "noun": "shirt"}, "Juggle shirt", False),
        ({"verb": "fold", "noun": "Widget"}, "fold Widget", False),
        ({"verb": None, "noun": None, "text": "looks around"}, "looks around", None),
    ],
)
def test_words_that_nobody_knows_are_kept_as_written_and_flagged(
    words: dict[str, Any], label: str, is_known: bool | None
) -> None:
    (segment,) = [s for s in _build(annotations=[_annotation(1, 2, **words)]) if s.layer == "action"]
    assert (segment.label, segment.is_known) == (label, is_known)
