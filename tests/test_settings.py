"""Settings come from the environment, are checked at once, and never hold the key."""

from datetime import date
from pathlib import Path

import pytest
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.settings import Settings, pseudonym_key
from harchive_dagster.worker_day import WorkerDay


def test_defaults_need_no_environment():
    settings = Settings.from_environment({})
    assert settings.landing == Path.cwd() / "var/landing"
    assert (settings.nightly_at, settings.timezone) == ("0 2 * * *", "Asia/Kolkata")


def test_values_come_from_the_environment():
    settings = Settings.from_environment({"HARCHIVE_LAKE": "/data/lake", "HARCHIVE_FIRST_DAY": "2026-02-01"})
    assert (settings.lake, settings.first_day) == (Path("/data/lake"), date(2026, 2, 1))


def test_detectors_are_names_and_paths_of_models():
    settings = Settings.from_environment({"HARCHIVE_DETECTORS": "centerface, text,/m/plates.yaml,faces.onnx"})
    assert settings.detectors == ("centerface", "text", "/m/plates.yaml", str(Path.cwd() / "faces.onnx"))
    assert Settings.from_environment({}).detectors == ("centerface",)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HARCHIVE_FIRST_DAY", "yesterday", "HARCHIVE_FIRST_DAY='yesterday' is not a day"),
        ("HARCHIVE_NIGHTLY_AT", "2 o'clock", "is not a cron expression"),
        ("HARCHIVE_NIGHTLY_AT", "99 99 * * *", "HARCHIVE_NIGHTLY_AT='99 99 [*] [*] [*]' is not a cron expression"),
        ("HARCHIVE_NIGHTLY_AT", "0 2 0 * *", "is not a cron expression"),
        ("HARCHIVE_NIGHTLY_AT", "0 2 30 feb *", "is not a cron expression"),
        ("HARCHIVE_NIGHTLY_AT", "0 2 31 4,6 *", "is not a cron expression"),
        ("HARCHIVE_NIGHTLY_AT", "0 2 * * xyz", "is not a cron expression"),
        ("HARCHIVE_NIGHTLY_AT", "0 2,, * * *", "is not a cron expression"),
        ("HARCHIVE_NIGHTLY_AT", "*/0 2 * * *", "is not a cron expression"),
        ("HARCHIVE_NIGHTLY_AT", "٢ 2 * * *", "is not a cron expression"),
        ("HARCHIVE_NIGHTLY_AT", "0 2 * * * *", "is not a cron expression"),
        ("HARCHIVE_TIMEZONE", "Mars/Olympus", "is not a time zone"),
        ("HARCHIVE_LAKE", "s3://b/x", "HARCHIVE_LAKE is a URL, and only a folder of this machine will do"),
        ("HARCHIVE_ANNOTATIONS", "gs://b/x", "HARCHIVE_ANNOTATIONS is a URL"),
        ("HARCHIVE_SPOOL", "file:///srv/spool", "HARCHIVE_SPOOL is a URL"),
        ("HARCHIVE_MAX_SESSION_GB", "0", "HARCHIVE_MAX_SESSION_GB='0' is not a whole number"),
        ("HARCHIVE_MAX_SESSION_GB", "1e3", "is not a whole number"),
        ("HARCHIVE_MAX_SESSION_GB", "9" * 5000, "is not a whole number"),
        ("HARCHIVE_LANDING", "ftp://bucket/in", "is no folder, nor a URL of the form s3://bucket/prefix"),
        ("HARCHIVE_LANDING", "s3://", "is no folder"),
        ("HARCHIVE_LANDING", "s3://bucket//in", "is no folder"),
        ("HARCHIVE_LANDING", "s3://bucket/../in", "is no folder"),
        ("HARCHIVE_LANDING", "file://elsewhere/in", "is no folder"),
        ("HARCHIVE_DETECTORS", "retinaface", "names 'retinaface', which is no detector"),
        ("HARCHIVE_DETECTORS", "", "names '', which is no detector"),
        ("HARCHIVE_DETECTORS", "centerface,", "names '', which is no detector"),
        ("HARCHIVE_DETECTORS", "centerface,/models/face.pt", "names '/models/face.pt', which is no detector"),
        ("HARCHIVE_DETECTORS", "text, text", "names a detector twice"),
        ("HARCHIVE_DETECTORS", "https://models/face.onnx", "HARCHIVE_DETECTORS is a URL"),
        ("HARCHIVE_SYNC_SEARCH_S", "far", "'far' is not a number of seconds from 1 to 300"),
        ("HARCHIVE_SYNC_SEARCH_S", "0", "is not a number of seconds"),
        ("HARCHIVE_SYNC_SEARCH_S", "nan", "is not a number of seconds"),
        ("HARCHIVE_HIDE", "blur", "'blur' is no way to hide anything"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_mend(name, value, message):
    with pytest.raises(SettingsError, match=message) as caught:
        Settings.from_environment({name: value})
    assert caught.value.mend


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("s3://bucket/in/", "s3://bucket/in"),
        ("gs://bucket", "gs://bucket"),
        ("az://container/a/b", "az://container/a/b"),
        ("file:///srv/in%20box", "/srv/in box"),
        ("/srv/in", "/srv/in"),
    ],
)
def test_a_landing_is_a_folder_or_an_object_store(value, place):
    assert Settings.from_environment({"HARCHIVE_LANDING": value}).landing_place == place


