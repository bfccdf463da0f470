"""Label Studio's video rectangles: percent of the picture, keyframes, `enabled` up to and with the last frame seen."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from harchive_dagster.labels.formats.box_tracks import in_order
from harchive_dagster.labels.formats.documents import FileProblemError
from harchive_dagster.labels.formats.label_studio_clock import FrameClock
from harchive_dagster.labels.formats.protocol import Box, Drawn
from harchive_dagster.labels.formats.proxy import Proxy
from harchive_dagster.landing.fields import Fields, Findings

_MAX_PERCENT = 1000.0  # a rectangle may reach beyond the picture
_MAX_NUMBER = 1e12  # far beyond any frame or second; JSON numbers may be too large for arithmetic
_LEEWAY_FRAMES = 2.0
"""framesCount and duration come from the browser, and time is (frame - 1) / fps or frame / fps, by version."""


def require_rate_of(value: Any, proxy: Proxy) -> None:
    """Hold what a rectangle tells about its frame rate against the proxy.

    Raises:
        FileProblemError: it was drawn at another rate.
    """
    if not isinstance(value, dict):
        return
    count, duration_s = (number_in(value.get(name)) for name in ("framesCount", "duration"))
    if count is not None and duration_s is not None and abs(count - duration_s * proxy.fps) > _LEEWAY_FRAMES:
        raise FileProblemError(
            f"a rectangle has {count:.0f} frames in {duration_s:.6g} s, the proxy has {proxy.fps:.6g} a second"
        )
    sequence = value.get("sequence")
    for one in sequence if isinstance(sequence, list) else []:
        said = one if isinstance(one, dict) else {}
        frame, time_s = number_in(said.get("frame")), number_in(said.get("time"))
        if frame is not None and time_s is not None and abs(frame - time_s * proxy.fps) > _LEEWAY_FRAMES:
            raise FileProblemError(
                f"a rectangle has frame {frame:.0f} at {time_s:.6g} s, the proxy has {proxy.fps:.6g} a second"
            )


def boxes_of(value: Any, clock: FrameClock) -> tuple[tuple[Box, ...], str]:
    """The boxes of a rectangle's value, and what it is labelled.

    Raises:
        FileProblemError: something is missing or wrong.
    """
    findings = Findings()
    fields = Fields({"value": value}, findings).mapping("value")
    noun = " ".join(fields.texts("labels")) if fields.is_given("labels") else ""
    boxes = [box for one in fields.mappings("sequence", min_count=1) for box in _boxes(one, clock)]
    if findings.problems:
        raise FileProblemError("; ".join(findings.problems[:3]))
    # Where one is shown again in the frame after its last, that is no end.
    shown = {box.frame_index for box in boxes if box.is_visible}
    return in_order(box for box in boxes if box.is_visible or box.frame_index not in shown), noun.strip()


def _boxes(fields: Fields, clock: FrameClock) -> Iterator[Box]:
    sides = {name: fields.number(name, low=-_MAX_PERCENT, high=_MAX_PERCENT) for name in ("x", "y", "width", "height")}
    rotation_deg = fields.optional("rotation", lambda key: fields.number(key, low=-360_000, high=360_000)) or 0.0
    width_px, height_px = clock.proxy.width_px / 100, clock.proxy.height_px / 100
    box = Box(
        frame_index=clock.frame_index(fields.integer("frame", high=10**9)),
        x_px=sides["x"] * width_px,
        y_px=sides["y"] * height_px,
        w_px=sides["width"] * width_px,
        h_px=sides["height"] * height_px,
        rotation_deg=rotation_deg % 360,
    )
    yield box
    if fields.is_false("enabled") and box.frame_index + 1 < clock.proxy.frame_count:
        yield replace(box, frame_index=box.frame_index + 1, is_visible=False)


def box_result(label: Drawn, clock: FrameClock) -> dict[str, Any]:
    """The value of a rectangle."""
    proxy = clock.proxy
    boxes = {box.frame_index: box for box in label.boxes}
    last_seen: dict[int, Box] = {}
    before: Box | None = None
    for box in label.boxes:
        if not box.is_visible and before is not None and before.is_visible:
            # The last frame in which it is seen is one earlier, where the box has stayed if nothing says otherwise.
            last_seen[box.frame_index - 1] = boxes.get(box.frame_index - 1, before)
        before = box
    shown = {box.frame_index: box for box in label.boxes if box.is_visible} | last_seen
    return {
        "framesCount": proxy.frame_count,
        "duration": proxy.end_ns / 1e9,
        "labels": [label.noun] if label.noun else [],
        "sequence": [
            {
                "frame": clock.number(frame),
                "time": clock.number(frame) / clock.fps,
                "enabled": frame not in last_seen,
                "x": box.x_px / proxy.width_px * 100,
                "y": box.y_px / proxy.height_px * 100,
                "width": box.w_px / proxy.width_px * 100,
                "height": box.h_px / proxy.height_px * 100,
                "rotation": box.rotation_deg,
            }
            for frame, box in sorted(shown.items())
        ],
    }


def number_in(value: Any) -> float | None:
    """A JSON value as a number that arithmetic stands; None where it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
    return float(value) if is_number else None
