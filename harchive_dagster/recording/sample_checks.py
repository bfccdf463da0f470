"""What every kind of sensor stream is checked for when it is built. What a kind holds is in its own module."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import LandingError
from harchive_dagster.reasons import Reason

_MEND = "Re-export the sensor file from the device, or remove the stream from the manifest's rig."


def read_only(values: Any, dtype: type) -> NDArray[Any]:
    """A copy that nobody can change."""
    array: NDArray[Any] = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array


def unreadable(stream_id: str, problem: str, **evidence: Any) -> LandingError:
    """The error of a stream that cannot be used; `problem` continues the sentence begun with its name."""
    return LandingError(
        Reason.SENSOR_UNREADABLE, f"stream {stream_id!r} {problem}.", mend=_MEND, evidence=evidence or None
    )


def check_samples(stream_id: str, t_device_ns: NDArray[np.int64], values: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a stream with fewer than two samples, or whose values do not match its times in number.

    Raises:
        LandingError: SENSOR_UNREADABLE.
    """
    count = len(t_device_ns) if t_device_ns.ndim == 1 else 0
    if count < 2:
        raise unreadable(stream_id, f"has {count} samples; at least 2 are needed")
    for name, array in values.items():
        if array.shape[:1] != (count,):
            raise unreadable(stream_id, f"has {name} of shape {array.shape} for {count} times")


def check_finite(stream_id: str, values: Mapping[str, NDArray[Any]]) -> None:
    """Refuse infinities and NaN, naming the first row.

    Raises:
        LandingError: SENSOR_UNREADABLE.
    """
    for name, array in values.items():
        is_bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if is_bad.any():
            first, count = int(np.argmax(is_bad)), int(is_bad.sum())
            raise unreadable(
                stream_id, f"has {name} that is not finite in {count} samples, first at row {first}",
                row=first, count=count,
            )  # fmt: skip


def check_increasing(stream_id: str, t_device_ns: NDArray[np.int64]) -> None:
    """Refuse device time that stands still or goes back.

    Raises:
        LandingError: SENSOR_NOT_MONOTONIC, naming the worst step.
    """
    is_bad = t_device_ns[1:] <= t_device_ns[:-1]  # not by difference, which may overflow
    if is_bad.any():
        steps_ns = np.diff(t_device_ns)
        worst = int(np.flatnonzero(is_bad)[np.argmin(steps_ns[is_bad])])
        step_ns, count = int(t_device_ns[worst + 1]) - int(t_device_ns[worst]), int(is_bad.sum())
        raise LandingError(
            Reason.SENSOR_NOT_MONOTONIC,
            f"stream {stream_id!r}: device time goes back by {-step_ns} ns after row {worst} ({count} such steps).",
            mend=_MEND,
            evidence={"row": worst, "step_ns": step_ns, "count": count},
        )


def median_rate_hz(t_device_ns: NDArray[np.int64]) -> float:
    """Median sampling rate; gaps do not bias it."""
    return float(1e9 / np.median(np.diff(t_device_ns))) if len(t_device_ns) > 1 else 0.0
