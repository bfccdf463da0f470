import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import gpmf_clock, gpmf_track
from harchive_dagster.landing.formats.gpmf import GPMF, axes_matrix, frame_telemetry
from harchive_dagster.landing.formats.klv import Item
from harchive_dagster.landing.formats.protocol import KIND_OF, Channel, Reading
from harchive_dagster.landing.formats.registry import probe
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream

PAYLOAD_S = 1.0
FIRST_FRAME_US = 85_000
"""What the camera's own clock says at the first frame."""

HALF_TURN_Z = (0.0, 0.0, 1.0, 0.0)
"""About z, as a file stores it: w, x, z, y."""


def klv(key: str, kind: str, size: int, data: bytes) -> bytes:
    return key.encode() + struct.pack(">cBH", kind.encode(), size, len(data) // size) + data + bytes(-len(data) % 4)


def nested(key: str, *parts: bytes) -> bytes:
    inside = b"".join(parts)
    # A size is one byte and a count two: long levels are counted in fours.
    return klv(key, "\0", 4, inside) if len(inside) > 60_000 else klv(key, "\0", 1, inside)


def floats(key: str, rows: Sequence[Sequence[float]]) -> bytes:
    array = np.asarray(rows, dtype=">f4").reshape(len(rows), -1)
    return klv(key, "f", 4 * max(array.shape[1], 1), array.tobytes())


def letters(key: str, value: str) -> bytes:
    return klv(key, "c", 1, value.encode())


def device(*sensors: bytes, number: int = 1) -> bytes:
    return nested("DEVC", klv("DVID", "L", 4, struct.pack(">I", number)), *sensors)


@dataclass(frozen=True)
class Camera:
    """Writes payloads in which every sample's value is the time at which it was taken, in seconds of the video.

    Attributes:
        stamps: keys that are written for every sensor.
        jitter_s: how far a stamp may be off.
        lost: payloads that are not there at all.
        warming: how much faster the sensors' clock runs at the end than at the beginning.
    """

    payloads: int = 5
    gyro_hz: float = 200.0
    accel_hz: float = 200.0
    gyro_late_s: float = 0.0
    accel_late_s: float = 0.0
    stamps: tuple[str, ...] = ("STMP", "TSMP")
    jitter_s: float = 0.0
    lost: tuple[int, ...] = ()
    warming: float = 0.0
    first_frame_us: int = FIRST_FRAME_US
    extra: bytes = b""
    number: int = 1

    def gyro_s(self) -> np.ndarray:
        times_s = self.times_s(self.gyro_hz, self.gyro_late_s)
        return times_s[times_s < self.payloads * PAYLOAD_S]

    def times_s(self, rate_hz: float, late_s: float) -> np.ndarray:
        even = np.arange(round(self.payloads * PAYLOAD_S * rate_hz)) / rate_hz + late_s
        return even - self.warming * even**2 / (2 * self.payloads * PAYLOAD_S)

    def payload(self, place: int) -> bytes:
        rng = np.random.default_rng(place)

        def sensor(key: str, rate_hz: float, late_s: float, columns: int) -> bytes:
            times_s = self.times_s(rate_hz, late_s)
            counted = np.searchsorted(times_s, [place * PAYLOAD_S, (place + 1) * PAYLOAD_S])
            mine = times_s[counted[0] : counted[1]]
            stamp_us = round((mine[0] + rng.uniform(-1, 1) * self.jitter_s) * 1e6) + self.first_frame_us
            written = {
                "STMP": klv("STMP", "J", 8, struct.pack(">Q", stamp_us)),
                "TICK": klv("TICK", "L", 4, struct.pack(">I", stamp_us // 1000 % 2**32)),
                "TSMP": klv("TSMP", "L", 4, struct.pack(">I", counted[1])),
            }
            properties = [written[stamp] for stamp in self.stamps]
            return nested("STRM", *properties, self.extra, floats(key, np.tile(mine[:, None], columns)))

        return device(
            sensor("SHUT", 25.0, 0.0, 1),
            sensor("ACCL", self.accel_hz, self.accel_late_s, 3),
            sensor("GYRO", self.gyro_hz, self.gyro_late_s, 3),
            number=self.number,
        )

    def all(self) -> list[bytes | None]:
        return [None if place in self.lost else self.payload(place) for place in range(self.payloads)]


def box(kind: bytes, *parts: bytes) -> bytes:
    inside = b"".join(parts)
    return struct.pack(">I4s", 8 + len(inside), kind) + inside


def mp4(payloads: Sequence[bytes | None], *, tag: bytes = b"gpmd") -> bytes:
    """The smallest MP4 with one data track: a payload a second, and a pause where one is missing."""
    places = [place for place, payload in enumerate(payloads) if payload is not None]
    written = [payload for payload in payloads if payload is not None]
    lasts = [round((after - before) * PAYLOAD_S * 1000) for before, after in pairwise([*places, len(payloads)])]
    start = 16 + 8
    offsets = start + np.cumsum([0, *map(len, written)])[:-1]
    full = bytes(4)
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    table = box(
        b"stbl",
        box(b"stsd", full, struct.pack(">I", 1), box(tag, bytes(6), struct.pack(">H", 1), bytes(4))),
        box(b"stts", full, struct.pack(">I", len(lasts)), *(struct.pack(">2I", 1, last) for last in lasts)),
        box(b"stsc", full, struct.pack(">4I", 1, 1, 1, 1)),
        box(b"stsz", full, struct.pack(">2I", 0, len(written)), *(struct.pack(">I", len(one)) for one in written)),
        box(b"stco", full, struct.pack(">I", len(written)), *(struct.pack(">I", offset) for offset in offsets)),
    )
    media = box(
        b"mdia",
        box(b"mdhd", full, struct.pack(">4I2H", 0, 0, 1000, sum(lasts), 0x55C4, 0)),
        box(b"hdlr", full, b"mhlr", b"meta", bytes(12), b"\x0bGoPro MET\0"),
        box(
            b"minf",
            box(b"gmhd", box(b"gmin", full, bytes(12))),
            box(b"dinf", box(b"dref", full, struct.pack(">I", 1), box(b"url ", b"\0\0\0\1"))),
            table,
        ),
    )
    header = struct.pack(">3I", 0, 0, 1) + bytes(4) + struct.pack(">I", sum(lasts)) + bytes(16) + matrix + bytes(8)
    times = struct.pack(">4I", 0, 0, 1000, sum(lasts)) + struct.pack(">IH", 0x10000, 0x100) + bytes(10)
    return (
        box(b"ftyp", b"mp41", bytes(4))
        + box(b"mdat", *written)
        + box(
            b"moov",
            box(b"mvhd", full, times, matrix, bytes(24), struct.pack(">I", 2)),
            box(b"trak", box(b"tkhd", b"\0\0\0\x0f", header), media),
        )
    )


def written(folder: Path, payloads: Sequence[bytes | None], *, is_bare: bool = False) -> Path:
    path = folder / ("telemetry.raw" if is_bare else "video.mp4")
    path.write_bytes(b"".join(one for one in payloads if one) if is_bare else mp4(payloads))
    return path


def read(path: Path, kind: str, channel: str = "") -> Reading:
    return GPMF.read(path, StreamSpec(stream_id="s", placement="head", kind=kind, rate_hz=100.0), channel)


def read_imu(path: Path, channel: str = "") -> ImuStream:
    imu = read(path, "imu", channel).stream
    assert isinstance(imu, ImuStream)
    return imu


def errors_s(imu: ImuStream) -> np.ndarray:
    """Device time minus the time that was written as the sample's value."""
    return imu.t_device_ns * 1e-9 - imu.gyro_rad_s[:, 0]


def dropped(reading: Reading) -> dict[str, int]:
    return {one.what: one.count for one in reading.dropped}


@pytest.mark.parametrize("is_bare", [False, True])
def test_a_camera_s_channels_are_found_by_content(tmp_path: Path, is_bare: bool) -> None:
    path = written(tmp_path, Camera().all(), is_bare=is_bare)
    found = probe(path.rename(tmp_path / "anything.dat"))
    assert found is not None
    assert found[0] == "gpmf"
    ((name, kind, rate_hz),) = [(one.name, one.kind, one.rate_hz) for one in found[1]]
    assert (name, kind) == ("imu", "imu")
    assert rate_hz == pytest.approx(200.0, rel=0.01)


@pytest.mark.parametrize(
    "content",
    [b"", b"t,x\n1,2\n", b"PAR1", mp4([b"something else"], tag=b"djmd"), mp4([]), b"\0\0\0\x10ftypmp41" + bytes(40)],
)
def test_other_files_have_no_channels_and_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.mp4"
    path.write_bytes(content)
    assert GPMF.probe(path) == ()
    with pytest.raises(LandingError, match=r"has no GoPro telemetry|cannot be read as a video"):
        read(path, "imu")


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    assert GPMF.probe(tmp_path / "none.mp4") == ()
    with pytest.raises(LandingError, match=r"cannot be read \(No such file"):
        read(tmp_path / "none.mp4", "imu")


@pytest.mark.parametrize(
    ("camera", "tolerance_s"),
    [
        (Camera(), 1e-5),
        (Camera(stamps=("STMP",)), 1e-5),
        (Camera(stamps=("STMP", "TICK", "TSMP")), 1e-5),
        (Camera(stamps=("TICK", "TSMP")), 1e-3),
        (Camera(stamps=("TSMP",)), 1e-5),
        (Camera(stamps=()), 1e-5),
        (Camera(gyro_late_s=0.0123), 1e-5),
        (Camera(first_frame_us=2**63), 1e-5),
        (Camera(payloads=1), 1e-5),
        (Camera(payloads=40, jitter_s=0.005), 3e-3),
        (Camera(payloads=40, jitter_s=0.05, stamps=("TICK", "TSMP")), 3e-2),
        (Camera(payloads=300, gyro_hz=50, accel_hz=50, warming=0.002), 2e-3),
    ],
    ids=str,
)
def test_every_sample_gets_the_time_at_which_it_was_taken(tmp_path: Path, camera: Camera, tolerance_s: float) -> None:
    reading = read(written(tmp_path, camera.all()), "imu")
    assert isinstance(reading.stream, ImuStream)
    assert len(reading.stream) + dropped(reading).get("GYRO samples", 0) == len(camera.gyro_s())
    assert np.abs(errors_s(reading.stream)).max() < tolerance_s


def test_jitter_of_the_stamps_does_not_reach_the_samples(tmp_path: Path) -> None:
    imu = read_imu(written(tmp_path, Camera(payloads=30, jitter_s=0.005).all()))
    assert np.diff(imu.t_device_ns).std() < 1e-3 * np.diff(imu.t_device_ns).mean()


@pytest.mark.parametrize("off_s", [0.02, -0.02, 0.2, -0.2])
def test_one_wild_stamp_moves_nothing(tmp_path: Path, off_s: float) -> None:
    camera = Camera(payloads=9)
    wild = replace(camera, first_frame_us=camera.first_frame_us + round(off_s * 1e6))
    payloads = [(wild if place == 5 else camera).payload(place) for place in range(9)]
    assert np.abs(errors_s(read_imu(written(tmp_path, payloads)))).max() < 1e-3


def test_a_bare_file_begins_with_its_first_frame(tmp_path: Path) -> None:
    assert np.abs(errors_s(read_imu(written(tmp_path, Camera().all(), is_bare=True)))).max() < 1e-5


def test_a_bare_file_without_stamps_has_payloads_of_nominal_length(tmp_path: Path) -> None:
    imu = read_imu(written(tmp_path, Camera(stamps=()).all(), is_bare=True))
    assert imu.t_device_ns[0] == 0
    assert imu.rate_hz == pytest.approx(200 / 1.001)


@pytest.mark.parametrize("stamps", [("STMP", "TSMP"), ("STMP",), ("TICK", "TSMP"), ("TICK",), ("TSMP",), ()])
def test_a_lost_payload_leaves_a_gap_and_moves_nothing(tmp_path: Path, stamps: tuple[str, ...]) -> None:
    imu = read_imu(written(tmp_path, Camera(payloads=9, stamps=stamps, lost=(3, 4)).all()))
    assert len(imu) == 7 * 200
    assert np.abs(errors_s(imu)).max() < 2e-3
    assert np.diff(imu.t_device_ns).max() == pytest.approx(2.005e9, rel=2e-3)


def test_a_sensor_s_own_delay_is_subtracted(tmp_path: Path) -> None:
    imu = read_imu(written(tmp_path, Camera(extra=floats("TIMO", [[0.02]])).all()))
    np.testing.assert_allclose(errors_s(imu), -0.02, atol=1e-5)


def _ramps(properties: Callable[[int], bytes]) -> list[bytes]:
    """Five payloads with ACCL and GYRO like a Camera's, described as asked for."""
    return [
        device(
            *(
                nested("STRM", properties(place), floats(key, [[place + k / 200] * 3 for k in range(200)]))
                for key in ("ACCL", "GYRO")
            )
        )
        for place in range(5)
    ]


@pytest.mark.parametrize(
    "properties",
    [
        lambda place: klv("STMP", "J", 8, struct.pack(">Q", place * 10**9)),  # nanoseconds, not microseconds
        lambda place: klv("STMP", "J", 8, struct.pack(">Q", 10**9 - place)),
        lambda _: klv("TICK", "L", 4, bytes(4)),
        lambda _: klv("TSMP", "L", 4, struct.pack(">I", 300)),
    ],
)
def test_stamps_and_counters_that_cannot_be_are_not_believed(
    tmp_path: Path, properties: Callable[[int], bytes]
) -> None:
    assert np.abs(errors_s(read_imu(written(tmp_path, _ramps(properties))))).max() < 1e-5


def test_acceleration_is_put_on_the_gyro_s_times_inside_both(tmp_path: Path) -> None:
    camera = Camera(gyro_hz=400, accel_hz=200, gyro_late_s=0.001, accel_late_s=0.0141)
    reading = read(written(tmp_path, camera.all()), "imu")
    imu = reading.stream
    assert isinstance(imu, ImuStream)
    np.testing.assert_allclose(imu.accel_m_s2, imu.gyro_rad_s, atol=1e-5)
    assert imu.t_device_ns[0] >= 14_100_000
    assert dropped(reading)["GYRO samples"] == 2000 - len(imu) > 0
    assert dropped(reading)["SHUT samples"] == 125


def test_gyro_samples_in_a_gap_of_the_accelerometer_are_dropped(tmp_path: Path) -> None:
    payloads = [one for one in Camera().all() if one]
    payloads[2] = payloads[2].replace(b"ACCL", b"ACCX")
    reading = read(written(tmp_path, payloads), "imu")
    assert dropped(reading)["GYRO samples"] == 200 + 1  # and the one at the very end of the gap
    assert dropped(reading)["ACCX samples"] == 200


def _item(key: str, kind: str, data: bytes) -> Item:
    return Item(key, kind, len(data), 1, data)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, [(0, 1, 0), (0, 0, 1), (1, 0, 0)]),
        ({"ORIN": _item("ORIN", "c", b"ZXY")}, [(0, 1, 0), (0, 0, 1), (1, 0, 0)]),
        ({"ORIN": _item("ORIN", "c", b"XzY")}, [(1, 0, 0), (0, 0, 1), (0, -1, 0)]),
        ({"ORIN": _item("ORIN", "c", b"yXZ")}, [(0, 1, 0), (-1, 0, 0), (0, 0, 1)]),
        (
            {
                "MTRX": _item("MTRX", "f", struct.pack(">9f", 0, -1, 0, 1, 0, 0, 0, 0, 1)),
                "ORIO": _item("ORIO", "c", b"ZXY"),
            },
            [(1, 0, 0), (0, 0, 1), (0, -1, 0)],
        ),
    ],
)
def test_stored_axes_become_x_y_z(properties: dict[str, Item], expected: list[tuple[int, ...]]) -> None:
    matrix = axes_matrix(properties)
    np.testing.assert_array_equal(matrix, expected)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


