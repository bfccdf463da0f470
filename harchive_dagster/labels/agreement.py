"""How far annotators of one session agree: who matched whom, alpha, and which words are taken for each other.

What becomes of their labels is in `merge`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.intervals import total_ns
from harchive_dagster.labels.layers import LAYERS
from harchive_dagster.labels.spans import Spans, overlapping
from harchive_dagster.reasons import Reason

SAME_SPAN_IOU = 0.5
"""The usual threshold of temporal action detection."""

TENTATIVE_ALPHA = 0.667
"""Below this, Krippendorff advises against even tentative conclusions (Content Analysis, chapter on reliability)."""

GRID_NS = 100_000_000
"""Alpha's time grid: people do not place a boundary more finely than a tenth of a second."""

_MOST_ANNOTATORS = 32  # a crowd of ten is large; the figures take memory by annotators times labels


@dataclass(frozen=True)
class LayerAgreement:
    """How far the annotators of one layer of a session agree.

    Attributes:
        layer: activity | action | step.
        annotator_count: at least 2.
        alpha: Krippendorff's, nominal; 1 is agreement, 0 what chance would give.
        matched_share: of all labels, those that another annotator drew over the same span: mean over pairs of them.
        mean_iou: of the matched ones; None where none are.
        verbs, nouns: (one's word, the other's word) in order of the alphabet, "" for none, and how often.
    """

    layer: str
    annotator_count: int
    alpha: float
    matched_share: float
    mean_iou: float | None
    verbs: Mapping[tuple[str, str], int]
    nouns: Mapping[tuple[str, str], int]


def said(label: Annotation) -> str:
    """What a label says: verb and noun, or its text where it has no verb."""
    return " ".join(word for word in (label.verb, label.noun) if word) if label.verb else label.text or ""


def by_annotator(labels: Iterable[Annotation]) -> list[list[Annotation]]:
    """One layer's labels by annotator, who labelled most time first (ties: by name); one label at a time.

    Labels are taken in order of start; one that begins before the last has ended is shortened to what is left.

    Raises:
        LabelError: more annotators than anybody has.
    """
    drawn: defaultdict[str, list[Annotation]] = defaultdict(list)
    for label in labels:
        drawn[label.annotator].append(label)
    if len(drawn) > _MOST_ANNOTATORS:
        raise LabelError(
            Reason.ANNOTATION_INVALID,
            f"{len(drawn)} annotators labelled one layer of the session, at most {_MOST_ANNOTATORS} can be compared.",
            mend="See whether the column `annotator` holds something else.",
            evidence={"annotators": len(drawn)},
        )
    one_at_a_time = {name: _one_at_a_time(mine) for name, mine in drawn.items()}
    return [one_at_a_time[name] for name in sorted(drawn, key=lambda name: (-_labelled_ns(one_at_a_time[name]), name))]


def _one_at_a_time(labels: Iterable[Annotation]) -> list[Annotation]:
    kept: list[Annotation] = []
    for label in sorted(labels, key=lambda a: (a.start_ns, a.end_ns, a.annotation_id)):
        start_ns = max(label.start_ns, kept[-1].end_ns if kept else 0)
        if start_ns < label.end_ns:
            kept.append(replace(label, start_ns=start_ns))
    return kept


def covered_count(labels: Iterable[Annotation]) -> int:
    """How many labels of a session lie under an earlier one of their annotator and layer, and are in no segment."""
    drawn: defaultdict[tuple[str, str], list[Annotation]] = defaultdict(list)
    for label in labels:
        if label.layer in LAYERS:
            drawn[label.layer, label.annotator].append(label)
    return sum(len(mine) - len(_one_at_a_time(mine)) for mine in drawn.values())


def _labelled_ns(labels: Sequence[Annotation]) -> int:
    return total_ns([(label.start_ns, label.end_ns) for label in labels])


def same_spans(ours: Sequence[Annotation], theirs: Sequence[Annotation]) -> list[tuple[int, int, float]]:
    """Which of our labels spans the same time as which of theirs, whatever they say: indices and temporal IoU.

    One to one, by falling IoU; equal ones in order. Where neither side overlaps itself no assignment has a higher sum
    (the Hungarian method finds the same): an IoU of 0.5 with two others is possible for their exact halves alone.

    Args:
        ours: in any order; may overlap.
        theirs: without overlaps.
    """
    pairs = overlapping(_spans(ours), _spans(theirs), is_same_label=False, min_iou=SAME_SPAN_IOU)
    order = np.lexsort((pairs.right, pairs.left, -pairs.iou))
    matches: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for i, j, iou in zip(*(column[order].tolist() for column in (pairs.left, pairs.right, pairs.iou)), strict=True):
        if i not in matches and j not in taken:
            matches[i] = (j, iou)
            taken.add(j)
    return sorted((i, j, iou) for i, (j, iou) in matches.items())


