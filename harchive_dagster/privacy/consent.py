"""Consent records (our JSON form of ISO/IEC TS 27560) and whether one covers a recording. Erasure is another module."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from harchive_dagster.errors import ConsentError
from harchive_dagster.landing.fields import Fields, Findings, is_identifier, read_json_object
from harchive_dagster.landing.layout import CONSENTS_FOLDER
from harchive_dagster.reasons import Reason

_MAX_RECORD_BYTES = 2**20
_ISO_8601_PERIOD = r"P(?=\d)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?"
# A phone's clock or time zone can be hours ahead; a withdrawal must not wait for that.
_CLOCK_TOLERANCE = timedelta(days=1)
_MEND_RECORD = "Ask the consent desk to complete the record, then run the worker-day again."


@dataclass(frozen=True)
class Party:
    """Who recorded the consent."""

    id: str
    name: str
    address: str
    contact: str
    type: str


@dataclass(frozen=True)
class ConsentRecord:
    """One person's consent, with every mandatory field of ISO/IEC TS 27560.

    Attributes:
        principal_id: the worker id of the person who consents.
        retention_period: an ISO 8601 period such as P5Y.
        jurisdiction: ISO 3166-1 country, or ISO 3166-2 region.
        valid_from, valid_until: the time in which recordings are covered; no end where None.
        withdrawn_at: set when the person has taken the consent back.
    """

    schema_version: str
    record_id: str
    principal_id: str
    privacy_notice: str
    language: str
    notice_version: str
    purposes: tuple[str, ...]
    pii_types: tuple[str, ...]
    controllers: tuple[str, ...]
    storage_locations: tuple[str, ...]
    retention_period: str
    jurisdiction: str
    recipients: tuple[str, ...]
    withdrawal_method: str
    valid_from: datetime
    valid_until: datetime | None
    withdrawn_at: datetime | None
    party: Party


def read_consent(landing: Path, consent_id: str) -> ConsentRecord:
    """Read the record `<landing>/consents/<consent_id>.json`. Keys beyond the mandatory ones are passed over.

    Raises:
        ConsentError: CONSENT_MISSING when there is no such record; CONSENT_INVALID when the id is not an identifier,
            or the record lacks mandatory fields (`evidence["missing"]`) or holds wrong ones (`evidence["problems"]`).
    """
    if not is_identifier(consent_id):
        raise _invalid(consent_id, Findings(problems=[f"its id {consent_id!a} is not an identifier"]))
    try:
        document, _ = read_json_object(landing / CONSENTS_FOLDER / f"{consent_id}.json", max_bytes=_MAX_RECORD_BYTES)
    except FileNotFoundError:
        raise ConsentError(
            Reason.CONSENT_MISSING,
            f"consent record {consent_id!r} does not exist.",
            mend="Deliver the signed record to the landing's consents folder, then run the worker-day again.",
            evidence={"consent_id": consent_id},
        ) from None
    except ValueError as error:
        raise _invalid(consent_id, Findings(problems=[str(error)])) from None
    findings = Findings()
    record = _parse(Fields(document, findings))
    if record.record_id and record.record_id != consent_id:
        findings.problems.append(f"record_id is {record.record_id!r}, the file name says {consent_id!r}")
    if record.valid_until is not None and not findings.problems and record.valid_until <= record.valid_from:
        findings.problems.append("valid_until is not after valid_from")
    if findings.problems:
        raise _invalid(consent_id, findings)
    return record


def read_all_consents(landing: Path) -> tuple[list[ConsentRecord], list[ConsentError]]:
    """Read every record, sorted by file name; those that cannot be read come back as errors."""
    records: list[ConsentRecord] = []
    errors: list[ConsentError] = []
    for path in sorted((landing / CONSENTS_FOLDER).glob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            records.append(read_consent(landing, path.stem))
        except ConsentError as error:
            errors.append(error)
    return records, errors


def check_consent(
    record: ConsentRecord,
    *,
    worker_id: str,
    started_at: datetime,
    ended_at: datetime,
    country: str,
    purpose: str = "robot_learning",
    now: datetime,
) -> None:
    """Refuse a recording that a consent does not cover. All times are aware.

    The valid period is held against the time of recording: what was recorded under a consent that has since run out
    may stay for its retention period, whereas a withdrawal also covers everything recorded before it.

    Raises:
        ConsentError: CONSENT_WITHDRAWN when withdrawn by `now`, or dated up to a day ahead; else CONSENT_INVALID naming
            everything that does not fit.
    """
    if record.withdrawn_at is not None and record.withdrawn_at <= now + _CLOCK_TOLERANCE:
        raise ConsentError(
            Reason.CONSENT_WITHDRAWN,
            f"consent {record.record_id!r} was withdrawn at {record.withdrawn_at.isoformat()}.",
            mend="Let the erasure run; nothing of this session may be used.",
            evidence={"consent_id": record.record_id, "withdrawn_at": record.withdrawn_at.isoformat()},
        )
    problems = []
    if record.principal_id != worker_id:
        problems.append(f"it was given by {record.principal_id!r}, the recording is by {worker_id!r}")
    if started_at < record.valid_from:
        problems.append(f"it is valid from {record.valid_from.isoformat()}, recorded at {started_at.isoformat()}")
    if record.valid_until is not None and ended_at > record.valid_until:
        problems.append(f"it is valid until {record.valid_until.isoformat()}, recorded to {ended_at.isoformat()}")
    if purpose not in record.purposes:
        problems.append(f"it does not cover the purpose {purpose!r}")
    if record.jurisdiction.split("-")[0] != country:
        problems.append(f"its jurisdiction is {record.jurisdiction!r}, recorded in {country!r}")
    if problems:
        raise ConsentError(
            Reason.CONSENT_INVALID,
            f"consent {record.record_id!r} does not cover this recording: {'; '.join(problems)}.",
            mend="Obtain a consent that covers it, or delete the upload.",
            evidence={"consent_id": record.record_id, "problems": problems},
        )


def _invalid(consent_id: str, findings: Findings) -> ConsentError:
    return ConsentError(
        Reason.CONSENT_INVALID,
        f"consent record {consent_id!a} cannot be relied on: {'; '.join(findings.problems)}.",
        mend=_MEND_RECORD,
        evidence={
            "consent_id": ascii(consent_id),
            "missing": findings.missing,
            "problems": findings.problems,
        },
    )


def _parse(root: Fields) -> ConsentRecord:
    return ConsentRecord(
        schema_version=root.text("schema_version", choices={"1"}),
        record_id=root.identifier("record_id"),
        principal_id=root.identifier("principal_id"),
        privacy_notice=root.text("privacy_notice"),
        language=root.text("language"),
        notice_version=root.text("notice_version"),
        purposes=root.texts("purposes"),
        pii_types=root.texts("pii_types"),
        controllers=root.texts("controllers"),
        storage_locations=root.texts("storage_locations"),
        retention_period=root.text("retention_period", pattern=_ISO_8601_PERIOD),
        jurisdiction=root.text("jurisdiction", pattern=r"[A-Z]{2}(-[A-Z0-9]{1,3})?"),
        recipients=root.texts("recipients"),
        withdrawal_method=root.text("withdrawal_method"),
        valid_from=root.moment("valid_from"),
        valid_until=root.optional("valid_until", root.moment),
        withdrawn_at=root.optional("withdrawn_at", root.moment),
        party=_party(root.mapping("party")),
    )


def _party(fields: Fields) -> Party:
    return Party(
        id=fields.text("id"),
        name=fields.text("name"),
        address=fields.text("address"),
        contact=fields.text("contact"),
        type=fields.text("type"),
    )
