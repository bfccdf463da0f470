"""A calibration file becomes the camera's lens, or says what is wrong with it, at every place that meets it."""

import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.cli import cli
from harchive_dagster.demo.session import SessionSpec, make_session
from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.errors import LandingError, SettingsError
from harchive_dagster.landing.calibration import lens_of, read_lens
from harchive_dagster.landing.hashing import sha256_of
from harchive_dagster.landing.intake import take_in
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.landing.manifest_draft import Answers
from harchive_dagster.landing.packing import plan_upload
from harchive_dagster.landing.placing import place_upload
from harchive_dagster.landing.storage import Landing
from harchive_dagster.landing.upload_walk import check_uploads
from harchive_dagster.recording.lens import Lens
from harchive_dagster.worker_day import WorkerDay

NOW = datetime(2026, 3, 3, tzinfo=UTC)
TASKS = frozenset({"fold_laundry"})


def ours(**changes: Any) -> dict[str, Any]:
    """A lens of pictures shaped as the tests' video."""
    document = {"model": "fisheye", "width_px": 1920, "height_px": 1600, "fx_px": 900.0, "fy_px": 901.0}
    document |= {"cx_px": 960.0, "cy_px": 800.5, "distortion": [-0.03, 0.008, -0.012, 0.004]}
    return {key: value for key, value in (document | changes).items() if value is not None}


def gyroflow(**changes: Any) -> dict[str, Any]:
    """A profile as Gyroflow's calibrator writes it."""
    profile: dict[str, Any] = {
        "name": "Cam_Wide_1080p",
        "calib_dimension": {"w": 1920, "h": 1600},
        "orig_dimension": {"w": 1920, "h": 1600},
        "input_horizontal_stretch": 1.0,
        "input_vertical_stretch": 1.0,
        "fisheye_params": {
            "RMS_error": 0.8,
            "camera_matrix": [[900.0, 0.0, 960.0], [0.0, 901.0, 800.5], [0.0, 0.0, 1.0]],
            "distortion_coeffs": [-0.03, 0.008, -0.012, 0.004],
        },
        "distortion_model": None,
        "digital_lens": None,
    }
    return profile | changes


def written(folder: Path, document: object) -> Path:
    path = folder / "lens.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_both_formats_give_the_same_lens(tmp_path):
    expected = Lens("fisheye", 1920, 1600, 900.0, 901.0, 960.0, 800.5, (-0.03, 0.008, -0.012, 0.004))
    assert read_lens(written(tmp_path, ours()), "lens") == expected
    assert read_lens(written(tmp_path, gyroflow()), "gyroflow") == expected


def test_a_gyroflow_profile_of_opencvs_standard_model_is_a_pinhole(tmp_path):
    params = gyroflow()["fisheye_params"] | {"distortion_coeffs": [0.1, -0.2, 0, 0, 0, 0, 0, 0]}
    profile = gyroflow(distortion_model="opencv_standard", fisheye_params=params)
    lens = read_lens(written(tmp_path, profile), "gyroflow")
    assert (lens.model, lens.distortion) == ("pinhole", (0.1, -0.2, 0.0, 0.0, 0.0))


BAD = [
    ("lens", "{", "lens.json is not valid JSON"),
    ("lens", "[]", "holds a JSON list, expected an object"),
    ("lens", ours(model="omni"), "model is 'omni', expected one of fisheye, pinhole"),
    ("lens", ours(fx_px=None), "fx_px is missing, expected a number"),
    ("lens", ours(fx_px="900"), "fx_px is '900', expected a number"),
    ("lens", ours(distortion=[0.1]), "distortion has 1 numbers, fisheye has k1, k2, k3, k4"),
    ("lens", ours(width_px=10**30), "width_px is 1000000000000000000000000000000, expected 1 to 32768"),
    ("lens", ours(skew=0.1), "'skew' is not a known key"),
    ("lens", ours(fx_px=2.0, fy_px=2.0), "focal lengths are 2 and 2"),
    ("kalibr", ours(), "format 'kalibr' is none of gyroflow, lens"),
    ("gyroflow", ours(), "it is no Gyroflow lens profile: KeyError 'calib_dimension'".replace("'c", "\"'c")),
    ("gyroflow", gyroflow(fisheye_params={"camera_matrix": [1, 2]}), "it is no Gyroflow lens profile"),
    ("gyroflow", gyroflow(calib_dimension={"w": 1e300, "h": {}}), "it is no Gyroflow lens profile"),
    ("gyroflow", gyroflow(calib_dimension={"w": 1e300, "h": 10}), "the picture is 1"),
    ("gyroflow", gyroflow(distortion_model="poly5"), "distortion_model 'poly5' is none of opencv_fisheye"),
    ("gyroflow", gyroflow(digital_lens="gopro_superview"), "the camera bent its pictures by 'gopro_superview'"),
    ("gyroflow", gyroflow(input_horizontal_stretch=1.33), "its pictures are stretched"),
]


