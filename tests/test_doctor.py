"""`harchive doctor`: every check made to fail, and the command that never dies of one nor gives a secret away."""

import json
import shutil
import sys
import time
import types
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._daemon.types import DaemonHeartbeat

from harchive_dagster import dagster_checks, definitions
from harchive_dagster.cli import cli
from harchive_dagster.doctor import places, software, tables
from harchive_dagster.doctor.findings import Check, Level, doubtful, examine, fine
from harchive_dagster.errors import LakeError, SettingsError
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.schedules import build_schedules
from harchive_dagster.settings import Settings

KEY = "0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)


def make_settings(ward, **overrides):
    names = {"HARCHIVE_LANDING": ward.landing, "HARCHIVE_LAKE": ward.lake.root, "HARCHIVE_SPOOL": ward.root / "spool"}
    return Settings.from_environment({name: str(value) for name, value in (names | overrides).items()})


def write(ward, contract, worker_day, **columns):
    """A row of a table in which what the test does not care about is empty or nought."""
    key = {"collected_on": worker_day.collected_on, "worker_id": worker_day.worker_id}
    blank = {"string": "-", "bool": False, "timestamp[us, tz=UTC]": NOW}
    row = {field.name: None if field.nullable else blank.get(str(field.type), 0) for field in contract.schema}
    ward.lake.replace(contract, key, contract.conform([row | key | columns]), run_id="r")


# --- how checks are carried out


def test_a_known_error_is_a_failure_with_its_mend():
    def look():
        raise SettingsError("A is B.", consequence="So C.", mend="Do D.")

    finding = examine(Check("any", look))
    assert (finding.level, finding.text) == (Level.FAIL, "A is B. So C. Do D.")


class Panic(BaseException):
    """As libraries in Rust raise."""


@pytest.mark.parametrize("error", [ValueError("one\ntwo"), Panic("one"), SystemExit("one"), KeyError()], ids=repr)
def test_an_unforeseen_error_is_one_line_and_no_traceback(error):
    def look():
        raise error

    finding = examine(Check("any", look))
    assert finding.level is Level.FAIL
    assert finding.text.startswith(f"{type(error).__name__}: ")
    assert "two" not in finding.text


def test_an_interrupt_is_obeyed():
    def look():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(Check("any", look))


@pytest.mark.parametrize(
    "text",
    [f"no such key {KEY}", "cannot reach postgresql://harchive:hunter-2-hunter@db/dagster", "signed with abcdefghij"],
)
def test_no_secret_of_the_environment_is_printed(text):
    environment = {"HARCHIVE_PSEUDONYM_KEY": KEY, "AWS_SECRET_ACCESS_KEY": "abcdefghij", "HOME": "/home/one"}
    shown = examine(Check("any", lambda: fine(text)), environment).text
    assert not [secret for secret in (KEY, "hunter", "abcdefghij") if secret in shown]
    assert "***" in shown


def test_what_a_check_says_is_one_line_that_a_terminal_does_not_obey():
    assert examine(Check("any", lambda: fine("red \x1b[31m\nline")), {}).text == "red ?[31m line"


# --- places


def test_a_key_of_its_own_is_fit(ward, monkeypatch):
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", KEY)
    assert places.pseudonym_key_is_fit(make_settings(ward)).text == "32 bytes"


@pytest.mark.parametrize(("key", "message"), [("", "is not set"), ("short", "has 5 bytes")])
def test_a_key_that_is_missing_or_short_fails(ward, monkeypatch, key, message):
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", key)
    with pytest.raises(SettingsError, match=message) as caught:
        places.pseudonym_key_is_fit(make_settings(ward))
    assert "short" not in str(caught.value).replace("shorter", "")


def test_the_demos_key_is_fit_for_the_demos_lake_only(ward, monkeypatch):
    monkeypatch.chdir(ward.root)
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", KEY)
    (ward.root / "var" / "demo").mkdir(parents=True)
    (ward.root / "var" / "demo" / "pseudonym.key").write_text(f"{KEY}\n")
    assert "throw-away" in places.pseudonym_key_is_fit(make_settings(ward, HARCHIVE_LAKE="var/lake")).text
    with pytest.raises(SettingsError, match="the demo's throw-away key, but the lake is") as caught:
        places.pseudonym_key_is_fit(make_settings(ward))
    assert KEY not in str(caught.value)


