"""Presses of workers who forget some and press at other moments too, for trials of step alignment: which step was when
is known. Seeded; nothing is aligned or measured here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harchive_dagster.labels.task_catalog import Task

_TASK_S = (30.0, 600.0)
_STEP_SPREAD = 0.7  # of the logarithm of a step's share of the task: some steps last several times as long as others
_LEAST_SHARE = 0.03
_DELAY_S = 0.4
_MOST_FORGOTTEN, _MOST_WITHIN, _MOST_LEFT_OUT = 0.4, 0.3, 0.2  # of the steps, by the most careless worker
_NOTING_SHARE = 0.2  # of the workers say what they begin, mostly
_NOTED_SHARE = 0.7


@dataclass(frozen=True)
class StepTrial:
    """One attempt at a task.

    Attributes:
        edges_ns: of the spans between presses: the task's start, its presses and its end.
        notes: of each span, the verb and noun said at its beginning; None where nothing was.
        steps: (start_ns, end_ns, place among the task's steps) of those that were done.
    """

    edges_ns: tuple[int, ...]
    notes: tuple[tuple[str | None, str | None], ...]
    steps: tuple[tuple[int, int, int], ...]


def make_step_trial(seed: int, task: Task) -> StepTrial:
    """Draw an attempt: a worker's habits first, then what was done and pressed."""
    # Of one seed another worker for each task.
    rng = np.random.default_rng([seed, 377, *task.task_id.encode()])
    forgotten, within, left_out = rng.uniform(0.0, (_MOST_FORGOTTEN, _MOST_WITHIN, _MOST_LEFT_OUT))
    is_noting = rng.random() < _NOTING_SHARE
    done = [place for place in range(len(task.steps)) if rng.random() >= left_out] or [0]
    shares = np.maximum(np.exp(_STEP_SPREAD * rng.standard_normal(len(done))), _LEAST_SHARE)
    begins_s = np.concatenate([[0.0], np.cumsum(shares / shares.sum())]) * rng.uniform(*_TASK_S)
    presses: list[tuple[float, int]] = []
    for number, place in enumerate(done):
        start_s, end_s = begins_s[number], begins_s[number + 1]
        if number and rng.random() >= forgotten:
            presses.append((min(start_s + rng.exponential(_DELAY_S), end_s), place))
        if rng.random() < within:
            presses.append((rng.uniform(start_s, end_s), place))
    return _trial(task, begins_s.tolist(), done, sorted(presses), rng if is_noting else None)


def _trial(
    task: Task,
    begins_s: Sequence[float],
    done: Sequence[int],
    presses: Sequence[tuple[float, int]],
    noting: np.random.Generator | None,
) -> StepTrial:
    edges_ns = [0, *(round(at_s * 1e9) for at_s, _ in presses), round(begins_s[-1] * 1e9)]
    notes: list[tuple[str | None, str | None]] = [(None, None)]  # the task's start is no step's press
    for _, place in presses:
        is_noted = noting is not None and noting.random() < _NOTED_SHARE
        notes.append((task.steps[place].verb, task.steps[place].noun) if is_noted else (None, None))
    begins_ns = [round(at_s * 1e9) for at_s in begins_s]
    steps = tuple(zip(begins_ns[:-1], begins_ns[1:], done, strict=True))
    return StepTrial(tuple(edges_ns), tuple(notes), steps)
