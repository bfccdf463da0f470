from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.episodes import REJECTIONS, Episode, RejectedSpan, build_episodes
from harchive_dagster.labels.outcomes import unread_judgements
from harchive_dagster.labels.segments import Segment, make_segment
from harchive_dagster.landing.manifest import Marker, marked_intervals_ns

SECOND = 1_000_000_000
FRAMES = 900  # 30 s at 30 fps
PTS_NS = (np.arange(FRAMES) * SECOND // 30).astype(np.int64)


def _markers(*presses: tuple[float, str]) -> list[Marker]:
    return [Marker(int(at * SECOND), kind) for at, kind in presses]


def _idle(start: float, end: float, label: str = "idle") -> Segment:
    return make_segment(
        layer="activity",
        interval=(int(start * SECOND), int(end * SECOND)),
        label=label,
        source="model",
        confidence=0.9,
    )


def _build(**overrides: Any) -> tuple[list[Episode], list[RejectedSpan]]:
    count = len(overrides.get("pts_ns", PTS_NS))
    return build_episodes(
        **{
            "markers": [],
            "task_id": "fold_laundry",
            "pts_ns": PTS_NS,
            "segments": [],
            "obstructed_fraction": np.zeros(count),
            "sharpness": np.full(count, 100.0),
            "sync_confidence": 1.0,
            "has_gap": np.zeros(count, dtype=bool),
            "is_synced": np.ones(count, dtype=bool),
            **overrides,
        }
    )


def _spans(episodes: list[Episode]) -> list[tuple[float, float]]:
    return [(e.start_ns / SECOND, e.end_ns / SECOND) for e in episodes]


def test_each_pair_of_task_markers_is_an_episode() -> None:
    markers = _markers((1, "task_start"), (9, "task_end"), (10, "task_start"), (20, "task_end"))
    episodes, rejected = _build(markers=markers)
    assert _spans(episodes) == [(1, 9), (10, 20)]
    assert [(e.frame_start, e.frame_end) for e in episodes] == [(30, 270), (300, 600)]
    assert [e.episode_index for e in episodes] == [0, 1]
    assert {e.task_id for e in episodes} == {"fold_laundry"}
    assert rejected == []


def test_a_recording_without_task_markers_is_one_episode() -> None:
    (episode,), _ = _build(task_id=None, markers=_markers((4, "step")))
    assert (episode.start_ns, episode.frame_start, episode.frame_end) == (0, 0, FRAMES)
    assert episode.end_ns == pytest.approx(30 * SECOND, abs=2)
    assert episode.task_id is None


def test_private_time_splits_an_episode_and_is_in_neither_part() -> None:
    markers = _markers((1, "task_start"), (5, "private_start"), (8, "private_end"), (12, "task_end"))
    episodes, _ = _build(markers=markers)
    assert _spans(episodes) == [(1, 5), (8, 12)]


def test_a_task_that_is_all_private_is_named() -> None:
    markers = _markers((1, "private_start"), (2, "task_start"), (5, "task_end"), (6, "private_end"))
    episodes, (rejected,) = _build(markers=markers)
    assert episodes == []
    assert rejected.reason == "private"
    assert str(rejected) == "span 2.00-5.00 s left out: all of it is private or outside the recording"


def test_idle_ends_are_trimmed_to_half_a_second_and_idle_within_stays() -> None:
    markers = _markers((2, "task_start"), (20, "task_end"))
    idle = [_idle(0, 4), _idle(8, 10), _idle(17, 18), _idle(18, 25)]
    (episode,), _ = _build(markers=markers, segments=idle)
    assert _spans([episode]) == [(3.5, 17.5)]
    assert episode.quality_terms["activity"] == pytest.approx(1 - 3 / 14)


def test_a_short_rest_at_an_end_stays_whole() -> None:
    (episode,), _ = _build(markers=_markers((2, "task_start"), (9, "task_end")), segments=[_idle(1, 2.3)])
    assert _spans([episode]) == [(2, 9)]


@pytest.mark.parametrize("label", ["head_turn", "manipulation"])
def test_other_activities_are_not_trimmed(label: str) -> None:
    (episode,), _ = _build(markers=_markers((2, "task_start"), (9, "task_end")), segments=[_idle(0, 5, label)])
    assert _spans([episode]) == [(2, 9)]


@pytest.mark.parametrize(
    ("overrides", "reason", "detail"),
    [
        ({"markers": _markers((1, "task_start"), (2.5, "task_end"))}, "short", "1.50 s long, shorter than 2 s"),
        ({"segments": [_idle(0, 40)]}, "idle", "after idle ends were trimmed, shorter than 2 s"),
        ({"segments": [_idle(1, 29)]}, "idle", "the worker rests for 93% of it"),
        ({"obstructed_fraction": np.full(FRAMES, 0.9)}, "obstructed", "obstructed in 100% of its frames"),
        ({"obstructed_fraction": np.full(FRAMES, np.nan)}, "obstructed", "obstructed in 100% of its frames"),
        ({"is_synced": np.arange(FRAMES) < 300}, "unsynced", "no sensor was measured at 67% of its frames"),
        ({"markers": _markers((50, "task_start"), (60, "task_end"))}, "private", "outside the recording"),
        ({"min_duration_s": 31.0}, "short", "shorter than 31 s"),
    ],
)
def test_a_span_that_nothing_can_be_learnt_from_is_left_out_with_its_reason(
    overrides: dict[str, Any], reason: str, detail: str
) -> None:
    episodes, (rejected,) = _build(**overrides)
    assert episodes == []
    assert rejected.reason == reason
    assert detail in rejected.detail


def test_a_span_in_a_hole_of_the_video_holds_no_frame() -> None:
    pts_ns = np.concatenate([PTS_NS[:30], PTS_NS[30:] + 20 * SECOND])
    episodes, rejected = _build(pts_ns=pts_ns, markers=_markers((5, "task_start"), (9, "task_end")))
    assert episodes == []
    assert rejected == [RejectedSpan(5 * SECOND, 9 * SECOND, "no_frame", "it holds no frame")]


def test_a_recording_without_frames_has_no_episode() -> None:
    episodes, (rejected,) = _build(pts_ns=np.array([], dtype=np.int64))
    assert (episodes, rejected.reason) == ([], "no_frame")


def _action(start: float, end: float, layer: str = "action", label: str = "fold shirt") -> Segment:
    return make_segment(
        layer=layer,
        interval=(int(start * SECOND), int(end * SECOND)),
        label=label,
        source="annotator",
        confidence=0.5,
    )


def test_the_action_span_reaches_from_the_first_action_to_the_last_and_gaps_between_are_transitions() -> None:
    actions = [_action(0, 1.5), _action(3, 4), _action(4, 6), _action(7.5, 8), _action(20, 25)]
    (episode,), _ = _build(markers=_markers((1, "task_start"), (9, "task_end")), segments=actions)
    assert (episode.action_start_ns, episode.action_end_ns) == (1 * SECOND, 8 * SECOND)
    assert [start / SECOND for start in episode.transition_start_ns] == [1.5, 6]
    assert [end / SECOND for end in episode.transition_end_ns] == [3, 7.5]


def test_proposed_manipulation_is_the_action_where_nobody_labelled_any() -> None:
    proposed = [_idle(3, 5, "manipulation"), _idle(5, 6, "head_turn"), _idle(6, 7, "manipulation")]
    (episode,), _ = _build(segments=proposed)
    assert (episode.action_start_ns, episode.action_end_ns) == (3 * SECOND, 7 * SECOND)
    assert episode.transition_start_ns == (5 * SECOND,)
    (labelled,), _ = _build(segments=[*proposed, _action(10, 11)])
    assert (labelled.action_start_ns, labelled.transition_start_ns) == (10 * SECOND, ())


def test_an_episode_without_any_action_has_no_action_span() -> None:
    (episode,), _ = _build()
    assert (episode.action_start_ns, episode.action_end_ns, episode.transition_start_ns) == (None, None, ())


def test_what_was_trimmed_is_told_in_seconds() -> None:
    (episode,), _ = _build(markers=_markers((2, "task_start"), (20, "task_end")), segments=[_idle(0, 4), _idle(17, 25)])
    assert episode.trimmed_idle_s == pytest.approx(1.5 + 2.5)


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="have lengths"):
        _build(sharpness=np.ones(3))


