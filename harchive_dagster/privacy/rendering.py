"""Makes the video that may be shown: the same frames at the same times, redactions hidden, nothing else in
the file.

Groups of pictures without anything to hide are copied, the others encoded anew. What to hide comes from `tracking`, how
from `redaction`; whether it worked is `audit`'s business.
"""

import hashlib
import os
import shutil
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from types import FrameType

from harchive_dagster.errors import SessionRejectedError, SettingsError
from harchive_dagster.privacy.encoding_processes import available_cores, encode_parts
from harchive_dagster.privacy.group_encoding import EncodingTask, encoder_setup
from harchive_dagster.privacy.hiding import Hiding
from harchive_dagster.privacy.parts import (
    EarlierFile,
    group_key,
    keep_keys,
    part_packets,
    part_path,
    parts_folder,
    sweep_drafts,
)
from harchive_dagster.privacy.picture_format import PictureFormat, not_anonymizable, picture_format
from harchive_dagster.privacy.picture_groups import GroupedVideo, PictureGroup, group_pictures, longest_head
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.splicing import splice
from harchive_dagster.recording.opencv_threads import one_opencv_thread

RENDERER_VERSION = "5"
"""Raised whenever the same input would give other bytes."""

_PART_FRAMES = 300
"""Ten seconds at 30 fps: what a killed run loses of each process, and how much later one may end than another."""

_TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class RenderedGroup:
    """Frames that were taken over bit by bit, or encoded anew, together."""

    first_frame: int
    frame_count: int
    is_copied: bool


@dataclass(frozen=True)
class RenderReport:
    """What was written.

    Attributes:
        codec: FFmpeg's name of the video codec.
        frame_count: frames written, all of the source's.
        redacted_frame_count: those in which something was hidden.
        copied_fraction: share of frames taken over without encoding.
        groups: which frames those are, in order.
        whole_reencode_reason: why nothing could be copied, as "codec hevc"; None where something was, or where every
            group has something to hide.
        sha256, bytes: of the file.
        renderer_version: which version of this module wrote it.
    """

    codec: str
    frame_count: int
    redacted_frame_count: int
    copied_fraction: float
    groups: tuple[RenderedGroup, ...]
    whole_reencode_reason: str | None
    sha256: str
    bytes: int
    renderer_version: str


@dataclass(frozen=True, eq=False)
class _Plan:
    """What becomes of each group: `keys` are those of the groups to encode, None for groups to copy. Groups that were
    cut in two stand there as a head, which is copied, and the rest.
    """

    source: Path
    grouped: GroupedVideo
    picture: PictureFormat
    set_id: int
    by_frame: dict[int, list[Redaction]]
    how: Hiding
    keys: tuple[str | None, ...]

    @property
    def frame_count(self) -> int:
        return self.grouped.groups[-1].frames.stop

    @property
    def is_copied(self) -> list[bool]:
        return [key is None for key in self.keys]

    def tasks(self, is_kept: Callable[[str], bool]) -> Iterator[tuple[EncodingTask, tuple[str, ...]]]:
        """Groups to encode that are not kept already, some hundred frames at a time, with their keys."""
        batch: list[tuple[PictureGroup, str]] = []
        for group, key in zip(self.grouped.groups, self.keys, strict=True):
            if key is not None and not is_kept(key):
                batch.append((group, key))
            if sum(one.frame_count for one, _ in batch) >= _PART_FRAMES:
                yield self._task(batch)
                batch = []
        if batch:
            yield self._task(batch)

    def _task(self, batch: list[tuple[PictureGroup, str]]) -> tuple[EncodingTask, tuple[str, ...]]:
        groups, keys = tuple(group for group, _ in batch), tuple(key for _, key in batch)
        first_pts = tuple(int(self.grouped.packets.pts[group.decoded_from]) for group in groups)
        hidden = {frame: self.by_frame[frame] for group in groups for frame in group.frames if frame in self.by_frame}
        return EncodingTask(self.source, self.picture, self.set_id, groups, first_pts, hidden, self.how), keys


