"""Which step of its task a worker's presses bound: the spans between presses, aligned with the steps that are expected.

The presses themselves are the manifest's; how sure a name is, is for `proposals_confidence`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.labels.task_catalog import TaskStep

STEP_MODEL = ("step-alignment", "1.0.0")
"""Name and version."""

MIN_CONFIDENCE = 0.5
"""A step that would be named wrongly more often than not is better left without a name."""

Note = tuple[str | None, str | None]
"""Canonical verb and noun; None for no word."""

# For each press that is as expected, so many are made within a step, are forgotten, or have no step to begin.
_WITHIN, _FORGOTTEN, _LEFT_OUT = 0.15, 0.15, 0.15
# A note has both of the step's words, one of them, or others: words for a thing differ, so that others are rare only.
_BOTH, _ONE, _NEITHER = 1.0, 0.3, 0.03
_PART = 0.5  # of two parts of a step one is the larger
_OPEN_END = 0.5  # that steps missing at the end were done, in the last span


@dataclass(frozen=True)
class NamedSpan:
    """What a span between two presses is.

    Attributes:
        step: place among the expected steps, from 0.
        posterior: probability that the span is that step and nothing else, or its larger part.
    """

    step: int
    posterior: float


@dataclass(frozen=True)
class _Moves:
    """What a press may mean: weights [K + 1, K + 1] from the last step begun before it to the last one begun after it,
    before the next press. 0 is no step.

    Attributes:
        one: a step begins, and no other; steps before it may have been left out.
        several: the next step begins and others after it, whose presses were forgotten.
        none: pressed within a step.
    """

    one: NDArray[np.float64]
    several: NDArray[np.float64]
    none: NDArray[np.float64]

    @property
    def all(self) -> NDArray[np.float64]:
        """Whatever it means."""
        return self.one + self.several + self.none


def align_steps(notes: Sequence[Note], steps: Sequence[TaskStep]) -> list[NamedSpan]:
    """Align spans between presses with the steps of a task, in order.

    A hidden Markov model over the last step begun; posteriors by the forward-backward algorithm (Rabiner 1989). More
    presses than steps, or fewer, leave several alignments, and none of them sure.

    Args:
        notes: of N spans, what the press that begins each is noted to be.
        steps: K >= 1, in the order in which they are expected.

    Returns:
        The likeliest step of each span.
    """
    moves = [_moves(note, steps) for note in notes]
    before = [np.eye(len(steps) + 1)[0]]
    for move in moves:
        reached = before[-1] @ move.all
        before.append(reached / reached.sum())
    after = [_LEFT_OUT ** np.arange(len(steps), -1.0, -1.0)]
    for move in reversed(moves):
        earlier = move.all @ after[-1]
        after.append(earlier / earlier.sum())
    after.reverse()
    return [_named(index, moves, before[index], after) for index in range(len(moves))]


def _named(
    index: int, moves: Sequence[_Moves], before: NDArray[np.float64], after: Sequence[NDArray[np.float64]]
) -> NamedSpan:
    move, then = moves[index], after[index + 1]
    whole = (before @ move.one) * then
    part = (before @ move.none) * then
    total = before @ move.all @ then
    if index + 1 < len(moves):
        following = moves[index + 1]
        is_continued = np.diag(following.none) * after[index + 2] / (following.all @ after[index + 2])
        whole = whole * (1.0 - (1.0 - _PART) * is_continued)
    else:
        whole[:-1] *= 1.0 - _OPEN_END
    posterior = ((whole + _PART * part) / total)[1:]
    best = int(np.argmax(posterior))
    return NamedSpan(best, float(posterior[best]))


def _moves(note: Note, steps: Sequence[TaskStep]) -> _Moves:
    states = np.arange(len(steps) + 1)
    begun = states[None, :] - states[:, None]
    fit = np.array([_fit(note, step) for step in steps])
    is_new, is_more = begun >= 1, begun >= 2
    skipped = np.maximum(begun - 1, 0)
    return _Moves(
        one=np.where(is_new, _LEFT_OUT**skipped, 0.0) * np.append(0.0, fit)[None, :],
        several=np.where(is_more, _FORGOTTEN**skipped, 0.0) * np.append(fit, 0.0)[:, None],
        none=np.diag(np.append(0.0, _WITHIN * fit)),
    )


def _fit(note: Note, step: TaskStep) -> float:
    """How likely a step is noted so; what was not noted tells nothing."""
    said = [(word, expected) for word, expected in zip(note, (step.verb, step.noun), strict=True) if word is not None]
    right = sum(word == expected for word, expected in said)
    if right == len(said):
        return _BOTH
    return _ONE if right else _NEITHER
