import hashlib
import json
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from harchive_dagster.demo.breakage import EXPECTED_REASON, Breakage
from harchive_dagster.demo.motion import Phase, PhaseKind
from harchive_dagster.demo.sensors import SensorErrors
from harchive_dagster.demo.session import SessionSpec, folder_of, make_session, motion_of
from harchive_dagster.demo.truth import SessionTruth
from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.integrity import verify_files
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.landing.streams import read_streams
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream

VIDEO = "cap.mp4"


def spec(**overrides: Any) -> SessionSpec:
    settings: dict[str, Any] = {"session_id": "s-tiny", "duration_s": 2.0, "width_px": 320, "height_px": 240}
    return SessionSpec(**(settings | overrides))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SessionTruth]:
    folder = folder_of(tmp_path_factory.mktemp("landing"), spec())
    return folder, make_session(folder, spec())


def broken(landing: Path, kind: Breakage) -> Path:
    wanted = spec(broken=kind, duration_s=1.0)
    make_session(folder_of(landing, wanted), wanted)
    return folder_of(landing, wanted)


def decoded(video: Path) -> list[np.ndarray]:
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def test_the_landing_accepts_a_good_session(made: tuple[Path, SessionTruth]) -> None:
    folder, truth = made
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    ((imu, declared, _),) = read_streams(folder, manifest, ImuStream)
    assert declared.stream_id == imu.stream_id == truth.stream_id
    assert imu.rate_hz == pytest.approx(200.0, rel=0.02)
    assert list(map(asdict, manifest.markers)) == list(map(asdict, truth.markers))


def test_the_clip_is_what_was_asked_for(made: tuple[Path, SessionTruth]) -> None:
    folder, truth = made
    with av.open(str(folder / VIDEO)) as container:
        video = container.streams.video[0]
        frames = list(container.decode(video))
    assert (video.width, video.height, video.codec_context.name) == (320, 240, "h264")
    assert len(frames) == truth.frame_count == 60
    assert [float(frame.time) for frame in frames] == pytest.approx([i / 30 for i in range(60)], abs=1e-4)
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 30]


def test_the_clip_carries_what_the_anonymiser_must_remove(made: tuple[Path, SessionTruth]) -> None:
    folder, _ = made
    with av.open(str(folder / VIDEO)) as container:
        tags = dict(container.metadata)
        (sound,) = container.streams.audio
        loudest = max(float(np.abs(frame.to_ndarray()).max()) for frame in container.decode(sound))
    assert tags["location"] == "+12.9716+077.5946/"
    assert tags["creation_time"].startswith("2026-03-02T")
    assert tags["serial_number"] == spec().serial
    assert 0.005 < loudest < 0.1


def test_nothing_of_the_truth_lies_in_the_upload(made: tuple[Path, SessionTruth]) -> None:
    folder, truth = made
    assert sorted(path.name for path in folder.iterdir()) == [VIDEO, "imu.csv", "manifest.json"]
    assert str(truth.offset_ns) not in (folder / "manifest.json").read_text()


def test_nothing_temporary_is_left_beside_the_session(made: tuple[Path, SessionTruth]) -> None:
    folder, _ = made
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_same_recipe_gives_the_same_bytes(made: tuple[Path, SessionTruth], tmp_path: Path) -> None:
    folder, truth = made
    again = folder_of(tmp_path, spec())
    assert make_session(again, spec()) == truth
    for path in folder.iterdir():
        assert hashlib.sha256((again / path.name).read_bytes()).digest() == hashlib.sha256(path.read_bytes()).digest()


def test_a_session_made_again_replaces_the_old_one(tmp_path: Path) -> None:
    short = spec(duration_s=0.5, has_face=False)
    folder = folder_of(tmp_path, short)
    make_session(folder, short)
    (folder / "stray.txt").write_text("left over")
    truth = make_session(folder, replace(short, imu_format="parquet"))
    assert sorted(path.name for path in folder.iterdir()) == [VIDEO, "imu.parquet", "manifest.json"]
    assert truth.faces == ()


def test_overrides_reach_the_truth(tmp_path: Path) -> None:
    mount = (0.5, 0.5, 0.5, 0.5)
    still = (Phase(PhaseKind.STILL, 0.0, 0.5),)
    wanted = spec(duration_s=0.5, offset_ns=-123, drift_ppm=4.5, camera_from_sensor=mount, phases=still, task_id=None)
    truth = make_session(tmp_path / wanted.session_id, wanted)
    assert (truth.offset_ns, truth.drift_ppm, truth.camera_from_sensor) == (-123, 4.5, mount)
    assert not truth.has_motion
    assert truth.markers == ()


def test_the_sensor_file_holds_the_motion_of_the_pictures(tmp_path: Path) -> None:
    wanted = spec(duration_s=0.5, errors=SensorErrors.none(), camera_from_sensor=(1.0, 0.0, 0.0, 0.0))
    folder = folder_of(tmp_path, wanted)
    truth = make_session(folder, wanted)
    ((imu, _, _),) = read_streams(folder, read_manifest(folder), ImuStream)
    t_s = ((1 + truth.drift_ppm * 1e-6) * imu.t_device_ns + truth.offset_ns) / 1e9
    motion = motion_of(wanted)
    np.testing.assert_allclose(imu.gyro_rad_s, motion.at(motion.gyro_rad_s, t_s), atol=1e-4)


