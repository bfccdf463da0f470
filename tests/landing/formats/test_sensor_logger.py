import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import sensor_logger_rows
from harchive_dagster.landing.formats.protocol import Channel, Reading
from harchive_dagster.landing.formats.registry import probe, read_stream
from harchive_dagster.landing.formats.sensor_logger import (
    SENSOR_LOGGER,
    STANDARD_GRAVITY_M_S2,
    CameraVideo,
    camera_videos,
)
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream

START_NS = 1_767_225_600_123_456_789  # has digits that float64 would lose
PHONE = StreamSpec(stream_id="imu_head", placement="head", kind="imu", rate_hz=100.0)
WRIST = StreamSpec(stream_id="imu_wrist", placement="left_wrist", kind="imu", rate_hz=50.0)
POSE = StreamSpec(stream_id="pose_head", placement="head", kind="pose", rate_hz=50.0)
GPS = StreamSpec(stream_id="gps_head", placement="head", kind="gps", rate_hz=1.0)

VARIANTS = [("android", False), ("android", True), ("ios", True), ("ios", False)]
ANDROID_ONLY = {"TotalAcceleration"}


def _times(rate_hz: float, *, shift_ms: float = 0.0, seconds: float = 2.0) -> NDArray[np.int64]:
    return START_NS + np.int64(shift_ms * 1e6) + np.arange(int(rate_hz * seconds), dtype=np.int64) * int(1e9 / rate_hz)


