"""The ways in which an upload can arrive damaged, each as a change to a whole one. What is said of them: `damage`."""

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from harchive_dagster.landing.layout import worker_day_folder
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 2), "worker-01")
OTHER_DAY = WorkerDay(date(2026, 3, 1), "worker-01")
WHOLE, DAMAGED = "a-whole", "b-damaged"
_BOX_HEADER = 8


@dataclass(frozen=True)
class Upload:
    """A whole upload beside a whole neighbour, for a spoiler to change."""

    landing: Path

    @property
    def folder(self) -> Path:
        """The session's folder."""
        return self.landing / DAY.collected_on.isoformat() / DAY.worker_id / DAMAGED

    @property
    def video(self) -> Path:
        """The cap's recording."""
        return self.folder / "cap.mp4"

    @property
    def sensor(self) -> Path:
        """The inertial samples."""
        return self.folder / "imu.csv"

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.folder / "manifest.json"

    @property
    def consent(self) -> Path:
        """The consent record that the session names."""
        return self.landing / "consents" / f"consent-{DAMAGED}.json"

    def redeclare(self) -> None:
        """Make the manifest agree with the files, as if the device had left them like this."""
        document = json.loads(self.manifest.read_text())
        for file in document["files"]:
            content = (self.folder / file["path"]).read_bytes()
            file |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self.manifest.write_text(json.dumps(document))


@dataclass(frozen=True)
class Damage:
    """One kind of damage.

    Attributes:
        name: what happened to the upload, for a person.
        spoil: does it.
        is_declared: the manifest agrees with the damaged files: they left the device like this.
        is_known: a session of this id was accepted for another worker-day before.
    """

    name: str
    spoil: Callable[[Upload], object]
    is_declared: bool = False
    is_known: bool = False


def _with(path: Callable[[Upload], Path], **changes: Any) -> Callable[[Upload], None]:
    def spoil(upload: Upload) -> None:
        document = json.loads(path(upload).read_text())
        path(upload).write_text(json.dumps(document | changes))

    return spoil


def _manifest(**changes: Any) -> Callable[[Upload], None]:
    return _with(lambda upload: upload.manifest, **changes)


def _consent(**changes: Any) -> Callable[[Upload], None]:
    return _with(lambda upload: upload.consent, **changes)


def _file_entry(index: int, **changes: Any) -> Callable[[Upload], None]:
    def spoil(upload: Upload) -> None:
        document = json.loads(upload.manifest.read_text())
        document["files"][index] |= changes
        upload.manifest.write_text(json.dumps(document))

    return spoil


def _linked(path: Callable[[Upload], Path]) -> Callable[[Upload], None]:
    def spoil(upload: Upload) -> None:
        elsewhere = upload.landing / path(upload).name
        path(upload).rename(elsewhere)
        path(upload).symlink_to(elsewhere)

    return spoil


