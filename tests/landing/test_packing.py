"""Files and a few answers become an upload that the pipeline takes in."""

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.demo.session import SessionSpec, make_session
from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.errors import SettingsError
from harchive_dagster.labels.task_catalog import load_task_catalog
from harchive_dagster.landing.fields import is_identifier
from harchive_dagster.landing.formats import registry
from harchive_dagster.landing.formats.protocol import Channel, Reading
from harchive_dagster.landing.intake import take_in
from harchive_dagster.landing.manifest import Manifest, read_manifest
from harchive_dagster.landing.manifest_draft import Answers
from harchive_dagster.landing.packing import Plan, plan_upload
from harchive_dagster.landing.placing import place_upload
from harchive_dagster.landing.rig_draft import _slug
from harchive_dagster.landing.storage import Landing
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.worker_day import WorkerDay

NOW = datetime(2026, 3, 3, tzinfo=UTC)
TASKS = load_task_catalog().tasks
ANSWERS = Answers("worker-01", "consent-worker-01", "fold_laundry", placements=("imu=head",))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a cap leaves on its card: cap.mp4, imu.csv, imu.parquet."""
    folder = tmp_path_factory.mktemp("card")
    for imu_format in ("csv", "parquet"):
        made = tmp_path_factory.mktemp("made") / "session"
        spec = SessionSpec("ses-1", duration_s=2, width_px=192, height_px=160, imu_format=imu_format)
        make_session(made, spec)
        for name in ("cap.mp4", f"imu.{imu_format}"):
            shutil.copy(made / name, folder / name)
    return folder


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """A landing folder with the worker's consent."""
    write_consent(tmp_path / "landing", "worker-01", first_day=date(2026, 3, 2))
    return tmp_path / "landing"


def plan(
    files: list[Path], landing: Path, *, timezone: str = "Asia/Kolkata", max_bytes: int = 10**9, **answers: Any
) -> Plan:
    said = replace(ANSWERS, **answers)
    return plan_upload(files, said, landing=landing, known_tasks=TASKS, max_bytes=max_bytes, timezone=timezone, now=NOW)


def packed(files: list[Path], landing: Path, **answers: Any) -> Manifest:
    made = plan(files, landing, **answers)
    place_upload(made.folder_in(landing), made.sources, made.manifest)
    return read_manifest(made.folder_in(landing))


def intake(landing: Path, worker_day: WorkerDay):
    return take_in(
        Landing(landing, landing.parent / "annotations"),
        worker_day,
        participant_id="p-1",
        known_tasks=frozenset(TASKS),
        known_sessions={},
        now=NOW,
    )