def test_private_time_is_marked_as_a_pair(tmp_path: Path) -> None:
    wanted = spec(duration_s=1.0, has_private=True)
    folder = folder_of(tmp_path, wanted)
    make_session(folder, wanted)
    kinds = [marker.kind for marker in read_manifest(folder).markers]
    assert kinds.index("private_start") < kinds.index("private_end")


def test_a_truncated_video_opens_and_promises_frames_that_are_not_there(tmp_path: Path) -> None:
    folder = broken(tmp_path, Breakage.TRUNCATED_VIDEO)
    verify_files(folder, read_manifest(folder))
    with av.open(str(folder / VIDEO)) as container:
        promised = container.streams.video[0].frames
        sizes = [packet.size for packet in container.demux(video=0)]
    assert promised == 30
    assert 0 < sum(size > 0 for size in sizes) < 30
    with pytest.raises(av.error.InvalidDataError):
        decoded(folder / VIDEO)


def test_a_wrong_checksum_is_found_by_its_hash_alone(tmp_path: Path) -> None:
    folder = broken(tmp_path, Breakage.WRONG_CHECKSUM)
    declared = json.loads((folder / "manifest.json").read_text())["files"][0]
    assert (folder / VIDEO).stat().st_size == declared["bytes"]
    with pytest.raises(Exception, match="SHA-256") as caught:
        verify_files(folder, read_manifest(folder))
    assert caught.value.reason is Reason.CHECKSUM_MISMATCH


def test_time_that_goes_back_is_hashed_as_it_is(tmp_path: Path) -> None:
    folder = broken(tmp_path, Breakage.TIME_GOES_BACK)
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    with pytest.raises(Exception, match="device time goes back") as caught:
        list(read_streams(folder, manifest, ImuStream))
    assert caught.value.reason is Reason.SENSOR_NOT_MONOTONIC


def test_a_missing_consent_names_a_record_that_is_never_written(tmp_path: Path) -> None:
    folder = broken(tmp_path, Breakage.MISSING_CONSENT)
    assert read_manifest(folder).consent_id == "consent-worker-01-lost"


def test_a_covered_lens_shows_nothing(tmp_path: Path) -> None:
    frames = decoded(broken(tmp_path, Breakage.COVERED_LENS) / VIDEO)
    assert max(frame.mean() for frame in frames) < 40
    assert max(frame.std() for frame in frames) < 10


def test_a_foreign_imu_does_not_follow_the_pictures(tmp_path: Path) -> None:
    still_sensor = {"errors": SensorErrors.none(), "camera_from_sensor": (1.0, 0.0, 0.0, 0.0), "duration_s": 4.0}
    wanted = spec(broken=Breakage.FOREIGN_IMU, width_px=64, height_px=48, **still_sensor)
    folder = folder_of(tmp_path, wanted)
    truth = make_session(folder, wanted)
    ((imu, _, _),) = read_streams(folder, read_manifest(folder), ImuStream)
    t_s = ((1 + truth.drift_ppm * 1e-6) * imu.t_device_ns + truth.offset_ns) / 1e9
    own = motion_of(wanted).at(motion_of(wanted).gyro_rad_s, t_s)
    assert abs(np.corrcoef(imu.gyro_rad_s[:, 1], own[:, 1])[0, 1]) < 0.8


@pytest.mark.parametrize("kind", list(Breakage))
def test_every_kind_of_breakage_has_its_reason(kind: Breakage) -> None:
    assert isinstance(EXPECTED_REASON[kind], Reason)


def test_the_recipe_is_told_apart_by_every_setting() -> None:
    variants = [spec(), spec(seed=8), spec(fps=25), spec(broken=Breakage.COVERED_LENS), spec(offset_ns=1)]
    assert len({variant.recipe_sha256 for variant in variants}) == len(variants)
    assert spec().recipe_sha256 == spec().recipe_sha256


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"width_px": 321}, "width_px 321"),
        ({"height_px": 0}, "height_px 0"),
        ({"fps": 0}, "fps 0"),
        ({"duration_s": 0.01}, "fewer than two frames"),
        ({"imu_format": "xlsx"}, "imu_format 'xlsx'"),
        ({"imu_format": "parquet", "broken": Breakage.TIME_GOES_BACK}, "only be written as csv"),
        ({"worker_id": "../up"}, "worker id"),
    ],
)
def test_recipes_that_cannot_be_made_are_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        spec(**overrides)


def test_a_session_lies_below_its_day_and_worker(tmp_path: Path) -> None:
    wanted = spec(collected_on=date(2026, 4, 1), worker_id="worker-09")
    assert folder_of(tmp_path, wanted) == tmp_path / "2026-04-01" / "worker-09" / "s-tiny"
