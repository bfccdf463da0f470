"""Through the whole chain, no file of a session is opened beyond its manifest unless a consent covers it."""

import io
import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import pytest

from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.lake import ledgers, schemas

RECORDED_ON = date(2026, 3, 2)
LONG_AGO = "2020-01-01T00:00:00+05:30"
REFUSED: dict[str, tuple[dict[str, Any] | None, str]] = {
    "s-missing": (None, "consent_missing"),
    "s-withdrawn": ({"withdrawn_at": datetime.now(UTC).isoformat()}, "consent_withdrawn"),
    "s-announced": (
        {"withdrawn_at": (datetime.now(UTC) + timedelta(hours=5)).isoformat()},
        "consent_withdrawn",
    ),
    "s-expired": ({"valid_from": LONG_AGO, "valid_until": "2020-02-01T00:00:00+05:30"}, "consent_invalid"),
    "s-not-theirs": ({"principal_id": "worker-02"}, "consent_invalid"),
    "s-other-purpose": ({"purposes": ["quality_assurance"]}, "consent_invalid"),
    "s-damaged": ({"party": "somebody"}, "consent_invalid"),
}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Session and file name of whatever Python or FFmpeg opens of an upload."""
    places: list[str] = []

    def watch(real: Callable[..., Any]) -> Callable[..., Any]:
        def seen(file: Any, *args: Any, **more: Any) -> Any:
            place = Path(str(file))
            if "landing" in place.parts and "consents" not in place.parts:
                places.append(f"{place.parent.name}/{place.name}")
            return real(file, *args, **more)

        return seen

    monkeypatch.setattr(av, "open", watch(av.open))
    monkeypatch.setattr(io, "open", watch(io.open))
    return places


def test_of_a_session_without_a_valid_consent_nothing_but_the_manifest_is_opened(house, opened):
    first, *others = REFUSED
    house.add(session_id=first, duration_s=5.0, consent_id=f"consent-{first}")
    day = house.landing.uploads / "2026-03-02" / "worker-01"
    for session_id in others:
        shutil.copytree(day / first, day / session_id)
        text = (day / session_id / "manifest.json").read_text()
        (day / session_id / "manifest.json").write_text(text.replace(first, session_id))
    for session_id, (changes, _) in REFUSED.items():
        record = write_consent(
            house.landing.uploads, "worker-01", first_day=RECORDED_ON, consent_id=f"consent-{session_id}"
        )
        if changes is None:
            record.unlink()
        else:
            record.write_text(json.dumps(json.loads(record.read_text()) | changes))
    opened.clear()

    assert house.run().success
    assert {place.rpartition("/")[2] for place in opened} == {"manifest.json"}
    aside = {row["session_id"]: row["reason"] for row in house.lake.read(ledgers.QUARANTINE).to_pylist()}
    assert aside == {session_id: reason for session_id, (_, reason) in REFUSED.items()}
    rows = house.lake.read(schemas.SESSIONS).to_pylist()
    assert {row["session_id"] for row in rows} == set(REFUSED)
    assert {row["frame_count"] for row in rows} == {None}

    # The watch does see it when a consent is there.
    write_consent(house.landing.uploads, "worker-01", first_day=RECORDED_ON, consent_id=f"consent-{first}")
    assert house.run(selection=["uploads"]).success
    assert f"{first}/cap.mp4" in opened
    assert {row["reason"] for row in house.lake.read(schemas.SESSIONS).to_pylist() if row["session_id"] == first} == {
        None
    }