ATTEMPT = _markers((1, "task_start"), (3, "mistake"), (9, "task_end"))


def _judged(
    *, text: str, annotator: str = "asha", start: float = 1, end: float = 9, layer: str = "episode"
) -> Annotation:
    return Annotation(
        annotation_id=f"{annotator}-{text}-{start}",
        annotator=annotator,
        tool="csv",
        tool_version="1",
        layer=layer,
        start_ns=int(start * SECOND),
        end_ns=int(end * SECOND),
        verb=None,
        noun=None,
        text=text,
        attributes="{}",
        created_at_utc=None,
        source_file_sha256="0" * 64,
    )


@pytest.mark.parametrize(
    ("judged", "outcome", "source"),
    [
        ([], "unknown", None),
        ([_judged(text="Success")], "success", "annotator"),
        ([_judged(text="failed")], "failure", "annotator"),
        ([_judged(text="success", layer="step")], "unknown", None),
        ([_judged(text="rather nice")], "unknown", None),
        ([_judged(text="success", start=0, end=4)], "unknown", None),
        ([_judged(text="success"), _judged(text="failure", annotator="ben")], "unknown", "annotator"),
        (
            [_judged(text="failure", annotator=name) for name in ("ben", "chi")] + [_judged(text="success")],
            "failure",
            "annotator",
        ),
        ([_judged(text="failure", start=1, end=6), _judged(text="success")], "success", "annotator"),
    ],
)
def test_annotators_judge_an_attempt_and_a_mistake_does_not(
    judged: list[Annotation], outcome: str, source: str | None
) -> None:
    (episode,), _ = _build(markers=ATTEMPT, annotations=judged)
    assert (episode.outcome, episode.outcome_source) == (outcome, source)