@pytest.mark.parametrize("value", ["s3://id:secret@bucket/in", "az://container/in?sig=secret"])
def test_a_url_with_credentials_is_refused_without_repeating_them(value):
    with pytest.raises(SettingsError, match="environment variables of their own") as caught:
        Settings.from_environment({"HARCHIVE_LANDING": value})
    assert "secret" not in str(caught.value)


WORDS = st.one_of(
    st.integers(0, 70).map(str), st.sampled_from(["*", "00", "07", "jan", "Feb", "dec", "SUN", "sat", "x"])
)
PARTS = st.builds(
    lambda start, end, step: start + end + step,
    WORDS,
    st.one_of(st.just(""), WORDS.map("-{}".format)),
    st.one_of(st.just(""), st.integers(0, 70).map("/{}".format)),
)
FIELDS = st.one_of(st.just("*"), st.lists(PARTS, min_size=1, max_size=3).map(",".join))


@given(expression=st.lists(FIELDS, min_size=4, max_size=6).map(" ".join))
def test_no_time_of_the_sweep_is_taken_that_dagster_refuses(expression):
    try:
        Settings.from_environment({"HARCHIVE_NIGHTLY_AT": expression})
    except SettingsError:
        return
    assert is_valid_cron_string(expression)


@pytest.mark.parametrize("expression", ["0 2 * * *", "*/15 22-4 1,15 jan-mar MON-fri", "0 2 29 2 *", "5/10 02 * * 7"])
def test_ordinary_times_of_the_sweep_are_taken(expression):
    assert Settings.from_environment({"HARCHIVE_NIGHTLY_AT": expression}).nightly_at == expression
    assert is_valid_cron_string(expression)


def test_what_writes_uploads_needs_a_landing_on_this_machine():
    with pytest.raises(SettingsError, match="is no folder of this machine"):
        _ = Settings.from_environment({"HARCHIVE_LANDING": "s3://bucket/in"}).landing


def test_a_missing_key_says_how_to_make_one():
    with pytest.raises(SettingsError, match="openssl rand"):
        pseudonym_key({})


def test_a_short_key_is_refused():
    with pytest.raises(SettingsError, match="at least 16"):
        Pseudonymiser(b"short")


@pytest.mark.parametrize("worker_id", ["", "a", "UPPER", "has space", "../up", "dot.ted", "a" * 65])
def test_worker_ids_that_are_no_identifiers_address_no_worker_day(worker_id):
    with pytest.raises(SettingsError, match="is not of the form"):
        WorkerDay(date(2026, 3, 2), worker_id)