def _pose_payload(place: int, camera: Sequence[Sequence[float]], image: Sequence[Sequence[float]] | None) -> bytes:
    stamp = klv("STMP", "J", 8, struct.pack(">Q", 1_000_000 * place + FIRST_FRAME_US))
    sensors = [nested("STRM", stamp, floats("CORI", camera)), nested("STRM", stamp, floats("SHUT", [[0.01]] * 2))]
    if image is not None:
        sensors.append(nested("STRM", stamp, floats("IORI", image)))
    return device(*sensors)


def test_quaternions_are_stored_w_x_z_y(tmp_path: Path) -> None:
    still = (1.0, 0.0, 0.0, 0.0)
    path = written(tmp_path, [_pose_payload(place, [still, HALF_TURN_Z], [HALF_TURN_Z, still]) for place in range(3)])
    assert GPMF.probe(path) == (Channel("orientation", "pose", 2.0),)
    reading = read(path, "pose")
    pose = reading.stream
    assert isinstance(pose, PoseStream)
    assert pose.joints == ("camera", "image")
    assert pose.orientation_wxyz is not None
    assert pose.orientation_wxyz[:2].tolist() == [[[1, 0, 0, 0], [0, 0, 0, 1]], [[0, 0, 0, 1], [1, 0, 0, 0]]]
    np.testing.assert_allclose(pose.t_device_ns, np.arange(6) * 500_000_000, atol=1000)
    frames = frame_telemetry(path)
    assert frames is not None
    np.testing.assert_array_equal(frames.camera_wxyz, pose.orientation_wxyz[:, 0])
    np.testing.assert_array_equal(frames.image_t_ns, pose.t_device_ns)
    np.testing.assert_allclose(frames.exposure_s, 0.01)
    np.testing.assert_allclose(frames.exposure_t_ns, pose.t_device_ns, atol=1000)