@one_opencv_thread()
def render_anonymized(
    source: Path,
    target: Path,
    redactions: Sequence[Redaction],
    *,
    how: Hiding = Hiding.MOSAIC,
    earlier: Path | None = None,
    processes: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> RenderReport:
    """Write an MP4 (H.264) of a video's pictures with the redactions hidden.

    Frame count, presentation times since the first frame (exact, in the source's time base), coded size,
    pixel shape, display rotation and colour tags are the source's. Audio, data tracks and all metadata are
    left out. Redactions are in pixels of the
    coded picture: display rotation is carried over as a display matrix, not applied.

    Groups of pictures that start with an IDR picture and hold nothing to hide are copied: their coded slices are the
    source's. So are the pictures of other such groups before the first in which something is hidden, as far as nothing
    behind is shown among them. That takes an MP4 or MOV of progressive 8-bit 4:2:0 H.264 with one set of sequence
    parameters; everything of other recordings is encoded. What is encoded is 8-bit: deeper sources are reduced. Its
    chroma becomes 4:2:0; only odd sizes, which 4:2:0 H.264 cannot express, become 4:4:4. The same input gives the same
    bytes (same encoder build), whatever could be taken over from an interrupted run or an earlier file.

    Args:
        source: the recording.
        target: where the file appears, whole or not at all; an older one is replaced. Beside it lie the keys of its
            groups, and until it is done a folder of finished parts.
        redactions: what to hide, for any frames.
        how: what is put in its place.
        earlier: a file that an earlier call wrote for this recording; groups whose redactions are the same as then
            are taken from it instead of being encoded again.
        processes: how many encode at a time; as many as there are cores if not given.
        on_progress: called with the number of frames done and of all, in the caller's thread.

    Raises:
        RecordingError: the source cannot be read, or what is to be encoded cannot be decoded.
        PrivacyError: NOT_ANONYMIZABLE when a redaction names a frame that the source does not have, or the
            picture changes its size or format midway.
        SettingsError: `target` is the source, or a process was killed.
    """
    if target.exists() and target.samefile(source):
        raise SettingsError(
            f"{target.name!r} is both source and target.",
            consequence="Nothing was written.",
            mend="Render to another path.",
        )
    plan = _plan(source, redactions, how)
    with _appearing_whole(target) as partial, _parts_folder(target) as parts, _ended_in_order():
        encoded = _encode(plan, parts, earlier, processes or available_cores(), on_progress)
        splice(
            source,
            partial,
            plan.grouped,
            plan.picture,
            is_copied=plan.is_copied,
            set_id=plan.set_id,
            encoded=encoded,
        )
        with partial.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        size = partial.stat().st_size
    keep_keys(target, digest, plan.grouped.groups, plan.keys)
    return _report(plan, digest, size)


def _plan(source: Path, redactions: Sequence[Redaction], how: Hiding) -> _Plan:
    by_frame: dict[int, list[Redaction]] = defaultdict(list)
    for redaction in redactions:
        by_frame[redaction.frame_index].append(redaction)
    grouped = group_pictures(source)
    frame_count = grouped.groups[-1].frames.stop
    if by_frame and max(by_frame) >= frame_count:
        raise not_anonymizable(source, f"has {frame_count} frames, but frame {max(by_frame)} is to be redacted")
    picture = picture_format(source)
    set_id = (grouped.record.free_id if grouped.record else None) or 0
    setup = f"{RENDERER_VERSION}|{encoder_setup()}|{set_id}|{picture}|{how}"
    if grouped.record is not None:
        parts = chain.from_iterable(_parts(group, grouped, by_frame) for group in grouped.groups)
        grouped = replace(grouped, groups=tuple(parts))
    keys = tuple(
        None if grouped.record is not None and _is_copyable(group, by_frame) else group_key(group, by_frame, setup)
        for group in grouped.groups
    )
    return _Plan(source, grouped, picture, set_id, dict(by_frame), how, keys)


def _parts(group: PictureGroup, grouped: GroupedVideo, by_frame: dict[int, list[Redaction]]) -> Sequence[PictureGroup]:
    """The group, or a head of it that may be copied, and the rest."""
    first_hidden = next((frame for frame in group.frames if frame in by_frame), None)
    if first_hidden is None or not group.is_closed:
        return [group]
    head = longest_head(group, grouped.packets, first_hidden - group.first_frame)
    return group.split(head) if head else [group]


def _is_copyable(group: PictureGroup, by_frame: dict[int, list[Redaction]]) -> bool:
    return group.is_closed and not group.hides_frames and by_frame.keys().isdisjoint(group.frames)


def _encode(
    plan: _Plan,
    parts: Path,
    earlier: Path | None,
    processes: int,
    on_progress: Callable[[int, int], None] | None,
) -> Iterator[bytes]:
    """Encode what has to be; gives the packets of all groups that are not copied, in order."""
    wanted = [key for key in plan.keys if key is not None]
    kept = EarlierFile(earlier, wanted)
    tasks = [(task, part_path(parts, keys), keys) for task, keys in plan.tasks(kept.__contains__)]
    missing = [(task, path) for task, path, _ in tasks if not path.exists()]
    if missing:
        parts.mkdir(exist_ok=True)
    done = plan.frame_count - sum(group.frame_count for task, _ in missing for group in task.groups)
    # Closed here, not whenever it is collected: the processes must be gone before what they were writing is swept.
    with closing(encode_parts(missing, processes)) as counts:
        for count in chain([0], counts):
            done += count
            if on_progress:
                on_progress(done, plan.frame_count)
    # The tasks are in order: what is not taken from the earlier file comes from their parts one after another.
    fresh = chain.from_iterable(part_packets(path) for _, path, _ in tasks)
    for group, key in zip(plan.grouped.groups, plan.keys, strict=True):
        if key is not None:
            yield from kept.packets(key) if key in kept else islice(fresh, group.frame_count)


def _report(plan: _Plan, digest: str, size: int) -> RenderReport:
    groups = tuple(
        RenderedGroup(group.first_frame, group.frame_count, is_copy)
        for group, is_copy in zip(plan.grouped.groups, plan.is_copied, strict=True)
    )
    copied = sum(group.frame_count for group in groups if group.is_copied)
    return RenderReport(
        codec="h264",
        frame_count=plan.frame_count,
        redacted_frame_count=len(plan.by_frame),
        copied_fraction=copied / plan.frame_count,
        groups=groups,
        whole_reencode_reason=None if copied else _whole_reencode_reason(plan.grouped),
        sha256=digest,
        bytes=size,
        renderer_version=RENDERER_VERSION,
    )


def _whole_reencode_reason(grouped: GroupedVideo) -> str | None:
    if grouped.copy_obstacle or len(grouped.groups) > 1:
        return grouped.copy_obstacle
    return "open GOP" if grouped.keyframe_count > 1 else "a single group of pictures"


@contextmanager
def _appearing_whole(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    # A fixed name: what a killed process leaves behind is overwritten by the next one.
    partial = target.with_name(f".{target.name}.partial")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _parts_folder(target: Path) -> Iterator[Path]:
    """A folder, not made yet, for finished parts; an interruption leaves these to the next call, and nothing else."""
    folder = parts_folder(target)
    try:
        yield folder
    except SessionRejectedError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        sweep_drafts(folder)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Lets SIGTERM end the program as an exception does, so that nothing half done is left; Dagster's own way stays."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(_TERMINATED)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
