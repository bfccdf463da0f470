"""What hiding people costs and how well it hides them, beside deface in the same run on the same clips.

    python benchmarks/anonymize.py [seconds] [deface seconds] [seed]     # 60, 6 and 1: about forty minutes on one core

Clips are 1080p30 H.264 with a key frame every second and people at known places: one with a face in every group of
pictures, one with faces in 15 % of the frames. deface sees those seconds of the same files that show the most faces,
for it needs a second or so a frame; its rows say how many. Every row is a process of its own; its processor time,
children's and start-up included, is what the system counted. Recall is judged on the written pictures by one rule for
everybody: a face is hidden when less than a third of its fine detail is left. A last table has the worker-day by
stage, in one process.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.anonymize import anonymize
from harchive_dagster.privacy.audit import AuditEyes, audit_rendered
from harchive_dagster.privacy.audit_plan import NEAR_PX
from harchive_dagster.privacy.contact_sheet import contact_sheet
from harchive_dagster.privacy.detectors import DetectorChoice
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import render_anonymized
from harchive_dagster.privacy.seeded_faces import seeded_recall
from harchive_dagster.privacy.tracking import build_redactions
from harchive_dagster.recording.cadence import FrameDetector
from harchive_dagster.recording.decoding import iterate_frames
from harchive_dagster.recording.look import look
from harchive_dagster.recording.observations import FrameObservations

if TYPE_CHECKING:
    from harchive_dagster.demo.planted_faces import KnownFace

FPS = 30
MBIT_S = 13.6  # what action cameras write at 1080p, at least
DENSE_SHARE, SPARSE_SHARE = 1.0, 0.15
LARGE_PX, SMALL_PX = 44, 36
"""Bands of face height: the first must be found, the second is reported."""

MAX_DETAIL_LEFT = 1 / 3
EQUAL_RECALL = 0.005
"""deface counts as equal to the pipeline when it misses at most this much more of the large faces of both clips."""

DEFACE = {
    "deface as it comes": (),
    "deface --scale 960x544": ("--scale", "960x544"),
    "deface opencv 960x544": ("--backend", "opencv", "--scale", "960x544"),
    "deface opencv 640x384": ("--backend", "opencv", "--scale", "640x384"),
}
DETECTORS = DetectorChoice(has_centerface=True, has_text=False, cards=())
BASELINE = "decode + x264 superfast"
HIDING = "look + redact + render"
WORKER_DAY = "look + redact + render + audit"

Truth = Sequence[Sequence["KnownFace"]]
"""The known faces of every frame."""


@dataclass(frozen=True)
class Measured:
    """One row: what the system counted for one process over one clip, and how many faces its output hides."""

    name: str
    frames: int
    cpu_s: float
    wall_s: float
    recall: dict[int, tuple[int, int]]  # hidden and all faces by lower edge of the band, where deface looked too
    sample_s: float | None = None  # of the clip; None for all of it

    @property
    def cpu_ms(self) -> float:
        """Processor time a frame."""
        return 1e3 * self.cpu_s / self.frames

    def line(self, baseline: "Measured", ours: "Measured") -> str:
        """The row as printed, with its cost against two others'."""
        shares = [f"{hidden}/{faces}" for hidden, faces in self.recall.values()]
        name = self.name if self.sample_s is None else f"{self.name}, {self.sample_s:g} s"
        return (
            f"{name:40}{self.frames:7}{self.cpu_ms:9.1f}{1e3 * self.wall_s / self.frames:9.1f}"
            f"{self.cpu_ms / baseline.cpu_ms:9.2f}{self.cpu_ms / ours.cpu_ms:9.2f}"
            + "".join(f"{s:>14}" for s in shares)
        )


