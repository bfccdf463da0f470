import copy
import hashlib
import json
import os
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.fields import INT64_MAX
from harchive_dagster.landing.manifest import PLACEMENTS, Marker, marked_intervals_ns, read_manifest
from harchive_dagster.reasons import Reason

Document = dict[str, Any]
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _set(document: Document, path: str, value: Any) -> Document:
    *parents, last = path.split(".")
    place: Any = document
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[int(last) if last.isdigit() else last] = value
    return document


def _without(document: Document, path: str) -> Document:
    *parents, last = path.split(".")
    place: Any = document
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    del place[last]
    return document


def _refusal(folder: Path, content: str | bytes) -> LandingError:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    (folder / "manifest.json").write_bytes(raw)
    with pytest.raises(LandingError) as caught:
        read_manifest(folder)
    assert caught.value.reason is Reason.MANIFEST_INVALID
    return caught.value


def test_a_valid_manifest_is_read_in_full(session_folder: Path) -> None:
    manifest = read_manifest(session_folder)

    assert manifest.session_id == "ses-001"
    assert manifest.collected_on == date(2026, 3, 14)
    assert manifest.started_at.utcoffset() == timedelta(hours=5, minutes=30)
    assert manifest.video_file.path == "cap.mp4"
    assert [file.path for file in manifest.sensor_files] == ["imu.csv"]
    assert manifest.stream_of(manifest.sensor_files[0]).placement == "head"
    assert manifest.private_intervals_ns == ((2_000_000_000, 3_000_000_000),)
    assert manifest.task_intervals_ns == ((1_000_000_000, 9_000_000_000),)
    assert manifest.sha256 == hashlib.sha256((session_folder / "manifest.json").read_bytes()).hexdigest()