def test_a_landing_is_told_with_what_lies_in_it(ward):
    ward.arrive()
    (ward.landing / "consents").mkdir()
    (ward.landing / "consents" / "consent-one.json").write_text("{}")
    text = places.landing_is_readable(make_settings(ward)).text
    assert text.endswith("1 days with uploads, the newest 2026-03-02; 1 consents")


def test_a_landing_without_any_consent_is_doubtful(ward):
    ward.arrive()
    finding = places.landing_is_readable(make_settings(ward))
    assert finding.level is Level.WARN
    assert "no consent record" in finding.text


def test_a_landing_that_is_not_there_fails(ward):
    with pytest.raises(SettingsError, match="landing folder"):
        places.landing_is_readable(make_settings(ward, HARCHIVE_LANDING=ward.root / "nowhere"))


def test_a_landing_in_an_object_store_is_listed(ward, bucket):
    bucket.put_object(Key="uploads/2026-03-02/worker-01/ses-1/manifest.json", Body=b"{}")
    bucket.put_object(Key="uploads/consents/consent-one.json", Body=b"{}")
    settings = make_settings(ward, HARCHIVE_LANDING=f"s3://{bucket.name}/uploads")
    assert "1 days with uploads, the newest 2026-03-02; 1 consents" in places.landing_is_readable(settings).text
    assert "can be made" in places.spool_is_writable(settings).text


@pytest.mark.parametrize(
    ("check", "setting"),
    [(places.lake_is_writable, "HARCHIVE_LAKE"), (places.spool_is_writable, "HARCHIVE_SPOOL")],
)
def test_a_place_that_cannot_be_written_fails(ward, check, setting):
    # Not by permissions: the superuser, as whom containers run, may write everywhere but here.
    settings = make_settings(ward, **{"HARCHIVE_LANDING": "s3://bucket/uploads", setting: "/proc/here"})
    with pytest.raises(SettingsError, match=f"{setting}='/proc/here' cannot be written"):
        check(settings)


def test_a_lake_that_is_a_file_fails(ward):
    (ward.root / "file").touch()
    with pytest.raises(SettingsError, match=r"HARCHIVE_LAKE=.* cannot be written: Not a directory"):
        places.lake_is_writable(make_settings(ward, HARCHIVE_LAKE=ward.root / "file"))


def test_a_disk_that_gives_back_other_bytes_fails(ward, monkeypatch):
    monkeypatch.setattr(Path, "read_bytes", lambda _: b"other")
    with pytest.raises(SettingsError, match="gave back other bytes"):
        places.lake_is_writable(make_settings(ward))


def test_looking_leaves_nothing_behind(ward):
    ward.lake.root.mkdir()
    places.lake_is_writable(make_settings(ward))
    places.lake_is_writable(make_settings(ward, HARCHIVE_LAKE=ward.root / "new" / "lake"))
    assert sorted(path.name for path in ward.root.rglob("*")) == ["lake", "landing"]


@pytest.mark.parametrize(
    ("free_gb", "night_gb", "level"),
    [(30, 0, Level.OK), (19, 0, Level.WARN), (30, 16, Level.WARN), (33, 16, Level.OK)],
)
def test_free_disk_is_held_against_the_busiest_night(ward, monkeypatch, free_gb, night_gb, level):
    if night_gb:
        write(ward, schemas.SESSIONS, ward.arrive(), bytes=night_gb * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=free_gb * 10**9))
    assert places.disk_has_room(make_settings(ward)).level is level


def test_a_missing_folder_for_annotations_is_doubtful(ward):
    finding = places.annotations_are_there(make_settings(ward, HARCHIVE_ANNOTATIONS=ward.root / "nowhere"))
    assert finding.level is Level.WARN