def without_tags(source: Path, target: Path, **metadata: str) -> Path:
    """The same pictures in a container that says nothing about when, or what it is told to."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        track = read.streams.video[0]
        out = written.add_stream_from_template(track)
        written.metadata.update(metadata)
        for packet in read.demux(track):
            if packet.dts is not None:
                packet.stream = out
                written.mux(packet)
    return target


@pytest.mark.parametrize("imu", ["imu.csv", "imu.parquet"])
def test_what_was_packed_is_taken_in(recording, landing, imu):
    manifest = packed(
        [recording / "cap.mp4", recording / imu], landing, region="IN-KA", markers=("task_end@1.5", "task_start@0.25")
    )
    assert (manifest.collected_on, manifest.worker_id) == (date(2026, 3, 2), "worker-01")
    assert manifest.site.country == "IN"
    (stream,) = manifest.rig.streams
    assert (stream.stream_id, stream.placement, stream.kind) == ("imu", "head", "imu")
    assert stream.rate_hz == pytest.approx(200, rel=2e-3)
    assert [(marker.kind, marker.at_ns) for marker in manifest.markers] == [
        ("task_start", 250_000_000),
        ("task_end", 1_500_000_000),
    ]
    taken = intake(landing, WorkerDay(manifest.collected_on, manifest.worker_id))
    assert taken.faults == {}
    assert [row["session_id"] for row in taken.rows] == [manifest.session_id]


def test_the_same_files_make_the_same_upload_in_any_order_and_under_any_folder(recording, landing, tmp_path):
    files = [recording / "cap.mp4", recording / "imu.csv"]
    moved = [Path(shutil.copy(file, tmp_path)) for file in files]
    first, second = plan(files, landing), plan(moved[::-1], landing)
    assert (first.session_id, first.manifest) == (second.session_id, second.manifest)
    assert first.session_id.startswith("s20260302t040000z-")
    assert first.session_id != plan([recording / "cap.mp4", recording / "imu.parquet"], landing).session_id


def test_everything_that_is_wrong_is_said_at_once(recording, landing, tmp_path):
    (tmp_path / "notes.txt").write_text("buy milk")
    (tmp_path / "cap.mp4").write_bytes((recording / "cap.mp4").read_bytes()[:100_000])
    with pytest.raises(SettingsError) as caught:
        plan(
            [tmp_path / "cap.mp4", tmp_path / "notes.txt", tmp_path / "gone.csv", recording / "imu.csv"],
            landing,
            worker_id="Worker 1",
            task_id="fold_landry",
            region="KA",
            environment="house",
            session_id="Ses",
            placements=("imu=hat", "wrist=head", "head"),
            without=("glove",),
            markers=("task_start@1", "lunch@2", "step@soon"),
        )
    said = str(caught.value)
    for part in (
        "'cap.mp4'",
        "'notes.txt' is no MP4",
        "'gone.csv' cannot be read: No such file",
        "worker_id is 'Worker 1'",
        "task 'fold_landry' is not in the task catalogue; there is fold_laundry",
        "site.region is 'KA'",
        "site.environment is 'house'",
        "session_id is 'Ses'",
        "rig.streams[0].placement is 'hat'",
        "no stream 'wrist'; the files hold imu",
        "no stream 'glove'",
        "--placement 'head' is not of the form",
        "markers[1].kind is 'lunch'",
        "--marker 'step@soon' is not of the form",
        "task time started at 1000000000 ns is never ended",
    ):
        assert part in said
    assert "\n" not in said
    assert list(landing.iterdir()) == [landing / "consents"]


@pytest.mark.parametrize(
    ("files", "answers", "message"),
    [
        (["imu.csv"], {}, "none of the files is a video"),
        (["cap.mp4", "imu.csv", "imu.parquet"], {"placements": ()}, "where imu, imu_2 is worn is not known"),
        (["cap.mp4", "cap.mp4"], {"placements": ()}, r"2 files are named 'cap\.mp4'; 'cap\.mp4', 'cap\.mp4' are 2 vid"),
        (["cap.mp4", "imu.csv"], {"placements": ()}, "add --placement imu=… .back, chest, head"),
        (["cap.mp4", "imu.csv"], {"started_at": "yesterday"}, "--started-at 'yesterday' is not like"),
        (["cap.mp4", "imu.csv"], {"started_at": "2026-03-02T10:00:00"}, "--started-at '2026-03-02T10:00:00' is not"),
        (["cap.mp4", "imu.csv"], {"collected_on": "2.3.2026"}, "--day '2.3.2026' is not a day"),
        (["cap.mp4", "imu.csv"], {"collected_on": "2026-03-09"}, "7 days from collected_on"),
        (["cap.mp4", "imu.csv"], {"markers": ("step@1e999999",)}, "--marker 'step@1e999999' is not of the form"),
        (["cap.mp4", "imu.csv"], {"markers": ("step@-1",)}, "--marker 'step@-1' is not of the form"),
        (["cap.mp4", "imu.csv"], {"country": "ZZ"}, "its jurisdiction is 'IN', recorded in 'ZZ'"),
        (["cap.mp4", "imu.csv"], {"country": "India"}, r"site\.country is 'India'"),
        (
            ["cap.mp4", "imu.csv"],
            {"consent_id": "A consent"},
            "consent_id is 'A consent'.*is not known: add --country|",
        ),
        (["cap.mp4", "imu.csv"], {"worker_id": "worker-02"}, "given by 'worker-01', the recording is by 'worker-02'"),
        (["cap.mp4", "imu.csv"], {"worker_id": "../../etc"}, r"worker_id is '\.\./\.\./etc'"),
        (["cap.mp4", "imu.csv"], {"max_bytes": 50_000}, "bytes, and one session may have 50000"),
        (["cap.mp4"], {"placements": ()}, "there is no inertial stream"),
        (["cap.mp4", "imu.csv"], {"placements": (), "without": ("imu",)}, "there is no inertial stream"),
        (
            ["cap.mp4", "imu.csv"],
            {"markers": ("private_start@1500", "private_end@2500")},
            r"markers\[0\] \(private_start\) is at 1500\.000 s; .* beyond the video, which lasts 2\.000 s",
        ),
        (["cap.mp4", "imu.csv"], {"task_id": "dance"}, "task 'dance' is not in the task catalogue; there is chop_veg"),
    ],
)
def test_what_cannot_become_an_upload_is_refused(recording, landing, files, answers, message):
    with pytest.raises(SettingsError, match=message):
        plan([recording / name for name in files], landing, **answers)


def test_a_withdrawn_consent_is_refused_and_a_missing_one_is_remarked(recording, landing):
    files = [recording / "cap.mp4", recording / "imu.csv"]
    remarks = plan(files, landing, consent_id="consent-new", country="IN").remarks
    assert any("no consent record 'consent-new'" in remark for remark in remarks)
    path = landing / "consents" / "consent-worker-01.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"withdrawn_at": "2026-03-01T00:00:00Z"}))
    with pytest.raises(SettingsError, match="consent 'consent-worker-01' was withdrawn"):
        plan(files, landing)


def test_a_serial_number_is_in_the_manifest_and_in_no_sentence(recording, landing):
    files = [recording / "cap.mp4", recording / "imu.csv"]
    made = plan(files, landing, serial="SN-SECRET")
    assert b"SN-SECRET" in made.manifest
    assert "SN-SECRET" not in " ".join(made.remarks)
    with pytest.raises(SettingsError, match=r"rig\.serial is wrong, which cannot be stored as text") as caught:
        plan(files, landing, serial="SN-SECRET\0")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "answers", "timezone", "started_at", "day"),
    [
        ("2026-03-01T20:30:00Z", {}, "Asia/Kolkata", "2026-03-02T02:00:00+05:30", date(2026, 3, 2)),
        ("2026-03-01T20:30:00Z", {}, "UTC", "2026-03-01T20:30:00+00:00", date(2026, 3, 1)),
        ("2026-03-01T20:30:00Z", {"collected_on": "2026-03-01"}, "Asia/Kolkata", None, date(2026, 3, 1)),
        ("2026-03-01T20:30:00Z", {"started_at": "2026-03-02T23:00:00-03:00"}, "Asia/Kolkata", None, date(2026, 3, 2)),
        (None, {"started_at": "2026-03-02T10:00:00+05:30"}, "UTC", "2026-03-02T10:00:00+05:30", date(2026, 3, 2)),
    ],
)
def test_the_day_is_the_local_one(recording, landing, tmp_path, metadata, answers, timezone, started_at, day):
    video = without_tags(
        recording / "cap.mp4", tmp_path / "cap.mp4", **({"creation_time": metadata} if metadata else {})
    )
    made = plan([video, recording / "imu.csv"], landing, timezone=timezone, **answers)
    document = json.loads(made.manifest)
    assert made.worker_day.collected_on == day
    assert started_at in (None, document["started_at"])
    assert any("creation_time" in remark for remark in made.remarks) is ("started_at" not in answers)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "not in the video: add --started-at"),
        ({"creation_time": "soon"}, "not in the video: add --started-at"),
        ({"creation_time": "1904-01-01T00:00:01Z"}, r"1904-01-01T00:00:01\+00:00 is not of a clock that was set"),
        ({"creation_time": "2099-01-01T00:00:00Z"}, r"2099-01-01T00:00:00\+00:00 is not of a clock that was set"),
    ],
)
def test_a_video_of_a_camera_without_a_clock_needs_a_start(recording, landing, tmp_path, metadata, message):
    video = without_tags(recording / "cap.mp4", tmp_path / "cap.mkv", **metadata)
    with pytest.raises(SettingsError, match=message):
        plan([video, recording / "imu.csv"], landing)
    packed([video, recording / "imu.csv"], landing, started_at="2026-03-02T10:00:00+05:30")


def test_a_video_that_lies_in_the_worker_day_already_is_refused_under_another_id(recording, landing):
    files = [recording / "cap.mp4", recording / "imu.csv"]
    packed(files, landing, session_id="s-one")
    (landing / "2026-03-02" / "worker-01" / "s-broken").mkdir()
    (landing / "2026-03-02" / "worker-01" / "s-broken" / "manifest.json").write_text("{")
    assert plan(files, landing, session_id="s-one").session_id == "s-one"
    with pytest.raises(SettingsError, match=r"session 's-one' of 2026-03-02\|worker-01 has the same video already"):
        plan(files, landing, session_id="s-two")


def test_a_session_that_lies_in_another_worker_day_is_refused(recording, landing):
    files = [recording / "cap.mp4", recording / "imu.csv"]
    packed(files, landing)
    with pytest.raises(SettingsError, match=r"lies in 2026-03-02\|worker-01 already"):
        plan(files, landing, collected_on="2026-03-03")


@pytest.mark.parametrize("name", ["cap.mp4", "imu.csv"])
def test_a_pipe_in_place_of_a_file_is_refused_rather_than_waited_for(recording, landing, tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(SettingsError, match="is not a regular file"):
        plan([tmp_path / name, recording / "imu.csv"], landing)


class Telemetry:
    """Finds three streams in every MP4, of which one says its rate and one where it is worn."""

    name = "telemetry"

    def probe(self, path: Path) -> tuple[Channel, ...]:
        if path.suffix != ".mp4":
            return ()
        return (
            Channel("imu", "imu"),
            Channel("Körper", "pose", 30.0, "chest"),
            Channel("imu", "pose"),
        )

    def read(self, _path, stream, _channel=""):
        t_device_ns = np.arange(50, dtype=np.int64) * 8_000_000
        if stream.kind == "pose":
            identity = np.tile([1.0, 0.0, 0.0, 0.0], (50, 1, 1))
            return Reading(PoseStream(stream.stream_id, stream.placement, t_device_ns, ("head",), None, identity))
        accel = np.tile([0.0, 0.0, 9.81], (50, 1))
        return Reading(ImuStream(stream.stream_id, stream.placement, t_device_ns, accel, np.zeros((50, 3))))


def test_a_video_with_telemetry_is_declared_once_for_each(recording, landing, monkeypatch):
    monkeypatch.setattr(registry, "READERS", (Telemetry(), *registry.READERS))
    manifest = packed([recording / "cap.mp4", recording / "imu.csv"], landing, placements=("imu=left_wrist",))
    assert {(file.path, file.role, file.format, file.channel, file.stream_id) for file in manifest.files} == {
        ("cap.mp4", "video", "mp4", "", None),
        ("cap.mp4", "sensor", "telemetry", "imu", "cap_imu"),
        ("cap.mp4", "sensor", "telemetry", "imu", "cap_imu_2"),
        ("cap.mp4", "sensor", "telemetry", "Körper", "k_rper"),
        ("imu.csv", "sensor", "csv", "", "imu"),
    }
    assert {stream.stream_id: (stream.placement, stream.kind, stream.rate_hz) for stream in manifest.rig.streams} == {
        "cap_imu": ("head", "imu", 125.0),
        "cap_imu_2": ("head", "pose", 125.0),
        "k_rper": ("chest", "pose", 30.0),
        "imu": ("left_wrist", "imu", pytest.approx(200, rel=2e-3)),
    }


def test_two_streams_of_a_kind_at_one_place_are_refused_unless_one_is_left_out(recording, landing, monkeypatch):
    monkeypatch.setattr(registry, "READERS", (Telemetry(), *registry.READERS))
    files = [recording / "cap.mp4", recording / "imu.csv"]
    with pytest.raises(SettingsError, match="cap_imu, imu are imu at 'head': leave some out by --without"):
        plan(files, landing)
    manifest = packed(files, landing, without=("cap_imu", "k_rper"))
    assert [stream.stream_id for stream in manifest.rig.streams] == ["cap_imu_2", "imu"]


def test_a_file_of_which_nothing_is_declared_is_not_packed(recording, landing, tmp_path):
    other = Path(shutil.copy(recording / "imu.csv", tmp_path / "spare.csv"))
    files = [recording / "cap.mp4", recording / "imu.csv"]
    made = plan([*files, other], landing, without=("spare",))
    assert made.manifest == plan(files, landing).manifest
    assert [source.name for source in made.sources] == ["cap.mp4", "imu.csv"]


def test_a_video_of_distances_is_not_the_caps(recording, landing, monkeypatch):
    class Distances(Telemetry):
        def probe(self, path):
            return (Channel("", "depth", 30.0),) if path.suffix == ".mp4" else ()

    monkeypatch.setattr(registry, "READERS", (Distances(), *registry.READERS))
    with pytest.raises(SettingsError, match="none of the files is a video"):
        plan([recording / "cap.mp4", recording / "imu.csv"], landing)


def test_a_stream_that_cannot_be_read_is_refused_when_its_rate_is_asked_for(recording, landing, tmp_path):
    lines = (recording / "imu.csv").read_text().splitlines()
    (tmp_path / "imu.csv").write_text("\n".join([*lines[:50], lines[10], *lines[50:]]))
    with pytest.raises(SettingsError, match="'imu': device time goes back"):
        plan([recording / "cap.mp4", tmp_path / "imu.csv"], landing)


@given(text=st.text(max_size=100))
def test_every_name_gives_an_identifier(text):
    assert is_identifier(_slug(text))


@pytest.mark.realdata
def test_a_real_recording_with_telemetry_is_packed_and_taken_in(realdata, landing):
    manifest = packed(
        [realdata / "gopro_max_walk.mp4"],
        landing,
        placements=(),
        collected_on="2019-11-18",
        task_id=None,
        consent_id="consent-2019",
        country="IN",
    )
    kinds = {stream.kind: stream for stream in manifest.rig.streams}
    assert set(kinds) == {"imu", "pose", "gps"}
    assert kinds["imu"].rate_hz == pytest.approx(197.5, abs=1)
    assert {file.role for file in manifest.files} == {"video", "sensor"}
    assert {file.path for file in manifest.files} == {"gopro_max_walk.mp4"}
    write_consent(landing, "worker-01", first_day=date(2019, 11, 18), consent_id="consent-2019")
    taken = intake(landing, WorkerDay(manifest.collected_on, manifest.worker_id))
    assert taken.faults == {}
    assert [row["frame_count"] for row in taken.rows] == [315]
