"""When GPMF samples were taken: stamps, counters and payload times become one time per sample. No file structure and
no meaning of the samples.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.gpmf_track import Chunk, DeviceTelemetry
from harchive_dagster.landing.formats.klv import GpmfError, number, whole_number
from harchive_dagster.landing.formats.protocol import MAX_SAMPLES

_FRAME_LOCKED = ("SHUT", "ISOE", "ISOG", "CORI", "IORI", "GRAV")
"""Sensors with one sample per frame: their stamps are the frame's (gopro/gpmf-parser, GPMF_utils.c and issue 189)."""

_STAMPS: Mapping[str, float] = {"STMP": 1e-6, "TICK": 1e-3}
"""Stamps of a chunk's first sample and their unit in seconds, the better one first."""

_SLACK_S: Mapping[str, float] = {"STMP": 0.03, "TICK": 0.25, "": 0.25}
"""How much later than expected a chunk must be to be behind a gap. STMP jitters by 0.02 ms on a MAX; a TICK is taken
when software gets round to it, and payloads are cut where a buffer happens to end."""

_RATE_TOLERANCE = 0.1
"""Stamps that run this much faster or slower than the container count something else than time."""

_CHUNKS_PER_PIECE = 30
"""Half a minute: short enough to follow a sensor's clock as the camera warms up, long enough to average jitter away."""

_REFITS = 5
_CAUCHY_SCALE = 2.385
"""Standard deviations at which a stamp's weight is one half: 95 % efficient on Gaussian errors (Holland & Welsch)."""

_EXACT_S = 1e-6
"""What a stamp can resolve."""

_LATEST_S = 9e9
"""Just below what int64 nanoseconds can say."""


def sample_times_s(device: DeviceTelemetry, key: str) -> NDArray[np.float64]:
    """When each sample of a sensor was taken, float64 [N], seconds on the container's clock.

    Samples are counted by TSMP where it is there, so that lost ones leave a gap. Chunks are placed by their STMP
    (microseconds), else by their TICK (milliseconds), else by the end of their payload, and stamps are put on the
    container's clock by the first frame's. Through the chunks goes a robust, continuous line with a bend every half
    minute, one for each stretch between gaps; TIMO, a sensor's own delay, is subtracted.

    Args:
        device: all its chunks; the frames' are needed, too.
        key: the sensor wanted.

    Raises:
        GpmfError: counters or stamps cannot be used.
    """
    chunks = device.chunks[key]
    counts = np.array([chunk.sensor.count for chunk in chunks], dtype=np.int64)
    stamp = _stamp_of(chunks, is_timed=device.is_timed)
    times_s = _stamped_s(device, chunks, counts, stamp) if stamp else _played_s(chunks, counts)
    times_s -= np.repeat([_delay_s(chunk) for chunk in chunks], counts)
    if not (np.abs(times_s) < _LATEST_S).all():
        raise GpmfError(f"has {key} samples at times that cannot be")
    return times_s


def _stamped_s(
    device: DeviceTelemetry, chunks: Sequence[Chunk], counts: NDArray[np.int64], stamp: str
) -> NDArray[np.float64]:
    """Times by stamps, which say when a chunk's first sample was taken."""
    reference = _first_stamped(device, stamp)
    zero = whole_number(reference[0].sensor.properties[stamp])
    reference_counts = np.array([chunk.sensor.count for chunk in reference], dtype=np.int64)
    # The reference's first stamp jitters as all stamps do; the line through them does not.
    first_s = _through(reference, reference_counts, stamp, _stamps_s(reference, stamp, zero))[0]
    times_s = _through(chunks, counts, stamp, _stamps_s(chunks, stamp, zero))
    times_s += reference[0].start_s - first_s
    return times_s