def test_an_orientation_that_is_missing_is_not_a_number(tmp_path: Path) -> None:
    still, none = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
    payloads = [_pose_payload(0, [still, none], [still, still]), _pose_payload(1, [still, still], None)]
    pose = read(written(tmp_path, payloads), "pose").stream
    assert isinstance(pose, PoseStream)
    assert pose.orientation_wxyz is not None
    np.testing.assert_array_equal(np.isnan(pose.orientation_wxyz[..., 0]), [[0, 0], [1, 0], [0, 1], [0, 1]])
    assert read(written(tmp_path, [_pose_payload(0, [still, still], None)]), "pose").stream.joints == ("camera",)


def _gps5_payload(place: int, fix: int, utc: str = "191118234514.500") -> bytes:
    row = struct.pack(">5i", 331_267_700, -1_173_273_436, -22_959, 1_046, 100)
    return device(
        nested(
            "STRM",
            klv("GPSF", "L", 4, struct.pack(">I", fix)),
            klv("GPSU", "U", 16, utc.encode()),
            klv("SCAL", "l", 4, struct.pack(">5i", 10**7, 10**7, 1000, 1000, 100)),
            klv("GPS5", "l", 20, row * 10),
        )
    )


def test_places_are_read_and_those_without_a_fix_dropped(tmp_path: Path) -> None:
    path = written(tmp_path, [_gps5_payload(0, 0), _gps5_payload(1, 2), _gps5_payload(2, 3)])
    reading = read(path, "gps")
    place = reading.stream
    assert isinstance(place, LocationStream)
    assert dropped(reading) == {"GPS5 samples": 10}
    assert (len(place), place.t_device_ns[0]) == (20, 1_000_000_000)
    assert (place.latitude_deg[0], place.longitude_deg[0]) == pytest.approx((33.12677, -117.3273436))
    assert (place.altitude_m[0], place.speed_m_s[0]) == pytest.approx((-22.959, 1.046))
    assert place.utc_ns is not None
    assert place.utc_ns[:2].tolist() == [1_574_120_714_500_000_000, 1_574_120_714_600_000_000]


