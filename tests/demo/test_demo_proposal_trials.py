from itertools import pairwise

import numpy as np
import pytest

from harchive_dagster.demo.activity_trials import make_activity_trial
from harchive_dagster.demo.step_trials import make_step_trial
from harchive_dagster.labels.layers import ACTIVITIES
from harchive_dagster.labels.task_catalog import load_task_catalog

SECOND = 1_000_000_000
TRIALS = {seed: make_activity_trial(seed, 60.0) for seed in (1, 2, 3)}


@pytest.mark.parametrize("seed", TRIALS)
def test_every_moment_of_a_trial_has_one_activity(seed: int) -> None:
    spans = TRIALS[seed].spans
    assert (spans[0][0], spans[-1][1]) == (0, 60 * SECOND)
    assert all(start_ns < end_ns and label in ACTIVITIES for start_ns, end_ns, label in spans)
    assert all(before[1] == after[0] and before[2] != after[2] for before, after in pairwise(spans))


def test_a_seed_gives_the_same_recording_again_and_another_gives_another() -> None:
    again = make_activity_trial(1, 60.0)
    assert again.spans == TRIALS[1].spans != TRIALS[2].spans
    np.testing.assert_array_equal(again.gyro_rad_s, TRIALS[1].gyro_rad_s)


def test_frames_are_obstructed_while_the_camera_is_covered_and_seldom_otherwise() -> None:
    covered, open_ = [], []
    for trial in map(make_activity_trial, range(10, 14), [120.0] * 4):
        middle = trial.t_ns + SECOND // 60
        starts = np.array([start_ns for start_ns, _, _ in trial.spans])
        labels = np.array([label for _, _, label in trial.spans])[np.searchsorted(starts, middle, side="right") - 1]
        covered.append(trial.obstructed_fraction[labels == "camera_covered"])
        open_.append(trial.obstructed_fraction[labels != "camera_covered"])
    assert np.mean(np.concatenate(covered) > 0.5) > 0.95
    assert np.mean(np.concatenate(open_) > 0.5) < 0.03


@pytest.mark.parametrize("task_id", load_task_catalog().tasks)
def test_presses_lie_within_the_task_and_notes_tell_the_truth(task_id: str) -> None:
    task = load_task_catalog().tasks[task_id]
    for seed in range(40):
        trial = make_step_trial(seed, task)
        assert len(trial.notes) == len(trial.edges_ns) - 1
        assert list(trial.edges_ns) == sorted(trial.edges_ns)
        assert [place for *_, place in trial.steps] == sorted({place for *_, place in trial.steps})
        assert trial.steps[0][0] == trial.edges_ns[0] == 0
        assert trial.steps[-1][1] == trial.edges_ns[-1]
        words = {(step.verb, step.noun) for step in task.steps}
        assert {note for note in trial.notes if note != (None, None)} <= words
