"""The clocks of one standing session: what its manifest, its video's telemetry and its task say, brought to `sync`."""

from collections.abc import Callable, Sequence
from functools import cache, partial

from harchive_dagster.errors import LandingError, SyncError
from harchive_dagster.labels.task_catalog import load_task_catalog
from harchive_dagster.lake.standing import StandingSession
from harchive_dagster.lake.stream_rows import sharing_clock
from harchive_dagster.landing.formats.gpmf import frame_telemetry
from harchive_dagster.landing.formats.protocol import TimeSource
from harchive_dagster.landing.streams import readings_of, time_source_of
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.observations import FrameObservations
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.sync.clock import ClockAlignment
from harchive_dagster.sync.clock_breaks import align_pieces
from harchive_dagster.sync.image_orientation import CameraRotation, camera_rotation, is_stabilised
from harchive_dagster.sync.orientation_rates import head_turning
from harchive_dagster.sync.session_clocks import HEAD, SessionFacts, StreamTiming, claimed_clocks, session_clocks
from harchive_dagster.sync.stream_clock import CONTENT, DEVICE, claimed_offset_ns


def time_session(
    session: StandingSession, seen: FrameObservations, streams: Sequence[ImuStream], *, search_s: float
) -> tuple[CameraRotation, list[StreamTiming], SyncError | None]:
    """Put every inertial stream of a session on the camera's clock.

    Args:
        session: what it is and where its files lie.
        seen: its frames.
        streams: its inertial streams, at least one.
        search_s: how far from where a device clock is expected its offset is searched.

    Returns:
        The rotation that head-worn streams were compared with, the timings in the order of streams (then of poses that
        were compared too), and why the session cannot go on, if so.

    Raises:
        LandingError: a pose file cannot be read.
    """
    picture = CameraRotation(seen.pts_ns, seen.rotation_rad, seen.rotation_inliers)
    source_of = cache(partial(time_source_of, session.folder, session.manifest))
    facts = _facts(session, streams, source_of, search_s)
    try:
        turned = _camera_rotation(session, picture)
    except SyncError as error:
        return picture, *claimed_clocks(streams, facts, error)

    def align(stream: ImuStream) -> tuple[ClockAlignment, ...]:
        pieces = align_pieces(
            turned.t_ns,
            turned.rotation_rad,
            turned.rotation_inliers,
            stream,
            search_s=search_s,
            expected_offset_ns=claimed_offset_ns(int(stream.t_device_ns[0]), facts.started_at),
        )
        return turned.qualified(pieces)

    timings, refusal = session_clocks(streams, align, facts)
    if refusal is None:
        accepted = [timing for timing in timings if timing.is_accepted]
        timings += _pose_timings(session, align, accepted, source_of)
    return turned, timings, refusal


def _pose_timings(
    session: StandingSession,
    align: Callable[[ImuStream], tuple[ClockAlignment, ...]],
    measured: Sequence[StreamTiming],
    source_of: Callable[[str], TimeSource],
) -> list[StreamTiming]:
    """Timings of poses that turn with the head on a clock of their own, such as a headset's.

    Raises:
        LandingError: a pose file cannot be read.
    """
    known = {timing.stream.stream_id for timing in measured if timing.clock != DEVICE}
    timings = []
    for pose, spec, reading in readings_of(session.folder, session.manifest, PoseStream, placement=HEAD):
        shared = sharing_clock(session.manifest, spec.stream_id, reading.time_source, known, source_of)
        if shared:
            continue
        turning = head_turning(pose)
        if turning is not None:
            timings.append(StreamTiming(turning, CONTENT, align(turning)))
    return timings


def _camera_rotation(session: StandingSession, picture: CameraRotation) -> CameraRotation:
    """The picture's own rotation, or what the camera did where it steadied the picture.

    Raises:
        SyncError: the camera steadied it, and its telemetry does not tell how.
    """
    try:
        telemetry = frame_telemetry(session.video)
    except LandingError:
        # Sensors may be files of their own. A picture that was stabilised will not fit them.
        return picture
    if telemetry is None or not is_stabilised(telemetry.image_t_ns, telemetry.image_wxyz):
        return picture
    return camera_rotation(
        picture, telemetry.camera_t_ns, telemetry.camera_wxyz, telemetry.image_t_ns, telemetry.image_wxyz
    )


def _facts(
    session: StandingSession, streams: Sequence[ImuStream], source_of: Callable[[str], TimeSource], search_s: float
) -> SessionFacts:
    manifest = session.manifest
    ids = [stream.stream_id for stream in streams]
    task = load_task_catalog().tasks.get(manifest.task_id) if manifest.task_id else None
    return SessionFacts(
        started_at=manifest.started_at,
        duration_ns=session.row["duration_ns"],
        sharing={
            stream_id: sharing_clock(manifest, stream_id, source_of(stream_id), ids, source_of)
            for stream_id in ids
            if manifest.sharing_clock_with(stream_id)  # else no file is read for it
        },
        search_s=search_s,
        readout_ms=manifest.rig.readout_ms,
        is_device_time_ok=task is not None and task.is_device_time_ok,
    )
