"""What happens when in a synthetic session: phases, actions, button presses and visits of another person."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from harchive_dagster.demo.motion import Phase, PhaseKind
from harchive_dagster.demo.scene import Visit
from harchive_dagster.demo.truth import TruthMarker, TruthSegment

TASK_IDS = ("fold_laundry", "wash_dishes", "tighten_bolts")

_ACTIONS: Mapping[str | None, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "fold_laundry": (("grasp", "garment"), ("fold", "garment"), ("place", "garment")),
        "wash_dishes": (("grasp", "plate"), ("wash", "plate"), ("place", "plate")),
        "tighten_bolts": (("grasp", "wrench"), ("tighten", "bolt"), ("place", "wrench")),
        None: (("grasp", "plate"), ("place", "plate")),
    }
)

# Shares of a session. It ends at work, because a task that ends while walking off has no visible end.
_SCRIPT = (
    (PhaseKind.STILL, 0.08),
    (PhaseKind.WALK, 0.26),
    (PhaseKind.WORK, 0.26),
    (PhaseKind.WALK, 0.16),
    (PhaseKind.WORK, 0.24),
)
_SHORT_SCRIPT = ((PhaseKind.WALK, 0.5), (PhaseKind.WORK, 0.5))
_SHORT_S = 6.0
_FACE_PX_OF_360 = (48.0, 105.0)  # at the picture's middle; wide angle enlarges them towards its borders
_JITTER_NS = 150_000_000
_BEFORE_END_NS = 40_000_000


def default_phases(duration_s: float) -> tuple[Phase, ...]:
    """A session's phases; short sessions only walk and work, so that each phase lasts."""
    script = _SHORT_SCRIPT if duration_s < _SHORT_S else _SCRIPT
    ends = np.round(np.cumsum([share for _, share in script]) * duration_s, 3).tolist()
    ends[-1] = duration_s
    starts = [0.0, *ends[:-1]]
    return tuple(Phase(kind, start, end) for (kind, _), start, end in zip(script, starts, ends, strict=True))


def segments_of(phases: Sequence[Phase], task_id: str | None) -> tuple[TruthSegment, ...]:
    """Actions: walking, and at work the task's actions one after another; standing still is no action."""
    actions = _ACTIONS.get(task_id, _ACTIONS[None])
    segments: list[TruthSegment] = []
    for phase in phases:
        start_ns, end_ns = _ns(phase.start_s), _ns(phase.end_s)
        if phase.kind is PhaseKind.WALK:
            segments.append(TruthSegment("walk", "walk", None, start_ns, end_ns))
        if phase.kind is PhaseKind.WORK:
            edges = np.linspace(start_ns, end_ns, len(actions) + 1).round().astype(int).tolist()
            segments += [
                TruthSegment(f"{verb} {noun}", verb, noun, edges[i], edges[i + 1])
                for i, (verb, noun) in enumerate(actions)
            ]
    return tuple(segments)


def markers_of(phases: Sequence[Phase], task_id: str | None, *, has_private: bool) -> tuple[TruthMarker, ...]:
    """Presses: the task from where its work begins to shortly before the end, a step where any action begins, with what
    the worker says it is, and private time.

    A free recording has no task markers. Private time is 2 s (less in short sessions) in the middle.
    """
    end_s = phases[-1].end_s
    markers: list[TruthMarker] = []
    if task_id is not None:
        start_ns = next((_ns(phase.start_s) for phase in phases if phase.kind is PhaseKind.WORK), 0)
        actions = segments_of(phases, task_id)
        markers.append(TruthMarker(start_ns, "task_start"))
        markers += [TruthMarker(act.start_ns, "step", act.label) for act in actions if act.start_ns > start_ns]
        markers.append(TruthMarker(_ns(0.98 * end_s), "task_end"))
    if has_private:
        lasts_s = min(2.0, 0.2 * end_s)
        start_s = 0.5 * end_s
        markers.append(TruthMarker(_ns(start_s), "private_start"))
        markers.append(TruthMarker(_ns(start_s + lasts_s), "private_end"))
    return tuple(sorted(markers, key=lambda marker: marker.at_ns))


def visits_of(phases: Sequence[Phase], height_px: int, rng: np.random.Generator) -> tuple[Visit, ...]:
    """One or two visits while the worker does not look down; in the middle where there is no such time."""
    end_s = phases[-1].end_s
    windows = [
        (max(0.0, phase.start_s - 0.2), min(end_s, phase.end_s + 0.6))
        for phase in phases
        if phase.kind is PhaseKind.WALK
    ][:2] or [(0.25 * end_s, 0.75 * end_s)]
    smallest, largest = (px * height_px / 360 for px in _FACE_PX_OF_360)
    return tuple(
        Visit(
            start_s=start_s,
            end_s=stop_s,
            face_px=(float(rng.uniform(smallest, largest)), float(rng.uniform(smallest, largest))),
            side=float(rng.choice([-1.0, 1.0])),
            is_crossing=bool(rng.random() < 0.7),
        )
        for start_s, stop_s in windows
    )


def write_annotations(
    path: Path, segments: Sequence[TruthSegment], rng: np.random.Generator, *, annotator: str
) -> None:
    """A person's labels of the segments: right in kind, up to 190 ms off in time, and never overlapping."""
    columns = ("annotation_id", "annotator", "layer", "start_ns", "end_ns", "verb", "noun", "text")
    shift_of: dict[int, int] = {0: 0}
    for segment in segments:
        for edge_ns in (segment.start_ns, segment.end_ns):
            # Neighbours share an edge, and no action may vanish: at most a third of the shortest moves.
            limit = min(_JITTER_NS, min(s.end_ns - s.start_ns for s in segments) // 3)
            shift_of.setdefault(edge_ns, int(rng.integers(-limit, limit + 1)))
    if segments:
        # The last frame is shown before the session's end: no label may reach beyond it.
        shift_of[segments[-1].end_ns] = -abs(shift_of[segments[-1].end_ns]) - _BEFORE_END_NS
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for number, segment in enumerate(segments, start=1):
            start_ns, end_ns = (edge + shift_of[edge] for edge in (segment.start_ns, segment.end_ns))
            annotation_id = f"{annotator}-{number:03d}"
            writer.writerow(
                [annotation_id, annotator, "action", start_ns, end_ns, segment.verb, segment.noun or "", segment.label]
            )
    partial.replace(path)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