@pytest.mark.parametrize(("file_format", "document", "words"), BAD)
def test_a_file_that_is_no_lens_is_refused_with_what_is_wrong(tmp_path, file_format, document, words):
    with pytest.raises(LandingError, match=re.escape(words)) as caught:
        read_lens(written(tmp_path, document), file_format)
    assert caught.value.reason == "sensor_unreadable"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "fisheye", "\ud800"])
LISTS = st.lists(SCALARS | st.lists(SCALARS, max_size=3), max_size=4)
OBJECTS = st.fixed_dictionaries({"w": SCALARS, "h": SCALARS, "camera_matrix": LISTS, "distortion_coeffs": LISTS})


@given(st.sampled_from([*ours(), *gyroflow()]), SCALARS | LISTS | OBJECTS, st.sampled_from(["lens", "gyroflow"]))
def test_whatever_a_file_holds_it_is_a_lens_or_refused(tmp_path_factory, key, value, file_format):
    document = (ours if file_format == "lens" else gyroflow)() | {key: value}
    with suppress(LandingError):
        assert isinstance(read_lens(written(tmp_path_factory.getbasetemp(), document), file_format), Lens)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 192 x 160 pixels."""
    folder = tmp_path_factory.mktemp("card") / "session"
    make_session(folder, SessionSpec("ses-1", duration_s=2, width_px=192, height_px=160))
    return folder


def plan(card: Path, landing: Path, calibration: Path | None, **answers: Any):
    said = Answers("worker-01", "consent-worker-01", "fold_laundry", placements=("imu=head",))
    return plan_upload(
        [card / "cap.mp4", card / "imu.csv"],
        replace(said, **answers),
        landing=landing,
        calibration=calibration,
        known_tasks=TASKS,
        max_bytes=10**9,
        timezone="Asia/Kolkata",
        now=NOW,
    )


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    write_consent(tmp_path / "landing", "worker-01", first_day=date(2026, 3, 2))
    return tmp_path / "landing"


@pytest.fixture
def session(card: Path, landing: Path, tmp_path: Path) -> Path:
    """An upload that was packed with a calibration."""
    made = plan(card, landing, written(tmp_path, gyroflow()))
    place_upload(made.folder_in(landing), made.sources, made.manifest)
    return made.folder_in(landing)


def faults(landing: Path) -> list[tuple[str, str]]:
    """What intake, and what `landing check` say: reasons, and sentences."""
    taken = take_in(
        Landing(landing, landing.parent / "annotations"),
        WorkerDay(date(2026, 3, 2), "worker-01"),
        participant_id="p-1",
        known_tasks=TASKS,
        known_sessions={},
        now=NOW,
    )
    (report,) = check_uploads(landing, known_tasks=TASKS, max_bytes=10**9, now=NOW)
    said = [f"{fault.reason.value}: {fault.detail}" for fault in taken.faults.values()]
    assert len(said) == len(report.problems)
    return list(zip(said, report.problems, strict=True))


def redeclare(session: Path, document: object, **changes: Any) -> None:
    """Another calibration, declared as it is."""
    path = written(session, document)
    manifest = json.loads((session / "manifest.json").read_text())
    entry = next(file for file in manifest["files"] if file["role"] == "calibration")
    entry |= {"bytes": path.stat().st_size, "sha256": sha256_of(path), **changes}
    (session / "manifest.json").write_text(json.dumps(manifest))


def test_a_packed_calibration_is_the_sessions_lens(session, landing):
    assert faults(landing) == []
    lens = lens_of(session, read_manifest(session), width_px=192, height_px=160)
    assert lens is not None
    assert (lens.model, lens.fx_px) == ("fisheye", 900.0)


def test_a_session_without_calibration_has_no_lens(card):
    assert lens_of(card, read_manifest_anywhere(card), width_px=192, height_px=160) is None


def read_manifest_anywhere(card: Path):
    place = card.parent / "2026-03-02" / "worker-01" / "ses-1"
    place.mkdir(parents=True, exist_ok=True)
    (place / "manifest.json").write_bytes((card / "manifest.json").read_bytes())
    return read_manifest(place)


@pytest.mark.parametrize(
    ("document", "file_format", "words"),
    [
        (ours(model="omni"), "lens", "sensor_unreadable: calibration 'lens.json' cannot be used: model is 'omni'"),
        (ours(), "kalibr", "sensor_unreadable: calibration 'lens.json' cannot be used: format 'kalibr'"),
        (
            ours(height_px=1080, cy_px=540.0),
            "lens",
            "sensor_implausible: calibration 'lens.json' is of pictures of 1920 x 1080, the video has 192 x 160",
        ),
    ],
)
def test_intake_and_check_say_the_same_of_a_bad_calibration(session, landing, document, file_format, words):
    redeclare(session, document, format=file_format)
    ((fault, problem),) = faults(landing)
    assert fault.startswith(words)
    assert problem.startswith(words)


def test_two_calibrations_of_one_camera_contradict_each_other(session):
    manifest = json.loads((session / "manifest.json").read_text())
    entry = next(file for file in manifest["files"] if file["role"] == "calibration")
    manifest["files"].append(entry | {"path": "other.json"})
    (session / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LandingError, match="2 files are calibrations of the camera, expected at most one"):
        read_manifest(session)


@pytest.mark.parametrize(
    ("document", "answers", "words"),
    [
        ("no", {}, "calibration lens.json is not valid JSON"),
        (ours(model="omni"), {}, "calibration 'lens.json' cannot be used: model is 'omni'"),
        (ours(height_px=1080, cy_px=540.0), {}, "is of pictures of 1920 x 1080, the video has 192 x 160"),
        (ours(), {"clocks": ("imu",)}, "--clock 'imu' is not of the form stream=clock"),
        (ours(), {"clocks": ("wrist=cap",)}, "there is no stream 'wrist'"),
        (ours(), {"clocks": ("imu=Cap Clock",)}, "rig.streams[0].clock is 'Cap Clock'"),
        (ours(), {"readout_ms": 900.0}, "rig.readout_ms is 900.0, expected 0.0 to 200.0"),
        (ours(), {"readout_ms": float("nan")}, "NaN is not a JSON number"),
    ],
)
def test_packing_says_what_is_wrong(card, landing, tmp_path, document, answers, words):
    with pytest.raises(SettingsError, match=re.escape(words)):
        plan(card, landing, written(tmp_path, document), **answers)


def test_packing_refuses_a_calibration_that_is_not_there_or_named_as_another_file(card, landing, tmp_path):
    with pytest.raises(SettingsError, match=r"calibration 'gone\.json' cannot be read: No such file"):
        plan(card, landing, tmp_path / "gone.json")
    same = tmp_path / "imu.csv"
    same.write_text(json.dumps(ours()))
    with pytest.raises(SettingsError, match=r"2 files are named 'imu\.csv'"):
        plan(card, landing, same)


def test_the_command_takes_clock_readout_and_calibration(card, landing, tmp_path):
    said = ["--worker", "worker-01", "--task", "none", "--consent", "consent-worker-01", "--placement", "imu=head"]
    rig = ["--clock", "imu=cap", "--readout-ms", "16.5", "--calibration", str(written(tmp_path, ours()))]
    files = [str(card / "cap.mp4"), str(card / "imu.csv")]
    outcome = CliRunner().invoke(cli, ["pack", *files, *said, *rig, "--landing", str(landing)])
    assert outcome.exit_code == 0, outcome.exception
    (path,) = landing.glob("*/*/*/manifest.json")
    manifest = read_manifest(path.parent)
    assert (manifest.rig.readout_ms, manifest.rig.streams[0].clock) == (16.5, "cap")
    assert manifest.lens_file is not None
    assert (manifest.lens_file.path, manifest.lens_file.format) == ("lens.json", "lens")
