"""Predicted spans against true ones: which spans take part, and every figure together. The figures are in `metrics`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harchive_dagster.errors import EvaluationError
from harchive_dagster.labels import metrics
from harchive_dagster.labels.spans import Spans, numbered

DETECTION_IOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""As EPIC-KITCHENS reports them."""

SEGMENT_IOUS = (0.10, 0.25, 0.50)
"""F1@{10,25,50}."""

_SHOWN_NAMES = 5


@dataclass(frozen=True)
class Scores:
    """The figures of one class, or of all. Shares, 0 to 1.

    Attributes:
        average_precision: one per `DETECTION_IOUS`; of all classes: their mean (mAP).
        f1: one per `SEGMENT_IOUS`; of all classes: of their pooled counts. Empty where predictions overlap.
        accuracy: share of the labelled time that has the right label; None where predictions overlap.
    """

    average_precision: tuple[float, ...]
    f1: tuple[float, ...]
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """What one set of predictions comes to.

    Attributes:
        classes: by label of the truth.
        all_classes: mAP, pooled F1, and accuracy on labelled time.
        frame_accuracy: share of all time, background too, that has the right label; None where predictions overlap.
        edit_score: mean over recordings; None where predictions overlap.
        recording_count, truth_count, prediction_count: what was compared.
        left_out_count: predictions of recordings that are not evaluated.
        unknown_labels: predicted labels that the truth never has: wrong in every F1, no class of mAP.
        empty_recordings: those that neither truth nor predictions name: nothing happens in them, or an id is mistyped.
    """

    classes: Mapping[str, Scores]
    all_classes: Scores
    frame_accuracy: float | None
    edit_score: float | None
    recording_count: int
    truth_count: int
    prediction_count: int
    left_out_count: int
    unknown_labels: tuple[str, ...]
    empty_recordings: tuple[str, ...]


def evaluate(truth: Spans, predicted: Spans, recordings: Sequence[str] | None = None) -> Evaluation:
    """Compare predictions with the truth.

    Predictions that overlap within a recording are detections: they have an average precision, while F1, edit score
    and accuracy need one label at a time and are left out.

    Args:
        truth: without overlaps within a recording.
        predicted: of any recordings.
        recordings: what is evaluated; None for those that the truth has. One without truth is all background.

    Raises:
        EvaluationError: neither truth nor predictions name any of the recordings, no truth is left to compare with, or
            the truth overlaps.
    """
    names = sorted(set(truth.recording)) if recordings is None else sorted(set(recordings))
    empty = sorted(set(names) - set(truth.recording) - set(predicted.recording))
    _require_known(names, empty)
    mine, all_predicted = truth[truth.is_of(names)], len(predicted)
    predicted = predicted[predicted.is_of(names)]
    _require_comparable(mine, predicted, all_predicted)
    precision = metrics.average_precision(mine, predicted, DETECTION_IOUS)
    mean_precision = tuple(float(np.mean(column)) for column in zip(*precision.values(), strict=True))
    segmental = _Segmental() if overlaps(predicted) else _segmental(mine, predicted, names)
    return Evaluation(
        classes={
            label: Scores(tuple(values), segmental.f1_of.get(label, ()), segmental.accuracy_of.get(label))
            for label, values in precision.items()
        },
        all_classes=Scores(mean_precision, segmental.f1, segmental.accuracy),
        frame_accuracy=segmental.frame_accuracy,
        edit_score=segmental.edit_score,
        recording_count=len(names),
        truth_count=len(mine),
        prediction_count=len(predicted),
        left_out_count=all_predicted - len(predicted),
        unknown_labels=tuple(sorted(set(predicted.label) - set(mine.label))),
        empty_recordings=tuple(empty),
    )


@dataclass(frozen=True)
class _Segmental:
    """The figures that need one label at a time; as they are here where predictions overlap."""

    f1_of: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    f1: tuple[float, ...] = ()
    accuracy_of: Mapping[str, float] = field(default_factory=dict)
    accuracy: float | None = None
    frame_accuracy: float | None = None
    edit_score: float | None = None


def _segmental(truth: Spans, predicted: Spans, names: Sequence[str]) -> _Segmental:
    true_runs, predicted_runs = metrics.runs(truth), metrics.runs(predicted)
    counts = [metrics.segment_counts(true_runs, predicted_runs, iou) for iou in SEGMENT_IOUS]
    right_ns, extent_ns, by_class = metrics.time_shares(truth, predicted)
    right_labelled_ns, labelled_ns = (sum(column) for column in zip(*by_class.values(), strict=True))
    return _Segmental(
        f1_of={label: tuple(metrics.f1(*one[label]) for one in counts) for label in counts[0]},
        f1=tuple(metrics.f1(*map(sum, zip(*one.values(), strict=True))) for one in counts),
        accuracy_of={label: class_right_ns / class_ns for label, (class_right_ns, class_ns) in by_class.items()},
        accuracy=right_labelled_ns / labelled_ns,
        frame_accuracy=right_ns / extent_ns,
        edit_score=_mean_edit_score(true_runs, predicted_runs, names),
    )


def overlaps(spans: Spans) -> bool:
    """Whether two spans of one recording overlap."""
    return first_overlap(spans) is not None


def first_overlap(spans: Spans) -> tuple[int, int] | None:
    """Two spans of one recording that overlap; None where none do."""
    order = np.lexsort((spans.start_ns, numbered(spans.recording)[1]))
    ordered = spans[order]
    is_early = (ordered.recording[1:] == ordered.recording[:-1]) & (ordered.start_ns[1:] < ordered.end_ns[:-1])
    found = np.flatnonzero(is_early)
    return (int(order[found[0]]), int(order[found[0] + 1])) if len(found) else None


def _mean_edit_score(truth: Spans, predicted: Spans, names: Sequence[str]) -> float:
    sequences: dict[str, tuple[list[str], list[str]]] = {name: ([], []) for name in names}
    for side, spans in enumerate((truth, predicted)):
        for name, label in zip(spans.recording, spans.label, strict=True):
            sequences[name][side].append(label)
    return float(np.mean([metrics.edit_score(true, said) for true, said in sequences.values()]))


def _require_known(names: Sequence[str], empty: Sequence[str]) -> None:
    if names and len(empty) == len(names):
        shown = ", ".join(ascii(name) for name in empty[:_SHOWN_NAMES])
        raise EvaluationError(
            f"Neither truth nor predictions name any of the {len(names)} chosen recordings: {shown}"
            f"{', …' if len(empty) > _SHOWN_NAMES else ''}.",
            consequence="Nothing was compared.",
            mend="Name the sessions as the truth does: by their pseudonyms, as in the published tables.",
        )


def _require_comparable(truth: Spans, predicted: Spans, all_predicted: int) -> None:
    if not len(truth):
        raise EvaluationError(
            "No true span is left of the chosen recordings, layer and sources.",
            consequence="There is nothing to compare the predictions with.",
            mend="See that the truth names the sessions as the choice does, and has labels of that layer.",
        )
    if (pair := first_overlap(truth)) is not None:
        first, second = pair
        raise EvaluationError(
            f"The truth has two labels at a time: {truth.label[first]!a} and {truth.label[second]!a} of "
            f"{truth.recording[first]!a}, at {truth.start_ns[second]} ns.",
            consequence="Nothing was compared.",
            mend="Give each moment one label in a layer.",
        )
    if all_predicted and not len(predicted):
        raise EvaluationError(
            f"None of the {all_predicted} predictions is of a recording that is evaluated.",
            consequence="Nothing was compared.",
            mend="Name the sessions as the truth does: by their pseudonyms, as in the published tables.",
        )