def test_a_clock_before_the_window_fails(ward):
    with pytest.raises(SettingsError, match="HARCHIVE_FIRST_DAY=2026-03-06 lies ahead"):
        places.clock_is_sane(make_settings(ward, HARCHIVE_FIRST_DAY="2026-03-06"), NOW)


def test_a_clock_before_what_the_lake_holds_fails(ward):
    write(ward, schemas.SESSIONS, ward.arrive(), ingested_at_utc=datetime(2026, 3, 5, 13, tzinfo=UTC))
    with pytest.raises(SettingsError, match="clock says 2026-03-05 12:00 UTC, but the lake took something in at 13:00"):
        places.clock_is_sane(make_settings(ward), NOW)


def test_a_clock_that_is_right_is_shown_in_the_configured_zone(ward):
    write(ward, schemas.SESSIONS, ward.arrive(), ingested_at_utc=datetime(2026, 3, 5, 11, tzinfo=UTC))
    assert places.clock_is_sane(make_settings(ward), NOW).text.startswith("2026-03-05 17:30 in Asia/Kolkata")


# --- tables


def test_tables_that_were_just_written_fit(ward):
    ward.finish(ward.arrive())
    assert tables.tables_fit_the_contract(ward.lake).text.startswith("2 tables of data contract")


def test_a_table_of_another_contract_fails(ward, monkeypatch):
    ward.finish(ward.arrive())
    monkeypatch.setattr(tables, "CONTRACT_VERSION", "2.0.0")
    with pytest.raises(LakeError, match=r"2 of 2 tables .* restricted/arrivals is of contract 1\."):
        tables.tables_fit_the_contract(ward.lake)


def test_a_table_that_lacks_a_column_fails(ward):
    from deltalake import DeltaTable, write_deltalake

    ward.finish(ward.arrive())
    rows = ward.lake.read(ledgers.ARRIVALS).drop_columns(["waiting_count"])
    properties = {"harchive.contract_version": tables.CONTRACT_VERSION}
    uri = ward.lake.uri(ledgers.ARRIVALS)
    shutil.rmtree(uri)
    write_deltalake(uri, rows)
    DeltaTable(uri).alter.set_table_properties(properties, raise_if_not_exists=False)
    with pytest.raises(LakeError, match="restricted/arrivals lacks waiting_count"):
        tables.tables_fit_the_contract(ward.lake)


def test_media_that_rows_name_and_that_are_gone_fail(ward):
    write(ward, schemas.ANONYMIZED_VIDEOS, ward.arrive(), uri="2026-03-02/one.mp4")
    with pytest.raises(LakeError, match=r"1 of 1 video files .* for example restricted/media/2026-03-02/one\.mp4"):
        tables.media_are_there(ward.lake)
    file = ward.lake.media_folder("restricted") / "2026-03-02" / "one.mp4"
    file.parent.mkdir(parents=True)
    file.touch()
    assert tables.media_are_there(ward.lake).level is Level.OK


# --- software


@pytest.mark.parametrize(
    "look",
    [
        software.packages_fit,
        software.webserver_fits_dagster,
        software.extras_are_known,
        software.opencv_is_one_and_loads,
        software.codecs_are_there,
        software.encoder_works,
        software.detector_finds_a_face,
    ],
)
def test_this_machine_is_fit(look):
    assert look().level is Level.OK


@pytest.mark.parametrize(
    ("requirement", "message"),
    [("no-such-package>=1", "no-such-package is not installed"), ("numpy>=99", r"numpy \S+ \(asked for: >=99\)")],
)
def test_a_package_that_is_missing_or_too_old_fails(monkeypatch, requirement, message):
    monkeypatch.setattr(metadata, "requires", lambda _: [requirement, 'unknown>=1; extra == "lab"'])
    with pytest.raises(SettingsError, match=message) as caught:
        software.packages_fit()
    assert "unknown" not in str(caught.value)


def test_a_python_that_is_too_old_fails(monkeypatch):
    monkeypatch.setattr(software.platform, "python_version", lambda: "3.9.1")
    with pytest.raises(SettingsError, match=r"Python 3\.9\.1"):
        software.packages_fit()


