"""Label Studio's frame numbers: which time a number stands for. What is drawn at that time belongs elsewhere."""

from dataclasses import dataclass

from harchive_dagster.labels.formats.box_tracks import seen_ns
from harchive_dagster.labels.formats.documents import FileProblemError
from harchive_dagster.labels.formats.protocol import Box
from harchive_dagster.labels.formats.proxy import Proxy

_LEEWAY_FRAMES = 2
"""Beyond the end: browsers tell a video's length to a frame or two (HumanSignal/label-studio #6593)."""


@dataclass(frozen=True)
class FrameClock:
    """Label Studio does not count pictures: frame n is the time (n - 1) / frameRate, so the first is 1.

    With a constant rate these are the video's frames. With a varying one they are points in time between them; each is
    taken for the frame boundary nearest to it, which is within half a nominal frame of what was meant, or the boundary
    next to that one.
    """

    proxy: Proxy
    fps: float

    def span_ns(self, start: int, end: int) -> tuple[int, int]:
        """When frames start to end are, both inside.

        Raises:
            FileProblemError: they are the wrong way round, or not in the proxy.
        """
        if start > end:
            raise FileProblemError(f"start {start} is after end {end}")
        first = min(self._boundary(start), self.proxy.frame_count - 1)
        return self.proxy.span_ns(first, max(self._boundary(end + 1), first + 1))

    def frame_index(self, number: int) -> int:
        """The proxy's frame (from 0) at a number.

        Raises:
            FileProblemError: it is not in the proxy.
        """
        return min(self._boundary(number), self.proxy.frame_count - 1)

    def range(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """First and last number of a span; at least one frame."""
        start = self._number(start_ns)
        return start, max(self._number(end_ns) - 1, start)

    def number(self, frame_index: int) -> int:
        """The number of one of the proxy's frames."""
        return self._number(int(self.proxy.boundaries_ns[frame_index]))

    def seen_ns(self, boxes: tuple[Box, ...]) -> tuple[int, int]:
        """From when to when a thing is seen."""
        return seen_ns(boxes, self.proxy)

    def _number(self, t_ns: int) -> int:
        return round(t_ns * 1e-9 * self.fps) + 1

    def _boundary(self, number: int) -> int:
        # The importers of Label Studio's own SDK begin with 0, which the editor shows as its first frame.
        t_ns = max(number - 1, 0) / self.fps * 1e9
        if t_ns > self.proxy.end_ns + _LEEWAY_FRAMES / self.fps * 1e9:
            raise FileProblemError(
                f"frame {number} is at {t_ns / 1e9:.2f} s, the proxy ends at {self.proxy.end_ns / 1e9:.2f} s: counted "
                "at another frameRate, or on another video"
            )
        return self.proxy.nearest_boundary(t_ns)