def main(seconds: float, deface_s: float, seed: float) -> None:
    """Make the clips, run every row on them, print the tables."""
    print(f"1080p{FPS} H.264, {seconds:g} s a clip; deface, and the recall beside it: {deface_s:g} s")
    clips: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, share in (("a face in every group", DENSE_SHARE), ("faces in 15 % of frames", SPARSE_SHARE)):
            whole = Path(folder) / f"{share}.mp4"
            truth = make_clip(whole, share, seconds, int(seed))
            span = busiest_span(truth, round(deface_s * FPS))
            short = cut_out(whole, span)
            compared = [faces if frame in span else () for frame, faces in enumerate(truth)]
            rows = [run_part(part, whole, compared) for part in PARTS]
            rows += [
                replace(run_deface(tool, short, truth[span.start : span.stop]), sample_s=deface_s) for tool in DEFACE
            ]
            baseline, ours = (next(row for row in rows if row.name == part) for part in (BASELINE, HIDING))
            print(f"\n{name}, {whole.stat().st_size * 8e-6 / seconds:.1f} Mbit/s")
            heading = (
                "frames",
                "CPU ms",
                "wall ms",
                "x base",
                "x ours",
                f">= {LARGE_PX} px",
                f"{SMALL_PX}-{LARGE_PX} px",
            )
            widths = (7, 9, 9, 9, 9, 14, 14)
            print(" " * 40 + "".join(f"{title:>{width}}" for title, width in zip(heading, widths, strict=True)))
            print("\n".join(row.line(baseline, ours) for row in rows))
            clips[name] = rows
            print(run_stages(whole))
            print(f"over the whole clip {HIDING} hides {said_of(hidden_faces(whole, written(whole, HIDING), truth))}")
    equal = equals(list(clips.values()))
    print(f"\ndeface hides as much in both clips together: {', '.join(equal) or 'at no setting'}")
    for name, rows in clips.items():
        print(f"{name}: {verdict(rows, equal)}")


def said_of(recall: dict[int, tuple[int, int]]) -> str:
    """Both bands in words."""
    return ", ".join(f"{hidden} of {faces} faces from {band} px" for band, (hidden, faces) in recall.items())


def make_clip(path: Path, face_share: float, seconds: float, seed: int) -> Truth:
    """Write pictures with planted people as H.264 with B-frames off, as action cameras do; the truth of each frame."""
    import av

    from harchive_dagster.demo.planted_faces import planted_faces

    truth = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.codec_context.gop_size = FPS
        stream.bit_rate = round(MBIT_S * 1e6)
        for known in planted_faces(seconds, seed=seed, face_share=face_share, fps=FPS):
            truth.append(known.faces)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(known.picture, format="bgr24")))
        container.mux(stream.encode(None))
    return truth


def busiest_span(truth: Truth, frames: int) -> range:
    """So many frames from a key frame on: of all such spans the first of those with the most large faces."""
    large = [sum(face.height_px >= LARGE_PX for face in faces) for faces in truth]
    starts = range(0, max(1, len(truth) - frames + 1), FPS)
    start = max(starts, key=lambda begin: sum(large[begin : begin + frames]))
    return range(start, min(start + frames, len(truth)))


def cut_out(clip: Path, span: range) -> Path:
    """Frames of a clip from a key frame on, their packets as they are."""
    import av

    path = clip.with_stem(f"{clip.stem}-part")
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        first_pts = None
        for packet in islice(source.demux(video=0), span.start, span.stop):
            first_pts = packet.pts if first_pts is None else first_pts
            packet.pts, packet.dts = packet.pts - first_pts, packet.dts - first_pts
            packet.stream = stream
            target.mux(packet)
    return path


def equals(clips: Sequence[Sequence[Measured]]) -> list[str]:
    """The settings of deface that hide as much as the pipeline in all clips together.

    Whoever picks a setting picks it for all his recordings; one visit of one person says little about it.
    """

    def missed(name: str) -> float:
        counts = [row.recall[LARGE_PX] for rows in clips for row in rows if row.name == name]
        hidden, faces = np.sum(counts, axis=0)
        return float(1 - hidden / max(faces, 1))

    return [name for name in DEFACE if missed(name) <= missed(HIDING) + EQUAL_RECALL]