def _spans(labels: Sequence[Annotation]) -> Spans:
    count = len(labels)
    return Spans(
        np.full(count, "", dtype=object),
        np.array([said(label) for label in labels], dtype=object),
        np.array([label.start_ns for label in labels], dtype=np.int64),
        np.array([label.end_ns for label in labels], dtype=np.int64),
        np.ones(count),
    )


def layer_agreements(labels: Iterable[Annotation], duration_ns: int) -> list[LayerAgreement]:
    """The agreement on each layer that two or more people labelled, by layer.

    Args:
        labels: of one session, all layers.
        duration_ns: of the recording; who labels nothing at a time says that nothing is seen.
    """
    layers: defaultdict[str, list[Annotation]] = defaultdict(list)
    for label in labels:
        if label.layer in LAYERS:  # boxes and outcomes are no sequences
            layers[label.layer].append(label)
    voices = {layer: by_annotator(mine) for layer, mine in sorted(layers.items())}
    return [_agreement(layer, mine, duration_ns) for layer, mine in voices.items() if len(mine) > 1]


def _agreement(layer: str, voices: Sequence[Sequence[Annotation]], duration_ns: int) -> LayerAgreement:
    verbs: Counter[tuple[str, str]] = Counter()
    nouns: Counter[tuple[str, str]] = Counter()
    shares, ious = [], []
    for ours, theirs in combinations(voices, 2):
        matches = same_spans(ours, theirs)
        shares.append(2 * len(matches) / (len(ours) + len(theirs)))
        for i, j, iou in matches:
            ious.append(iou)
            verbs[_in_order(ours[i].verb, theirs[j].verb)] += 1
            nouns[_in_order(ours[i].noun, theirs[j].noun)] += 1
    return LayerAgreement(
        layer=layer,
        annotator_count=len(voices),
        alpha=krippendorff_alpha([_spans(mine) for mine in voices], duration_ns),
        matched_share=float(np.mean(shares)),
        mean_iou=float(np.mean(ious)) if ious else None,
        verbs=dict(verbs.most_common()),
        nouns=dict(nouns.most_common()),
    )


def _in_order(one: str | None, other: str | None) -> tuple[str, str]:
    return min(one or "", other or ""), max(one or "", other or "")


def krippendorff_alpha(voices: Sequence[Spans], duration_ns: int, grid_ns: int = GRID_NS) -> float:
    """Krippendorff's alpha for nominal data: the units are the steps of a time grid, the values what each person says.

    Computed between boundaries, each stretch with its length as weight: what the grid itself gives where boundaries lie
    on it (Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011). Where nobody ever says a second thing there
    is nothing to disagree on, and alpha is 1.

    Args:
        voices: one per annotator, without overlaps, in order of time.
        duration_ns: time after it is not looked at.
        grid_ns: one step.
    """
    edges = np.unique(np.concatenate([[0, duration_ns], *(t for v in voices for t in (v.start_ns, v.end_ns))]))
    edges = edges[(edges >= 0) & (edges <= duration_ns)]
    steps = np.diff(edges) / grid_ns
    names = {"": 0} | {name: code for code, name in enumerate(sorted({n for v in voices for n in v.label} - {""}), 1)}
    values = np.stack([_values(voice, edges[:-1], names) for voice in voices])
    total = steps.sum() * len(voices)
    agreeing = 2 * sum(float(steps[a == b].sum()) for a, b in combinations(values, 2)) / (len(voices) - 1)
    if agreeing >= total or total <= 1:  # one value has no other to agree with by chance
        return float(agreeing >= total)
    counts = np.bincount(values.ravel(), weights=np.tile(steps, len(voices)))
    by_chance = float((counts * (counts - 1)).sum() / (total - 1))
    if by_chance >= total:
        return 1.0
    return float(1 - (total - agreeing) / (total - by_chance))


def _values(voice: Spans, starts_ns: NDArray[np.int64], names: Mapping[str, int]) -> NDArray[np.int64]:
    """What one person says from each edge on; 0 for nothing."""
    codes = np.array([0, *(names[name] for name in voice.label)])
    last = np.searchsorted(voice.start_ns, starts_ns, side="right")
    ends_ns = np.concatenate([[0], voice.end_ns])[last]
    return np.where(starts_ns < ends_ns, codes[last], 0)
