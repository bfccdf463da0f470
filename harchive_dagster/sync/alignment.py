"""A gyro's clock against the picture's: search, refine, judge. What it is used for (resampling) and how the two
signals are made comparable live beside it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.clock import ClockAlignment
from harchive_dagster.sync.clock_line import CAUCHY_SCALE, ClockLine, WindowLags, fit_line, time_windows
from harchive_dagster.sync.interval_rates import SampledSignal
from harchive_dagster.sync.lag_search import (
    LagSearch,
    VisualRates,
    gyro_means,
    is_covered,
    search_lag,
    visual_rates,
)

METHOD = "gyro_visual_rotation/1"

_MOTION_MIN_RAD_S = 0.03
"""Root mean square after the high-pass; breathing and sway of somebody who sits stay below 0.02."""

_USABLE_MIN_S = 3.5
_SCORE_MIN = 0.3
_DISTINCTNESS_MIN = 1.3
_WINDOWS_MIN = 3
_RESIDUAL_MAX_MS = 5.0
_DRIFT_MAX_PPM = 300.0
_EDGE_SHARE = 0.97
"""A best lag at the very edge of the search means that the true one lies outside."""

_MIRROR_RATIO = 1.5
"""A left-handed sensor explains this much better than a right-handed one: an axis sign is wrong in its export."""


def align_gyro(
    pts_ns: NDArray[np.int64],
    rotation_rad: NDArray[np.float64],
    rotation_inliers: NDArray[np.int32],
    imu: ImuStream,
    *,
    search_s: float = 10.0,
    expected_offset_ns: int | None = None,
) -> ClockAlignment:
    """Measure a head-worn sensor's clock against the camera's.

    Both signals become mean rates over frame intervals (the gyro by its exact integral), both lose their mean over
    1 s. The lag where a free 3 x 3 map of the gyro explains most of the visual rotation is found coarsely, then
    windows are timed with the map fixed, and a robust line through them gives offset and drift. Drift is shrunk to 0
    by a prior of 50 ppm, so it is meaningful from about two minutes on; the offset at mid-recording does not depend
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
        return _refused(imu.stream_id, Reason.SYNC_UNKNOWN, f"the video has {len(pts_ns)} frames; 3 are needed")
    visual = visual_rates(pts_ns, rotation_rad, rotation_inliers)
    origin_ns = int(imu.t_device_ns[0])
    raw = SampledSignal((imu.t_device_ns - origin_ns).astype(np.float64) * 1e-9, imu.gyro_rad_s)
    gyro = raw.high_passed()
    too_little = _too_little(visual, gyro)
    if too_little:
        return _refused(imu.stream_id, Reason.SYNC_UNKNOWN, too_little)
    centre_s = _search_centre_s(visual, raw, origin_ns, expected_offset_ns)
    search = search_lag(visual, gyro, centre_s=centre_s, search_s=search_s)
    fit = _refine(visual, gyro, search)
    verdict = _verdict(fit, search, centre_s, search_s)
    return _result(imu, visual, raw, search, fit, verdict, origin_ns)


@dataclass(frozen=True, eq=False)
class _Fit:
    """The refined model: visual = (gyro(lag by line) - bias) @ steady_map."""

    line: ClockLine
    windows: WindowLags
    steady_map: NDArray[np.float64]
    mirror_ratio: float
    score: float

    @property
    def residual_s(self) -> NDArray[np.float64]:
        return self.windows.lag_s - self.line.at(self.windows.centre_s)

    @property
    def residual_ms(self) -> float:
        """Robust: the median absolute residual, scaled to a standard deviation."""
        return 1.4826e3 * float(np.median(np.abs(self.residual_s))) if len(self.residual_s) else 0.0


def _too_little(visual: VisualRates, gyro: SampledSignal) -> str:
    """Why no search is worth it; empty when it is."""
    usable_s = float(np.diff(visual.edges_s)[visual.is_usable].sum())
    if usable_s < _USABLE_MIN_S:
        return f"the camera's rotation could be estimated for {usable_s:.1f} s only; {_USABLE_MIN_S:g} s are needed"
    seen = float(np.sqrt((visual.high_passed[visual.is_usable] ** 2).sum(axis=1).mean()))
    felt = float(np.sqrt((gyro.values**2).sum(axis=1).mean()))
    if min(seen, felt) < _MOTION_MIN_RAD_S:
        return (
            f"there is too little motion to compare: {seen:.3f} rad/s in the picture and {felt:.3f} rad/s at the "
            f"sensor, at least {_MOTION_MIN_RAD_S:g} rad/s is needed"
        )
    return ""