def _flip(upload: Upload) -> None:
    content = bytearray(upload.video.read_bytes())
    content[len(content) // 2] ^= 1
    upload.video.write_bytes(content)


def _kept_share(share: float) -> Callable[[Upload], None]:
    return lambda upload: os.truncate(upload.video, int(share * upload.video.stat().st_size))


def _copy_video(upload: Upload) -> None:
    upload.video.write_bytes((upload.folder.parent / WHOLE / "cap.mp4").read_bytes())


def _lies_on_another_day_too(upload: Upload) -> None:
    shutil.copytree(upload.folder, worker_day_folder(upload.landing, OTHER_DAY) / DAMAGED)


def _box(content: bytes, name: bytes) -> slice:
    """The content of the first box of a name."""
    start = content.index(name) + 4
    return slice(start, start - _BOX_HEADER + int.from_bytes(content[start - _BOX_HEADER : start - 4]))


def _patched(name: bytes, patch: Callable[[bytes], bytes]) -> Callable[[Upload], None]:
    """Another content, of the same size, for one box of the video."""

    def spoil(upload: Upload) -> None:
        content = bytearray(upload.video.read_bytes())
        place = _box(bytes(content), name)
        content[place] = patch(bytes(content[place]))
        upload.video.write_bytes(content)

    return spoil


def _claims_many(content: bytes) -> bytes:
    return content[:4] + (1).to_bytes(4) + (50_000_000).to_bytes(4) + content[12:]


def _without_index(upload: Upload) -> None:
    content = upload.video.read_bytes()
    upload.video.write_bytes(content.replace(b"moov", b"lost", 1))


def _two_tracks(upload: Upload) -> None:
    import av

    twice = upload.video.with_name("twice.mp4")
    with av.open(str(upload.video)) as source, av.open(str(twice), "w") as target:
        track = source.streams.video[0]
        copies = [target.add_stream_from_template(track) for _ in range(2)]
        for packet in [packet for packet in source.demux(track) if packet.dts is not None]:
            times = packet.pts, packet.dts  # muxing rescales them to the copy's time base
            for copy in copies:
                packet.stream, packet.time_base = copy, track.time_base or packet.time_base
                packet.pts, packet.dts = times
                target.mux(packet)
    twice.replace(upload.video)


def _rows(change: Callable[[list[str]], list[str]]) -> Callable[[Upload], None]:
    """Other lines for the sensor's CSV; the first is its header."""

    def spoil(upload: Upload) -> None:
        lines = upload.sensor.read_text().splitlines(keepends=True)
        upload.sensor.write_text("".join(change(lines)))

    return spoil


def _cell(row: int, column: int, text: str) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        cells = lines[row].rstrip("\n").split(",")
        cells[column] = text
        return [*lines[:row], ",".join(cells) + "\n", *lines[row + 1 :]]

    return change


def _zipped(members: Mapping[str, bytes], *, is_link: bool = False) -> Callable[[Upload], None]:
    """A phone's export in place of the sensor's CSV."""

    def spoil(upload: Upload) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                info = zipfile.ZipInfo(name, (2026, 3, 2, 9, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = (0o120777 if is_link else 0o100644) << 16
                archive.writestr(info, content)
        upload.sensor.write_bytes(packed.getvalue())
        _file_entry(1, format="sensor_logger")(upload)

    return spoil


def _without_streams(upload: Upload) -> None:
    document = json.loads(upload.manifest.read_text())
    document["files"] = document["files"][:1]
    document["rig"]["streams"] = []
    upload.manifest.write_text(json.dumps(document))


_GYRO = b"time,seconds_elapsed,z,y,x\n1772422200000000000,0.0,0,0,0\n"

DAMAGES: Mapping[str, tuple[Damage, ...]] = {
    "Manifest": (
        Damage("has not arrived yet", lambda upload: upload.manifest.unlink()),
        Damage("is cut off", lambda upload: os.truncate(upload.manifest, 300)),
        Damage("is a link", _linked(lambda upload: upload.manifest)),
        Damage("has 9 MB", lambda upload: os.truncate(upload.manifest, 9_000_000)),
        Damage("has a misspelt key", _manifest(marker=[])),
        Damage("is another session's", _manifest(session_id="c-other")),
        Damage("names a file outside its folder", _file_entry(0, path="../a-whole/cap.mp4")),
        Damage("declares no video", _file_entry(0, role="annotation")),
        Damage("starts private time and never ends it", _manifest(markers=[{"at_ns": 0, "kind": "private_start"}])),
        Damage("names a task that nobody knows", _manifest(task_id="juggling")),
    ),
    "Consent": (
        Damage("is not there", lambda upload: upload.consent.unlink()),
        Damage("was withdrawn", _consent(withdrawn_at="2026-03-03T10:00:00+05:30")),
        Damage("had run out before the recording", _consent(valid_until="2026-03-01T00:00:00+05:30")),
        Damage("runs out while it is recorded", _consent(valid_until="2026-03-02T09:30:01+05:30")),
        Damage("is somebody else's", _consent(principal_id="worker-02")),
        Damage("does not cover robot learning", _consent(purposes=["quality_assurance"])),
        Damage("lacks a mandatory field", _consent(controllers=[])),
    ),
    "Files": (
        Damage("the video is not there", lambda upload: upload.video.unlink()),
        Damage("the video is a link", _linked(lambda upload: upload.video)),
        Damage("one bit of the video is another", _flip),
        Damage("the upload of the video stopped early", _kept_share(0.8)),
        Damage("a sparse file of a terabyte", lambda upload: os.truncate(upload.sensor, 2**40)),
        Damage("the same id on another day", _lies_on_another_day_too, is_known=True),
        Damage("the same video under two ids", _copy_video, is_declared=True),
    ),
    "Video, as it left the camera": (
        Damage("is empty", _kept_share(0), is_declared=True),
        Damage("is a text", lambda upload: upload.video.write_text("recording failed\n"), is_declared=True),
        Damage("is a play list", lambda upload: upload.video.write_text("#EXTM3U\n../a.mp4\n"), is_declared=True),
        Damage("has lost its index", _without_index, is_declared=True),
        Damage("ends in the middle", _kept_share(0.6), is_declared=True),
        Damage("claims fifty million frames", _patched(b"stsz", _claims_many), is_declared=True),
        Damage(
            "plays at double speed",
            _patched(b"elst", lambda content: content[:-4] + b"\0\2\0\0"),
            is_declared=True,
        ),
        Damage(
            "shows two frames at one time",
            _patched(b"stts", lambda content: content[:12] + bytes(4) + content[16:]),
            is_declared=True,
        ),
        Damage(
            "has a codec that nobody knows",
            _patched(b"stsd", lambda content: content.replace(b"avc1", b"zzz9", 1)),
            is_declared=True,
        ),
        Damage("has two video tracks", _two_tracks, is_declared=True),
        Damage(
            "has lost the middle of its pictures",
            _patched(b"mdat", lambda content: content[: len(content) // 2] + bytes(len(content) - len(content) // 2)),
            is_declared=True,
        ),
    ),
    "Sensor file, as it left the device": (
        Damage("no inertial stream is declared", _without_streams),
        Damage("is empty", lambda upload: os.truncate(upload.sensor, 0), is_declared=True),
        Damage("is of a format that nobody reads", _file_entry(1, format="abc"), is_declared=True),
        Damage("lacks its time column", _rows(lambda lines: ["when" + lines[0][11:], *lines[1:]]), is_declared=True),
        Damage("has a word for a number", _rows(_cell(7, 2, "high")), is_declared=True),
        Damage("has a sample that is no number", _rows(_cell(7, 2, "nan")), is_declared=True),
        Damage("goes back in time", _rows(lambda lines: [lines[0], *lines[9:], *lines[1:9]]), is_declared=True),
        Damage("ends within a row", _rows(lambda lines: [*lines[:9], "12345678,0.1"]), is_declared=True),
        Damage("is an archive whose member leads outside", _zipped({"../Gyroscope.csv": _GYRO}), is_declared=True),
        Damage("is an archive with a link", _zipped({"Gyroscope.csv": b"/etc/hosts"}, is_link=True), is_declared=True),
        Damage("is an archive within an archive", _zipped({"Gyroscope.csv": _GYRO, "a.zip": b"PK"}), is_declared=True),
        Damage(
            "is an archive that unpacks to a thousand times its size",
            _zipped({"Gyroscope.csv": bytes(4 * 2**20)}),
            is_declared=True,
        ),
    ),
}
"""By what is damaged."""
