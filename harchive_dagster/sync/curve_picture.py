"""The picture that lets a person believe an alignment, or not: both curves, the peak, the windows. Draws, never
measures.
"""

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.clock import ClockAlignment
from harchive_dagster.sync.interval_rates import SampledSignal
from harchive_dagster.sync.lag_search import gyro_means, visual_rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN_S = 10.0
"""Longer stretches at this picture's size hide whether the curves lie on each other."""

_SEEN, _FELT = "#1f77b4", "#d62728"


def sync_curve_png(
    alignment: ClockAlignment,
    pts_ns: NDArray[np.int64],
    rotation_rad: NDArray[np.float64],
    rotation_inliers: NDArray[np.int32],
    imu: ImuStream,
) -> bytes:
    """Draw an alignment, accepted or not.

    Left: the two rotation rates (high-passed, camera axes, about the axis that moves most) over the liveliest ten
    seconds. Right: the search's score over the offset, and the windows' residuals.

    Args:
        alignment: the result for these frames and this stream.
        pts_ns: int64 [M], M >= 3.
        rotation_rad: float64 [M, 3].
        rotation_inliers: int32 [M].
        imu: the stream.

    Returns:
        A PNG of about 50 kB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(2, 1))
    _draw_curves(figure.add_subplot(grid[:, 0]), alignment, pts_ns, rotation_rad, rotation_inliers, imu)
    _draw_search(figure.add_subplot(grid[0, 1]), alignment)
    _draw_windows(figure.add_subplot(grid[1, 1]), alignment)
    drift_sd = "" if alignment.drift_sd_ppm is None else f" ± {alignment.drift_sd_ppm:.0f}"
    verdict = "accepted" if alignment.is_accepted else f"refused: {alignment.reason}"
    figure.suptitle(
        f"{alignment.stream_id}: {verdict}, R² {alignment.correlation:.2f}, drift {alignment.drift_ppm:+.0f}"
        f"{drift_sd} ppm, residual {alignment.residual_ms:.2f} ms",
        fontsize=9,
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _draw_curves(
    axes: "Axes",
    alignment: ClockAlignment,
    pts_ns: NDArray[np.int64],
    rotation_rad: NDArray[np.float64],
    rotation_inliers: NDArray[np.int32],
    imu: ImuStream,
) -> None:
    from scipy.spatial.transform import Rotation

    visual = visual_rates(pts_ns, rotation_rad, rotation_inliers)
    w, x, y, z = alignment.camera_from_sensor
    values = imu.gyro_rad_s @ Rotation.from_quat([x, y, z, w]).as_matrix().T
    origin_ns = int(imu.t_device_ns[0])
    device_s = (imu.t_device_ns - origin_ns).astype(np.float64) * 1e-9
    device_ns = alignment.to_device_ns(pts_ns)
    edges_s = (device_ns - origin_ns).astype(np.float64) * 1e-9
    is_mine = (device_ns[:-1] >= alignment.device_start_ns) & (device_ns[1:] <= alignment.device_end_ns)
    felt = gyro_means(edges_s, SampledSignal(device_s, values).high_passed(), 0.0)
    seen = np.where((visual.is_usable & is_mine)[:, None], visual.high_passed, np.nan)
    axis = int(np.argmax(np.nansum(seen**2, axis=0)))
    middles = (visual.edges_s[1:] + visual.edges_s[:-1]) / 2
    energy = np.cumsum(np.nan_to_num(seen[:, axis]) ** 2)
    ends = np.searchsorted(middles, middles + _SHOWN_S, side="right") - 1
    start = int(np.argmax(energy[ends] - energy))
    shown = slice(start, int(ends[start]) + 1)
    axes.plot(middles[shown], seen[shown, axis], color=_SEEN, linewidth=1.2, label="seen (picture)")
    axes.plot(middles[shown], felt[shown, axis], color=_FELT, linewidth=0.8, label="felt (gyro, aligned)")
    axes.set_xlabel("session time [s]", fontsize=8)
    axes.set_ylabel(f"rotation rate about {'xyz'[axis]} [rad/s]", fontsize=8)
    axes.legend(fontsize=7, loc="upper right")
    axes.tick_params(labelsize=7)


def _draw_search(axes: "Axes", alignment: ClockAlignment) -> None:
    axes.plot(alignment.search_offset_ns * 1e-9, alignment.search_score, color=_SEEN, linewidth=0.8)
    axes.set_ylim(0, 1)
    axes.set_xlabel("offset tried [s]", fontsize=8)
    axes.set_ylabel("R²", fontsize=8)
    axes.tick_params(labelsize=7)


def _draw_windows(axes: "Axes", alignment: ClockAlignment) -> None:
    axes.axhline(0.0, color="0.7", linewidth=0.8)
    axes.plot(alignment.window_t_ns * 1e-9, alignment.window_residual_ns * 1e-6, "o", color=_FELT, markersize=3)
    axes.set_xlabel("session time [s]", fontsize=8)
    axes.set_ylabel("window [ms]", fontsize=8)
    axes.tick_params(labelsize=7)