@pytest.mark.parametrize(("note", "outcome"), [("failed", "failure"), ("SUCCESS", "success"), ("tea", "unknown")])
def test_the_worker_s_last_press_may_say_how_it_ended_and_annotators_come_first(note: str, outcome: str) -> None:
    markers = [Marker(SECOND, "task_start"), Marker(9 * SECOND, "task_end", note)]
    (episode,), _ = _build(markers=markers)
    assert episode.outcome == outcome
    (judged,), _ = _build(markers=markers, annotations=[_judged(text="success")])
    assert (judged.outcome, judged.outcome_source) == ("success", "annotator")


@pytest.mark.parametrize(
    ("note", "judged", "unread"),
    [
        ("failed", [_judged(text="Success")], []),
        (None, [_judged(text="rather nice", layer="activity")], []),
        (" ", [], []),
        ("tea", [], ["1 notes of task_end presses"]),
        ("tea", [_judged(text="failure")], []),
        ("tea", [_judged(text="failure", start=0, end=4)], ["1 notes of task_end presses"]),
        (None, [_judged(text="asha was good"), _judged(text="sucess")], ["2 labels on the layer episode"]),
        ("tea", [_judged(text="ok")], ["1 labels on the layer episode", "1 notes of task_end presses"]),
    ],
)
def test_a_judgement_that_nobody_can_read_is_counted_without_its_words(
    note: str | None, judged: list[Annotation], unread: list[str]
) -> None:
    markers = [Marker(SECOND, "task_start"), Marker(9 * SECOND, "task_end", note)]
    assert list(unread_judgements(markers, judged)) == unread


def test_the_score_is_the_geometric_mean_of_its_terms() -> None:
    (episode,), _ = _build(
        sync_confidence=0.8,
        obstructed_fraction=np.full(FRAMES, 0.2),
        has_gap=np.arange(FRAMES) % 4 == 0,
    )
    assert episode.quality_terms == pytest.approx(
        {"visibility": 0.8, "sharpness": 0.5, "sync": 0.8, "continuity": 0.75, "activity": 1.0}
    )
    assert episode.quality_score == pytest.approx((0.8 * 0.5 * 0.8 * 0.75) ** 0.2)