def _search_centre_s(visual: VisualRates, raw: SampledSignal, origin_ns: int, expected_offset_ns: int | None) -> float:
    """Middle of the search as a lag against device time since its first sample."""
    first_s = float(visual.edges_s[0])
    same_clock_s = origin_ns * 1e-9
    if expected_offset_ns is not None:
        return same_clock_s + expected_offset_ns * 1e-9
    span_s = float(visual.edges_s[-1]) - first_s
    overlap_s = min(same_clock_s + float(raw.t_s[-1]), first_s + span_s) - max(same_clock_s, first_s)
    return same_clock_s if overlap_s >= span_s / 2 else first_s


def _refine(visual: VisualRates, gyro: SampledSignal, search: LagSearch) -> _Fit:
    middles = (visual.edges_s[1:] + visual.edges_s[:-1]) / 2
    line = ClockLine(float(middles.mean()), search.best_s, 0.0, 0.0, 0.0)
    windows = WindowLags(np.empty(0), np.empty(0), np.empty(0))
    for _ in range(2):
        windows = time_windows(visual, gyro, _fit_map(visual, gyro, line.at(middles)), line)
        if not len(windows.lag_s):
            break
        line = fit_line(windows)
    lag_s = line.at(middles)
    mapping = _fit_map(visual, gyro, lag_s)
    steady, mirror_ratio = _steadied(visual, gyro, lag_s, mapping)
    means, seen = _compared(visual, gyro, lag_s)
    left = float(((seen - means @ mapping) ** 2).sum()) / max(float((seen**2).sum()), 1e-30)
    return _Fit(line, windows, steady, mirror_ratio, float(np.clip(1.0 - left, 0.0, 1.0)))


def _compared(
    visual: VisualRates, gyro: SampledSignal, lag_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gyro means and visual rates of the intervals that have both."""
    is_both = visual.is_usable & is_covered(visual.edges_s, gyro, lag_s)
    return gyro_means(visual.edges_s, gyro, lag_s)[is_both], visual.high_passed[is_both]


def _fit_map(visual: VisualRates, gyro: SampledSignal, lag_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Free 3 x 3 map from gyro rows to visual rows, least squares with Cauchy weights."""
    means, seen = _compared(visual, gyro, lag_s)
    weight = np.ones(len(means))
    mapping: NDArray[np.float64] = np.zeros((3, 3))
    for _ in range(4):
        weighted = means * weight[:, None]
        covariance = weighted.T @ means
        ridge = (1e-12 + 1e-9 * float(np.trace(covariance))) * np.eye(3)
        mapping = np.asarray(np.linalg.solve(covariance + ridge, weighted.T @ seen), dtype=np.float64)
        error = np.linalg.norm(seen - means @ mapping, axis=1)
        scale = CAUCHY_SCALE * 1.4826 * float(np.median(error)) + 1e-9 if len(error) else 1.0
        weight = 1.0 / (1.0 + (error / scale) ** 2)
    return mapping


def _steadied(
    visual: VisualRates, gyro: SampledSignal, lag_s: NDArray[np.float64], mapping: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The map with its unmoved axes made sensible, and how much better a mirrored rotation would do.

    Axes without motion are noise in the free map. They are pulled towards the rotation that fits the data directly,
    with a weight of 2 % of the mean motion.
    """
    means, seen = _compared(visual, gyro, lag_s)
    covariance = means.T @ means
    rotation, scale, mirror_ratio = _procrustes(means, seen)
    pull = 0.02 * float(np.trace(covariance)) / 3 + 1e-12
    steady = np.linalg.solve(covariance + pull * np.eye(3), covariance @ mapping + pull * scale * rotation.T)
    return np.asarray(steady, dtype=np.float64), mirror_ratio


def _rotation_of(mapping: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nearest rotation from sensor to camera axes (Kabsch); a wrong focal length only scales two camera axes."""
    left, _, right = np.linalg.svd(mapping.T)
    handed = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(left @ right)))])
    return np.asarray(left @ handed @ right, dtype=np.float64)


