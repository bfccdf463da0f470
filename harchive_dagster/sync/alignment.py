"""A gyro's clock against the picture's, as one straight line: search, refine, judge. Clocks that are set in between are
`clock_breaks`' business; limits and refusals stand in `verdict`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.clock import ClockAlignment
from harchive_dagster.sync.clock_line import ClockLine, WindowLags, fit_line, time_windows
from harchive_dagster.sync.interval_rates import SampledSignal
from harchive_dagster.sync.lag_search import SECTION_S, LagSearch, VisualRates, search_lag, visual_rates
from harchive_dagster.sync.mount import bias_of, compared, fit_map, quaternion, rotation_of, steadied
from harchive_dagster.sync.verdict import RESIDUAL_MAX_MS, judge, too_little

METHOD = "gyro_visual_rotation/2"

_WIDENED = 4.0
"""Over three minutes the drift is known to some 10 ppm, which is 7 ms at the ends of twelve."""


@dataclass(frozen=True, eq=False)
class Signals:
    """A recording's two rotations, ready to be compared.

    Attributes:
        stream_id: the sensor's.
        visual: the picture's rates.
        raw: the gyro, in seconds since its first sample.
        gyro: the same, high-passed.
        origin_ns: device time of the first sample.
        end_ns: device time just after the last.
    """

    stream_id: str
    visual: VisualRates
    raw: SampledSignal
    gyro: SampledSignal
    origin_ns: int
    end_ns: int

    @classmethod
    def of(
        cls,
        pts_ns: NDArray[np.int64],
        rotation_rad: NDArray[np.float64],
        rotation_inliers: NDArray[np.int32],
        imu: ImuStream,
    ) -> "Signals":
        """Build them; arguments as in `align_gyro`, at least 3 frames."""
        origin_ns = int(imu.t_device_ns[0])
        raw = SampledSignal((imu.t_device_ns - origin_ns).astype(np.float64) * 1e-9, imu.gyro_rad_s)
        visual = visual_rates(pts_ns, rotation_rad, rotation_inliers)
        return cls(imu.stream_id, visual, raw, raw.high_passed(), origin_ns, int(imu.t_device_ns[-1]) + 1)

    def centre_s(self, expected_offset_ns: int | None) -> float:
        """Middle of the search as a lag against device time since its first sample."""
        first_s, last_s = float(self.visual.edges_s[0]), float(self.visual.edges_s[-1])
        same_clock_s = self.origin_ns * 1e-9
        if expected_offset_ns is not None:
            return same_clock_s + expected_offset_ns * 1e-9
        overlap_s = min(same_clock_s + float(self.raw.t_s[-1]), last_s) - max(same_clock_s, first_s)
        return same_clock_s if overlap_s >= (last_s - first_s) / 2 else first_s


@dataclass(frozen=True, eq=False)
class LineFit:
    """The refined model of a stretch: visual = (gyro(lag by line) - bias) @ steady_map."""

    line: ClockLine
    windows: WindowLags
    steady_map: NDArray[np.float64]
    mirror_ratio: float
    score: float

    @property
    def residual_s(self) -> NDArray[np.float64]:
        """Each window's lag minus the line's."""
        return self.windows.lag_s - self.line.at(self.windows.centre_s)

    @property
    def residual_ms(self) -> float:
        """Robust: the median absolute residual, scaled to a standard deviation."""
        return 1.4826e3 * float(np.median(np.abs(self.residual_s))) if len(self.residual_s) else 0.0


def align_gyro(
    pts_ns: NDArray[np.int64],
    rotation_rad: NDArray[np.float64],
    rotation_inliers: NDArray[np.int32],
    imu: ImuStream,
    *,
    search_s: float = 10.0,
    expected_offset_ns: int | None = None,
) -> ClockAlignment:
    """Measure a head-worn sensor's clock against the camera's, as one line over the whole recording.

    Both signals become mean rates over frame intervals (the gyro by its exact integral), both lose their mean over
    1 s. The lag where a free 3 x 3 map of the gyro explains most of the visual rotation is found coarsely, then
    windows are timed with the map fixed, and a robust line through them gives offset and drift. Drift is shrunk to 0
    by a prior of 100 ppm, so it is meaningful from about a minute on; the offset at mid-recording does not depend
    on it. Times refer to the exposure of the mean picture row: with a rolling shutter that is half the read-out after
    the time of the first row, and this constant stays in the offset.

    A failure to align is a result, not an exception: `is_accepted` is False and `reason` and `detail` say why.

    Args:
        pts_ns: int64 [M], presentation times; constant or variable rate.
        rotation_rad: float64 [M, 3], camera rotation since the previous frame.
        rotation_inliers: int32 [M], 0 where not estimable.
        imu: the stream; it must be fixed to the camera's body.
        search_s: half width of the search.
        expected_offset_ns: its middle. Without it: 0 where that lets the sensor cover half of the video, else the
            offset that makes both recordings start together (a device clock counts from its own start).
    """
    if len(pts_ns) < 3:
        return refused(imu.stream_id, f"the video has {len(pts_ns)} frames; 3 are needed")
    signals = Signals.of(pts_ns, rotation_rad, rotation_inliers, imu)
    return align_stretch(signals, signals.visual, signals.centre_s(expected_offset_ns), search_s)[0]


def align_stretch(
    signals: Signals, visual: VisualRates, centre_s: float, search_s: float
) -> tuple[ClockAlignment, LineFit | None]:
    """Align one stretch of a recording.

    Args:
        signals: the whole recording.
        visual: the stretch of its visual rates.
        centre_s: middle of the search, as a lag against the device's first sample.
        search_s: half its width.

    Returns:
        The alignment, and the fit it was judged by; None where nothing could be searched.
    """
    problem = too_little(visual, signals.gyro)
    if problem:
        return refused(signals.stream_id, problem), None
    search = search_lag(visual, signals.gyro, centre_s=centre_s, search_s=search_s)
    fit = refine(visual, signals.gyro, search)
    middle_s = float(visual.edges_s[0] + visual.edges_s[-1]) / 2
    verdict = judge(
        search,
        centre_s=centre_s,
        search_s=search_s,
        window_count=len(fit.windows.lag_s),
        residual_ms=fit.residual_ms,
        offset_sd_ms=fit.line.sd_at(middle_s) * 1e3,
        drift_ppm=fit.line.slope * 1e6,
        mirror_ratio=fit.mirror_ratio,
    )
    return _result(signals, visual, search, fit, verdict), fit


def refine(visual: VisualRates, gyro: SampledSignal, search: LagSearch) -> LineFit:
    """Offset and drift around a lag that was found coarsely.

    From the stretch that was searched outwards: over hours a drift not yet known would carry the lag out of reach.
    """
    middles = visual.middles_s
    line = ClockLine(search.middle_s, search.best_s, 0.0, 0.0, 0.0)
    windows = WindowLags(np.empty(0), np.empty(0), np.empty(0))
    for length_s in (*_lengths_s(float(visual.edges_s[-1] - visual.edges_s[0])), np.inf, np.inf):
        near = visual.around(search.middle_s, length_s)
        windows = time_windows(near, gyro, fit_map(near, gyro, line.at(near.middles_s)), line)
        if not len(windows.lag_s):
            break
        line = fit_line(windows)
    at_lags_s = line.at(middles)
    mapping = fit_map(visual, gyro, at_lags_s)
    steady, mirror_ratio = steadied(visual, gyro, at_lags_s, mapping)
    means, seen = compared(visual, gyro, at_lags_s)
    left = float(((seen - means @ mapping) ** 2).sum()) / max(float((seen**2).sum()), 1e-30)
    return LineFit(line, windows, steady, mirror_ratio, float(np.clip(1.0 - left, 0.0, 1.0)))


def _lengths_s(span_s: float) -> list[float]:
    """Of the stretches on the way to the whole: of each the drift is known well enough for the next."""
    lengths_s = [SECTION_S]
    while lengths_s[-1] < span_s:
        lengths_s.append(_WIDENED * lengths_s[-1])
    return lengths_s[:-1]


def _result(
    signals: Signals, visual: VisualRates, search: LagSearch, fit: LineFit, verdict: tuple[Reason, str] | None
) -> ClockAlignment:
    drift = fit.line.slope / (1.0 - fit.line.slope)
    at_device_ns = signals.origin_ns + round((fit.line.centre_s - fit.line.lag_s) * 1e9)
    residual_s = fit.residual_s
    closeness = 1.0 / (1.0 + (fit.residual_ms / RESIDUAL_MAX_MS) ** 2)
    reason, detail = verdict or (None, "")
    return ClockAlignment(
        stream_id=signals.stream_id,
        method=METHOD,
        device_start_ns=signals.origin_ns,
        device_end_ns=signals.end_ns,
        offset_ns=round(fit.line.centre_s * 1e9) - at_device_ns - round(drift * at_device_ns),
        drift_ppm=drift * 1e6,
        offset_sd_ns=fit.line.sd_at(float(visual.edges_s[0] + visual.edges_s[-1]) / 2) * 1e9,
        drift_sd_ppm=fit.line.slope_sd * 1e6,
        residual_ms=fit.residual_ms,
        max_residual_ms=float(np.abs(residual_s).max(initial=0.0)) * 1e3,
        correlation=fit.score,
        distinctness=search.distinctness,
        confidence=fit.score * max(0.0, 1.0 - 1.0 / search.distinctness) * closeness,
        window_count=len(residual_s),
        camera_from_sensor=quaternion(rotation_of(fit.steady_map)),
        gyro_bias_rad_s=bias_of(visual, signals.raw, fit.line.at(visual.middles_s), fit.steady_map),
        is_accepted=verdict is None,
        reason=reason,
        detail=detail and f"stream {signals.stream_id!r}: {detail}.",
        search_offset_ns=np.rint(search.tried_s * 1e9).astype(np.int64) - signals.origin_ns,
        search_score=search.tried_score.copy(),
        window_t_ns=np.rint(fit.windows.centre_s * 1e9).astype(np.int64),
        window_residual_ns=residual_s * 1e9,
    )


def refused(stream_id: str, detail: str) -> ClockAlignment:
    """Nothing could be searched: neutral figures, no evidence."""
    nothing_ns = np.empty(0, dtype=np.int64)
    return ClockAlignment(
        stream_id=stream_id,
        method=METHOD,
        offset_ns=0,
        drift_ppm=0.0,
        offset_sd_ns=None,
        drift_sd_ppm=None,
        residual_ms=0.0,
        max_residual_ms=0.0,
        correlation=0.0,
        distinctness=1.0,
        confidence=0.0,
        window_count=0,
        camera_from_sensor=(1.0, 0.0, 0.0, 0.0),
        gyro_bias_rad_s=np.zeros(3),
        is_accepted=False,
        reason=Reason.SYNC_UNKNOWN,
        detail=f"stream {stream_id!r}: {detail}.",
        search_offset_ns=nothing_ns,
        search_score=np.empty(0),
        window_t_ns=nothing_ns.copy(),
        window_residual_ns=np.empty(0),
    )
