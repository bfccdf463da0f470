"""How an attempt ended, as far as somebody said so. Nothing here judges the picture, and a mistake decides nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.intervals import Interval, overlap_ns
from harchive_dagster.labels.layers import EPISODE_LAYER
from harchive_dagster.labels.taxonomy import normalised
from harchive_dagster.landing.manifest import Marker, marked_intervals_ns

UNKNOWN = "unknown"

_WORDS = {"success": "success", "succeeded": "success", "failure": "failure", "failed": "failure"}
_OF_THE_ATTEMPT = 0.5  # a label over less of the attempt than this may be meant for its neighbour


@dataclass(frozen=True)
class Outcome:
    """success | failure | unknown, and who says so: annotator | worker_marker, None where nobody does."""

    name: str
    source: str | None


def outcome_of(span: Interval, markers: Iterable[Marker], annotations: Sequence[Annotation]) -> Outcome:
    """How the attempt in a span ended.

    Annotators come before the worker: each one whose label of the `episode` layer covers at least half of the span has
    one vote, and a tie leaves it unknown. Else the note of the span's `task_end` press counts where it says so.

    Args:
        span: of the attempt, from task_start to task_end as marked.
        markers: the manifest's.
        annotations: the session's, of all layers.
    """
    votes = Counter(_votes(span, annotations).values()).most_common()
    if votes:
        is_tied = len(votes) > 1 and votes[0][1] == votes[1][1]
        return Outcome(UNKNOWN if is_tied else votes[0][0], "annotator")
    told = [_said(m.note) for m in markers if m.kind == "task_end" and m.at_ns == span[1]]
    name = next((word for word in told if word), None)
    return Outcome(name, "worker_marker") if name else Outcome(UNKNOWN, None)


def unread_judgements(markers: Sequence[Marker], annotations: Sequence[Annotation]) -> Iterator[str]:
    """What was written where an outcome is expected and says neither success nor failure, one clause for each kind.

    Words are not repeated, as they may name somebody. A note counts only where nobody else judges its attempt.
    """
    labels = sum(a.layer == EPISODE_LAYER and _said(a.text or a.verb) is None for a in annotations)
    if labels:
        yield f"{labels} labels on the layer {EPISODE_LAYER}"
    noted = {m.at_ns for m in markers if m.kind == "task_end" and normalised(m.note or "")}
    spans = [span for span in marked_intervals_ns(markers, "task") if span[1] in noted]
    notes = sum(outcome_of(span, markers, annotations).source is None for span in spans)
    if notes:
        yield f"{notes} notes of task_end presses"


def _votes(span: Interval, annotations: Iterable[Annotation]) -> dict[str, str]:
    """By annotator, the outcome of the label that covers most of the span."""
    common = sorted(
        (overlap_ns((a.start_ns, a.end_ns), span), a.annotation_id, a.annotator, said)
        for a in annotations
        if a.layer == EPISODE_LAYER and (said := _said(a.text or a.verb)) is not None
    )
    return {who: said for lasts_ns, _, who, said in common if lasts_ns >= _OF_THE_ATTEMPT * (span[1] - span[0])}


def _said(text: str | None) -> str | None:
    return _WORDS.get(normalised(text or ""))
