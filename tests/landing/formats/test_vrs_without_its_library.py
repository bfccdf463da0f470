"""What of the VRS reader does not need the `aria` extra; the rest is in test_aria_vrs."""

from pathlib import Path

import pytest

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats.aria_vrs import VRS
from harchive_dagster.landing.formats.protocol import Channel
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason

IMU = StreamSpec(stream_id="imu_head", placement="head", kind="imu", rate_hz=800.0)


@pytest.fixture
def without_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "projectaria_tools"
    missing.mkdir()
    (missing / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(tmp_path)  # the child process looks where this one does


@pytest.mark.usefixtures("without_library")
@pytest.mark.parametrize("channel", ["", "imu-left"])
def test_a_recording_is_recognised_and_the_refusal_says_how_to_get_the_library(tmp_path, channel):
    path = tmp_path / "recording.bin"
    path.write_bytes(b"VisionRe" + bytes(72))
    assert VRS.probe(path) == (Channel("", "imu", placement="head"),)
    with pytest.raises(LandingError, match=r'pip install "harchive-dagster\[aria\]"') as caught:
        VRS.read(path, IMU, channel)
    assert caught.value.reason is Reason.READER_NOT_INSTALLED


@pytest.mark.parametrize("content", [None, b"", b"Vision", b"RIFF" * 20])
def test_a_file_that_is_no_vrs_is_somebody_else_s(tmp_path, content):
    path = tmp_path / "notes.vrs"
    if content is not None:
        path.write_bytes(content)
    assert VRS.probe(path) == ()
    with pytest.raises(LandingError, match="is no VRS recording"):
        VRS.read(path, IMU)