def test_a_time_that_is_no_date_leaves_places_without_utc(tmp_path: Path) -> None:
    place = read(written(tmp_path, [_gps5_payload(0, 3, "999999999999.999"), _gps5_payload(1, 3)]), "gps").stream
    assert isinstance(place, LocationStream)
    assert place.utc_ns is None


def test_gps9_has_a_time_and_a_fix_for_every_sample(tmp_path: Path) -> None:
    def row(fix: int, ms: int) -> bytes:
        return struct.pack(">7i2H", 331_267_700, -1_173_273_436, -22_959, 1_046, 100, 7_261, ms, 154, fix)

    scale = klv("SCAL", "l", 4, struct.pack(">9i", 10**7, 10**7, 1000, 1000, 100, 1, 1000, 100, 1))
    gps9 = klv("GPS9", "?", 32, b"".join(row(fix, 1000 * place) for place, fix in enumerate((0, 2, 3))))
    path = written(tmp_path, [device(nested("STRM", letters("TYPE", "lllllllSS"), scale, gps9))])
    reading = read(path, "gps")
    place = reading.stream
    assert isinstance(place, LocationStream)
    assert dropped(reading) == {"GPS9 samples": 1}
    assert place.latitude_deg.tolist() == pytest.approx([33.12677] * 2)
    assert place.utc_ns is not None
    assert place.utc_ns[0] == 1_574_035_201_000_000_000  # 2019-11-18T00:00:01Z


