"""Worker-days as a review page shows them, made of nothing but numbers and a small clip."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from harchive_dagster.review.gathering import DayView, SessionView
from harchive_dagster.review.lanes import Lane, Span
from harchive_dagster.review.traces import Curve, drawn_track

NAME = "s-aaaabbbbccccddddeeee"
VIDEO_NAME = f"{NAME}-0123456789abcdef.mp4"
FPS = Fraction(30_000, 1001)
FRAMES = 300


def make_clip(
    path: Path,
    *,
    count: int = FRAMES,
    fps: Fraction = FPS,
    rotation: int = 0,
    width_px: int = 320,
    height_px: int = 180,
    gop: int = 60,
) -> Path:
    """Write an H.264 clip that grows brighter from picture to picture, its upper left quarter red."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=fps, options={"preset": "ultrafast", "g": str(gop), "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(count):
            picture = np.full((height_px, width_px, 3), brightness(index, count), np.uint8)
            picture[: height_px // 2, : width_px // 2] = (255, 0, 0)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def brightness(index: int, count: int = FRAMES) -> int:
    """Of a picture of the clip."""
    return 40 + 200 * index // count


def frame_ns(index: int, fps: Fraction = FPS) -> int:
    """Session time of a picture of the clip."""
    return round(index / fps * 10**9)


def labels(count: int, *, layer: str = "action", kind: str = "segment", who: str = "merged") -> Lane:
    """A lane of labels that each begin where a picture of the clip does."""
    edges = [frame_ns(FRAMES * place // count) for place in range(count + 1)]
    spans = tuple(Span(*edges[place : place + 2], f"label {place % 11}", "confidence 0.50") for place in range(count))
    return Lane(kind, f"{layer}: {who}", spans, layer)


def make_day(video: Path, lanes: Sequence[Lane] = (), **overrides: Any) -> DayView:
    """A worker-day of one session."""
    duration_ns = overrides.get("duration_ns", frame_ns(FRAMES))
    t_ns = np.linspace(0, duration_ns, FRAMES, endpoint=False).astype(np.int64)
    values = {
        "name": NAME,
        "session_id": None,
        "task": None,
        "duration_ns": duration_ns,
        "frame_ns": frame_ns(1),
        "video": video,
        "video_name": VIDEO_NAME,
        "facts": {
            "redacted_frame_count": 12,
            "frame_count": FRAMES,
            "audit_frames": 40,
            "audit_residual_faces": 0,
            "audit_suspects": None,
            "seeded_recall": 1.0,
        },
        "lanes": tuple(lanes),
        "tracks": (drawn_track("turning", "rad/s", [Curve("seen", t_ns, np.sin(t_ns / 1e9))], duration_ns),),
        "clocks": [],
        "asides": (),
        **overrides,
    }
    return DayView(date(2026, 3, 2), "p-aaaabbbbccccddddeeee", None, (SessionView(**values),), ())
