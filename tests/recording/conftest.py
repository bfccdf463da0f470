"""Tiny clips and textured pictures, rendered by the tests themselves."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

WIDTH, HEIGHT = 320, 180
FOCAL_PX = 240.0


class Scene:
    """A textured wall infinitely far away, seen by a camera that only rotates."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        grain = sum(
            cv2.resize(rng.normal(size=(side * 2, side * 3)), (960, 640), interpolation=cv2.INTER_CUBIC) / side**0.3
            for side in (8, 20, 60, 150)
        )
        self._wall = np.clip(128 + 45 * grain / grain.std(), 0, 255).astype(np.uint8)
        self._wall_camera = np.array([[FOCAL_PX, 0, 480], [0, FOCAL_PX, 320], [0, 0, 1.0]])
        self._camera = np.array([[FOCAL_PX, 0, (WIDTH - 1) / 2], [0, FOCAL_PX, (HEIGHT - 1) / 2], [0, 0, 1.0]])

    def seen(self, body: Rotation) -> np.ndarray:
        """Luma picture uint8 [180, 320] of a camera whose body is turned by `body` (camera axes to world axes)."""
        homography = self._camera @ body.inv().as_matrix() @ np.linalg.inv(self._wall_camera)
        return cv2.warpPerspective(self._wall, homography, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


@pytest.fixture(scope="session")
def scene() -> Scene:
    return Scene()


MakeClip = Callable[..., Path]


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Write luma pictures as an H.264 MP4; `pts_ms` sets presentation times, 40 ms apart by default."""

    def make(
        pictures: Sequence[np.ndarray],
        *,
        name: str = "clip.mp4",
        pts_ms: Sequence[int] | None = None,
        gop: int = 12,
        b_frames: int = 0,
        color_range: int = 1,
        crf: int = 12,
    ) -> Path:
        path = tmp_path / name
        times = pts_ms if pts_ms is not None else [40 * index for index in range(len(pictures))]
        height, width = pictures[0].shape
        with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
            stream.codec_context.color_range = color_range
            stream.options = {"preset": "ultrafast", "crf": str(crf), "sc_threshold": "0"}
            for picture, time_ms in zip(pictures, times, strict=True):
                planes = np.full((height * 3 // 2, width), 128, np.uint8)
                planes[:height] = picture
                frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def panning(scene: Scene) -> Callable[[int], list[np.ndarray]]:
    """Pictures of a slow turn to the right."""

    def pictures(count: int) -> list[np.ndarray]:
        return [scene.seen(Rotation.from_rotvec([0, 0.01 * index, 0])) for index in range(count)]

    return pictures