def test_several_devices_have_channels_of_their_own(tmp_path: Path) -> None:
    both = [Camera().payload(place) + Camera(number=77).payload(place) for place in range(3)]
    for path in (written(tmp_path, both), written(tmp_path, both, is_bare=True)):
        assert [channel.name for channel in GPMF.probe(path)] == ["imu.1", "imu.77"]
        assert len(read_imu(path, "imu.77")) == 600
        with pytest.raises(LandingError, match=r"it has 'imu\.1', 'imu\.77'"):
            read_imu(path)


def test_a_damaged_payload_is_left_out_and_told(tmp_path: Path) -> None:
    payloads = [one for one in Camera().all() if one]
    payloads[2] = payloads[2][:40] + b"\xff" * 40 + payloads[2][80:]
    for path in (written(tmp_path, payloads), written(tmp_path, payloads, is_bare=True)):
        reading = read(path, "imu")
        assert isinstance(reading.stream, ImuStream)
        assert len(reading.stream) == 800
        assert np.abs(errors_s(reading.stream)).max() < 1e-5
        assert dropped(reading)["payloads of telemetry"] == 1


def test_a_bare_file_that_is_cut_off_keeps_its_whole_payloads(tmp_path: Path) -> None:
    path = written(tmp_path, Camera().all(), is_bare=True)
    path.write_bytes(path.read_bytes()[:-100])
    assert len(read_imu(path)) == 800