def _played_s(chunks: Sequence[Chunk], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Times by payloads, whose end is when their last sample had been taken; a sensor may begin within its first."""
    lengths_s = np.array([chunk.end_s - chunk.start_s for chunk in chunks])
    usual_s = float(np.median(lengths_s))
    # A container makes a payload last until the next one: where some are lost, that is longer than it was filled.
    lengths_s = np.where(lengths_s > 1.5 * usual_s, usual_s, lengths_s)
    return _through(chunks, counts, "", np.array([chunk.start_s for chunk in chunks]) + lengths_s)


def _first_indices(chunks: Sequence[Chunk], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of each chunk's first sample. TSMP counts samples up to and with the chunk; one that is missing or lower
    than what was already read is not believed, and the samples present are counted instead.
    """
    counted = np.cumsum(counts) - counts
    if not all("TSMP" in chunk.sensor.properties for chunk in chunks):
        return counted
    totals = np.array([min(whole_number(chunk.sensor.properties["TSMP"]), 2**62) for chunk in chunks], dtype=np.int64)
    firsts = totals - counts
    return counted if (firsts[1:] < totals[:-1]).any() else firsts - firsts[0]


def _stamp_of(chunks: Sequence[Chunk], *, is_timed: bool) -> str:
    """The best stamp that all chunks have and that runs like time; empty where payload times must do."""
    played_s = chunks[-1].start_s - chunks[0].start_s
    for stamp in _STAMPS:
        if not all(stamp in chunk.sensor.properties for chunk in chunks):
            continue
        passed_s = float(np.subtract(*_stamps_s([chunks[-1], chunks[0]], stamp, 0)))
        slack_s = _RATE_TOLERANCE * played_s + _SLACK_S[""]
        if len(chunks) == 1 or (passed_s > 0 and (not is_timed or abs(passed_s - played_s) <= slack_s)):
            return stamp
    return ""


def _stamps_s(chunks: Sequence[Chunk], stamp: str, zero: int) -> NDArray[np.float64]:
    """Seconds since a stamp; subtracted as whole numbers, which may have 64 bits."""
    whole = [whole_number(chunk.sensor.properties[stamp]) for chunk in chunks]
    return np.array([(value - zero) * _STAMPS[stamp] for value in whole])


def _first_stamped(device: DeviceTelemetry, stamp: str) -> Sequence[Chunk]:
    """Chunks of the sensor whose first stamp is the first frame's: the earliest stamp of a frame-locked sensor in the
    first payload that has any; of any sensor where none is frame-locked.
    """
    stamped = [[chunk for chunk in chunks if stamp in chunk.sensor.properties] for chunks in device.chunks.values()]
    found = [chunks for chunks in stamped if chunks]
    locked = [chunks for chunks in found if chunks[0].sensor.key in _FRAME_LOCKED]
    return min(
        locked or found,
        key=lambda chunks: (chunks[0].start_s, whole_number(chunks[0].sensor.properties[stamp])),
    )


def _delay_s(chunk: Chunk) -> float:
    delay = chunk.sensor.properties.get("TIMO")
    return number(delay) if delay else 0.0


def _through(
    chunks: Sequence[Chunk], counts: NDArray[np.int64], stamp: str, placed_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Times of all samples, [N], through the places of their chunks, [P].

    A stamp is the first sample's; the end of a payload is one sample after its last.
    """
    if counts.sum() > MAX_SAMPLES:
        raise GpmfError(f"has {counts.sum()} {chunks[0].sensor.key} samples, at most {MAX_SAMPLES} are read")
    firsts = _first_indices(chunks, counts)
    anchors = firsts if stamp else firsts + counts
    pace_s = max(chunks[0].end_s - chunks[0].start_s, 1e-3) / counts[0]
    if len(chunks) > 1:
        pace_s = float(np.median(np.diff(placed_s) / np.diff(anchors)))
    gap_s = max(_SLACK_S[stamp], 1.5 * pace_s)
    lag_s = placed_s - anchors * pace_s
    # A gap moves all that follows; a place that is out of line with those before and after is just wrong.
    around_s = np.median([lag_s[:-2], lag_s[1:-1], lag_s[2:]], axis=0)
    is_wild = np.abs(lag_s[1:-1] - around_s) > gap_s
    lag_s[1:-1] = np.where(is_wild, around_s, lag_s[1:-1])
    placed_s = lag_s + anchors * pace_s
    breaks = np.flatnonzero(np.diff(lag_s) > gap_s) + 1
    pieces = []
    for stretch in np.split(np.arange(len(anchors)), breaks):
        wanted = np.concatenate([np.arange(firsts[i], firsts[i] + counts[i]) for i in stretch])
        pieces.append(_line(anchors[stretch], placed_s[stretch], pace_s, wanted))
    return np.concatenate(pieces)


def _line(
    anchors: NDArray[np.int64], placed_s: NDArray[np.float64], pace_s: float, wanted: NDArray[np.int64]
) -> NDArray[np.float64]:
    """A robust continuous line with bends through a stretch without gaps, read at the wanted samples."""
    from scipy.interpolate import make_lsq_spline

    since = (anchors - anchors[0]).astype(np.float64)
    asked = (wanted - anchors[0]).astype(np.float64)
    if len(anchors) == 1:
        steady_s: NDArray[np.float64] = placed_s[0] + asked * pace_s
        return steady_s
    pieces = max(1, len(anchors) // _CHUNKS_PER_PIECE)
    bends = since[np.linspace(0, len(anchors) - 1, pieces + 1).round().astype(np.intp)]
    knots = np.concatenate([bends[:1], bends, bends[-1:]])
    weights = np.ones(len(anchors))
    for _ in range(_REFITS):
        spline = make_lsq_spline(since, placed_s, knots, k=1, w=weights)
        error_s = np.abs(placed_s - spline(since))
        if error_s.max() < _EXACT_S:
            break
        scale_s = max(1.4826 * float(np.median(error_s)), _EXACT_S)
        # The spline squares its weights: this is Cauchy's.
        weights = 1.0 / np.sqrt(1.0 + (error_s / (_CAUCHY_SCALE * scale_s)) ** 2)
    times_s: NDArray[np.float64] = spline(asked)
    return times_s
