"""One sequence of labels from several annotators' of one layer, and where they differ. Figures are in `agreement`."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harchive_dagster.labels.agreement import by_annotator, said, same_spans
from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.intervals import Interval, without


@dataclass(frozen=True)
class MergedLabel:
    """What annotators made of one span.

    Attributes:
        start_ns, end_ns: half-open, session time.
        verb, noun, text: as most of them said.
        votes: how many said what; who drew nothing there is counted under "".
        annotator_count: of the layer.
        is_shown: False where others' labels took most of its time: it is nowhere but among the disagreements.
    """

    layer: str
    start_ns: int
    end_ns: int
    verb: str | None
    noun: str | None
    text: str | None
    votes: Mapping[str, int]
    annotator_count: int
    is_shown: bool = True

    @property
    def name(self) -> str:
        """What it says."""
        return next(iter(self.votes))

    @property
    def agreement(self) -> float | None:
        """Share of the other annotators who said the same of the same span; None without others."""
        others = self.annotator_count - 1
        return (self.votes[self.name] - 1) / others if others else None


def merged_labels(labels: Iterable[Annotation]) -> list[MergedLabel]:
    """Merge one layer of one session. Every label that anybody drew is in the votes of one result.

    Labels that span the same time (temporal IoU of 0.5 with the first of them) are one span's. They are gathered around
    the labels of who labelled most time; what is left around the next one's, and so on. Of one span, most votes for
    verb and noun win, ties go to who labelled more time; it starts and ends at the median of those who said so (halfway
    between the middle two). Spans with more votes come first where they overlap; one that keeps less than half of its
    time then is not shown: its time is another label's.

    Returns:
        In order of time; those that are shown do not overlap.
    """
    voices = by_annotator(labels)
    spans = [_voted(members, len(voices)) for members in _gathered(voices)]
    return sorted(_placed(spans), key=lambda span: (span.start_ns, span.end_ns, span.name, not span.is_shown))


def disagreements(labels: Iterable[Annotation]) -> list[MergedLabel]:
    """Where annotators of one layer differ, worst first: least agreement, then most time."""
    spans = [span for span in merged_labels(labels) if span.agreement is not None and span.agreement < 1]
    return sorted(spans, key=severity)


def severity(span: MergedLabel) -> tuple[float, int, int]:
    """What sorts disagreements, worst first."""
    return (1.0 if span.agreement is None else span.agreement), span.start_ns - span.end_ns, span.start_ns


def _gathered(voices: Sequence[Sequence[Annotation]]) -> list[list[Annotation]]:
    """Labels of the same span; each list has one label of an annotator at most, and the first is the anchor."""
    groups: list[list[Annotation]] = []
    for mine in voices:
        matches = {index: number for number, index, _ in same_spans([group[0] for group in groups], mine)}
        for index, label in enumerate(mine):
            if index in matches:
                groups[matches[index]].append(label)
            else:
                groups.append([label])
    return groups


def _voted(members: Sequence[Annotation], annotator_count: int) -> MergedLabel:
    # Members come in the order of their annotators, and most_common keeps it among equals: the first settles a tie.
    votes = dict(Counter(map(said, members)).most_common())
    name = next(iter(votes))
    agreeing = [label for label in members if said(label) == name]
    if silent := annotator_count - len(members):
        votes[""] = silent
    return MergedLabel(
        layer=agreeing[0].layer,
        start_ns=_median([label.start_ns for label in agreeing]),
        end_ns=_median([label.end_ns for label in agreeing]),
        verb=agreeing[0].verb,
        noun=agreeing[0].noun,
        text=agreeing[0].text,
        votes=votes,
        annotator_count=annotator_count,
    )


def _median(moments_ns: Sequence[int]) -> int:
    ordered, count = sorted(moments_ns), len(moments_ns)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) // 2


def _placed(spans: Sequence[MergedLabel]) -> list[MergedLabel]:
    """The spans, what others' took cut off. The order of spans settles who comes first among equal votes."""
    taken: list[Interval] = []
    placed = []
    for span in sorted(spans, key=lambda span: -span.votes[span.name]):
        left = without((span.start_ns, span.end_ns), _around(taken, span))
        kept = [piece for piece in left if 2 * (piece[1] - piece[0]) >= span.end_ns - span.start_ns]
        if not kept:
            placed.append(replace(span, is_shown=False))
            continue
        start_ns, end_ns = kept[0]  # two exact halves: one label is one span
        insort(taken, (start_ns, end_ns))
        placed.append(replace(span, start_ns=start_ns, end_ns=end_ns))
    return placed


def _around(taken: Sequence[Interval], span: MergedLabel) -> Sequence[Interval]:
    """Those of the sorted, disjoint intervals that may overlap the span."""
    return taken[max(bisect_left(taken, (span.start_ns,)) - 1, 0) : bisect_left(taken, (span.end_ns,))]
