"""How exact and how careful clock alignment is: errors against known truth, refusals of wrong pairs, breaks, speed.

    python benchmarks/sync.py [trials] [clips]     # per row; 20 and 2 take about twelve minutes on one core

Every figure is seeded. Pictures are rendered with near surfaces, hands, visitors and a rolling shutter of 16 ms, and
tracked by the pipeline's own tracker; signals skip the pictures and are made at least as wrong. Sensors are noisy,
biased, jittery, lose 1 % of samples and sit anyhow; clocks are up to 5 s and 200 ppm off. What only a camera writes is
taken from the folder that HARCHIVE_REALDATA names.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.demo.clock_trials import (
    MANNERS,
    ClockTrial,
    clock_restarted,
    clock_set,
    make_trial,
    phases_in,
    samples_lost,
    sense,
    true_session_s,
    video_paused,
)
from harchive_dagster.demo.motion import PhaseKind, make_motion
from harchive_dagster.demo.scene import Camera, render
from harchive_dagster.demo.scenery import make_scenery
from harchive_dagster.demo.timeline import visits_of
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.lens import Lens, assumed_lens
from harchive_dagster.recording.visual_rotation import RotationTracker
from harchive_dagster.sync.clock import PiecewiseClock
from harchive_dagster.sync.clock_breaks import align_pieces

READOUT_S = 0.016
TRACKED_PX = (480, 270)
ASSUMED = assumed_lens(*TRACKED_PX)
WIDE = Lens("fisheye", *TRACKED_PX, 218.0, 218.0, 239.5, 134.5, (-0.02, 0.004, 0.0, 0.0))
"""128 degrees across and 149 from corner to corner."""

AROUND = Camera(960, 540, float(np.deg2rad(72.7)))
"""Sees all that `WIDE` does."""

SHORT_S, LONG_S = 24.0, 180.0
BREAKS: dict[str, Callable[[ClockTrial, float], ClockTrial]] = {
    "none": lambda trial, _: trial,
    "gap of 4 s": lambda trial, at_s: samples_lost(trial, at_s, 4.0, does_clock_run=True),
    "restart": clock_restarted,
    "set back 0.5 s": lambda trial, at_s: clock_set(trial, at_s, -0.5),
    "set ahead 20 min": lambda trial, at_s: clock_set(trial, at_s, 1200.0),
    "10 ms lost": lambda trial, at_s: samples_lost(trial, at_s, 0.015, does_clock_run=False),
    "20 ms lost": lambda trial, at_s: samples_lost(trial, at_s, 0.025, does_clock_run=False),
    "2 s lost": lambda trial, at_s: samples_lost(trial, at_s, 2.0, does_clock_run=False),
    "video paused 3 s": lambda trial, at_s: video_paused(trial, at_s, 3.0),
}


@dataclass(frozen=True)
class Accuracy:
    """What came of trials with known truth; lists have one entry per accepted trial."""

    tried: int
    errors_ms: list[float]
    sds_ms: list[float]
    drift_errors_ppm: list[float]
    drift_sds_ppm: list[float]
    reasons: Counter[str]

    @property
    def covered(self) -> float:
        """Share of the 95 % intervals of the offset that hold the truth."""
        return float(np.mean(np.abs(self.errors_ms) < 1.96 * np.array(self.sds_ms))) if self.errors_ms else 0.0

    @property
    def drift_covered(self) -> float:
        """The same of the drift."""
        errors, sds = np.abs(self.drift_errors_ppm), np.array(self.drift_sds_ppm)
        return float(np.mean(errors < 1.96 * sds)) if len(sds) else 0.0

    def line(self, name: str) -> str:
        """A row of the table under `ACCURACY_HEAD`."""
        p50, p95, most = (_percentile(self.errors_ms, share) for share in (50, 95, 100))
        drift = _percentile(self.drift_errors_ppm, 95)
        return (
            f"{name:22} {len(self.errors_ms):4}/{self.tried:<4} {p50:6.2f} {p95:6.2f} {most:6.2f} "
            f"{np.median(self.sds_ms or [0]):6.2f} {100 * self.covered:5.0f} {drift:8.1f} "
            f"{100 * self.drift_covered:5.0f}  {dict(self.reasons) or ''}"
        )


ACCURACY_HEAD = (
    f"{'':22} {'accepted':9} {'|offset error| ms':>20} {'sd':>6} {'in 95':>5} {'|drift|':>8} {'in 95':>5}\n"
    f"{'':22} {'':9} {'50 %':>6} {'95 %':>6} {'all':>6} {'ms':>6} {'%':>5} {'ppm 95 %':>8} {'%':>5}"
)


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    clips = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    print(f"signals, {trials} trials per row\n{ACCURACY_HEAD}")
    for manner in MANNERS:
        for duration_s in (6.0, 9.0, 20.0, 60.0):
            print(
                measure(make_trial(seed, manner, duration_s) for seed in range(trials)).line(
                    f"{manner} {duration_s:g} s"
                )
            )
        long = (make_trial(seed, manner, LONG_S) for seed in range(max(1, trials // 4)))
        print(measure(long).line(f"{manner} {LONG_S:g} s"), flush=True)
    print(f"\nrendered pictures, rolling shutter {READOUT_S * 1e3:g} ms\n{ACCURACY_HEAD}")
    for manner in MANNERS:
        print(
            measure(rendered(seed, manner, SHORT_S) for seed in range(clips)).line(f"{manner} {SHORT_S:g} s"),
            flush=True,
        )
    print(measure(rendered(seed, "mixed", LONG_S) for seed in range(max(1, clips // 2))).line(f"mixed {LONG_S:g} s"))
    print(f"\nrendered through a fisheye of 128 degrees, {SHORT_S:g} s\n{ACCURACY_HEAD}")
    for line in wide(clips):
        print(line, flush=True)
    print("\nwrong pairs: accepted of tried, by length of the video")
    for name, accepted in wrong_pairs(trials).items():
        print(f"{name:22} {accepted}", flush=True)
    print("\nbreaks in 60 s: found as meant; accepted, far-off (> 8 ms) share of samples, 99 % error within pieces")
    for name, break_it in BREAKS.items():
        print(f"{name:22} {broken(trials, break_it, pieces=1 if name in ('none', 'gap of 4 s') else 2)}", flush=True)
    for line in real():
        print(line)
    for line in speed():
        print(line)


def measure(trials: Iterable[ClockTrial]) -> Accuracy:
    """Align recordings whose clocks ran through."""
    found = Accuracy(0, [], [], [], [], Counter())
    for trial in trials:
        pieces = align_pieces(*trial.seen, trial.imu)
        found = replace(found, tried=found.tried + 1)
        piece = pieces[0]
        if len(pieces) > 1 or not piece.is_accepted:
            found.reasons[f"{len(pieces)} pieces" if len(pieces) > 1 else str(piece.reason)] += 1
            continue
        found.errors_ms.append(trial.error_ms(piece))
        found.sds_ms.append(piece.offset_sd_ns * 1e-6)
        inside = (trial.session_s > 0) & (trial.session_s < trial.pts_ns[-1] * 1e-9)
        drift_ppm = 1e6 * (np.polyfit(trial.imu.t_device_ns[inside] * 1e-9, trial.session_s[inside], 1)[0] - 1)
        found.drift_errors_ppm.append(piece.drift_ppm - drift_ppm)
        found.drift_sds_ppm.append(piece.drift_sd_ppm)
    return found


def rendered(seed: int, manner: str, duration_s: float) -> ClockTrial:
    """A recording whose rotation is tracked in rendered pictures."""
    return _rendered(seed, manner, duration_s, Camera(640, 360), None, [ASSUMED])[0][0]


def wide(clips: int) -> Iterator[str]:
    """The same recordings, tracked with and without the calibration of the lens that they were seen through."""
    for manner in MANNERS:
        found: dict[str, list[tuple[ClockTrial, NDArray[np.float64]]]] = {"lens known": [], "lens assumed": []}
        for seed in range(clips):
            tried = _rendered(seed, manner, SHORT_S, AROUND, WIDE, [WIDE, ASSUMED])
            for name, one in zip(found, tried, strict=True):
                found[name].append(one)
        for name, trials in found.items():
            yield measure(trial for trial, _ in trials).line(f"{manner}, {name}")
        for name, trials in found.items():
            pieces = [align_pieces(*trial.seen, trial.imu)[0] for trial, _ in trials]
            yield (
                f"{manner}, {name:14} R2 {np.mean([piece.correlation for piece in pieces]):.3f}, "
                f"residual {np.mean([piece.residual_ms for piece in pieces]):.2f} ms, {_rotation_errors(trials)}"
            )


def _rotation_errors(trials: Sequence[tuple[ClockTrial, NDArray[np.float64]]]) -> str:
    """What was tracked from frame to frame against what the head did; the still half of the frames is left out."""
    tracked = np.vstack([trial.rotation_rad for trial, _ in trials])
    true = np.vstack([turned for _, turned in trials])
    inliers = np.concatenate([trial.rotation_inliers for trial, _ in trials])
    size = np.linalg.norm(true, axis=1)
    is_turning = (size > np.median(size)) & (inliers > 0)
    tracked, true = tracked[is_turning], true[is_turning]
    off_mrad, turn_mrad = (float(np.median(np.linalg.norm(one, axis=1))) * 1e3 for one in (tracked - true, true))
    return (
        f"angles {np.sum(tracked * true) / np.sum(true**2):.3f} of the true ones, off by {off_mrad:.2f} of "
        f"{turn_mrad:.1f} mrad a frame (medians), {np.median(inliers[is_turning]):.0f} tracks agree"
    )


def _rendered(
    seed: int, manner: str, duration_s: float, camera: Camera, through: Lens | None, taken_for: Sequence[Lens]
) -> list[tuple[ClockTrial, NDArray[np.float64]]]:
    """One recording, tracked once for every lens that it is taken for; and how the head turned from frame to frame."""
    import cv2
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng([seed, 177])
    phases = phases_in(manner, duration_s)
    motion = make_motion(phases, rng)
    t_s = np.arange(int(duration_s * 30)) / 30
    ends = [phase.end_s for phase in phases[:-1]]
    is_work = np.array([phases[i].kind is PhaseKind.WORK for i in np.searchsorted(ends, t_s, side="right")])
    visits = visits_of(phases, camera.height_px, rng)
    pictures = render(
        make_scenery(seed % 3), motion, camera, t_s, visits=visits, has_hands=is_work, readout_s=READOUT_S, lens=through
    )
    trackers = [RotationTracker(lens) for lens in taken_for]
    rotation, inliers = np.zeros((len(trackers), len(t_s), 3)), np.zeros((len(trackers), len(t_s)), np.int32)
    for index, (picture, _) in enumerate(pictures):
        luma = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), TRACKED_PX, interpolation=cv2.INTER_AREA)
        for which, tracker in enumerate(trackers):
            step = tracker.step(np.asarray(luma, np.uint8))
            rotation[which, index], inliers[which, index] = step.rotation_rad, step.inliers
    imu, clock = sense(motion, duration_s, rng)
    pts_ns, session_s = np.rint(t_s * 1e9).astype(np.int64), true_session_s(imu, clock)
    body = Rotation.from_matrix(motion.world_from_camera(t_s))
    turned = np.vstack([np.zeros(3), (body[:-1].inv() * body[1:]).as_rotvec()])
    return [(ClockTrial(pts_ns, *seen, imu, session_s), turned) for seen in zip(rotation, inliers, strict=True)]


def wrong_pairs(trials: int, lengths_s: Sequence[float] = (5.0, 8.0, 20.0, 60.0)) -> dict[str, str]:
    """Sensors that did not see the video's motion; none may be accepted."""
    from scipy.ndimage import gaussian_filter1d

    accepted: dict[str, list[int]] = {}
    for length_s in lengths_s:
        counts: Counter[str] = Counter()
        for seed in range(trials):
            manner = MANNERS[seed % len(MANNERS)]
            trial = make_trial(seed, manner, length_s)
            rng = np.random.default_rng(seed)
            noise = rng.normal(size=trial.imu.gyro_rad_s.shape)
            smooth = gaussian_filter1d(noise, 40, axis=0)
            sensors = {
                "another session": make_trial(seed + 1000, manner, length_s).imu,
                "time reversed": replace(trial.imu, gyro_rad_s=trial.imu.gyro_rad_s[::-1]),
                "white noise": replace(trial.imu, gyro_rad_s=0.3 * noise),
                "smooth noise": replace(trial.imu, gyro_rad_s=0.3 * smooth / smooth.std()),
                "somebody still": make_trial(seed + 2000, "still", length_s).imu,
            }
            for name, imu in sensors.items():
                counts[name] += any(piece.is_accepted for piece in align_pieces(*trial.seen, imu))
        for name in ("another session", "time reversed", "white noise", "smooth noise", "somebody still"):
            accepted.setdefault(name, []).append(counts[name])
    return {
        name: "  ".join(f"{length_s:g} s: {n} of {trials}" for length_s, n in zip(lengths_s, numbers, strict=True))
        for name, numbers in accepted.items()
    }


