from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harchive_dagster.demo.step_trials import make_step_trial
from harchive_dagster.labels.proposals_steps import STEP_MODEL, align_steps
from harchive_dagster.labels.segments import Segment, build_segments
from harchive_dagster.labels.task_catalog import TaskStep, load_task_catalog
from harchive_dagster.landing.manifest import Marker

SECOND = 1_000_000_000
STEPS = (TaskStep("grasp", "plate"), TaskStep("wash", "plate"), TaskStep("rinse", "plate"), TaskStep("place", "rack"))
SILENT = (None, None)


def _steps_of(*presses: tuple[float, str] | tuple[float, str, str], **overrides: Any) -> list[Segment]:
    markers = [Marker(int(press[0] * SECOND), *press[1:]) for press in presses]
    values = {"annotations": [], "activity": [], "duration_ns": 60 * SECOND, "expected_steps": STEPS}
    return [s for s in build_segments(markers=markers, **{**values, **overrides}) if s.layer == "step"]


def _press(*at: float) -> list[tuple[float, str]]:
    return [(0.0, "task_start"), *((when, "step") for when in at), (60.0, "task_end")]


def test_as_many_presses_as_steps_are_the_steps_in_order() -> None:
    named = align_steps([SILENT] * 4, STEPS)
    assert [one.step for one in named] == [0, 1, 2, 3]
    segments = _steps_of(*_press(10, 20, 40))
    assert [s.label for s in segments] == ["grasp plate", "wash plate", "rinse plate", "place rack"]
    assert {(s.source, s.model, s.model_version) for s in segments} == {("model", *STEP_MODEL)}
    assert all(0.5 <= s.confidence < 0.95 for s in segments)


def test_a_note_tells_which_press_was_forgotten() -> None:
    noted = align_steps([SILENT, ("rinse", "plate"), ("place", "rack")], STEPS)
    assert [one.step for one in noted][1:] == [2, 3]
    assert noted[2].posterior > 0.8
    silent = align_steps([SILENT] * 3, STEPS)
    assert max(one.posterior for one in silent[1:]) < noted[2].posterior


def test_a_note_tells_which_press_was_made_twice() -> None:
    notes = [SILENT, ("wash", "plate"), ("wash", "plate"), SILENT, SILENT]
    assert [one.step for one in align_steps(notes, STEPS)] == [0, 1, 1, 2, 3]


def test_the_press_s_own_words_come_before_the_alignment_s() -> None:
    presses = [(0.0, "task_start"), (10.0, "step", "dry the cup"), (20.0, "step"), (40.0, "step"), (60.0, "task_end")]
    segments = _steps_of(*presses)
    assert (segments[1].label, segments[1].source, segments[1].model) == ("dry cup", "worker_marker", None)
    assert segments[3].label == "place rack"


@pytest.mark.parametrize(
    "at", [(), (30,), tuple(range(4, 60, 4))], ids=["no press", "one of three", "many more than steps"]
)
def test_a_span_that_may_be_any_step_keeps_its_number(at: tuple[float, ...]) -> None:
    segments = _steps_of(*_press(*at))
    numbered = [(s.label, s.source) for s in segments if s.label.startswith("step ")]
    assert numbered
    assert {source for _, source in numbered} == {"worker_marker"}
    assert all(s.confidence >= 0.5 for s in segments)


def test_without_a_task_presses_keep_their_numbers() -> None:
    assert [s.label for s in _steps_of(*_press(10, 20), expected_steps=())] == ["step 1", "step 2", "step 3"]


def test_two_attempts_are_aligned_apart() -> None:
    first = [(0.0, "task_start"), (5.0, "step"), (10.0, "step"), (15.0, "step"), (20.0, "task_end")]
    second = [(at + 30.0, *rest) for at, *rest in first]
    labels = [s.label for s in _steps_of(*first, *second)]
    assert labels[:4] == labels[4:] == ["grasp plate", "wash plate", "rinse plate", "place rack"]


@settings(max_examples=60, deadline=None)
@given(
    notes=st.lists(
        st.tuples(
            st.sampled_from([None, "grasp", "wash", "rinse", "fold"]), st.sampled_from([None, "plate", "rack", "shirt"])
        ),
        max_size=300,
    ),
    count=st.integers(1, 4),
)
def test_every_span_gets_a_step_and_a_probability_and_steps_never_go_back_where_sure(
    notes: list[tuple[str | None, str | None]], count: int
) -> None:
    named = align_steps(notes, STEPS[:count])
    assert len(named) == len(notes)
    assert all(0 <= one.step < count and 0.0 <= one.posterior <= 1.0 for one in named)
    sure = [one.step for one in named if one.posterior > 0.5]
    assert sure == sorted(sure)


def test_generated_presses_are_named_better_than_by_counting_them() -> None:
    aligned = counted = 0
    for seed in range(60):
        for task in load_task_catalog().tasks.values():
            trial = make_step_trial(seed + 5000, task)
            for number, (start_ns, named) in enumerate(
                zip(trial.edges_ns, align_steps(trial.notes, task.steps), strict=False)
            ):
                middle_ns = (start_ns + trial.edges_ns[number + 1]) // 2
                (true,) = [place for begin, end, place in trial.steps if begin <= middle_ns < end] or [None]
                aligned += named.step == true
                counted += number == true
    assert aligned > 1.1 * counted