def test_a_webserver_of_another_dagster_fails(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda _: ["dagster==0.1", "click"])
    with pytest.raises(SettingsError, match=r"dagster is .*, dagster-webserver"):
        software.webserver_fits_dagster()


def test_an_extra_that_is_missing_is_told_and_no_fault(monkeypatch):
    described = {"Provides-Extra": ["lab", "aria", "dev"]}
    monkeypatch.setattr(metadata, "metadata", lambda _: types.SimpleNamespace(get_all=described.get))
    monkeypatch.setattr(
        metadata, "requires", lambda _: ["click", 'numpy; extra == "lab"', 'no-such-package; extra == "aria"']
    )
    finding = software.extras_are_known()
    assert finding.level is Level.OK
    assert finding.text.startswith("lab installed, aria not installed (")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "brought by nothing"),
        (["opencv-python", "opencv-python-headless"], "brought by opencv-python, opencv-python-headless"),
        (["opencv-contrib-python"], "brought by opencv-contrib-python"),
    ],
    ids=["none", "two", "another"],
)
def test_any_number_of_opencvs_but_one_fails(monkeypatch, names, message):
    found = [types.SimpleNamespace(metadata={"Name": name}) for name in [*names, None]]
    monkeypatch.setattr(metadata, "distributions", lambda: found)
    with pytest.raises(SettingsError, match=message):
        software.opencv_is_one_and_loads()


def test_an_opencv_without_its_system_libraries_fails_with_their_names(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SettingsError, match=r"apt-get install libgl1 libglib2\.0-0"):
        software.opencv_is_one_and_loads()


def test_a_codec_that_cannot_be_decoded_is_named(monkeypatch):
    monkeypatch.setattr(software, "_DECODERS", {"h264": "h264", "av1": "no_such_decoder"})
    with pytest.raises(SettingsError, match="cannot decode av1"):
        software.codecs_are_there()


@pytest.mark.parametrize(
    ("encoder", "message"),
    [("no_such_encoder", "no_such_encoder does not work"), ("mpeg4", "mpeg4 does not work")],
    ids=["missing", "gives something else"],
)
def test_an_encoder_whose_pictures_do_not_come_back_fails(monkeypatch, encoder, message):
    monkeypatch.setattr(software, "_ENCODER", encoder)
    with pytest.raises(SettingsError, match=message):
        software.encoder_works()


def test_a_detector_that_sees_nobody_fails(monkeypatch):
    from harchive_dagster.privacy.centerface import CenterFaceDetector

    monkeypatch.setattr(CenterFaceDetector, "detect", lambda *_: [])
    with pytest.raises(SettingsError, match="finds 0 faces in a portrait"):
        software.detector_finds_a_face()


def test_the_chosen_detectors_are_told_with_their_versions():
    finding = software.chosen_detectors_answer(("centerface",))
    assert (finding.level, finding.text.split()[0]) == (Level.OK, "centerface")


def test_an_operators_face_model_that_sees_nobody_is_doubtful(monkeypatch):
    from harchive_dagster.privacy import detectors

    class Blind:
        face_detectors = slow_detectors = lambda *_: detectors.CenterFaceDetector()
        cards = (types.SimpleNamespace(kind="face", name="blind"), types.SimpleNamespace(kind="plate", name="plates"))

    monkeypatch.setattr(detectors.DetectorChoice, "of", lambda _: Blind())
    finding = software.chosen_detectors_answer(())
    assert finding.level is Level.WARN
    assert finding.text.startswith("blind finds no face in a portrait")


# --- Dagster


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home


def test_an_instance_that_answers_is_fine(home):
    assert dagster_checks.instance_answers().text == f"{home}: 0 runs on record"


def test_an_instance_without_its_configuration_is_doubtful(home):
    (home / "dagster.yaml").unlink()
    assert dagster_checks.instance_answers().level is Level.WARN