def broken(trials: int, break_it: Callable[[ClockTrial, float], ClockTrial], *, pieces: int) -> str:
    """Clocks that break somewhere between 30 and 70 % of a minute."""
    as_meant, accepted, far, errors = 0, 0, [], []
    for seed in range(trials):
        trial = break_it(make_trial(seed, MANNERS[seed % len(MANNERS)], 60.0), 18.0 + 24.0 * (seed * 7 % 10) / 10)
        found = [piece for piece in align_pieces(*trial.seen, trial.imu) if piece.is_accepted]
        as_meant += len(found) == pieces
        if not found:
            continue
        accepted += 1
        errors_ms = np.abs(trial.errors_ms(PiecewiseClock(tuple(found))))
        errors_ms = errors_ms[~np.isnan(errors_ms)]
        far.append(float((errors_ms > 8.0).mean()))
        errors.append(_percentile(errors_ms[errors_ms <= 8.0], 99))
    return (
        f"{as_meant:3}/{trials:<3} {accepted:3}/{trials:<3} far {100 * float(np.mean(far or [0])):5.2f} % "
        f"(worst {100 * max(far, default=0.0):5.1f} %)  {_percentile(errors, 95):5.2f} ms"
    )


def real() -> Iterator[str]:
    """A recording that its camera stabilised: refused as it is; found wherever its clock is moved to once re-shaken.

    The file says how every picture was turned to look steady. Turned back, the tracked rotation is the camera's again.
    That turn was computed from the gyro, so this shows robustness on real signals, and no accuracy of the pictures.
    """
    yield "\nGoPro MAX, walking, stabilised in camera, 10 s"
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("HARCHIVE_REALDATA", default)) / "gopro_max_walk.mp4"
    try:
        from harchive_dagster.landing.formats.gpmf import GpmfReader, frame_telemetry
    except ImportError:
        yield "left out: this checkout reads no GoPro telemetry"
        return
    if not path.exists():
        yield f"left out: {path} is not there"
        return
    from harchive_dagster.landing.manifest import StreamSpec
    from harchive_dagster.recording.look import look

    seen, _ = look(path, detector=None)
    imu = GpmfReader().read(path, StreamSpec(stream_id="imu", placement="head", kind="imu", rate_hz=200.0)).stream
    telemetry = frame_telemetry(path)
    assert isinstance(imu, ImuStream)
    assert telemetry is not None
    (steady,) = align_pieces(seen.pts_ns, seen.rotation_rad, seen.rotation_inliers, imu)
    yield f"as it is               accepted {steady.is_accepted}: {steady.detail}"
    shaken = seen.pts_ns, _shaken(seen.rotation_rad, telemetry.image_wxyz), seen.rotation_inliers
    (unmoved,) = align_pieces(*shaken, imu)
    yield (
        f"re-shaken              accepted {unmoved.is_accepted}, R2 {unmoved.correlation:.3f}, offset "
        f"{unmoved.offset_ns * 1e-6:.2f} +- {unmoved.offset_sd_ns * 1e-6:.2f} ms, {unmoved.window_count} windows"
    )
    middle = len(imu) // 2
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        offset_ns, drift = round(rng.uniform(-5e9, 5e9)), rng.uniform(-200e-6, 200e-6)
        moved_ns = np.rint((imu.t_device_ns - offset_ns) / (1 + drift)).astype(np.int64)
        (piece,) = align_pieces(*shaken, replace(imu, t_device_ns=moved_ns))
        apart_ns = piece.to_session_ns(moved_ns)[middle] - unmoved.to_session_ns(imu.t_device_ns)[middle]
        found += [abs(float(apart_ns)) * 1e-6] if piece.is_accepted else []
    yield f"moved 40 times         accepted {len(found)}/40, at most {max(found, default=0.0):.2f} ms from the unmoved"