def _motion(t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Acceleration without gravity, in m/s²; straight lines over time, so that interpolating them is exact."""
    t_s = (t_ns - START_NS) * 1e-9
    return np.column_stack([0.5 * t_s, -0.25 * t_s, 0.125 * t_s])


def _gravity(t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The reaction to gravity of a phone that lies on its back: up is z."""
    return np.tile([0.0, 0.0, STANDARD_GRAVITY_M_S2], (len(t_ns), 1))


def _turning(t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    t_s = (t_ns - START_NS) * 1e-9
    return np.column_stack([np.sin(t_s), np.cos(t_s), 0.1 * t_s])


def _force(t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    return _motion(t_ns) + _gravity(t_ns)


def _field(t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """In µT."""
    return _motion(t_ns) + np.array([20.0, 0.0, -40.0])


def _csv(t_ns: NDArray[np.int64], columns: Mapping[str, Iterable[object]]) -> str:
    seconds = (t_ns - START_NS) * 1e-9
    rows = zip(t_ns.tolist(), seconds.tolist(), *columns.values(), strict=True)
    return "\n".join([",".join(["time", "seconds_elapsed", *columns]), *(",".join(map(str, row)) for row in rows), ""])


def _zyx(t_ns: NDArray[np.int64], values: NDArray[np.float64]) -> str:
    return _csv(t_ns, {axis: values[:, "xyz".index(axis)].tolist() for axis in "zyx"})


def _metadata(platform: str, *, is_standardised: bool) -> str:
    return (
        "version,device name,recording epoch time,recording time,recording timezone,platform,appVersion,device id,"
        "sensors,sampleRateMs,standardisation,platform version\n"
        f"3,Asha's phone,{START_NS // 10**6},2026-01-01_00-00-00,Asia/Kolkata,{platform},1.59,secret-id,"
        f"Accelerometer|Gyroscope,10|10,{str(is_standardised).lower()},17\n"
    )


def _sensors(platform: str, *, is_standardised: bool, seconds: float = 2.0) -> dict[str, str]:
    """What the app writes for one and the same motion, by its documentation of units and axes."""
    is_raw_ios = platform == "ios" and not is_standardised
    sign = -1.0 if is_raw_ios else 1.0
    in_g = sign / STANDARD_GRAVITY_M_S2
    gyro, accel, slow = (
        _times(100, seconds=seconds),
        _times(80, shift_ms=3, seconds=seconds),
        _times(50, seconds=seconds),
    )
    wrist = np.hstack(
        [
            _turning(slow),
            _motion(slow) * (sign if is_standardised else in_g),
            _gravity(slow) * (sign if is_standardised else in_g),
        ]
    )
    wrist_names = [f"{what}{axis}" for what in ("rotationRate", "acceleration", "gravity") for axis in "XYZ"]
    half = np.full(len(slow), 0.5)
    return {
        "Gyroscope": _zyx(gyro, _turning(gyro)),
        "Accelerometer": _zyx(accel, sign * _motion(accel)),
        "Gravity": _zyx(slow, sign * _gravity(slow)),
        "TotalAcceleration": _zyx(accel, sign * _force(accel)),
        "AccelerometerUncalibrated": _zyx(accel, (in_g if is_raw_ios else sign) * _force(accel)),
        "WristMotion": _csv(slow, dict(zip(reversed(wrist_names), wrist.T[::-1].tolist(), strict=True))),
        "Orientation": _csv(slow, {"qz": half, "qy": half, "qx": half, "qw": -half, "roll": half}),
        "Location": _fixes([5.0] * 4),
    }


def _fixes(accuracies: list[float], *, speeds: list[object] | None = None) -> str:
    t_ns = _times(1, seconds=len(accuracies))
    latitudes = [12.5 + 0.001 * i for i in range(len(t_ns))]
    return _csv(
        t_ns,
        {
            "horizontalAccuracy": accuracies,
            "speed": speeds or [1.5] * len(t_ns),
            "altitude": [900.0] * len(t_ns),
            "longitude": [77.5] * len(t_ns),
            "latitude": latitudes,
        },
    )


def _export(
    folder: Path,
    *,
    platform: str = "ios",
    is_standardised: bool = False,
    without: Iterable[str] = (),
    wrap: str = "",
    method: int = zipfile.ZIP_DEFLATED,
    seconds: float = 2.0,
    **changed: str | bytes,
) -> Path:
    """An export with every sensor of its platform; `changed` replaces or adds files by sensor."""
    files = _sensors(platform, is_standardised=is_standardised, seconds=seconds)
    files |= {"Metadata": _metadata(platform, is_standardised=is_standardised)} | changed
    left_out = set(without) | (ANDROID_ONLY if platform == "ios" else set())
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, text in files.items():
            if name not in left_out or name in changed:
                archive.writestr(f"{wrap}{name}.csv", text)
    return path


def _read(path: Path, stream: StreamSpec = PHONE, channel: str = "phone") -> Reading:
    return read_stream(path, stream, file_format="sensor_logger", channel=channel)


def _imu(path: Path, stream: StreamSpec = PHONE, channel: str = "phone") -> ImuStream:
    imu = _read(path, stream, channel).stream
    assert isinstance(imu, ImuStream)
    return imu


def _told(path: Path, stream: StreamSpec = PHONE, channel: str = "phone") -> list[str]:
    return [str(one) for one in _read(path, stream, channel).dropped]


def _refusal(path: Path, match: str, stream: StreamSpec = PHONE, channel: str = "phone") -> LandingError:
    with pytest.raises(LandingError, match=match) as caught:
        _read(path, stream, channel)
    return caught.value


@pytest.mark.parametrize("wrap", ["", "2026-01-01_00-00-00/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_export_is_known_by_its_content_and_tells_its_channels(tmp_path: Path, wrap: str, method: int) -> None:
    path = _export(tmp_path, wrap=wrap, method=method).rename(tmp_path / "upload.bin")
    expected = [("phone", "imu"), ("WristMotion", "imu"), ("Orientation", "pose"), ("Location", "gps")]
    assert probe(path) == ("sensor_logger", tuple(Channel(*one) for one in expected))


@pytest.mark.parametrize(
    ("without", "channels"),
    [
        ((), ["phone", "WristMotion", "Orientation", "Location"]),
        (("Gyroscope", "WristMotion"), ["Orientation", "Location"]),
        (("Accelerometer", "Gravity", "AccelerometerUncalibrated", "Location"), ["WristMotion", "Orientation"]),
    ],
)
def test_only_what_was_recorded_is_a_channel(tmp_path: Path, without: tuple[str, ...], channels: list[str]) -> None:
    assert [one.name for one in SENSOR_LOGGER.probe(_export(tmp_path, without=without))] == channels


@pytest.mark.parametrize(("platform", "is_standardised"), VARIANTS)
@pytest.mark.parametrize(
    "without",
    [
        (),
        ("TotalAcceleration",),
        ("TotalAcceleration", "Gravity"),
        ("TotalAcceleration", "Accelerometer", "Gravity"),
    ],
)
def test_every_platform_gives_the_same_specific_force(
    tmp_path: Path, platform: str, is_standardised: bool, without: tuple[str, ...]
) -> None:
    imu = _imu(_export(tmp_path, platform=platform, is_standardised=is_standardised, without=without))
    assert (imu.stream_id, imu.placement) == ("imu_head", "head")
    np.testing.assert_allclose(imu.accel_m_s2, _force(imu.t_device_ns), atol=1e-6)
    np.testing.assert_allclose(imu.gyro_rad_s, _turning(imu.t_device_ns), atol=1e-12)
    assert imu.accel_m_s2[:, 2].min() > 9.8
    assert imu.mag_ut is None


@pytest.mark.parametrize(("platform", "is_standardised"), VARIANTS)
def test_every_watch_gives_the_same_specific_force(tmp_path: Path, platform: str, is_standardised: bool) -> None:
    path = _export(tmp_path, platform=platform, is_standardised=is_standardised)
    imu = _imu(path, WRIST, "WristMotion")
    np.testing.assert_array_equal(imu.t_device_ns, _times(50))
    np.testing.assert_allclose(imu.accel_m_s2, _force(imu.t_device_ns), atol=1e-6)
    np.testing.assert_allclose(imu.gyro_rad_s, _turning(imu.t_device_ns), atol=1e-12)


def test_times_keep_every_nanosecond(tmp_path: Path) -> None:
    t_ns = _imu(_export(tmp_path)).t_device_ns
    assert set(t_ns.tolist()) <= set(_times(100).tolist())
    assert int(t_ns[0]) % 1000 == 789


def test_gyroscope_samples_that_no_acceleration_surrounds_are_left_out_and_counted(tmp_path: Path) -> None:
    # The accelerometer begins 3 ms late, gravity ends 20 ms before the gyroscope's second second does.
    path = _export(tmp_path)
    imu = _imu(path)
    assert imu.t_device_ns[0] == _times(100)[1]
    assert imu.t_device_ns[-1] == _times(50)[-1]
    assert _told(path) == ["2 Gyroscope samples (no samples of the other sensors around them)"]


def test_no_line_is_drawn_across_a_gap(tmp_path: Path) -> None:
    t_ns = _times(80, shift_ms=3)
    keep = (t_ns < START_NS + 500_000_000) | (t_ns > START_NS + 900_000_000)
    imu = _imu(_export(tmp_path, Accelerometer=_zyx(t_ns[keep], -_motion(t_ns[keep]))))
    inside = (imu.t_device_ns > START_NS + 510_000_000) & (imu.t_device_ns < START_NS + 890_000_000)
    assert not inside.any()
    np.testing.assert_allclose(imu.accel_m_s2, _force(imu.t_device_ns), atol=1e-6)


def test_a_magnetometer_that_covers_the_recording_is_put_on_the_gyroscope_s_times(tmp_path: Path) -> None:
    t_ns = _times(25, seconds=2.1)
    imu = _imu(_export(tmp_path, Magnetometer=_zyx(t_ns, _field(t_ns))))
    assert imu.mag_ut is not None
    np.testing.assert_allclose(imu.mag_ut, _field(imu.t_device_ns), atol=1e-6)


def test_a_magnetometer_that_would_cost_gyroscope_samples_is_left_out(tmp_path: Path) -> None:
    t_ns = _times(25, shift_ms=200)
    path = _export(tmp_path, Magnetometer=_zyx(t_ns, _field(t_ns)))
    assert _imu(path).mag_ut is None
    assert len(_imu(path)) == 198
    assert "50 Magnetometer samples (they do not cover the gyroscope's time)" in _told(path)


def test_rows_out_of_order_are_sorted_and_repeated_times_left_out_and_both_are_told(tmp_path: Path) -> None:
    t_ns = _times(100)
    order = np.r_[2, 0, 1, 1, 3 : len(t_ns)]
    path = _export(tmp_path, Gyroscope=_zyx(t_ns[order], _turning(t_ns)[order]))
    imu = _imu(path)
    np.testing.assert_array_equal(imu.t_device_ns, _times(100)[1:199])
    np.testing.assert_allclose(imu.gyro_rad_s, _turning(imu.t_device_ns), atol=1e-12)
    assert _told(path)[:2] == [
        "3 Gyroscope rows out of order (put back in order of time)",
        "1 Gyroscope rows (their time was there before)",
    ]


def test_more_than_a_hundredth_of_rows_out_of_order_is_refused(tmp_path: Path) -> None:
    t_ns = np.roll(_times(100), 5)
    error = _refusal(_export(tmp_path, Gyroscope=_zyx(t_ns, _turning(t_ns))), "195 of 200 rows of Gyroscope are out of")
    assert error.reason is Reason.SENSOR_NOT_MONOTONIC


def test_orientation_is_a_pose_with_w_first(tmp_path: Path) -> None:
    pose = _read(_export(tmp_path), POSE, "").stream
    assert isinstance(pose, PoseStream)
    assert pose.joints == ("phone",)
    assert pose.orientation_wxyz is not None
    np.testing.assert_allclose(pose.orientation_wxyz[7, 0], [-0.5, 0.5, 0.5, 0.5])


def test_fixes_that_the_phone_calls_invalid_are_left_out_and_counted(tmp_path: Path) -> None:
    text = _fixes([5.0, -1.0, 5.0, 5.0, 5.0, 5.0], speeds=[1.0, 1.0, -1.0, 1.0, "", 2.0])
    path = _export(tmp_path, Location=text)
    fixes = _read(path, GPS, "Location").stream
    assert isinstance(fixes, LocationStream)
    np.testing.assert_allclose(fixes.latitude_deg, [12.5, 12.502, 12.503, 12.504, 12.505])
    np.testing.assert_allclose(fixes.speed_m_s, [1.0, np.nan, 1.0, np.nan, 2.0])
    assert _told(path, GPS, "Location") == ["1 Location fixes (the phone marked them as invalid or incomplete)"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"Gyroscope": "a,b\n1,2\n"}, "column 'time' 0 times"),
        ({"Gyroscope": "time,seconds_elapsed,z,y\n1,2,3,4\n"}, "column 'x' 0 times"),
        ({"Gyroscope": "time,seconds_elapsed,z,y,x,x\n1,2,3,4,5,6\n"}, "column 'x' 2 times"),
        ({"Gyroscope": "\xff\n1\n".encode("latin-1")}, "cannot be read as rows of numbers"),
        ({"Gyroscope": ""}, "does not have channel 'phone'"),
        ({"Gyroscope": "time,seconds_elapsed,z,y,x\n"}, "does not have channel 'phone'"),
        ({"Gyroscope": "time,seconds_elapsed,z,y,x\n1.5e18,2,3,4,5\n"}, "cannot be read as rows of numbers"),
        ({"Gyroscope": "time,seconds_elapsed,z,y,x\n1,2,3,4\n"}, "cannot be read as rows of numbers"),
        ({"Gyroscope": "time,seconds_elapsed,z,y,x\n-1,2,3,4,5\n"}, "has times before 1970"),
        ({"Gyroscope": "time,seconds_elapsed,z,y,x\n,2,3,4,5\n"}, "has rows without a time"),
        ({"Gyroscope": "time,seconds_elapsed,z,y,x\n1,2,3,4,5\n"}, "no sample of the gyroscope between samples of Acc"),
        (
            {"Gravity": _zyx(_times(50), _gravity(_times(50))).replace(",0.0\n", ",\n", 1)},
            "accel_m_s2 that is not finite",
        ),
        ({"Metadata": "platform\n"}, "is no export of Sensor Logger"),
        ({"Metadata": "platform\nsymbian\n"}, "is no export of Sensor Logger"),
        ({"Metadata": "\0\n"}, "is no export of Sensor Logger"),
        ({"Metadata": "x" * 100_000}, "holds 'Metadata.csv' of 100000 bytes"),
    ],
)
def test_an_export_that_cannot_be_used_is_refused(
    tmp_path: Path, changed: dict[str, str | bytes], problem: str
) -> None:
    assert _refusal(_export(tmp_path, **changed), problem).reason in {Reason.SENSOR_UNREADABLE, Reason.ARCHIVE_UNSAFE}


def test_a_sensor_that_gave_nothing_is_passed_over_for_the_next_best(tmp_path: Path) -> None:
    path = _export(tmp_path, platform="android", TotalAcceleration="time,seconds_elapsed,z,y,x\n", WristMotion="")
    assert [one.name for one in SENSOR_LOGGER.probe(path)] == ["phone", "Orientation", "Location"]
    imu = _imu(path)
    np.testing.assert_allclose(imu.accel_m_s2, _force(imu.t_device_ns), atol=1e-6)


def test_more_rows_than_a_host_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensor_logger_rows, "MAX_SAMPLES", 199)
    _refusal(_export(tmp_path), "holds 'Gyroscope.csv', which has more than 199 rows")


def test_acceleration_without_gravity_alone_is_refused_with_the_switch_to_set(tmp_path: Path) -> None:
    path = _export(tmp_path, without=("Gravity", "AccelerometerUncalibrated"))
    assert "Switch on the sensor Gravity" in _refusal(path, "has acceleration without gravity only").mend


def test_a_channel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = _export(tmp_path, without=["WristMotion"])
    _refusal(path, "does not have channel 'WristMotion' of kind 'imu'; it has 'phone'", WRIST, "WristMotion")
    _refusal(tmp_path / "gone.zip", "is not there")


def test_refusals_tell_neither_the_owner_nor_a_place(tmp_path: Path) -> None:
    broken = _fixes([5.0] * 3).replace("12.501", "12.501N")
    told = str(_refusal(_export(tmp_path, Location=broken), "cannot be read as rows", GPS, "Location"))
    assert not [word for word in ("Asha", "secret", "Kolkata", "12.50", "77.5") if word in told]


def test_an_archive_of_another_kind_is_not_claimed(tmp_path: Path) -> None:
    assert SENSOR_LOGGER.probe(_export(tmp_path, without=["Metadata"])) == ()
    (tmp_path / "a.csv").write_text("time\n")
    assert SENSOR_LOGGER.probe(tmp_path / "a.csv") == ()
    assert camera_videos(tmp_path / "a.csv") == ()


@pytest.mark.parametrize("wrap", ["", "trip/"])
def test_videos_inside_are_listed_in_order_with_their_start(tmp_path: Path, wrap: str) -> None:
    path = _export(tmp_path, wrap=wrap)
    with zipfile.ZipFile(path, "a") as archive:
        for name in (
            "Camera/1767225605000.mp4",
            "Camera/1767225601000.mp4",
            "Camera/note.mp4",
            "Camera/1767225601.jpg",
        ):
            archive.writestr(wrap + name, b"video")
    assert camera_videos(path) == (
        CameraVideo(f"{wrap}Camera/1767225601000.mp4", 1767225601000),
        CameraVideo(f"{wrap}Camera/1767225605000.mp4", 1767225605000),
    )


def exercise_export(path: Path) -> None:
    SENSOR_LOGGER.probe(path)
    camera_videos(path)
    for stream, channel in ((PHONE, "phone"), (WRIST, "WristMotion"), (POSE, ""), (GPS, "")):
        SENSOR_LOGGER.read(path, stream, channel)


def exercise_rows(path: Path) -> None:
    """Damage that no checksum of the archive sees, as the file was damaged before it was packed."""
    packed = path.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("Gyroscope.csv", path.read_bytes())
        for name, text in _AROUND.items():
            archive.writestr(f"{name}.csv", text)
    SENSOR_LOGGER.read(packed, PHONE)


_AROUND = {
    "Metadata": _metadata("ios", is_standardised=False),
    "AccelerometerUncalibrated": _zyx(_times(80, seconds=0.2), _force(_times(80, seconds=0.2))),
}


def _seeds(folder: Path) -> dict[str, list[Path]]:
    small = _times(100, seconds=0.2)
    (folder / "rows.csv").write_text(_zyx(small, _turning(small)))
    packed = [
        _export(folder, method=method, seconds=0.2).rename(folder / f"{name}.zip")
        for name, method in {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}.items()
    ]
    return {"rows": [folder / "rows.csv"], "export": packed}


@pytest.mark.parametrize(
    ("exercise", "seeds", "count"), [(exercise_export, "export", 2000), (exercise_rows, "rows", 500)]
)
def test_thousands_of_damaged_files_end_in_streams_or_a_refusal(
    tmp_path: Path,
    survive_mutations: Callable[..., dict[str, int]],
    exercise: Callable[[Path], None],
    seeds: str,
    count: int,
) -> None:
    survive_mutations(exercise, _seeds(tmp_path)[seeds], count)


@pytest.mark.fuzz
@pytest.mark.parametrize(("exercise", "seeds"), [(exercise_export, "export"), (exercise_rows, "rows")])
def test_fifty_thousand_damaged_files_end_in_streams_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]], exercise: Callable[[Path], None], seeds: str
) -> None:
    survive_mutations(exercise, _seeds(tmp_path)[seeds], 50_000)