def verdict(rows: Sequence[Measured], equal: Sequence[str]) -> str:
    """The three ratios that the pipeline is held to."""
    by_name = {row.name: row for row in rows}
    ours, day, baseline = (by_name[name] for name in (HIDING, WORKER_DAY, BASELINE))
    cheapest = min((by_name[name] for name in equal), key=lambda row: row.cpu_ms, default=None)
    said = [f"{by_name['deface as it comes'].cpu_ms / ours.cpu_ms:.1f} times less than deface as it comes"]
    if cheapest is not None:
        said.append(
            f"{cheapest.cpu_ms / ours.cpu_ms:.1f} times less than {cheapest.name}, its cheapest of equal recall"
        )
    said.append(f"a worker-day costs {day.cpu_ms / baseline.cpu_ms:.2f} times {baseline.name}")
    return "; ".join(said)


def written(clip: Path, part: str) -> Path:
    """Where a part's pictures go."""
    return clip.with_name(f"{clip.stem}-{list(PARTS).index(part)}.mp4")


def run_part(part: str, clip: Path, truth: Truth) -> Measured:
    """One of the pipeline's parts over a clip."""
    arguments = [sys.executable, __file__, "--part", part, str(clip), str(written(clip, part))]
    return _measured(part, arguments, clip, written(clip, part) if part in (HIDING, WORKER_DAY) else None, truth)


def run_stages(clip: Path) -> str:
    """Processor time of each stage of a worker-day, as a table."""
    arguments = [sys.executable, __file__, "--stages", str(clip), str(written(clip, WORKER_DAY))]
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout


def run_deface(name: str, clip: Path, truth: Truth) -> Measured:
    """Deface over a clip, blurring as it does by itself."""
    out = clip.with_name(f"{clip.stem}-{list(DEFACE).index(name)}-deface.mp4")
    program = str(Path(sys.executable).with_name("deface"))
    return _measured(name, [program, *DEFACE[name], "--output", str(out), str(clip)], clip, out, truth)


def _measured(name: str, arguments: list[str], clip: Path, out: Path | None, truth: Truth) -> Measured:
    started = time.monotonic()
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        complaint = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"{name} failed: {complaint.decode(errors='replace')[-2000:]}")
    frames = sum(1 for _ in iterate_frames(clip))
    recall = hidden_faces(clip, out, truth) if out else {}
    print(f"  {name}: {complaint.decode(errors='replace').strip().splitlines()[-1:]}", file=sys.stderr)
    return Measured(name, frames, used.ru_utime + used.ru_stime, wall_s, recall)


def hidden_faces(source: Path, written: Path, truth: Truth) -> dict[int, tuple[int, int]]:
    """Faces of each band whose fine detail is gone from the written pictures, and all of them."""
    counts = {LARGE_PX: [0, 0], SMALL_PX: [0, 0]}
    for before, after, faces in zip(iterate_frames(source), iterate_frames(written), truth, strict=False):
        if not faces:
            continue
        old, new = (np.asarray(one.frame.to_ndarray(format="gray"), np.float32) for one in (before, after))
        for face in faces:
            band = next((lowest for lowest in counts if face.height_px >= lowest), None)
            if band is not None and (left := _detail_left(old, new, face)) is not None:
                counts[band][0] += left < MAX_DETAIL_LEFT
                counts[band][1] += 1
    return {band: (hidden, faces) for band, (hidden, faces) in counts.items()}


