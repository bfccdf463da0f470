"""May an alignment be used? The limits and the sentences of a refusal; figures come from elsewhere."""

import numpy as np

from harchive_dagster.reasons import Reason
from harchive_dagster.sync.interval_rates import SampledSignal
from harchive_dagster.sync.lag_search import LagSearch, VisualRates

_MOTION_MIN_RAD_S = 0.03
"""Root mean square after the high-pass; breathing and sway of somebody who sits stay below 0.02."""

_USABLE_MIN_S = 3.5
"""Clips of 5 s are timed to 2 ms when the head moves, and of wrong pairs that short none passed the other limits."""

_SCORE_MIN = 0.3
_DISTINCTNESS_MIN = 1.3
_WINDOWS_MIN = 3
"""One moment of motion is explained by many lags somewhere in a long search; three moments must agree."""

RESIDUAL_MAX_MS = 5.0
_OFFSET_SD_MAX_MS = 5.0
"""Nothing is accepted whose 95 % interval is wider than +-10 ms, a third of a frame."""

_DRIFT_MAX_PPM = 300.0
_EDGE_SHARE = 0.97
"""A best lag at the very edge of the search means that the true one lies outside."""

_MIRROR_RATIO = 1.5
"""A left-handed sensor explains this much better than a right-handed one: an axis sign is wrong in its export."""


def too_little(visual: VisualRates, gyro: SampledSignal) -> str:
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


def is_distinct(search: LagSearch) -> bool:
    """Whether a search found one lag that explains the rotation and no other that does nearly as well."""
    return search.score >= _SCORE_MIN and search.distinctness >= _DISTINCTNESS_MIN


def judge(
    search: LagSearch,
    *,
    centre_s: float,
    search_s: float,
    window_count: int,
    residual_ms: float,
    offset_sd_ms: float,
    drift_ppm: float,
    mirror_ratio: float,
) -> tuple[Reason, str] | None:
    """The first ground for refusal, or None."""
    unknown, outside = Reason.SYNC_UNKNOWN, Reason.SYNC_OUT_OF_LIMITS
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
        (
            abs(search.best_s - centre_s) > _EDGE_SHARE * search_s,
            outside,
            f"the best lag lies at the edge of the search of +-{search_s:g} s",
        ),
        (
            window_count < _WINDOWS_MIN,
            unknown,
            f"{window_count} windows can be timed on their own; {_WINDOWS_MIN} are needed",
        ),
        (
            residual_ms > RESIDUAL_MAX_MS,
            outside,
            f"the windows disagree by {residual_ms:.1f} ms; at most {RESIDUAL_MAX_MS:g} ms is allowed",
        ),
        (
            abs(drift_ppm) > _DRIFT_MAX_PPM,
            outside,
            f"the clocks drift by {drift_ppm:.0f} ppm; at most {_DRIFT_MAX_PPM:g} ppm is allowed",
        ),
        (
            offset_sd_ms > _OFFSET_SD_MAX_MS,
            unknown,
            f"the offset is uncertain by {offset_sd_ms:.1f} ms; at most {_OFFSET_SD_MAX_MS:g} ms is allowed",
        ),
        (
            mirror_ratio > _MIRROR_RATIO,
            Reason.SENSOR_IMPLAUSIBLE,
            "the gyro matches the picture only with one axis mirrored: a sign is wrong in the sensor's export",
        ),
    ]
    return next(((reason, detail) for is_bad, reason, detail in grounds if is_bad), None)