def test_a_manifest_is_read_through_a_relative_path(session_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(session_folder)
    assert read_manifest(Path()).worker_id == "worker-7"


@pytest.mark.parametrize("path", ["site.region", "rig.streams.0.clock", "markers.3.note"])
def test_optional_fields_may_be_absent_or_null(
    session_folder: Path, manifest_json: Callable[..., Document], path: str
) -> None:
    for document in (_without(_set(manifest_json(), path, None), path), _set(manifest_json(), path, None)):
        (session_folder / "manifest.json").write_text(json.dumps(document))
        assert read_manifest(session_folder).session_id == "ses-001"


def test_a_free_recording_has_no_task(session_folder: Path, manifest_json: Callable[..., Document]) -> None:
    document = manifest_json(task_id=None, worker_attributes={"handedness": "left", "height_cm": 162})
    (session_folder / "manifest.json").write_text(json.dumps(document))

    manifest = read_manifest(session_folder)

    assert manifest.task_id is None
    assert manifest.worker_attributes.handedness == "left"
    assert manifest.worker_attributes.height_cm == 162.0
    assert manifest.worker_attributes.age_band is None


def test_a_file_that_holds_several_streams_is_declared_once_for_each(
    session_folder: Path, manifest_json: Callable[..., Document]
) -> None:
    document = manifest_json()
    video, imu = document["files"]
    worn = {"stream_id": "imu_wrist", "placement": "right_wrist", "kind": "imu", "rate_hz": 100}
    document["rig"]["streams"].append(worn)
    telemetry = video | {"role": "sensor", "format": "gpmf", "stream_id": "imu_wrist", "channel": "imu"}
    (session_folder / "manifest.json").write_text(json.dumps(document | {"files": [video, imu, telemetry]}))
    manifest = read_manifest(session_folder)
    assert [(file.path, file.channel) for file in manifest.sensor_files] == [("imu.csv", ""), ("cap.mp4", "imu")]
    assert manifest.video_file.format == "mp4"


def test_a_file_is_not_declared_twice_for_the_same_thing(
    session_folder: Path, manifest_json: Callable[..., Document]
) -> None:
    document = manifest_json()
    (session_folder / "manifest.json").write_text(json.dumps(document | {"files": [*document["files"]] * 2}))
    with pytest.raises(LandingError, match="more than once for the same thing"):
        read_manifest(session_folder)


STREAMS = {
    "imu_head": ("imu.csv", "imu", "cap"),
    "pose_cap": ("pose.csv", "pose", "cap"),
    "touch_glove": ("glove.bin", "tactile", None),
    "pose_glove": ("glove.bin", "pose", None),
    "depth_alone": ("depth.zip", "depth", None),
    "gps_phone": ("glove.bin", "gps", "phone"),
    "imu_phone": ("phone.zip", "imu", "phone"),
    "audio_unrecorded": (None, "audio", None),
    "gps_unrecorded": (None, "gps", None),
}
"""File, kind and clock of each stream."""


@pytest.mark.parametrize(
    ("stream_id", "others"),
    [
        ("pose_cap", ("imu_head",)),
        ("touch_glove", ("gps_phone", "pose_glove")),
        ("depth_alone", ()),
        ("gps_phone", ("imu_phone", "pose_glove", "touch_glove")),
        ("imu_phone", ("gps_phone",)),
        ("audio_unrecorded", ()),
    ],
)
def test_streams_share_a_clock_by_its_name_or_by_lying_in_one_file(
    session_folder: Path, manifest_json: Callable[..., Document], stream_id: str, others: tuple[str, ...]
) -> None:
    document = manifest_json()
    places = iter(sorted(PLACEMENTS))
    document["rig"]["streams"] = [
        {"stream_id": name, "placement": next(places), "kind": kind, "rate_hz": 60.0, "clock": clock}
        for name, (_, kind, clock) in STREAMS.items()
    ]
    video, sensor = document["files"]
    document["files"] = [video] + [
        sensor | {"path": path, "stream_id": name} for name, (path, _, _) in STREAMS.items() if path
    ]
    (session_folder / "manifest.json").write_text(json.dumps(document))
    manifest = read_manifest(session_folder)
    assert manifest.sharing_clock_with(stream_id) == others
    named = {name for name, (_, _, clock) in STREAMS.items() if clock and clock == STREAMS[stream_id][2]}
    assert set(manifest.sharing_clock_with(stream_id, is_one_per_file=False)) == named - {stream_id}


@pytest.mark.parametrize("kind", ["pose", "tactile", "depth"])
def test_two_streams_of_a_published_kind_are_not_worn_at_one_place(
    session_folder: Path, manifest_json: Callable[..., Document], kind: str
) -> None:
    document = manifest_json()
    twin = {"placement": "left_hand", "kind": kind, "rate_hz": 60.0}
    document["rig"]["streams"] += [twin | {"stream_id": "one"}, twin | {"stream_id": "two"}]
    assert f"two {kind} streams are worn at 'left_hand'" in _refusal(session_folder, json.dumps(document)).detail


def _with_sensors(document: Document, kinds: str, *files: tuple[str, str]) -> Document:
    """One stream of each kind, with one file each, given as path and channel."""
    places = iter(sorted(PLACEMENTS))
    document["rig"]["streams"] = [
        {"stream_id": f"stream_{number}", "placement": next(places), "kind": kind, "rate_hz": 60.0}
        for number, kind in enumerate(kinds.split())
    ]
    video, sensor = document["files"]
    document["files"] = [video] + [
        sensor | {"path": path, "stream_id": f"stream_{number}", "channel": channel or None}
        for number, (path, channel) in enumerate(files)
    ]
    return document


@pytest.mark.parametrize(
    ("kinds", "files", "problem"),
    [
        (
            "imu pose pose",
            [("imu.csv", ""), ("rig.mcap", "/head"), ("rig.mcap", "/head")],
            "channel '/head' of file 'rig.mcap' is declared for two streams of kind 'pose'",
        ),
        ("imu imu", [("a.csv", ""), ("a.csv", "")], "'a.csv' holds 2 streams of kind 'imu', and not each names its"),
        ("imu imu", [("a.csv", ""), ("a.csv", "b")], "'a.csv' holds 2 streams of kind 'imu', and not each names its"),
        ("imu imu", [("a.csv", "a"), ("a.csv", "b")], None),
        ("imu pose", [("a.csv", "a"), ("a.csv", "a")], None),
        ("imu pose", [("a.csv", ""), ("a.csv", "")], None),
        ("imu imu", [("a.csv", "a"), ("b.csv", "a")], None),
    ],
)
def test_one_channel_is_not_two_streams_of_a_kind(
    session_folder: Path,
    manifest_json: Callable[..., Document],
    kinds: str,
    files: list[tuple[str, str]],
    problem: str | None,
) -> None:
    content = json.dumps(_with_sensors(manifest_json(), kinds, *files))
    if problem:
        assert problem in _refusal(session_folder, content).detail
    else:
        (session_folder / "manifest.json").write_text(content)
        assert len(read_manifest(session_folder).sensor_files) == len(files)


SECRETS: list[tuple[str, Any]] = [
    ("site", "SECRET street"),
    ("rig", ["SECRET"]),
    ("rig.serial", 53414352455),
    ("rig.serial", ["SECRET"]),
    ("rig.serial", "SECRET\0"),
    ("markers", {"SECRET": 1}),
    ("markers.0", "SECRET"),
    ("markers.3.note", ["SECRET"]),
    ("markers.3.note", "SECRET\ud800"),
    ("worker_attributes", "SECRET"),
    ("worker_attributes", {"height_cm": "171 cm, SECRET"}),
    ("worker_attributes", {"height_cm": 53414352455}),
    ("worker_attributes", {"handedness": "SECRET"}),
    ("worker_attributes", {"age_band": ["SECRET"]}),
    ("worker_attributes", {"experience": {"SECRET": 1}}),
]


@pytest.mark.parametrize(("path", "value"), SECRETS)
def test_what_is_private_is_named_and_never_repeated(
    session_folder: Path, manifest_json: Callable[..., Document], path: str, value: Any
) -> None:
    error = _refusal(session_folder, json.dumps(_set(copy.deepcopy(manifest_json()), path, value)))
    assert " is wrong, " in error.detail
    assert not [said for said in (str(error), json.dumps(error.evidence)) if "SECRET" in said or "534143" in said]


HEAD = {"stream_id": "imu_head", "placement": "head", "kind": "imu", "rate_hz": 200.0}

BAD_VALUES = [
    ("manifest_version", 2, "manifest_version is 2"),
    ("manifest_version", True, "manifest_version is True"),
    ("session_id", "../ses", "session_id is '../ses'"),
    ("session_id", "ses-002", "session_id is 'ses-002', the folder says 'ses-001'"),
    ("worker_id", "worker-8", "worker_id is 'worker-8', the folder says 'worker-7'"),
    ("worker_id", 7, "worker_id is 7, expected a text"),
    ("collected_on", "2026-03-15", "collected_on is '2026-03-15', the folder says '2026-03-14'"),
    ("collected_on", "20260314", "collected_on is '20260314'"),
    ("collected_on", "2026-02-30", "collected_on is '2026-02-30'"),
    ("started_at", "2026-03-14T09:30:00", "started_at is"),
    ("started_at", "2026-03-14 09:30:00+05:30", "started_at is"),
    ("started_at", "0001-01-01T00:00:00+05:30", "started_at is"),
    ("started_at", "2026-03-17T09:30:00Z", "3 days from collected_on"),
    ("consent_id", "../../etc/passwd", "consent_id is"),
    ("task_id", "", "task_id is empty"),
    ("site.country", "india", "site.country is 'india'"),
    ("site.region", "US-CA", "not in country 'IN'"),
    ("site.environment", "moon", "site.environment is 'moon'"),
    ("rig.streams.0.rate_hz", 0, "rate_hz is 0"),
    ("rig.streams.0.rate_hz", 10**400, "rate_hz is 1000"),
    ("rig.streams.0.kind", "radar", "kind is 'radar'"),
    ("rig.streams.0.clock", "the one in the cap", "clock is 'the one in the cap'"),
    ("rig.readout_ms", -1, "readout_ms is -1"),
    ("rig.readout_ms", 201, "readout_ms is 201"),
    ("rig.readout_ms", "fast", "readout_ms is"),
    ("rig.streams", [HEAD, HEAD | {"stream_id": "imu_cap"}], "two imu streams are worn at 'head'"),
    ("rig.streams", [HEAD, HEAD | {"placement": "chest"}], "declares stream 'imu_head' more than once"),
    (
        "rig.streams",
        [HEAD, HEAD | {"stream_id": "glove", "placement": "left_hand"}],
        "'glove' is of kind 'imu' and",
    ),
    ("files", [], "files has 0 entries"),
    ("files.0", "cap.mp4", r"files\[0\] is 'cap.mp4', expected an object"),
    ("files.0.role", "sensor", "must name its stream"),
    ("files.1.role", "video", "2 files have the role video"),
    ("files.1.stream_id", "imu_left", "which the rig does not declare"),
    ("files.1.path", "cap.mp4", "file 'cap.mp4' is declared more than once, with different"),
    ("files.0.path", "../ses-002/cap.mp4", "leads out of the session's folder"),
    ("files.0.path", "/etc/passwd", "leads out of the session's folder"),
    ("files.0.path", "a/./cap.mp4", "expected a plain relative path"),
    ("files.0.path", "a\\cap.mp4", "expected a plain relative path"),
    ("files.0.path", "cap\u0000.mp4", "cannot be stored as text"),
    ("files.0.path", "cap\n.mp4", "expected a plain relative path"),
    ("files.0.path", "manifest.json", "cannot be one of the declared files"),
    ("files.0.path", f"raw/{'ä' * 150}.mp4", r"files\[0\]\.path has a name of 304 bytes, at most 255 can be stored"),
    ("files.0.path", ".", "cannot be one of the declared files"),
    ("files.0.bytes", -1, "bytes is -1"),
    ("files.0.bytes", 1.5, "bytes is 1.5"),
    ("files.0.sha256", "abc", "sha256 is 'abc'"),
    ("markers", {}, "markers is wrong, expected a list"),
    ("markers.0.at_ns", 2**63, "at_ns is 9223372036854775808"),
    ("markers.0.at_ns", 5_000_000_000, "markers are not sorted"),
    ("markers.0.kind", "private_start", "was already started"),
    ("markers.1.kind", "step", "ends private time that was never started"),
    ("markers.4.kind", "step", "task time started at 1000000000 ns is never ended"),
    ("markers.2.at_ns", 2_000_000_000, "not after its start"),
    ("markers.3.note", "\ud800", "cannot be stored as text"),
    ("worker_attributes", {"height_cm": 1.7}, "height_cm is wrong, expected 50 to 260"),
    ("worker_attributes", {"name": "Asha"}, "'name' is not a known key"),
    ("makers", [], "'makers' is not a known key"),
]


@pytest.mark.parametrize(("path", "value", "problem"), BAD_VALUES)
def test_a_wrong_value_is_named(
    session_folder: Path, manifest_json: Callable[..., Document], path: str, value: Any, problem: str
) -> None:
    document = _set(copy.deepcopy(manifest_json()), path, value)
    error = _refusal(session_folder, json.dumps(document))
    with pytest.raises(LandingError, match=problem):
        raise error


REQUIRED = [
    "manifest_version",
    "session_id",
    "worker_id",
    "collected_on",
    "started_at",
    "consent_id",
    "site",
    "site.country",
    "rig",
    "rig.serial",
    "rig.streams.0.rate_hz",
    "files",
    "files.0.sha256",
    "markers",
    "markers.0.at_ns",
]


@pytest.mark.parametrize("path", REQUIRED)
def test_a_missing_field_is_named(session_folder: Path, manifest_json: Callable[..., Document], path: str) -> None:
    error = _refusal(session_folder, json.dumps(_without(manifest_json(), path)))
    name = path.rpartition(".")[2]
    assert [p for p in error.evidence["problems"] if f"{name} is missing" in p], error.evidence


def test_everything_wrong_comes_in_one_error(session_folder: Path, manifest_json: Callable[..., Document]) -> None:
    document = manifest_json(consent_id="X", collected_on="yesterday", makers=[])
    document["files"][1]["stream_id"] = "imu_left"
    document["markers"].reverse()

    problems = " | ".join(_refusal(session_folder, json.dumps(document)).evidence["problems"])

    for part in ("consent_id", "collected_on", "'makers'", "'imu_left'", "not sorted"):
        assert part in problems


def test_evidence_is_small_and_json_ready_however_much_is_wrong(
    session_folder: Path, manifest_json: Callable[..., Document]
) -> None:
    error = _refusal(session_folder, json.dumps(manifest_json(markers=[{"at_ns": "x"}] * 5000)))
    assert error.evidence["count"] >= 5000
    assert len(json.dumps(error.evidence)) < 50_000
    assert len(error.detail) < 2000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "not valid JSON"),
        ("[]", "holds a JSON list"),
        ("null", "expected an object"),
        ('{"a": 1, "a": 2}', "appears twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff\xfe{", "not valid JSON"),
    ],
)
def test_what_is_not_one_json_object_is_refused(session_folder: Path, content: str | bytes, problem: str) -> None:
    assert problem in _refusal(session_folder, content).detail