@pytest.mark.parametrize("is_bare", [False, True])
def test_a_file_of_damaged_payloads_only_is_refused(tmp_path: Path, is_bare: bool) -> None:
    path = written(tmp_path, [b"DEVC\0\1\xff\xff" + bytes(100)], is_bare=is_bare)
    with pytest.raises(LandingError, match="1 payloads of telemetry and none that can be read"):
        GPMF.probe(path)
    with pytest.raises(LandingError, match="none that can be read"):
        read(path, "imu")


def _two(key: str, *properties: bytes, columns: int = 3, value: float = 1.0) -> bytes:
    return nested("STRM", *properties, floats(key, [[value] * columns] * 20))


@pytest.mark.parametrize(
    ("payload", "kind", "problem"),
    [
        (device(_two("GYRO")), "imu", "does not have a channel to choose by itself of kind 'imu'; it has none"),
        (device(_two("ACCL")), "imu", "it has none"),
        (device(_two("GYRO"), _two("ACCL", columns=2)), "imu", "'ACCL' samples of 2 numbers, expected 3"),
        (device(_two("GYRO"), _two("ACCL", value=float("nan"))), "imu", "accel_m_s2 that is not finite"),
        (device(_two("GYRO", letters("ORIN", "XXY")), _two("ACCL")), "imu", "axes named 'XXY'"),
        (device(_two("GYRO", floats("MTRX", [[1.0] * 9])), _two("ACCL")), "imu", "a MTRX that does not turn"),
        (device(_two("GYRO", floats("TIMO", [[1e30]])), _two("ACCL")), "imu", "GYRO samples at times that cannot be"),
        (device(_two("GYRO", floats("STMP", [[1.0]])), _two("ACCL")), "imu", "'STMP' of type 'f', expected a whole"),
        (device(_two("GYRO", klv("SCAL", "s", 2, bytes(2))), _two("ACCL")), "imu", "'GYRO' with scale"),
        (device(_two("CORI", columns=4, value=3.0)), "pose", "quaternions of length 6"),
        (device(_two("CORI", columns=3)), "pose", "'CORI' samples of 3 numbers"),
        (_gps5_payload(0, 0), "gps", "10 GPS5 samples and none with a satellite fix"),
        (device(_two("GPS5", columns=5, value=400.0)), "gps", "places that are not on Earth"),
        (device(_two("GPS9", columns=5)), "gps", "expected 9"),
    ],
)
def test_telemetry_that_is_no_stream_is_unreadable(tmp_path: Path, payload: bytes, kind: str, problem: str) -> None:
    with pytest.raises(LandingError, match=problem) as caught:
        read(written(tmp_path, [payload]), kind)
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


