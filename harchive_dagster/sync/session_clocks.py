"""The clocks of all inertial streams of a session: the head's are measured against the picture, the others' follow from
them as far as they can. How one clock is measured is the business of `alignment` and `shared_events`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from harchive_dagster.errors import SyncError
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.wall_clock import counts_from_1970
from harchive_dagster.sync.alignment import refused
from harchive_dagster.sync.clock import ClockAlignment, ClockMapping, refusal
from harchive_dagster.sync.shared_events import align_events
from harchive_dagster.sync.stream_clock import CONTENT, DEVICE, EVENT, SHARED, device_claim

SHARED_METHOD = "shared_clock/1"
DEVICE_METHOD = "device_time/1"

HEAD = "head"

_COVERED_MIN = 0.8
"""A device's claim that puts less of the stream into the recording says more about its clock than about the stream."""


@dataclass(frozen=True, eq=False)
class StreamTiming:
    """How one stream is put on the camera's clock.

    Attributes:
        stream: the samples.
        clock: one of `CLOCK_SOURCES`; of a refused stream, what was tried.
        pieces: of the device clock, in the order of time. An accepted one is used, whatever its clock rests on.
    """

    stream: ImuStream
    clock: str
    pieces: tuple[ClockAlignment, ...]

    @property
    def is_accepted(self) -> bool:
        """Whether some of the stream can be used."""
        return any(piece.is_accepted for piece in self.pieces)

    @property
    def best(self) -> ClockAlignment:
        """The piece that says most."""
        return max(self.pieces, key=lambda piece: (piece.is_accepted, piece.confidence))


@dataclass(frozen=True)
class SessionFacts:
    """What clocks depend on beside the samples.

    Attributes:
        started_at: aware; wall clock at the first frame.
        duration_ns: of the recording.
        sharing: by stream, the others that the same hardware clock times.
        search_s: how far from where a device clock is expected its offset is searched.
        readout_ms: of the camera's rolling shutter, where known.
        is_device_time_ok: a session that nothing can measure may keep its devices' times.
    """

    started_at: datetime
    duration_ns: int
    sharing: Mapping[str, Sequence[str]]
    search_s: float = 10.0
    readout_ms: float | None = None
    is_device_time_ok: bool = False


def session_clocks(
    streams: Sequence[ImuStream],
    align: Callable[[ImuStream], tuple[ClockAlignment, ...]],
    session: SessionFacts,
) -> tuple[list[StreamTiming], SyncError | None]:
    """Time every stream of a session.

    Streams on the head (all, where none is) turn with the picture: they are aligned with it, and the best of them
    decides about the session. A wrist moves on its own, in step with the head when somebody walks and at an unknown
    phase, so it is never compared with the picture: it follows an aligned stream on its hardware clock, or knocks that
    it felt together with the head, or else its own device's claim. A head's stream that does not turn with the picture
    is likelier another recording's: only a shared hardware clock speaks for it.

    Args:
        streams: at least one.
        align: aligns one with the picture.
        session: what else is known.

    Returns:
        Timings in the order of streams, and why the session cannot go on, if so.
    """
    decisive = [stream for stream in streams if stream.placement == HEAD] or list(streams)
    timings = {stream.stream_id: StreamTiming(stream, CONTENT, align(stream)) for stream in decisive}
    reference = max(timings.values(), key=lambda timing: (timing.best.is_accepted, timing.best.confidence))
    if not reference.is_accepted:
        claimed, error = claimed_clocks(streams, session, refusal(reference.best))
        return list(timings.values()) if error else claimed, error
    aligned = {stream_id: timing for stream_id, timing in timings.items() if timing.is_accepted}
    for stream in streams:
        if stream.stream_id in aligned:
            continue
        shared = _by_shared_clock(stream, aligned, session)
        if shared is not None:
            timings[stream.stream_id] = shared
        elif stream not in decisive:
            timings[stream.stream_id] = _by_events(stream, reference, session) or _by_device(stream, session)
    return [timings[stream.stream_id] for stream in streams], None


def claimed_clocks(
    streams: Sequence[ImuStream], session: SessionFacts, error: SyncError
) -> tuple[list[StreamTiming], SyncError | None]:
    """Timings of a session that nothing measures: its devices' claims, where they will do for it.

    Args and returns are those of `session_clocks`; `error` says why nothing is measured.
    """
    claimed = [_by_device(stream, session) for stream in streams]
    is_enough = session.is_device_time_ok and any(timing.is_accepted for timing in claimed)
    return claimed, None if is_enough else error


def _by_shared_clock(
    stream: ImuStream, aligned: Mapping[str, StreamTiming], session: SessionFacts
) -> StreamTiming | None:
    source = next((aligned[other] for other in session.sharing.get(stream.stream_id, ()) if other in aligned), None)
    if source is None:
        return None
    pieces = tuple(
        # Where the sensor sits is not known by its clock: its values stay in its own axes.
        replace(
            piece,
            stream_id=stream.stream_id,
            method=SHARED_METHOD,
            camera_from_sensor=(1.0, 0.0, 0.0, 0.0),
            gyro_bias_rad_s=np.zeros(3),
        )
        for piece in source.pieces
    )
    return StreamTiming(stream, SHARED, pieces)


def _by_events(stream: ImuStream, reference: StreamTiming, session: SessionFacts) -> StreamTiming | None:
    claimed_ns = _claim(stream, session).offset_ns
    alignment = align_events(stream, reference.stream, reference.best, claimed_ns, search_s=session.search_s)
    return StreamTiming(stream, EVENT, (alignment,)) if alignment else None


def _by_device(stream: ImuStream, session: SessionFacts) -> StreamTiming:
    mapping = _claim(stream, session)
    first_ns, last_ns = (int(t_ns) for t_ns in mapping.to_session_ns(stream.t_device_ns[[0, -1]]))
    covered = (min(last_ns, session.duration_ns) - max(first_ns, 0)) / session.duration_ns
    nothing = replace(
        refused(stream.stream_id, f"by its own clock it covers {max(covered, 0.0):.0%} of the recording"),
        method=DEVICE_METHOD,
        device_start_ns=int(stream.t_device_ns[0]),
        device_end_ns=int(stream.t_device_ns[-1]) + 1,
    )
    is_claim = counts_from_1970(int(stream.t_device_ns[0])) or session.is_device_time_ok
    if not is_claim:
        detail = "the clock counts from the device's start, and says nothing of the recording's"
        return StreamTiming(stream, DEVICE, (replace(nothing, detail=f"stream {stream.stream_id!r}: {detail}."),))
    if covered < _COVERED_MIN:
        return StreamTiming(stream, DEVICE, (nothing,))
    taken = replace(nothing, offset_ns=mapping.offset_ns, is_accepted=True, reason=None, detail="")
    return StreamTiming(stream, DEVICE, (taken,))


def _claim(stream: ImuStream, session: SessionFacts) -> ClockMapping:
    return device_claim(int(stream.t_device_ns[0]), session.started_at, readout_ms=session.readout_ms)
