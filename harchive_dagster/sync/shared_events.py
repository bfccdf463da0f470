"""Knocks that two sensors felt at once: a clap, or a wrist tapped against the cap. They time a sensor that moves on its
own. Which stream needs that is decided elsewhere.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.alignment import refused
from harchive_dagster.sync.clock import ClockAlignment, ClockMapping
from harchive_dagster.sync.interval_rates import SampledSignal

METHOD = "shared_events/1"

_AROUND_S = 0.2
"""A knock is over in 20 ms; what lasts as long as this is motion, and taken away."""

_SHARP_M_S2 = 8.0
_SHARP_DEVIATIONS = 12.0
"""A knock stands out from the recording's own motion: steps of somebody who walks lie below 5 m/s2 and repeat."""

_APART_S = 0.25
"""A knock rings; its strongest sample counts."""

_EVENTS_MAX = 200
_AGREE_S = 0.010
"""Two sampling periods at 200 Hz."""

_EVENTS_MIN = 2
_CHANCE_MAX = 0.01
_RIVAL_RATIO = 2
"""What repeats, such as steps, agrees nearly as well one step later."""

_OTHER_S = 0.050


def align_events(
    imu: ImuStream, reference: ImuStream, clock: ClockMapping, claimed_ns: int, *, search_s: float = 10.0
) -> ClockAlignment | None:
    """Time a sensor by the knocks it shares with one whose clock is known.

    Every pair of knocks proposes an offset; the one that most pairs agree on is taken when at least two do, twice as
    many as on any other, and chance would bring that about once in a hundred recordings (events at random times,
    Poisson). Drift is not measured.

    Args:
        imu: the sensor.
        reference: one that was aligned with the picture.
        clock: its mapping.
        claimed_ns: the sensor's offset by its own claim. The search is around it where that lets the sensor cover half
            of the reference, else around where both start together (a device clock counts from its own start).
        search_s: half width of the search.

    Returns:
        The alignment, or None where knocks do not tell.
    """
    mine_ns, theirs_ns = knock_times_ns(imu), clock.to_session_ns(knock_times_ns(reference))
    if min(len(mine_ns), len(theirs_ns)) < _EVENTS_MIN or max(len(mine_ns), len(theirs_ns)) > _EVENTS_MAX:
        return None
    start_ns, end_ns = (int(t_ns) for t_ns in clock.to_session_ns(reference.t_device_ns[[0, -1]]))
    centre_ns = _expected_ns(imu, start_ns, end_ns, claimed_ns)
    # Whole numbers: a clock that counts from 1970 is exact to 256 ns only as a float.
    offsets_ns = (theirs_ns[None, :] - mine_ns[:, None] - centre_ns).ravel()
    offsets_s = np.sort(offsets_ns[np.abs(offsets_ns) <= round(search_s * 1e9)] * 1e-9)
    if len(offsets_s) < _EVENTS_MIN:
        return None
    counts = np.searchsorted(offsets_s, offsets_s + _AGREE_S, side="right") - np.arange(len(offsets_s))
    best = int(np.argmax(counts))
    agreeing = offsets_s[best : best + counts[best]]
    offset_s = float(np.median(agreeing))
    rivals = counts[np.abs(offsets_s - offset_s) > _OTHER_S].max(initial=1)
    span_s = max((end_ns - start_ns) * 1e-9, 1.0)
    chance = _chance(len(mine_ns) * len(theirs_ns) * _AGREE_S / span_s, len(agreeing) - 1) * len(offsets_s)
    if len(agreeing) < max(_EVENTS_MIN, _RIVAL_RATIO * int(rivals)) or chance > _CHANCE_MAX:
        return None
    residual_ms = float(np.sqrt(np.mean((agreeing - offset_s) ** 2))) * 1e3
    return _alignment(imu, centre_ns + round(offset_s * 1e9), agreeing, residual_ms, 1.0 - chance)


def knock_times_ns(imu: ImuStream) -> NDArray[np.int64]:
    """Device times of sharp peaks of the specific force, strongest sample of each."""
    t_s = (imu.t_device_ns - imu.t_device_ns[0]).astype(np.float64) * 1e-9
    force = SampledSignal(t_s, np.linalg.norm(imu.accel_m_s2, axis=1)[:, None])
    half = _AROUND_S / 2
    sharp = np.abs(force.values - force.mean_between(t_s - half, t_s + half))[:, 0]
    floor = max(_SHARP_M_S2, _SHARP_DEVIATIONS * 1.4826 * float(np.median(sharp)))
    found = np.flatnonzero(sharp > floor)
    # Groups of samples that are less than the ringing apart; the strongest of each.
    groups = np.split(found, np.flatnonzero(np.diff(t_s[found]) > _APART_S) + 1)
    peaks = np.array([group[np.argmax(sharp[group])] for group in groups if len(group)], dtype=np.intp)
    return np.asarray(imu.t_device_ns[peaks], dtype=np.int64)


def _expected_ns(imu: ImuStream, start_ns: int, end_ns: int, claimed_ns: int) -> int:
    first_ns, last_ns = (int(t_ns) + claimed_ns for t_ns in imu.t_device_ns[[0, -1]])
    overlap_ns = min(last_ns, end_ns) - max(first_ns, start_ns)
    return claimed_ns if overlap_ns > (end_ns - start_ns) / 2 else start_ns - int(imu.t_device_ns[0])


def _chance(expected: float, at_least: int) -> float:
    """Poisson probability of that many coincidences or more."""
    from scipy.stats import poisson

    return float(poisson.sf(at_least - 1, expected))


def _alignment(
    imu: ImuStream, offset_ns: int, agreeing: NDArray[np.float64], residual_ms: float, confidence: float
) -> ClockAlignment:
    median_s = float(np.median(agreeing))
    step_ns = float(np.median(np.diff(imu.t_device_ns)))
    return replace(
        refused(imu.stream_id, ""),
        method=METHOD,
        device_start_ns=int(imu.t_device_ns[0]),
        device_end_ns=int(imu.t_device_ns[-1]) + 1,
        offset_ns=offset_ns,
        # A peak lies anywhere between two samples, and a knock reaches the other sensor through a body.
        offset_sd_ns=max(step_ns, residual_ms * 1e6) / np.sqrt(len(agreeing)),
        residual_ms=residual_ms,
        max_residual_ms=float(np.abs(agreeing - median_s).max()) * 1e3,
        confidence=confidence,
        window_count=len(agreeing),
        is_accepted=True,
        reason=None,
        detail="",
    )
