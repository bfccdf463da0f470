"""At which frames of a video a privacy detector looks, and where a glance is enough. What is done with its boxes is
`look`'s business.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.decoding import DecodedFrame, in_rgb

_SLOW_EVERY_NS = 1_000_000_000
"""Between two runs of the slower detector: what it looks for stands still or is held for seconds."""

_EMPTY_LOOKS = 2
"""After so many looks in a row without a box glances begin: whoever was lost sight of mostly comes back at once, or is
seen as a hint, which glances overlook."""

_MOST_GLANCES, _GLANCED_NS = 2, 500_000_000
"""In a row, and since the last look: whom glances overlook is looked for again after 0.7 s, as deployed."""


class DetectedBox(Protocol):
    """What the look reads of a detector's box; pixels of the picture passed in."""

    @property
    def kind(self) -> str:
        """One of face, text, screen, plate, person."""
        ...

    @property
    def x(self) -> float:
        """Left edge."""
        ...

    @property
    def y(self) -> float:
        """Top edge."""
        ...

    @property
    def w(self) -> float:
        """Width."""
        ...

    @property
    def h(self) -> float:
        """Height."""
        ...

    @property
    def score(self) -> float:
        """The model's confidence, 0 to 1."""
        ...

    @property
    def model(self) -> str:
        """Who found it."""
        ...

    @property
    def model_version(self) -> str:
        """Which weights and settings of it."""
        ...

    @property
    def is_hint(self) -> bool:
        """Counts only beside a find of the same thing at a look before or after."""
        ...


class FrameDetector(Protocol):
    """What the look needs of a privacy detector."""

    def detect(self, rgb: NDArray[np.uint8]) -> Sequence[DetectedBox]:
        """Find what may identify a person in an H x W x 3 picture."""
        ...


class GlanceDetector(FrameDetector, Protocol):
    """What tells for less than a look whether one would find anything; none of its boxes is kept."""

    def undiminished_px(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Width and height in which it sees a picture of this size."""
        ...


_Look = tuple[int, Sequence[DetectedBox]]
"""The frame that a detector ran on, and what it found."""


@dataclass
class Watch:
    """A detector, its cadence, and where it ran.

    Attributes:
        detector: finds.
        is_slow: looks once a second.
        every_frames: between looks, if not.
        glance: tells for less whether the detector would find anything.
        looked_at: frames that it looked at, or glanced at in vain.
    """

    detector: FrameDetector
    is_slow: bool
    every_frames: int
    glance: GlanceDetector | None = None
    looked_at: list[int] = field(default_factory=list)
    _last_frame: int = 0
    _last_look_ns: int = 0
    _found: int = 0
    _has_more: bool = False
    _empty_looks: int = 0
    _glanced_at: list[DecodedFrame] = field(default_factory=list)

    def is_due(self, current: DecodedFrame) -> bool:
        """Whether a look or a glance at this frame is due."""
        if self.is_slow:
            return current.pts_ns - self._last_look_ns >= _SLOW_EVERY_NS
        # Of what has just come into view nobody knows yet how fast it moves.
        stride = max(1, self.every_frames // 2) if self._has_more else self.every_frames
        return current.frame_index - self._last_frame >= stride

    def looks(self, current: DecodedFrame, *, is_forced: bool, is_cut: bool) -> list[_Look]:
        """The looks at this picture, and at earlier ones that were only glanced at; none where a glance is enough.

        Args:
            current: the frame; kept for a while where it is only glanced at.
            is_forced: a glance is not enough.
            is_cut: nor does the look at this frame, which is forced, speak for those before it.
        """
        self._last_frame = current.frame_index
        if is_forced:
            self._empty_looks = 0
        elif self._is_empty_at_a_glance(current):
            return []
        self._last_look_ns = current.pts_ns
        looks = [self._look(current)]
        before, self._found = self._found, _finds(looks)
        self._has_more = self._found > before
        if looks[0][1] or is_cut:
            looks += [self._look(earlier) for earlier in self._glanced_at]
        self._glanced_at.clear()
        self._note(looks)
        return looks

    def _look(self, frame: DecodedFrame) -> _Look:
        self.looked_at.append(frame.frame_index)
        return frame.frame_index, self.detector.detect(frame.rgb)

    def _note(self, looks: Sequence[_Look]) -> None:
        """Hints keep up the attention that a find drew; alone they draw none, or there would be few glances."""
        if _finds(looks) or (looks[0][1] and self._empty_looks < _EMPTY_LOOKS):
            self._empty_looks = 0
        elif not looks[0][1]:
            self._empty_looks += 1

    def _is_empty_at_a_glance(self, current: DecodedFrame) -> bool:
        if self.glance is None or self._empty_looks < _EMPTY_LOOKS or len(self._glanced_at) == _MOST_GLANCES:
            return False
        if current.pts_ns - self._last_look_ns > _GLANCED_NS:
            return False
        frame = current.frame
        if self.glance.detect(in_rgb(frame, self.glance.undiminished_px(frame.width, frame.height))):
            return False
        self.looked_at.append(current.frame_index)
        self._glanced_at.append(current)
        return True


def _finds(looks: Sequence[_Look]) -> int:
    return sum(not box.is_hint for _, boxes in looks for box in boxes)
