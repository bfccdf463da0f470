import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harchive_dagster.errors import ConsentError
from harchive_dagster.privacy.consent import (
    ConsentRecord,
    check_consent,
    read_all_consents,
    read_consent,
)
from harchive_dagster.reasons import Reason

STARTED = datetime(2026, 3, 14, 4, 0, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "schema_version": "1",
    "record_id": "consent-7",
    "principal_id": "worker-7",
    "privacy_notice": "https://example.org/notice/3",
    "language": "kn",
    "notice_version": "3",
    "purposes": ["robot_learning"],
    "pii_types": ["video", "motion"],
    "controllers": ["Example Robotics Pvt Ltd"],
    "storage_locations": ["IN"],
    "retention_period": "P5Y",
    "jurisdiction": "IN",
    "recipients": ["robotics laboratories"],
    "withdrawal_method": "a text message to the helpline",
    "valid_from": "2026-01-01T00:00:00+05:30",
    "valid_until": None,
    "withdrawn_at": None,
    "party": {
        "id": "p-1",
        "name": "Example",
        "address": "Bengaluru",
        "contact": "help@example.org",
        "type": "controller",
    },
}
MANDATORY = [key for key in RECORD if key not in {"valid_until", "withdrawn_at"}]


def _write(landing: Path, name: str = "consent-7", **overrides: Any) -> Path:
    path = landing / "consents" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**RECORD, **overrides}))
    return path


def _record(landing: Path, **overrides: Any) -> ConsentRecord:
    _write(landing, **overrides)
    return read_consent(landing, "consent-7")


def _check(record: ConsentRecord, **overrides: Any) -> None:
    check_consent(
        record,
        **{
            "worker_id": "worker-7",
            "started_at": STARTED,
            "ended_at": STARTED + timedelta(hours=1),
            "country": "IN",
            "now": STARTED + timedelta(days=1),
            **overrides,
        },
    )


def test_a_whole_record_is_read(tmp_path: Path) -> None:
    record = _record(tmp_path)
    assert record.principal_id == "worker-7"
    assert record.purposes == ("robot_learning",)
    assert record.valid_from.utcoffset() == timedelta(hours=5, minutes=30)
    assert record.valid_until is None
    assert record.party.contact == "help@example.org"


def test_fields_beyond_the_mandatory_ones_are_passed_over(tmp_path: Path) -> None:
    assert _record(tmp_path, events=[{"state": "given"}]).record_id == "consent-7"


@pytest.mark.parametrize("field", MANDATORY)
def test_each_missing_mandatory_field_is_listed(tmp_path: Path, field: str) -> None:
    with pytest.raises(ConsentError, match=f"{field} is missing") as caught:
        _record(tmp_path, **{field: None})
    assert caught.value.reason is Reason.CONSENT_INVALID
    assert caught.value.evidence["missing"] == [field]


@pytest.mark.parametrize("field", RECORD["party"])
def test_each_missing_field_of_the_party_is_listed(tmp_path: Path, field: str) -> None:
    with pytest.raises(ConsentError) as caught:
        _record(tmp_path, party={**RECORD["party"], field: None})
    assert caught.value.evidence["missing"] == [f"party.{field}"]


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"schema_version": "9"}, "schema_version is '9'"),
        ({"record_id": "consent-8"}, "the file name says 'consent-7'"),
        ({"purposes": []}, "purposes has 0 entries"),
        ({"purposes": "robot_learning"}, "purposes is 'robot_learning', expected a list"),
        ({"recipients": [1]}, r"recipients\[0\] is 1"),
        ({"retention_period": "5 years"}, "retention_period is '5 years'"),
        ({"retention_period": "P"}, "retention_period is 'P'"),
        ({"jurisdiction": "India"}, "jurisdiction is 'India'"),
        ({"valid_from": "2026-01-01"}, "valid_from is '2026-01-01'"),
        ({"valid_until": "2025-12-31T00:00:00Z"}, "valid_until is not after valid_from"),
        ({"withdrawn_at": "yesterday"}, "withdrawn_at is 'yesterday'"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, overrides: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConsentError, match=problem) as caught:
        _record(tmp_path, **overrides)
    assert caught.value.reason is Reason.CONSENT_INVALID


