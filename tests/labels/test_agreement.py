"""Agreement between annotators, against the published library and the Hungarian method; and what they are merged to."""

from itertools import pairwise
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.agreement import (
    GRID_NS,
    SAME_SPAN_IOU,
    by_annotator,
    covered_count,
    layer_agreements,
    said,
    same_spans,
)
from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.intervals import overlap_ns, temporal_iou
from harchive_dagster.labels.merge import disagreements, merged_labels

STEPS = 40


def label(start: int, end: int, annotator: str = "asha", verb: str | None = "fold", **overrides: Any) -> Annotation:
    """A label whose times are in steps of alpha's grid."""
    values = {
        "annotation_id": f"{annotator}-{start}-{end}-{verb}",
        "tool": "csv",
        "tool_version": "1",
        "layer": "action",
        "noun": "shirt",
        "text": None,
        "attributes": "{}",
        "created_at_utc": None,
        "source_file_sha256": "0" * 64,
        **overrides,
    }
    return Annotation(annotator=annotator, verb=verb, start_ns=start * GRID_NS, end_ns=end * GRID_NS, **values)


def steps_of(items):
    return [(item.start_ns / GRID_NS, item.end_ns / GRID_NS, said(item)) for item in items]


def shown(labels):
    return [
        (m.start_ns / GRID_NS, m.end_ns / GRID_NS, m.name, m.agreement) for m in merged_labels(labels) if m.is_shown
    ]