def _detail_left(old: NDArray[np.float32], new: NDArray[np.float32], face: "KnownFace") -> float | None:
    import cv2

    box = face.box
    rows = slice(max(0, round(box.y)), max(0, round(box.y + box.h)))
    columns = slice(max(0, round(box.x)), max(0, round(box.x + box.w)))
    # deface turns 1080 lines into 1088: its pictures are scaled, which is undone before they are compared.
    if new.shape != old.shape:
        new = np.asarray(cv2.resize(new, old.shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
    if min(old[rows, columns].shape) < SMALL_PX / 2:
        return None  # mostly outside the picture
    before, after = (np.abs(cv2.Laplacian(picture[rows, columns], cv2.CV_32F)).mean() for picture in (old, new))
    return float(after / max(float(before), 1e-6))


def _decode(clip: Path, _: Path) -> None:
    for _decoded in iterate_frames(clip):
        pass


def _encode_again(clip: Path, out: Path) -> None:
    import av

    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "superfast", "crf": "20", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for decoded in iterate_frames(clip):
            container.mux(stream.encode(decoded.frame))
        container.mux(stream.encode(None))


def _looked_at(clip: Path, detector: FrameDetector | None) -> tuple[FrameObservations, list[Redaction]]:
    seen, found = look(clip, detector=detector, glance=DETECTORS.glance(1920, 1080))
    return seen, build_redactions(
        found,
        pts_ns=seen.pts_ns,
        is_detected=seen.is_detected,
        width_px=1920,
        height_px=1080,
        motion_px=seen.motion_px,
        rotation_rad=seen.rotation_rad,
    )


def _look_only(clip: Path, _: Path) -> None:
    _looked_at(clip, DETECTORS.face_detectors(1920, 1080, has_hints=True))


def _look_without_detector(clip: Path, _: Path) -> None:
    look(clip, detector=None)


def _hide(clip: Path, out: Path) -> None:
    _, redactions = _looked_at(clip, DETECTORS.face_detectors(1920, 1080, has_hints=True))
    report = render_anonymized(clip, out, redactions, processes=1)
    print(f"{report.copied_fraction:.2f} of the frames copied", file=sys.stderr)


def _worker_day(clip: Path, out: Path) -> None:
    seen, redactions = _looked_at(clip, DETECTORS.face_detectors(1920, 1080, has_hints=True))
    video = anonymize(
        clip,
        out.with_suffix(""),
        "clip",
        redactions,
        seen.pts_ns,
        motion_px=seen.motion_px,
        detector=DETECTORS.face_detectors(1920, 1080),
        eyes=AuditEyes.for_picture(1920, 1080, DETECTORS),
    )
    video.path.replace(out)
    print(
        f"{len(video.audit.residuals)} residuals, {len(video.audit.suspects)} suspects in {video.audit.audit_frames} "
        f"frames, seeded recall {video.seeded.large:.2f}",
        file=sys.stderr,
    )


def _print_stages(clip: Path, out: Path) -> None:
    ends: dict[str, float] = {"start of the process": time.process_time()}
    detector, eyes = DETECTORS.face_detectors(1920, 1080), AuditEyes.for_picture(1920, 1080, DETECTORS)
    detector.detect(np.zeros((1080, 1920, 3), np.uint8))
    eyes.near.detect(np.zeros((NEAR_PX, NEAR_PX, 3), np.uint8))
    ends["networks set up"] = time.process_time()
    seen, redactions = _looked_at(clip, DETECTORS.face_detectors(1920, 1080, has_hints=True))
    ends["look"] = time.process_time()
    report = render_anonymized(clip, out, redactions, processes=1)
    ends[f"rendering, {report.copied_fraction:.0%} copied"] = time.process_time()
    audit = audit_rendered(
        out, clip, seen.pts_ns, redactions, report.groups, motion_px=seen.motion_px, eyes=eyes, seed=0
    )
    ends[f"audit, {audit.report.audit_frames} frames searched"] = time.process_time()
    seeded_recall(audit.pictures, detector, seed=0)
    ends["planted faces"] = time.process_time()
    contact_sheet(audit.moments)
    ends["contact sheet"] = time.process_time()
    print(f"{'stage':40}{'CPU s':>7}{'ms a frame':>12}")
    for (name, end), begin in zip(ends.items(), [0.0, *ends.values()], strict=False):
        print(f"{name:40}{end - begin:7.2f}{1e3 * (end - begin) / report.frame_count:12.2f}")


PARTS: dict[str, Callable[[Path, Path], None]] = {
    BASELINE: _encode_again,
    "decode": _decode,
    "look without detector": _look_without_detector,
    "look": _look_only,
    HIDING: _hide,
    WORKER_DAY: _worker_day,
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--part"]:
        PARTS[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[4]))
    elif sys.argv[1:2] == ["--stages"]:
        _print_stages(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        numbers = [float(argument) for argument in sys.argv[1:]]
        main(*(given or usual for given, usual in zip_longest(numbers, (60.0, 6.0, 1.0))))
