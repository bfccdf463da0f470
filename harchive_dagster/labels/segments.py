"""Who does what, from when to when: the labelled layers of one session, put together from every source.

Reading the sources (`annotation_files`), proposing activities (`proposals`), aligning steps (`proposals_steps`) and
cutting episodes belong elsewhere.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.intervals import Interval, without
from harchive_dagster.labels.merge import MergedLabel, merged_labels
from harchive_dagster.labels.proposals_confidence import load_calibration
from harchive_dagster.labels.proposals_steps import MIN_CONFIDENCE, STEP_MODEL, align_steps
from harchive_dagster.labels.task_catalog import TaskStep
from harchive_dagster.labels.taxonomy import load_taxonomy
from harchive_dagster.landing.manifest import Marker, marked_intervals_ns

_MARKER_CONFIDENCE = 0.9  # a press means what it says, a moment of reaction late


@dataclass(frozen=True)
class Segment:
    """One labelled span.

    Attributes:
        segment_id: made of the content: the same label at the same time has the same id in every run.
        layer: activity | action | step.
        start_ns, end_ns: half-open, session time.
        label: canonical words joined, or the annotator's text where no verb was given.
        source: worker_marker | annotator | model.
        annotator_count: how many people labelled the layer; 0 where none did.
        agreement: share of the other annotators who said the same of the same span; None without others.
        confidence: in (0, 1].
        model, model_version: what proposed it; None for people.
        is_known: whether the taxonomy has both words; False where they are as written, None where there are none.
    """

    segment_id: str
    layer: str
    start_ns: int
    end_ns: int
    verb: str | None
    noun: str | None
    label: str
    source: str
    annotator_count: int
    agreement: float | None
    confidence: float
    model: str | None
    model_version: str | None
    is_known: bool | None = None


def make_segment(
    *,
    layer: str,
    interval: Interval,
    label: str,
    source: str,
    confidence: float,
    verb: str | None = None,
    noun: str | None = None,
    annotator_count: int = 0,
    agreement: float | None = None,
    model: str | None = None,
    model_version: str | None = None,
) -> Segment:
    """A segment with its content-derived id.

    Raises:
        ValueError: an empty interval, or a confidence outside (0, 1].
    """
    start_ns, end_ns = interval
    if start_ns >= end_ns or not 0.0 < confidence <= 1.0:
        raise ValueError(f"segment {label!r} has interval {interval} and confidence {confidence}")
    return Segment(
        segment_id=content_id("seg", layer, start_ns, end_ns, label, source),
        layer=layer,
        start_ns=start_ns,
        end_ns=end_ns,
        verb=verb,
        noun=noun,
        label=label,
        source=source,
        annotator_count=annotator_count,
        agreement=agreement,
        confidence=confidence,
        model=model,
        model_version=model_version,
        is_known=load_taxonomy().has_words(verb, noun),
    )


def content_id(prefix: str, *parts: object) -> str:
    """A stable id made of what it names, unique within a session: 64 bits of SHA-256."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode("utf-8", "backslashreplace"))
    return f"{prefix}-{digest.hexdigest()[:16]}"