def test_no_record_is_a_missing_consent(tmp_path: Path) -> None:
    with pytest.raises(ConsentError, match="does not exist") as caught:
        read_consent(tmp_path, "consent-7")
    assert caught.value.reason is Reason.CONSENT_MISSING


@pytest.mark.parametrize("consent_id", ["../secret", "/etc/passwd", "", "a\0b", "C7", "x" * 65])
def test_an_id_that_is_no_identifier_never_becomes_a_path(tmp_path: Path, consent_id: str) -> None:
    (tmp_path / "consents").mkdir()
    (tmp_path / "secret.json").write_text(json.dumps(RECORD))
    with pytest.raises(ConsentError, match="not an identifier"):
        read_consent(tmp_path, consent_id)


def test_a_recording_inside_the_consent_passes(tmp_path: Path) -> None:
    assert _check(_record(tmp_path)) is None


def test_a_regional_jurisdiction_fits_its_country(tmp_path: Path) -> None:
    assert _check(_record(tmp_path, jurisdiction="IN-KA")) is None


def test_a_consent_that_ran_out_after_the_recording_still_covers_it(tmp_path: Path) -> None:
    record = _record(tmp_path, valid_until="2026-03-14T05:00:00Z")
    assert _check(record, now=STARTED + timedelta(days=900)) is None


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"worker_id": "worker-8"}, "given by 'worker-7', the recording is by 'worker-8'"),
        ({"country": "US"}, "jurisdiction is 'IN', recorded in 'US'"),
        ({"purpose": "advertising"}, "does not cover the purpose 'advertising'"),
        ({"started_at": datetime(2025, 12, 31, 18, 29, 59, tzinfo=UTC)}, "valid from"),
        ({"ended_at": datetime(2026, 6, 1, 0, 0, 1, tzinfo=UTC)}, "valid until"),
    ],
)
def test_a_recording_outside_the_consent_is_refused(tmp_path: Path, overrides: dict[str, Any], problem: str) -> None:
    record = _record(tmp_path, valid_until="2026-06-01T00:00:00Z")
    with pytest.raises(ConsentError, match=problem) as caught:
        _check(record, **overrides)
    assert caught.value.reason is Reason.CONSENT_INVALID
    assert len(caught.value.evidence["problems"]) == 1


@pytest.mark.parametrize(("ahead", "is_withdrawn"), [(-400, True), (0, True), (23, True), (25, False)])
def test_a_withdrawal_counts_at_once_even_from_a_clock_that_is_hours_ahead(
    tmp_path: Path, ahead: int, is_withdrawn: bool
) -> None:
    now = STARTED + timedelta(days=30)
    record = _record(tmp_path, withdrawn_at=(now + timedelta(hours=ahead)).isoformat())
    if not is_withdrawn:
        assert _check(record, now=now) is None
        return
    with pytest.raises(ConsentError, match="was withdrawn at") as caught:
        _check(record, now=now, worker_id="somebody-else")
    assert caught.value.reason is Reason.CONSENT_WITHDRAWN


def test_all_records_are_read_and_the_broken_ones_reported(tmp_path: Path) -> None:
    _write(tmp_path, "consent-8", record_id="consent-8")
    _write(tmp_path)
    _write(tmp_path, "consent-9")
    _write(tmp_path, ".consent-1")
    _write(tmp_path, "My Consent")
    (tmp_path / "consents" / "readme.txt").write_text("")
    records, errors = read_all_consents(tmp_path)
    assert [record.record_id for record in records] == ["consent-7", "consent-8"]
    assert sorted(error.evidence["consent_id"] for error in errors) == ["'My Consent'", "'consent-9'"]


def test_a_landing_without_consents_has_none(tmp_path: Path) -> None:
    assert read_all_consents(tmp_path) == ([], [])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(sorted(RECORD)),
    value=st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
)
def test_no_field_value_raises_anything_but_a_consent_error(tmp_path: Path, field: str, value: object) -> None:
    try:
        is_sound = _record(tmp_path, **{field: value}).record_id == "consent-7"
    except ConsentError as error:
        is_sound = bool(json.loads(json.dumps(error.evidence))["problems"])
    assert is_sound
