"""Tiny clips with a known face: the portrait that comes with scikit-image, moved over a gravel texture."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from harchive_dagster.privacy.centerface import CenterFaceDetector

WIDTH_PX, HEIGHT_PX = 320, 256
FACE_CROP = (slice(0, 230), slice(110, 330))


@cache
def _gravel(width_px: int, height_px: int) -> NDArray[np.uint8]:
    import skimage.data

    grey = np.tile(skimage.data.gravel(), (1 + height_px // 512, 1 + width_px // 512))[:height_px, :width_px]
    return np.repeat(grey[:, :, None], 3, axis=2)


def face_picture(
    x: int = 60, y: int = 40, *, face_px: float = 80, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX
) -> NDArray[np.uint8]:
    """RGB gravel with the portrait's crop at x, y; its face is `face_px` high."""
    import skimage.data

    picture = _gravel(width_px, height_px).copy()
    crop = skimage.data.astronaut()[FACE_CROP]
    face = cv2.resize(crop, None, fx=face_px / 121, fy=face_px / 121, interpolation=cv2.INTER_AREA)
    face = face[: height_px - y, : width_px - x]
    picture[y : y + face.shape[0], x : x + face.shape[1]] = face
    return picture


def write_video(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    ticks: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 15360),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    b_frames: int = 0,
    rotation: int = 0,
    has_audio: bool = False,
    metadata: dict[str, str] | None = None,
    context: dict[str, Any] | None = None,
    options: dict[str, str] | None = None,
) -> list[int]:
    """Write pictures to a file; returns the presentation times in ticks of `time_base`."""
    ticks = list(ticks if ticks is not None else range(0, 512 * len(pictures), 512))
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"} if metadata else {}) as container:
        stream = container.add_stream(codec, rate=30, options=options or ({"crf": "12"} if codec == "libx264" else {}))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.max_b_frames = b_frames
        for name, value in (context or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        audio = container.add_stream("aac", rate=48000) if has_audio else None
        container.metadata.update(metadata or {})
        for tick, picture in zip(ticks, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        if audio:
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 48000, 0
            container.mux(audio.encode(sound))
            container.mux(audio.encode(None))
        container.mux(stream.encode(None))
    return ticks


@pytest.fixture(scope="session")
def face_at() -> Callable[..., NDArray[np.uint8]]:
    return face_picture


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., list[int]]:
    return write_video


@pytest.fixture(scope="session")
def detector() -> CenterFaceDetector:
    return CenterFaceDetector(input_width_px=640, input_height_px=384)


@pytest.fixture(scope="session")
def other_detector() -> CenterFaceDetector:
    """Works at another operating point: the clips are small, so both see them at full size, but it is pickier."""
    return CenterFaceDetector(input_width_px=960, input_height_px=544, score_threshold=0.3)