def test_time_that_goes_back_is_refused(tmp_path: Path) -> None:
    late_s = (0.0, 0.9, 0.1, 1.9)  # the third payload's delay is 0.9 s more than its neighbours'
    payloads = [replace(Camera(), extra=floats("TIMO", [[late]])).payload(place) for place, late in enumerate(late_s)]
    with pytest.raises(LandingError, match=r"goes back|does not increase") as caught:
        read(written(tmp_path, payloads), "imu")
    assert caught.value.reason is Reason.SENSOR_NOT_MONOTONIC


@pytest.mark.parametrize(
    ("module", "limit", "problem"),
    [
        (gpmf_clock, "MAX_SAMPLES", "SHUT samples, at most 100 are read"),
        (gpmf_track, "_MAX_BYTES", "more than 100 bytes"),
        (gpmf_track, "_MAX_ITEMS", "or 100 items of telemetry"),
    ],
)
def test_telemetry_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, limit: str, problem: str
) -> None:
    monkeypatch.setattr(module, limit, 100)
    with pytest.raises(LandingError, match=problem):
        read(written(tmp_path, Camera(payloads=20 if limit == "_MAX_ITEMS" else 5).all()), "imu")


@pytest.mark.realdata
def test_a_real_walk_is_read_whole(realdata: Path) -> None:
    path = realdata / "gopro_max_walk.mp4"
    assert [(one.name, one.kind) for one in GPMF.probe(path)] == [
        ("imu", "imu"),
        ("orientation", "pose"),
        ("location", "gps"),
    ]
    reading = read(path, "imu")
    imu = reading.stream
    assert isinstance(imu, ImuStream)
    assert len(imu) == 2082  # the last TSMP
    assert imu.rate_hz == pytest.approx(197.455, abs=0.001)
    assert np.linalg.norm(imu.accel_m_s2, axis=1).mean() == pytest.approx(9.81, abs=0.1)
    assert imu.accel_m_s2.mean(axis=0)[2] > 9  # z points up
    assert imu.t_device_ns[0] == pytest.approx(-5_031_000, abs=50_000)  # 5 ms before the first frame's stamp
    assert dropped(reading)["SHUT samples"] == 316
    place = read(path, "gps").stream
    assert isinstance(place, LocationStream)
    assert len(place) == 191
    assert 0.5 < place.speed_m_s.mean() < 2  # walking


@pytest.mark.realdata
def test_a_real_camera_s_orientation_turns_as_its_gyro_says(realdata: Path) -> None:
    path = realdata / "gopro_max_walk.mp4"
    pose, imu = read(path, "pose").stream, read_imu(path)
    assert isinstance(pose, PoseStream)
    assert pose.orientation_wxyz is not None
    assert len(pose) == 316
    assert pose.rate_hz == pytest.approx(30_000 / 1001)
    turned = Rotation.from_quat(pose.orientation_wxyz[:, 0], scalar_first=True)
    rates = (turned[:-1].inv() * turned[1:]).as_rotvec() * pose.rate_hz
    middles_ns = (pose.t_device_ns[1:] + pose.t_device_ns[:-1]) / 2
    smooth = np.ones(7) / 7  # a frame has seven gyro samples
    gyro = [np.interp(middles_ns, imu.t_device_ns, np.convolve(axis, smooth, "same")) for axis in imu.gyro_rad_s.T]
    for axis in range(3):
        assert np.corrcoef(rates[:, axis], gyro[axis])[0, 1] > 0.9