def _procrustes(means: NDArray[np.float64], seen: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Best rotation and scale from gyro to picture; unexplained variance of it over that of the best mirrored one."""
    left, gains, right = np.linalg.svd(seen.T @ means)
    sign = float(np.sign(np.linalg.det(left @ right))) or 1.0
    felt, total = float((means**2).sum()) + 1e-30, float((seen**2).sum()) + 1e-30
    proper = float(gains[0] + gains[1] + sign * gains[2])
    mirrored = float(gains[0] + gains[1] - sign * gains[2])
    unexplained = [max(1.0 - max(gain, 0.0) ** 2 / (felt * total), 1e-6) for gain in (proper, mirrored)]
    return left @ np.diag([1.0, 1.0, sign]) @ right, proper / felt, unexplained[0] / unexplained[1]


def _verdict(fit: _Fit, search: LagSearch, centre_s: float, search_s: float) -> tuple[Reason, str] | None:
    """The first ground for refusal, or None."""
    unknown, outside = Reason.SYNC_UNKNOWN, Reason.SYNC_OUT_OF_LIMITS
    drift_ppm = fit.line.slope * 1e6
    is_edge = abs(search.best_s - centre_s) > _EDGE_SHARE * search_s
    windows = len(fit.windows.lag_s)
    grounds: list[tuple[bool, Reason, str]] = [
        (
            search.score < _SCORE_MIN,
            unknown,
            f"no lag explains the picture's rotation: R2 is {search.score:.2f}, at least {_SCORE_MIN:g} is needed",
        ),
        (
            search.distinctness < _DISTINCTNESS_MIN,
            unknown,
            f"another lag explains it nearly as well: ratio {search.distinctness:.2f}, {_DISTINCTNESS_MIN:g} is needed",
        ),
        (is_edge, outside, f"the best lag lies at the edge of the search of +-{search_s:g} s"),
        (windows < _WINDOWS_MIN, unknown, f"{windows} windows can be timed on their own; {_WINDOWS_MIN} are needed"),
        (
            fit.residual_ms > _RESIDUAL_MAX_MS,
            outside,
            f"the windows disagree by {fit.residual_ms:.1f} ms; at most {_RESIDUAL_MAX_MS:g} ms is allowed",
        ),
        (
            abs(drift_ppm) > _DRIFT_MAX_PPM,
            outside,
            f"the clocks drift by {drift_ppm:.0f} ppm; at most {_DRIFT_MAX_PPM:g} ppm is allowed",
        ),
        (
            fit.mirror_ratio > _MIRROR_RATIO,
            Reason.SENSOR_IMPLAUSIBLE,
            "the gyro matches the picture only with one axis mirrored: a sign is wrong in the sensor's export",
        ),
    ]
    return next(((reason, detail) for is_bad, reason, detail in grounds if is_bad), None)


def _result(
    imu: ImuStream,
    visual: VisualRates,
    raw: SampledSignal,
    search: LagSearch,
    fit: _Fit,
    verdict: tuple[Reason, str] | None,
    origin_ns: int,
) -> ClockAlignment:
    drift = fit.line.slope / (1.0 - fit.line.slope)
    at_device_ns = origin_ns + round((fit.line.centre_s - fit.line.lag_s) * 1e9)
    residual_s = fit.residual_s
    closeness = 1.0 / (1.0 + (fit.residual_ms / _RESIDUAL_MAX_MS) ** 2)
    reason, detail = verdict or (None, "")
    return ClockAlignment(
        stream_id=imu.stream_id,
        method=METHOD,
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
        camera_from_sensor=_quaternion(_rotation_of(fit.steady_map)),
        gyro_bias_rad_s=_bias(visual, raw, fit),
        is_accepted=verdict is None,
        reason=reason,
        detail=detail and f"stream {imu.stream_id!r}: {detail}.",
        search_offset_ns=np.rint(search.tried_s * 1e9).astype(np.int64) - origin_ns,
        search_score=search.tried_score.copy(),
        window_t_ns=np.rint(fit.windows.centre_s * 1e9).astype(np.int64),
        window_residual_ns=residual_s * 1e9,
    )


def _bias(visual: VisualRates, raw: SampledSignal, fit: _Fit) -> NDArray[np.float64]:
    """What the gyro reads beyond what the picture shows: median over the intervals, sensor axes."""
    middles = (visual.edges_s[1:] + visual.edges_s[:-1]) / 2
    lag_s = fit.line.at(middles)
    is_both = visual.is_usable & is_covered(visual.edges_s, raw, lag_s)
    if not is_both.any():
        return np.zeros(3)
    excess = gyro_means(visual.edges_s, raw, lag_s) - visual.rate_rad_s @ np.linalg.pinv(fit.steady_map)
    return np.asarray(np.median(excess[is_both], axis=0), dtype=np.float64)


def _quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    from scipy.spatial.transform import Rotation

    x, y, z, w = (float(value) for value in Rotation.from_matrix(rotation).as_quat(canonical=True))
    return w, x, y, z


def _refused(stream_id: str, reason: Reason, detail: str) -> ClockAlignment:
    """Nothing could be searched: neutral figures, no evidence."""
    nothing_ns = np.empty(0, dtype=np.int64)
    return ClockAlignment(
        stream_id=stream_id,
        method=METHOD,
        offset_ns=0,
        drift_ppm=0.0,
        offset_sd_ns=0.0,
        drift_sd_ppm=0.0,
        residual_ms=0.0,
        max_residual_ms=0.0,
        correlation=0.0,
        distinctness=1.0,
        confidence=0.0,
        window_count=0,
        camera_from_sensor=(1.0, 0.0, 0.0, 0.0),
        gyro_bias_rad_s=np.zeros(3),
        is_accepted=False,
        reason=reason,
        detail=f"stream {stream_id!r}: {detail}.",
        search_offset_ns=nothing_ns,
        search_score=np.empty(0),
        window_t_ns=nothing_ns.copy(),
        window_residual_ns=np.empty(0),
    )
