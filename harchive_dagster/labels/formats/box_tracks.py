"""Boxes of one thing over time: in order, and from when to when it is seen. How frames are numbered is a tool's."""

from collections.abc import Iterable

from harchive_dagster.labels.formats.documents import FileProblemError
from harchive_dagster.labels.formats.protocol import Box
from harchive_dagster.labels.formats.proxy import Proxy


def in_order(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """By frame; of two in one frame the later one counts."""
    by_frame = {box.frame_index: box for box in boxes}
    return tuple(by_frame[frame] for frame in sorted(by_frame))


def visible_runs(boxes: tuple[Box, ...], frame_count: int) -> list[tuple[int, int]]:
    """First frame and the first one after it, of every stretch in which the thing is seen.

    Args:
        boxes: in order.
        frame_count: where a stretch ends that no box ends.
    """
    runs: list[tuple[int, int]] = []
    first: int | None = None
    for box in boxes:
        if box.is_visible and first is None:
            first = box.frame_index
        elif not box.is_visible and first is not None:
            runs.append((first, box.frame_index))
            first = None
    return runs if first is None else [*runs, (first, frame_count)]


def seen_ns(boxes: tuple[Box, ...], proxy: Proxy) -> tuple[int, int]:
    """From when to when a thing is seen, times in between that it is not included.

    Raises:
        FileProblemError: it never is, or its frames are not in the proxy.
    """
    runs = visible_runs(boxes, proxy.frame_count)
    if not runs:
        raise FileProblemError("its boxes are never visible")
    return proxy.span_ns(runs[0][0], runs[-1][1])