@pytest.mark.slow
@pytest.mark.realdata
def test_a_real_picture_moves_as_camera_and_image_turn_together(realdata: Path) -> None:
    path = realdata / "gopro_max_walk.mp4"
    frames = frame_telemetry(path)
    assert frames is not None
    camera = Rotation.from_quat(frames.camera_wxyz, scalar_first=True)
    turned = camera * Rotation.from_quat(frames.image_wxyz, scalar_first=True)
    x, y, z = (turned[:-1].inv() * turned[1:]).as_rotvec().T[:, : len(frames.camera_wxyz) - 2]
    right, down, clockwise = _picture_motion(path).T
    assert np.corrcoef(right, z)[0, 1] > 0.95  # z up: turning left moves the picture right
    assert np.corrcoef(clockwise, y)[0, 1] > 0.85  # y out of the back
    assert np.corrcoef(down, x)[0, 1] < -0.4  # x left: nodding down moves the picture up; steps move it, too
    alone = (camera[:-1].inv() * camera[1:]).as_rotvec()[: len(right), 2]
    assert np.corrcoef(right, alone)[0, 1] < 0.8  # it is stabilised


def _picture_motion(path: Path) -> np.ndarray:
    """What the centre of the picture does from frame to frame: pixels right, pixels down, radians clockwise."""
    import av
    import cv2

    motions, before = [], None
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            now = cv2.resize(frame.to_ndarray(format="gray"), (424, 240))
            if before is not None:
                corners = cv2.goodFeaturesToTrack(before, 300, 0.01, 8)
                moved, is_found, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, None)
                matrix, _ = cv2.estimateAffinePartial2D(corners[is_found[:, 0] == 1], moved[is_found[:, 0] == 1])
                motions.append([*(matrix @ [212, 120, 1] - [212, 120]), np.arctan2(matrix[1, 0], matrix[0, 0])])
            before = now
    return np.array(motions)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "count", "rate_hz", "gravity_m_s2"),
    [
        ("gpmf_hero5.raw", 399 - 2, 398.6, 10.07),  # two gyro samples lie after the last acceleration
        ("gpmf_hero6.raw", 204, 203.8, 10.17),
        ("gpmf_fusion.raw", 3300 - 107, 3296.7, 9.66),
    ],
)
def test_real_bare_payloads_are_read(
    realdata: Path, name: str, count: int, rate_hz: float, gravity_m_s2: float
) -> None:
    imu = read_imu(realdata / name)
    assert (len(imu), imu.rate_hz) == (count, pytest.approx(rate_hz, abs=0.1))
    # One second each, and hand-held: the mean is not gravity alone.
    assert np.linalg.norm(imu.accel_m_s2, axis=1).mean() == pytest.approx(gravity_m_s2, abs=0.01)


def exercise(path: Path) -> None:
    """Every channel of a file, or a refusal where it has none."""
    frame_telemetry(path)
    for channel in GPMF.probe(path) or (Channel("", "imu"),):
        stream = read(path, channel.kind, channel.name).stream
        assert KIND_OF[type(stream)] == channel.kind


def _seeds(folder: Path) -> list[Path]:
    camera = Camera(payloads=2, gyro_hz=20, accel_hz=10, extra=letters("ORIN", "XzY"))
    poses = [_pose_payload(place, [HALF_TURN_Z] * 3, [HALF_TURN_Z] * 3) for place in range(2)]
    places = [_gps5_payload(place, 3) for place in range(2)]
    payloads = [b"".join(parts) for parts in zip(camera.all(), poses, places, strict=True)]
    return [written(folder, payloads), written(folder, payloads, is_bare=True)]


def test_two_thousand_damaged_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise, _seeds(tmp_path))


@pytest.mark.fuzz
def test_fifty_thousand_damaged_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise, _seeds(tmp_path), 50_000)