def build_segments(
    *,
    markers: Sequence[Marker],
    annotations: Sequence[Annotation],
    activity: Sequence[Segment],
    duration_ns: int,
    expected_steps: Sequence[TaskStep] = (),
) -> list[Segment]:
    """Put the layers of one session together.

    People come before machines: a layer that annotators labelled comes from them alone. Otherwise `activity` is the
    model's, and `step` the spans between the worker's presses from task_start over step to task_end: named by the
    press's note, else by aligning the presses with the task's steps where that is likelier right than wrong, else by
    their number. The worker's private time is cut out of every layer, and nothing reaches beyond the recording.

    Several annotators of a layer are merged by vote (see `merge`); `agreement` is the share of the others who said the
    same of the same span.

    Args:
        markers: the manifest's, sorted.
        annotations: of all annotators and layers.
        activity: the model's proposals, without overlaps.
        duration_ns: of the recording.
        expected_steps: of the session's task, in order; empty for free recording.

    Returns:
        Sorted by layer and start; no two segments of a layer overlap.
    """
    by_layer: defaultdict[str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        by_layer[annotation.layer].append(annotation)
    layers = (
        _annotated(by_layer["activity"]) or list(activity),
        _annotated(by_layer["action"]),
        _annotated(by_layer["step"]) or _steps(markers, duration_ns, expected_steps),
    )
    private = marked_intervals_ns(markers, "private")
    kept = [piece for layer in layers for segment in layer for piece in _confined(segment, private, duration_ns)]
    return sorted(kept, key=lambda segment: (segment.layer, segment.start_ns))


def _confined(segment: Segment, private: Iterable[Interval], duration_ns: int) -> list[Segment]:
    inside = (max(0, segment.start_ns), min(segment.end_ns, duration_ns))
    pieces = without(inside, private)
    if pieces == [(segment.start_ns, segment.end_ns)]:
        return [segment]
    return [
        replace(
            segment,
            segment_id=content_id("seg", segment.layer, start_ns, end_ns, segment.label, segment.source),
            start_ns=start_ns,
            end_ns=end_ns,
        )
        for start_ns, end_ns in pieces
    ]


def _steps(markers: Sequence[Marker], duration_ns: int, expected: Sequence[TaskStep]) -> list[Segment]:
    taxonomy = load_taxonomy()
    segments = []
    for start_ns, end_ns in marked_intervals_ns(markers, "task"):
        end_ns = min(end_ns, duration_ns)
        presses = _presses(markers, start_ns, end_ns)
        starts = [start_ns, *(m.at_ns for m in presses)]
        # Only words of the taxonomy: a note may name a person.
        notes = [(None, None), *(taxonomy.words_of(m.note or "") for m in presses)]
        spans = list(zip(starts, [*starts[1:], end_ns], strict=True))
        proposed = _proposed_steps(spans, notes, expected) if expected else [None] * len(spans)
        for number, (span, (verb, noun), proposal) in enumerate(zip(spans, notes, proposed, strict=True), 1):
            if span[0] >= span[1]:
                continue
            marked = make_segment(
                layer="step",
                interval=span,
                label=_label(verb, noun) or f"step {number}",
                source="worker_marker",
                confidence=_MARKER_CONFIDENCE,
                verb=verb,
                noun=noun,
            )
            segments.append(marked if verb or proposal is None else proposal)
    return segments


def _presses(markers: Sequence[Marker], start_ns: int, end_ns: int) -> list[Marker]:
    """The presses inside a span, in order. Those of one moment bound no step: the last with a note stands for all."""
    by_moment: dict[int, Marker] = {}
    for marker in markers:
        if (
            marker.kind == "step"
            and start_ns < marker.at_ns < end_ns
            and (marker.note or marker.at_ns not in by_moment)
        ):
            by_moment[marker.at_ns] = marker
    return list(by_moment.values())


def _proposed_steps(
    spans: Sequence[Interval], notes: Sequence[tuple[str | None, str | None]], expected: Sequence[TaskStep]
) -> list[Segment | None]:
    """For each span the step that the alignment names, where it is likelier right than wrong."""
    curve = load_calibration().step
    proposed: list[Segment | None] = []
    for span, named in zip(spans, align_steps(notes, expected), strict=True):
        confidence, step = curve.at(named.posterior), expected[named.step]
        is_named = confidence >= MIN_CONFIDENCE and span[0] < span[1]
        proposed.append(_proposed_step(span, step, confidence) if is_named else None)
    return proposed


def _proposed_step(span: Interval, step: TaskStep, confidence: float) -> Segment:
    model, version = STEP_MODEL
    return make_segment(
        layer="step",
        interval=span,
        label=_label(step.verb, step.noun),
        source="model",
        confidence=confidence,
        verb=step.verb,
        noun=step.noun,
        model=model,
        model_version=version,
    )


def _label(verb: str | None, noun: str | None) -> str:
    return " ".join(word for word in (verb, noun) if word)


def _annotated(annotations: Sequence[Annotation]) -> list[Segment]:
    return [_from_merged(label) for label in merged_labels(annotations) if label.is_shown]


def _from_merged(label: MergedLabel) -> Segment:
    return make_segment(
        layer=label.layer,
        interval=(label.start_ns, label.end_ns),
        label=label.name,
        source="annotator",
        # As if one more annotator had disagreed (Laplace's rule without the prior's other half): one voice counts 0.5.
        confidence=label.votes[label.name] / (label.annotator_count + 1),
        verb=label.verb,
        noun=label.noun,
        annotator_count=label.annotator_count,
        agreement=label.agreement,
    )