LABELS = st.lists(
    st.builds(
        lambda start, length, annotator, verb: label(start, min(start + length, STEPS), annotator, verb),
        st.integers(0, STEPS - 1),
        st.integers(1, 12),
        st.sampled_from(["asha", "ravi", "meena"]),
        st.sampled_from(["fold", "wipe", "wash"]),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(labels=LABELS)
def test_alpha_is_that_of_the_published_library_on_the_same_grid(labels):
    voices = by_annotator(labels)
    if len(voices) < 2:
        return
    codes = {"fold shirt": 1, "wipe shirt": 2, "wash shirt": 3}
    grid = np.zeros((len(voices), STEPS))
    for row, mine in enumerate(voices):
        for start, end, name in steps_of(mine):
            grid[row, int(start) : int(end)] = codes[name]
    (found,) = layer_agreements(labels, STEPS * GRID_NS)
    assert found.alpha == pytest.approx(krippendorff.alpha(grid, level_of_measurement="nominal"), abs=1e-9)


def test_alpha_of_a_case_worked_by_hand():
    """Ten steps, two people, who differ in one: 20 values, 9 of one kind and 11 of the other."""
    (found,) = layer_agreements([label(0, 5), label(0, 4, "ravi")], 10 * GRID_NS)
    assert found.alpha == pytest.approx(1 - 19 * 2 / (2 * 9 * 11), abs=1e-12)
    assert (found.matched_share, found.mean_iou) == (1, pytest.approx(0.8))


def test_who_says_one_thing_all_the_time_cannot_disagree():
    (found,) = layer_agreements([label(0, 10), label(0, 10, "ravi")], 10 * GRID_NS)
    assert found.alpha == 1


@pytest.mark.parametrize(("noun", "alpha"), [("plate", 1.0), ("cup", 0.0)])
def test_a_moment_has_nothing_to_agree_on_by_chance(noun, alpha):
    labels = [label(0, 1, noun="plate"), label(0, 1, "ravi", noun=noun)]
    (found,) = layer_agreements(labels, GRID_NS // 2)
    assert found.alpha == alpha


def test_layers_are_compared_one_by_one_and_only_where_there_are_several_people():
    labels = [label(0, 5), label(0, 5, "ravi"), label(0, 9, layer="step")]
    assert [found.layer for found in layer_agreements(labels, 10 * GRID_NS)] == ["action"]


def test_the_confusion_table_counts_matched_labels_whatever_they_say():
    labels = [
        label(0, 5),
        label(5, 9, verb="wipe", noun=None),
        label(20, 30),
        label(0, 5, "ravi", "wipe"),
        label(5, 9, "ravi", "fold", noun="towel"),
        label(10, 30, "ravi"),
    ]
    (found,) = layer_agreements(labels, STEPS * GRID_NS)
    assert found.verbs == {("fold", "wipe"): 2, ("fold", "fold"): 1}
    assert found.nouns == {("shirt", "shirt"): 2, ("", "towel"): 1}
    assert found.annotator_count == 2


@settings(deadline=None)
@given(labels=LABELS)
def test_no_assignment_of_same_spans_is_better(labels):
    voices = by_annotator(labels)
    if len(voices) < 2:
        return
    ours, theirs = voices[:2]
    gain = np.array([[temporal_iou((a.start_ns, a.end_ns), (b.start_ns, b.end_ns)) for b in theirs] for a in ours])
    gain[gain < SAME_SPAN_IOU] = 0
    matches = same_spans(ours, theirs)
    assert sum(iou for _, _, iou in matches) == pytest.approx(gain[linear_sum_assignment(-gain)].sum(), abs=1e-9)
    assert all(gain[i, j] == pytest.approx(iou) and iou >= SAME_SPAN_IOU for i, j, iou in matches)


def test_of_two_exact_halves_the_earlier_is_the_same_span():
    whole, halves = [label(0, 4)], [label(0, 2, "ravi"), label(2, 4, "ravi")]
    assert same_spans(whole, halves) == same_spans(halves, whole) == [(0, 0, 0.5)]


def test_labels_of_one_person_are_taken_one_at_a_time():
    (mine,) = by_annotator([label(0, 4), label(2, 6, verb="wipe"), label(3, 4, verb="wash")])
    assert steps_of(mine) == [(0, 4, "fold shirt"), (4, 6, "wipe shirt")]


def test_labels_that_lie_under_others_of_the_same_person_and_layer_are_counted():
    mine = [label(0, 4), label(2, 6, verb="wipe"), label(3, 4, verb="wash")]
    others = [label(3, 4, "ravi"), label(3, 4, layer="step"), label(0, 9, layer="object"), label(1, 2, layer="object")]
    assert covered_count([*mine, *others]) == 1
    assert covered_count(others) == 0


def test_a_crowd_that_nobody_has_is_refused():
    with pytest.raises(LabelError, match="33 annotators labelled one layer"):
        by_annotator([label(0, 1, f"a{number}") for number in range(33)])


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        pytest.param(
            [label(0, 8), label(2, 10, "ravi")], [(1, 9, "fold shirt", 1.0)], id="two agree: halfway between them"
        ),
        pytest.param(
            [label(0, 8), label(1, 9, "ravi"), label(3, 9, "meena")],
            [(1, 9, "fold shirt", 1.0)],
            id="three agree: the median",
        ),
        pytest.param(
            [label(0, 8), label(0, 9, "ravi", "wipe"), label(0, 8, "meena", "wipe")],
            [(0, 8.5, "wipe shirt", 0.5)],
            id="the majority's word, and its times alone",
        ),
        pytest.param(
            [label(0, 8), label(0, 9, "ravi", "wipe")],
            [(0, 9, "wipe shirt", 0.0)],
            id="a tie goes to who labelled more time",
        ),
        pytest.param(
            [label(0, 4), label(0, 4, "ravi"), label(0, 20, "meena")],
            [(0, 4, "fold shirt", 0.5), (4, 20, "fold shirt", 0.0)],
            id="what two drew comes before what one drew over it",
        ),
        pytest.param(
            [label(0, 10), label(10, 20, verb="wipe"), label(0, 12, "ravi"), label(12, 20, "ravi", "wipe")],
            [(0, 11, "fold shirt", 1.0), (11, 20, "wipe shirt", 1.0)],
            id="neighbours share their border",
        ),
        pytest.param(
            [label(0, 6), label(0, 6, "ravi"), label(3, 9, "meena", "wipe")],
            [(0, 6, "fold shirt", 0.5), (6, 9, "wipe shirt", 0.0)],
            id="half of a label that is left is shown",
        ),
        pytest.param(
            [label(0, 6), label(0, 6, "ravi"), label(2, 8, "meena", "wipe")],
            [(0, 6, "fold shirt", 0.5)],
            id="less than half is not: it matches the others' span, and is outvoted",
        ),
        pytest.param(
            [label(0, 9), label(0, 9, "ravi"), label(7, 11, "meena", "wipe"), label(5, 7, "meena", "wash")],
            [(0, 9, "fold shirt", 0.5), (9, 11, "wipe shirt", 0.0)],
            id="nor is a label that lies within another's",
        ),
        pytest.param(
            [label(0, 7), label(0, 7, "ravi"), label(4, 9, "meena", "wipe")],
            [(0, 7, "fold shirt", 0.5)],
            id="nor a remnant",
        ),
        pytest.param(
            [label(0, 8), label(20, 30, "ravi")],
            [(0, 8, "fold shirt", 0.0), (20, 30, "fold shirt", 0.0)],
            id="what one alone saw is kept",
        ),
    ],
)
def test_several_people_s_labels_become_one_sequence(labels, wanted):
    assert shown(labels) == wanted


def test_what_cannot_be_shown_is_still_listed_worst_first():
    labels = [
        label(0, 6),
        label(6, 12, verb="wipe"),
        label(0, 6, "ravi"),
        label(6, 12, "ravi", "wipe"),
        label(2, 10, "meena", "wash"),
        label(20, 21, "meena", "wash"),
    ]
    assert shown(labels)[:2] == [(0, 6, "fold shirt", 0.5), (6, 12, "wipe shirt", 0.5)]
    worst = disagreements(labels)
    assert [(said(one), one.is_shown, dict(one.votes)) for one in worst] == [
        ("wash shirt", False, {"wash shirt": 1, "": 2}),
        ("wash shirt", True, {"wash shirt": 1, "": 2}),
        ("fold shirt", True, {"fold shirt": 2, "": 1}),
        ("wipe shirt", True, {"wipe shirt": 2, "": 1}),
    ]
    assert disagreements([label(0, 6), label(7, 8)]) == []


@settings(deadline=None)
@given(labels=LABELS)
def test_merging_loses_no_vote_and_shows_one_label_at_a_time(labels):
    found = merged_labels(labels)
    votes = sum(count for one in found for name, count in one.votes.items() if name)
    assert votes == sum(map(len, by_annotator(labels)))
    visible = [one for one in found if one.is_shown]
    for before, after in pairwise(visible):
        assert overlap_ns((before.start_ns, before.end_ns), (after.start_ns, after.end_ns)) == 0
    for one in found:
        assert one.start_ns < one.end_ns
        assert sum(one.votes.values()) == one.annotator_count
        assert one.votes[one.name] == max(count for name, count in one.votes.items() if name)


@settings(deadline=None)
@given(labels=LABELS, order=st.randoms(use_true_random=False))
def test_merging_does_not_depend_on_the_order_of_rows(labels, order):
    unique = list({one.annotation_id: one for one in labels}.values())
    assert merged_labels(order.sample(unique, len(unique))) == merged_labels(unique)
