"""Labelled spans as lanes: who says what from when to when, and what is wrong with the picture in the meantime.

Which tables they come from is in `gathering`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_JOINED_NS = 500_000_000
"""Flagged frames closer than this are one span: one that flickers is looked at once."""

_LONGEST_TEXT = 200
"""Characters of a label that are shown: whoever wrote more did not write a label."""


@dataclass(frozen=True)
class Span:
    """One stretch of time and what is said of it.

    Attributes:
        start_ns, end_ns: half-open, session time.
        label: what it is.
        note: what else is known of it.
        is_doubtful: somebody says otherwise, or the taxonomy lacks its words.
    """

    start_ns: int
    end_ns: int
    label: str
    note: str = ""
    is_doubtful: bool = False

    @property
    def shown_label(self) -> str:
        """The label, cut where it is longer than any label."""
        return self.label if len(self.label) <= _LONGEST_TEXT else f"{self.label[:_LONGEST_TEXT]}…"


@dataclass(frozen=True)
class Lane:
    """Spans of one source.

    Attributes:
        kind: segment (a row of `segments` each), annotation (of `annotations`), episode, rejected or flag.
        name: whose, or of what.
        spans: in order of start.
        layer: of labels; empty for what is none.
    """

    kind: str
    name: str
    spans: tuple[Span, ...]
    layer: str = ""

    @property
    def is_labels(self) -> bool:
        """Whether somebody (or a model) says what is done, rather than what the picture is like."""
        return bool(self.layer)

    @property
    def lines(self) -> list[list[Span]]:
        """The spans in as many lines as it takes for none to lie on another."""
        return stacked(self.spans)


def stacked(spans: Iterable[Span]) -> list[list[Span]]:
    """Spans in lines, none of which has two at one time; each lies in the first that has room."""
    lines: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.start_ns, span.end_ns)):
        free = next((line for line in lines if line[-1].end_ns <= span.start_ns), None)
        if free is None:
            lines.append(free := [])
        free.append(span)
    return lines


def flagged(pts_ns: NDArray[np.int64], end_ns: int, is_flagged: NDArray[np.bool_], label: str) -> tuple[Span, ...]:
    """Spans of consecutive flagged frames, across gaps of less than half a second.

    Args:
        pts_ns: int64 [N], increasing, session time of the frames.
        end_ns: when the last frame ends.
        is_flagged: bool [N].
        label: what they are flagged for.
    """
    edges = np.diff(np.concatenate([[0], is_flagged.astype(np.int8), [0]]))
    until_ns = np.append(pts_ns, end_ns)
    starts, ends = until_ns[np.flatnonzero(edges == 1)], until_ns[np.flatnonzero(edges == -1)]
    is_apart = starts[1:] - ends[:-1] >= _JOINED_NS
    first, last = np.append(True, is_apart), np.append(is_apart, True)
    if not len(starts):
        return ()
    joined = zip(starts[first].tolist(), ends[last].tolist(), strict=True)
    return tuple(Span(start_ns, stop_ns, label) for start_ns, stop_ns in joined)


def colours(lanes: Sequence[Lane], count: int) -> dict[tuple[str, str], int]:
    """A colour for every layer and label, the same in every lane; those that last longest get colours of their own."""
    lasting: dict[tuple[str, str], int] = {}
    for lane in lanes:
        for span in lane.spans:
            key = lane.layer, span.label
            lasting[key] = lasting.get(key, 0) + span.end_ns - span.start_ns
    ranked: dict[str, int] = {}
    found = {}
    for layer, label in sorted(lasting, key=lambda key: (-lasting[key], key)):
        found[layer, label] = ranked.get(layer, 0) % count
        ranked[layer] = ranked.get(layer, 0) + 1
    return found
