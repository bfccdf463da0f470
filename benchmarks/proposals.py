"""How good the proposals are, beside other ways to make them, and what their confidence is worth.

    python benchmarks/proposals.py [trials]    # 40 recordings of five minutes take about five minutes on one core
    python benchmarks/proposals.py fit         # fits the confidence and writes it into the package

Recordings are generated head motion with known activities (demo/activity_trials.py), tasks are pressed through by
generated workers (demo/step_trials.py). Generated data are not people: what is measured here says which of two ways is
better and whether stated confidence is kept, not how well a worker's day comes out. What was tuned and fitted saw other
seeds than what is measured.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from proposal_rivals import RIVALS, thresholds

from harchive_dagster.demo.activity_trials import ActivityTrial, make_activity_trial
from harchive_dagster.demo.step_trials import make_step_trial
from harchive_dagster.labels import proposals_confidence
from harchive_dagster.labels.intervals import temporal_iou
from harchive_dagster.labels.layers import ACTIVITIES
from harchive_dagster.labels.metrics import f1, runs, segment_counts
from harchive_dagster.labels.proposals import Proposal, activities, propose_activity
from harchive_dagster.labels.proposals_confidence import CALIBRATION_FILE, load_calibration, logistic, terms
from harchive_dagster.labels.proposals_steps import align_steps
from harchive_dagster.labels.spans import Spans, overlapping
from harchive_dagster.labels.task_catalog import load_task_catalog

FITTED, TUNED, FIRST_MEASURED = range(100), range(20), 1000
ATTEMPTS_A_TASK = 80
MIN_IOU = 0.5
BINS = 20


def main() -> None:
    if sys.argv[1:] == ["fit"]:
        fit()
        return
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    measured = [make_activity_trial(FIRST_MEASURED + seed) for seed in range(trials)]
    for lines in (rivals(measured), calibration(measured), steps(), speed()):
        for line in lines:
            print(line, flush=True)


# --- activities


def rivals(measured: Sequence[ActivityTrial]) -> Iterator[str]:
    """F1@50 and boundary errors of every way to cut, each with the parameter that did best on other recordings."""
    tuned = [make_activity_trial(seed) for seed in TUNED]
    minutes = sum(trial.t_ns[-1] for trial in measured) / 6e10
    yield f"{len(measured)} recordings, {minutes:.0f} minutes, {sum(len(trial.spans) for trial in measured)} true spans"
    columns = " ".join(f"{activity[:10]:>10}" for activity in ACTIVITIES)
    yield f"{'':34} {'best at':>7} {'F1@50':>6}  {'off by, s':>11}  {'extra':>6}  F1@50 by activity"
    yield f"{'':34} {'':7} {'':6}  {'50 %':>5} {'90 %':>5}  {'cuts':>6}  {columns}"
    yield quality("thresholds (version 1.0.0)", "", measured, lambda t: thresholds(t.t_ns, t.accel_m_s2, t.gyro_rad_s))
    for rival in RIVALS:

        def proposed(value: float, trial: ActivityTrial, rival=rival) -> list[Proposal]:
            return activities(*inputs(trial), cut=rival.with_value(value))

        def tried(value: float, proposed=proposed) -> float:
            return total_f1(tuned, [proposed(value, trial) for trial in tuned])

        best = max(rival.values, key=tried)
        yield quality(rival.name, f"{best:g}", measured, lambda trial, best=best: proposed(best, trial))
    yield quality("as shipped", "", measured, lambda trial: activities(*inputs(trial)))


def inputs(trial: ActivityTrial) -> tuple[NDArray, ...]:
    """What the proposer is given."""
    return trial.t_ns, trial.accel_m_s2, trial.gyro_rad_s, trial.t_ns, trial.obstructed_fraction


def quality(
    name: str, value: str, trials: Sequence[ActivityTrial], propose: Callable[[ActivityTrial], list[Proposal]]
) -> str:
    found = [propose(trial) for trial in trials]
    counts = f1_counts(trials, found)
    off_s, extra = boundary_errors(trials, found)
    by_activity = " ".join(f"{f1(*counts.get(activity, (0, 0, 0))):10.3f}" for activity in ACTIVITIES)
    p50, p90 = np.percentile(off_s, [50, 90])
    return f"{name:34} {value:>7} {total_f1(trials, found):6.3f}  {p50:5.2f} {p90:5.2f}  {extra:6.1%}  {by_activity}"


def f1_counts(trials: Sequence[ActivityTrial], found: Sequence[Sequence[Proposal]]) -> dict[str, tuple[int, int, int]]:
    return segment_counts(true_spans(trials), runs(proposed_spans(found)), MIN_IOU)


def total_f1(trials: Sequence[ActivityTrial], found: Sequence[Sequence[Proposal]]) -> float:
    return f1(*np.sum(list(f1_counts(trials, found).values()), axis=0).tolist())


def true_spans(trials: Sequence[ActivityTrial]) -> Spans:
    return runs(_spans((number, *span) for number, trial in enumerate(trials) for span in trial.spans))


def proposed_spans(found: Sequence[Sequence[Proposal]]) -> Spans:
    return _spans((number, one.start_ns, one.end_ns, one.label) for number, many in enumerate(found) for one in many)


def _spans(rows: Iterable[tuple[int, int, int, str]]) -> Spans:
    number, start_ns, end_ns, label = zip(*rows, strict=True)
    names = np.array([str(one) for one in number], dtype=object)
    times = (np.array(column, dtype=np.int64) for column in (start_ns, end_ns))
    return Spans(names, np.array(label, dtype=object), *times, np.ones(len(names)))


def boundary_errors(
    trials: Sequence[ActivityTrial], found: Sequence[Sequence[Proposal]]
) -> tuple[NDArray[np.float64], float]:
    """Seconds from every true boundary to the nearest proposed one; share of these over 1 s from any true one."""
    off_s, extra = [], []
    for trial, proposals in zip(trials, found, strict=True):
        true_s = np.array([start_ns for start_ns, _, _ in trial.spans[1:]]) * 1e-9
        edges = np.unique([edge for one in proposals for edge in (one.start_ns, one.end_ns)])[1:-1] * 1e-9
        apart_s = np.abs(true_s[:, None] - edges[None, :])
        off_s.append(apart_s.min(axis=1))
        extra.append(apart_s.min(axis=0) > 1.0)
    return np.concatenate(off_s), float(np.mean(np.concatenate(extra)))


def is_right(trials: Sequence[ActivityTrial], found: Sequence[Sequence[Proposal]]) -> NDArray[np.bool_]:
    """Of every proposal, in order: whether it shares half of the time with a true span of its activity."""
    proposed, truth = proposed_spans(found), true_spans(trials)
    pairs = overlapping(proposed, truth, is_same_label=True, min_iou=MIN_IOU)
    right = np.zeros(len(proposed), dtype=bool)
    right[pairs.left] = True
    return right


# --- confidence


def calibration(trials: Sequence[ActivityTrial]) -> Iterator[str]:
    """Stated confidence beside the share that was right."""
    found = [activities(*inputs(trial)) for trial in trials]
    stated = np.array([one.confidence for trial in trials for one in propose_activity(*inputs(trial))])
    labels = np.array([one.label for many in found for one in many])
    right = is_right(trials, found)
    yield f"\nconfidence of {len(right)} proposed activities"
    yield from reliability(stated, right)
    for label in ACTIVITIES:
        mine = labels == label
        yield f"{label:16} stated {stated[mine].mean():.3f}  right {right[mine].mean():.3f}  of {mine.sum()}"


def reliability(stated: NDArray[np.float64], right: NDArray[np.bool_]) -> Iterator[str]:
    """The reliability table in tenths, expected calibration error over them, and the Brier score."""
    yield f"{'stated':>11} {'mean':>6} {'right':>6} {'proposals':>9}"
    tenth = np.minimum((stated * 10).astype(int), 9)
    error = 0.0
    for one in np.unique(tenth):
        mine = tenth == one
        said, kept = stated[mine].mean(), right[mine].mean()
        error += mine.mean() * abs(said - kept)
        yield f"{one / 10:5.1f} - {(one + 1) / 10:3.1f} {said:6.3f} {kept:6.3f} {mine.sum():9}"
    brier, blind = np.mean((stated - right) ** 2), np.var(right)
    yield f"expected calibration error {error:.3f}, Brier score {brier:.3f} ({blind:.3f} if all were given the mean)"


def fit() -> None:
    """Fits the confidence of activities and steps and writes both."""
    trials = [make_activity_trial(seed) for seed in FITTED]
    found = [activities(*inputs(trial)) for trial in trials]
    right = is_right(trials, found)
    every = [one for many in found for one in many]
    of = terms(
        [one.strength[0] for one in every],
        [one.strength[1] for one in every],
        [one.end_ns - one.start_ns for one in every],
    )
    labels = np.array([one.label for one in every])
    weights = {label: _logistic_weights(of[labels == label], right[labels == label]) for label in ACTIVITIES}
    score = logistic(np.sum(of * np.array([weights[label] for label in labels]), axis=1))
    posterior, is_step_right, _ = step_outcomes(range(ATTEMPTS_A_TASK))
    document = {
        "made_by": "benchmarks/proposals.py fit",
        "recordings": len(FITTED),
        "attempts": ATTEMPTS_A_TASK * len(load_task_catalog().tasks),
        "weights": {label: np.round(values, 4).tolist() for label, values in weights.items()},
        "activity": _rising(score, right),
        "step": _rising(posterior, is_step_right),
    }
    path = Path(proposals_confidence.__file__).with_name(CALIBRATION_FILE)
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{path.name}: {len(right)} activities, {len(posterior)} steps")


def _logistic_weights(of: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logistic regression in which nothing that speaks for a proposal makes it less sure.

    A ridge of 1 keeps weights finite where everything was right.
    """
    from scipy.optimize import minimize

    sign = np.where(right, -1.0, 1.0)

    def cost(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = sign * (of @ weights)
        slope = (sign * logistic(z)) @ of + np.append(0.0, weights[1:])
        return float(np.logaddexp(0.0, z).sum() + 0.5 * (weights[1:] ** 2).sum()), slope

    size = of.shape[1]
    bounds = [(None, None), *[(0.0, None)] * (size - 1)]
    weights: NDArray[np.float64] = minimize(cost, np.zeros(size), jac=True, bounds=bounds, method="L-BFGS-B").x
    return weights


def _rising(score: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, list[float]]:
    """Isotonic regression over bins of equally many."""
    from scipy.optimize import isotonic_regression

    parts = np.array_split(np.argsort(score, kind="stable"), BINS)
    means = [float(score[part].mean()) for part in parts]
    precision = isotonic_regression([right[part].mean() for part in parts], weights=[len(part) for part in parts]).x
    return {"score": np.round(means, 4).tolist(), "precision": np.round(precision, 4).tolist()}


# --- steps


def step_outcomes(seeds: Iterable[int]) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of the spans of every attempt: the posterior, whether the named step is right, and whether counting would be."""
    posterior, right, counted = [], [], []
    for seed in seeds:
        for task in load_task_catalog().tasks.values():
            trial = make_step_trial(seed, task)
            edges = zip(trial.edges_ns[:-1], trial.edges_ns[1:], strict=True)
            for number, (span, named) in enumerate(zip(edges, align_steps(trial.notes, task.steps), strict=True)):
                if span[0] < span[1]:
                    done = [place for *times, place in trial.steps if temporal_iou(span, tuple(times)) >= MIN_IOU]
                    posterior.append(named.posterior)
                    right.append(named.step in done)
                    counted.append(min(number, len(task.steps) - 1) in done)
    return np.array(posterior), np.array(right), np.array(counted)


def steps() -> Iterator[str]:
    """Named steps beside counting presses."""
    posterior, right, counted = step_outcomes(range(FIRST_MEASURED, FIRST_MEASURED + ATTEMPTS_A_TASK))
    stated = np.array([load_calibration().step.at(one) for one in posterior])
    named = stated >= 0.5
    attempts = ATTEMPTS_A_TASK * len(load_task_catalog().tasks)
    yield f"\nsteps of {attempts} attempts, {len(right)} spans between presses"
    yield f"right if all were named: aligned {right.mean():.1%}, by counting presses {counted.mean():.1%}"
    yield f"named are {named.mean():.1%}, and {right[named].mean():.1%} of these are right"
    yield from reliability(stated, right)


# --- speed


def speed() -> Iterator[str]:
    """Two hours at 30 frames a second: of a lively recording repeated, and of one in which nothing happens."""
    yield "\ntwo hours of tables, CPU on one core"
    trial = make_activity_trial(FIRST_MEASURED)
    t_ns = (np.arange(7200 * 30) * 1e9 / 30).astype(np.int64)
    lively = np.resize(np.hstack([trial.accel_m_s2, trial.gyro_rad_s]), (len(t_ns), 6))
    still = np.random.default_rng(0).normal([0, -9.81, 0, 0, 0, 0], 0.01, (len(t_ns), 6))
    for name, motion in (("lively", lively), ("nothing happens", still)):
        started = time.process_time()
        found = propose_activity(
            t_ns, motion[:, :3], motion[:, 3:], t_ns, np.resize(trial.obstructed_fraction, len(t_ns))
        )
        yield f"{name:16} {time.process_time() - started:5.1f} s, {len(found)} proposals"


if __name__ == "__main__":
    main()