def test_a_manifest_that_would_fill_the_memory_is_not_read(session_folder: Path) -> None:
    with (session_folder / "manifest.json").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(LandingError, match="at most 8388608 are read"):
        read_manifest(session_folder)


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "pipe"])
def test_a_manifest_that_is_no_regular_file_is_refused(session_folder: Path, kind: str) -> None:
    path = session_folder / "manifest.json"
    path.rename(session_folder / "elsewhere.json")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(session_folder / "elsewhere.json")
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(LandingError, match=r"no manifest\.json" if kind == "missing" else "not a regular file"):
        read_manifest(session_folder)


def test_a_declared_file_behind_a_linked_folder_is_refused(
    session_folder: Path, manifest_json: Callable[..., Document]
) -> None:
    outside = session_folder.parent / "outside"
    outside.mkdir()
    (session_folder / "raw").symlink_to(outside)
    document = manifest_json()
    document["files"][0]["path"] = "raw/cap.mp4"
    assert "reached through the link 'raw'" in _refusal(session_folder, json.dumps(document)).detail


def test_private_time_that_is_never_closed_lasts_for_ever() -> None:
    markers = [Marker(5, "private_start"), Marker(7, "private_end"), Marker(9, "private_start")]
    assert marked_intervals_ns(markers, "private") == ((5, 7), (9, INT64_MAX))


@FUZZ
@given(content=st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_landing_error(session_folder: Path, content: bytes) -> None:
    (session_folder / "manifest.json").write_bytes(content)
    with pytest.raises(LandingError):
        read_manifest(session_folder)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in ((*path, key), *_places(inner, (*path, key)))]


@FUZZ
@given(data=st.data())
def test_no_mutation_raises_anything_but_a_landing_error(
    session_folder: Path, manifest_json: Callable[..., Document], data: st.DataObject
) -> None:
    document = copy.deepcopy(manifest_json())
    *parents, last = data.draw(st.sampled_from(_places(document)))
    place: Any = document
    for key in parents:
        place = place[key]
    place[last] = data.draw(ANY_JSON)
    (session_folder / "manifest.json").write_text(json.dumps(document))
    problems: list[str] = []
    try:
        manifest = read_manifest(session_folder)
    except LandingError as error:
        problems = json.loads(json.dumps(error.evidence))["problems"]
    assert problems or manifest.video_file.path
    assert problems or all(0 <= marker.at_ns <= INT64_MAX for marker in manifest.markers)