@pytest.mark.parametrize("value", [None, "relative/path", "/nowhere/at/all"])
def test_a_home_that_names_no_folder_fails_and_the_daemon_is_not_blamed(monkeypatch, value):
    if value:
        monkeypatch.setenv("DAGSTER_HOME", value)
    with pytest.raises(SettingsError, match="DAGSTER_HOME"):
        dagster_checks.instance_answers()
    assert dagster_checks.daemon_is_alive().level is Level.WARN


@pytest.mark.parametrize(
    "text", ["storage: [", "no_such_section: 1\n", "storage: {postgres: {postgres_url: hunter-2}}\n"]
)
def test_a_configuration_that_cannot_be_used_fails_without_showing_its_values(home, text):
    (home / "dagster.yaml").write_text(text)
    with pytest.raises(SettingsError, match="No Dagster instance: ") as caught:
        dagster_checks.instance_answers()
    assert "hunter" not in str(caught.value)


def test_storage_that_is_damaged_fails_and_the_daemon_is_not_blamed(home):
    (home / "history").mkdir()
    (home / "history" / "runs.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(SettingsError, match="file is not a database"):
        dagster_checks.instance_answers()
    assert dagster_checks.daemon_is_alive().level is Level.WARN


def test_a_daemon_that_gave_no_sign_of_life_is_doubtful(home):
    finding = dagster_checks.daemon_is_alive()
    assert finding.level is Level.WARN
    assert "SENSOR" in finding.text


def test_a_daemon_with_fresh_heartbeats_is_fine(home):
    with dg.DagsterInstance.get() as instance:
        for kind in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), kind, "id", []))
    assert dagster_checks.daemon_is_alive().level is Level.OK


def test_a_schedule_that_dagster_refuses_fails(monkeypatch):
    def refused(settings):
        return build_schedules(replace(settings, nightly_at="61 25 * * *"))

    monkeypatch.setattr(definitions, "build_schedules", refused)
    with pytest.raises(SettingsError, match=r"The code location cannot be loaded: .*'61 25"):
        dagster_checks.code_location_loads()


def test_the_code_location_loads():
    assert "assets" in dagster_checks.code_location_loads().text


# --- the command


@pytest.fixture
def in_place(ward, home, monkeypatch):
    """An environment in which nothing must be mended."""
    monkeypatch.chdir(ward.root)
    for name, value in {"LANDING": ward.landing, "LAKE": ward.lake.root, "PSEUDONYM_KEY": KEY}.items():
        monkeypatch.setenv(f"HARCHIVE_{name}", str(value))


def test_warnings_alone_do_not_fail(in_place):
    outcome = CliRunner().invoke(cli, ["doctor"])
    assert (outcome.exit_code, outcome.exception) == (0, None)
    assert {line[:5] for line in outcome.stdout.splitlines()} == {"ok   ", "warn "}
    assert KEY not in outcome.output


def test_one_failure_ends_with_one_and_leaves_the_other_checks_standing(in_place, ward, monkeypatch):
    shutil.rmtree(ward.landing)
    outcome = CliRunner().invoke(cli, ["doctor"])
    assert outcome.exit_code == 1
    (failed,) = [line for line in outcome.stdout.splitlines() if line.startswith("FAIL")]
    assert failed.startswith("FAIL landing: landing folder")


def test_the_same_comes_as_json(in_place, ward, monkeypatch):
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", "short")
    outcome = CliRunner().invoke(cli, ["doctor", "--json"])
    assert outcome.exit_code == 1
    found = {line["name"]: line["level"] for line in json.loads(outcome.stdout)}
    assert {name for name, level in found.items() if level == "fail"} == {"pseudonym key"}
    assert found["detector"] == "ok"


def test_settings_that_cannot_be_used_fail_once_and_are_not_guessed_at(in_place, monkeypatch):
    monkeypatch.setenv("HARCHIVE_TIMEZONE", "Mars/Olympus")
    outcome = CliRunner().invoke(cli, ["doctor"])
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines()[-1].startswith("FAIL settings: HARCHIVE_TIMEZONE='Mars/Olympus'")


def test_a_doubt_has_three_parts():
    assert doubtful("A.", consequence="B.", mend="C.").text == "A. B. C."