def _shaken(rotation_rad: NDArray[np.float64], image_wxyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tracked rotation without the stabilisation; picture axes are right, down, ahead, GoPro's left, back, up."""
    from scipy.spatial.transform import Rotation

    axes = Rotation.from_matrix(np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]))
    turned = axes * Rotation.from_quat(image_wxyz[: len(rotation_rad), [1, 2, 3, 0]]) * axes.inv()
    steps = turned[:-1] * Rotation.from_rotvec(rotation_rad[1:].copy()) * turned[1:].inv()
    return np.vstack([np.zeros(3), steps.as_rotvec()])


def speed() -> Iterator[str]:
    """One core's time for alignment, beside the tracking that every frame goes through in the decoding pass."""
    yield "\nspeed, CPU on one core"
    trial = make_trial(0, "mixed", 600.0)
    for name, recording in (("clock runs through", trial), ("clock set once", clock_set(trial, 300.0, -0.7))):
        started = time.process_time()
        align_pieces(*recording.seen, recording.imu)
        spent_s = time.process_time() - started
        yield f"{name:22} {spent_s:6.2f} s for 10 minutes of tables, {1e3 * spent_s / len(trial.pts_ns):.3f} ms a frame"
    started = time.process_time()
    rendered_frames = len(rendered(0, "walk", 4.0).pts_ns)
    yield (
        f"{'draw and track':22} {1e3 * (time.process_time() - started) / rendered_frames:.1f} ms a frame "
        "(decoding and detection come on top)"
    )


def _percentile(values: "Sequence[float] | NDArray[np.float64]", share: float) -> float:
    return float(np.percentile(np.abs(values), share)) if len(values) else 0.0


if __name__ == "__main__":
    main()