@pytest.mark.parametrize("confidence", [float("nan"), float("inf"), -1.0])
def test_a_session_without_a_known_clock_scores_nothing(confidence: float) -> None:
    (episode,), _ = _build(sync_confidence=confidence)
    assert episode.quality_score == 0.0


@pytest.mark.parametrize("sharpness", [np.nan, np.inf, -np.inf])
def test_frames_of_unknown_sharpness_count_as_blurred(sharpness: float) -> None:
    (episode,), _ = _build(sharpness=np.full(FRAMES, sharpness))
    assert episode.quality_terms["sharpness"] == 0.0


def test_an_episode_s_id_does_not_depend_on_its_neighbours() -> None:
    second = _markers((10, "task_start"), (20, "task_end"))
    (alone,), _ = _build(markers=second)
    (_, after), _ = _build(markers=[*_markers((1, "task_start"), (9, "task_end")), *second])
    assert alone.episode_id == after.episode_id
    assert alone.episode_index != after.episode_index


TIMES_MS = st.lists(st.integers(0, 20_000), max_size=8)


def _alternating(times_ms: list[int], kind: str) -> list[Marker]:
    kinds = [f"{kind}_start", f"{kind}_end"] * len(times_ms)
    return [Marker(ms * 1_000_000, kind) for ms, kind in zip(sorted(set(times_ms)), kinds, strict=False)]


@settings(deadline=None, max_examples=200)
@given(
    steps_ms=st.lists(st.integers(1, 400), min_size=1, max_size=120),
    tasks=TIMES_MS,
    acted=TIMES_MS,
    private=TIMES_MS,
    idle=TIMES_MS,
    min_duration_s=st.sampled_from([0.0, 0.2, 2.0]),
)
def test_episodes_never_overlap_nor_touch_private_time_and_hold_exactly_their_frames(
    steps_ms: list[int], tasks: list[int], acted: list[int], private: list[int], idle: list[int], min_duration_s: float
) -> None:
    pts_ns = np.concatenate([[0], np.cumsum(steps_ms)]).astype(np.int64) * 1_000_000
    markers = sorted([*_alternating(tasks, "task"), *_alternating(private, "private")], key=lambda m: m.at_ns)
    rests = [_idle(a / 1000, b / 1000) for a, b in pairwise(sorted(set(idle)))]
    rests += [_action(a / 1000, b / 1000) for a, b in pairwise(sorted(set(acted)))][::2]
    episodes, rejected = _build(pts_ns=pts_ns, markers=markers, segments=rests, min_duration_s=min_duration_s)
    assert {span.reason for span in rejected} <= set(REJECTIONS)
    assert (episodes, rejected) == _build(pts_ns=pts_ns, markers=markers, segments=rests, min_duration_s=min_duration_s)
    assert episodes or rejected
    for a, b in pairwise(episodes):
        assert a.end_ns <= b.start_ns
        assert a.frame_end <= b.frame_start
    for episode in episodes:
        assert 0 <= episode.start_ns < episode.end_ns
        assert episode.end_ns - episode.start_ns >= min_duration_s * SECOND
        inside = np.flatnonzero((pts_ns >= episode.start_ns) & (pts_ns < episode.end_ns))
        assert inside.tolist() == list(range(episode.frame_start, episode.frame_end))
        assert len(inside) > 0
        assert 0.0 <= episode.quality_score <= 1.0
        for start_ns, end_ns in marked_intervals_ns(markers, "private"):
            assert episode.end_ns <= start_ns or episode.start_ns >= end_ns
        _check_action_span(episode)


def _check_action_span(episode: Episode) -> None:
    gaps = list(zip(episode.transition_start_ns, episode.transition_end_ns, strict=True))
    edges = [edge for gap in gaps for edge in gap]
    assert episode.trimmed_idle_s >= 0
    if episode.action_start_ns is None or episode.action_end_ns is None:
        assert (episode.action_start_ns, episode.action_end_ns, gaps) == (None, None, [])
    else:
        inside = [episode.start_ns, episode.action_start_ns, *edges, episode.action_end_ns, episode.end_ns]
        assert inside == sorted(inside)
        assert len(set(edges)) == len(edges)
