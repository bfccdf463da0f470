"""A manifest as it is written: what a person says, what files hold, and what the manifest's own reader says of both."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.fields import is_identifier
from harchive_dagster.landing.inspection import InspectedFile
from harchive_dagster.landing.layout import MANIFEST_NAME
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.landing.manifest_checks import require_private_within
from harchive_dagster.landing.rig_draft import DraftedStream
from harchive_dagster.privacy.consent import ConsentRecord

_STAND_IN = "unknown"
"""For a value that was reported as wrong, so that everything else can still be checked."""

_STAND_IN_VIDEO = {"path": "video.mp4", "role": "video", "format": "mp4", "bytes": 0, "sha256": "0" * 64}

_MARKER = re.compile(r"([^@]+)@(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
"""To the nanosecond, and within what its clock can count."""


@dataclass(frozen=True)
class Answers:
    """What only a person can say about a recording, as typed: all of it is checked together with the files.

    Attributes:
        task_id: None for a recording without a task.
        started_at: RFC 3339 with offset; None takes what the video says.
        collected_on: YYYY-MM-DD; None takes the local day of `started_at`.
        country: ISO 3166-1; None takes the consent's.
        session_id: None makes one of the start and the content.
        placements: of the form stream=placement.
        clocks: of the form stream=clock.
        readout_ms: of the camera's rolling shutter; None where not known.
        without: streams to leave out of the manifest.
        markers: of the form kind@seconds, in session time.
    """

    worker_id: str
    consent_id: str
    task_id: str | None
    started_at: str | None = None
    collected_on: str | None = None
    country: str | None = None
    region: str | None = None
    environment: str = "other"
    session_id: str | None = None
    rig_model: str = _STAND_IN
    camera: str = _STAND_IN
    serial: str = _STAND_IN
    placements: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    readout_ms: float | None = None
    without: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecordingTime:
    """When it was recorded; `is_known` is false where a stand-in was taken."""

    started_at: datetime
    collected_on: date
    is_known: bool


def draft_manifest(
    answers: Answers,
    time: RecordingTime,
    consent: ConsentRecord | None,
    files: Sequence[InspectedFile],
    streams: Sequence[DraftedStream],
    calibrations: Sequence[dict[str, Any]],
    problems: list[str],
) -> dict[str, Any]:
    """The manifest as JSON-ready values; `problems` gets a sentence for everything that cannot be filled in."""
    return {
        "manifest_version": 1,
        "session_id": answers.session_id or _session_id(time.started_at, files),
        "worker_id": answers.worker_id,
        "collected_on": time.collected_on.isoformat(),
        "started_at": time.started_at.isoformat(),
        "consent_id": answers.consent_id,
        "task_id": answers.task_id,
        "site": {
            "country": _country(answers, consent, problems),
            "region": answers.region,
            "environment": answers.environment,
        },
        "rig": {
            "model": answers.rig_model,
            "camera": answers.camera,
            "serial": answers.serial,
            "streams": [stream.entry for stream in streams],
            **({} if answers.readout_ms is None else {"readout_ms": answers.readout_ms}),
        },
        "files": [*_file_entries(files, streams), *calibrations],
        "markers": _markers(answers.markers, problems),
    }


def _session_id(started_at: datetime, files: Sequence[InspectedFile]) -> str:
    """The same for the same files, whatever their names and whoever packs them."""
    digests = sorted(file.source.sha256 for file in files)
    return f"s{started_at.astimezone(UTC):%Y%m%dt%H%M%S}z-{hashlib.sha256(''.join(digests).encode()).hexdigest()[:12]}"


def _country(answers: Answers, consent: ConsentRecord | None, problems: list[str]) -> str:
    # A region that is none is reported as such; taking a country out of it would only confuse.
    region = answers.region if answers.region and "-" in answers.region else None
    known = answers.country or (region or (consent.jurisdiction if consent else "")).split("-")[0]
    if not known:
        problems.append("where it was recorded is not known: add --country")
    return known or "ZZ"


def _file_entries(files: Sequence[InspectedFile], streams: Sequence[DraftedStream]) -> Iterator[dict[str, Any]]:
    for file in files:
        proof = file.source.proof
        if file.video:
            yield {**proof, "role": "video", "format": file.video_format}
        for stream in streams:
            if stream.file is file:
                entry = {**proof, "role": "sensor", "stream_id": stream.spec.stream_id, "format": file.sensor_format}
                yield entry | ({"channel": stream.channel.name} if stream.channel.name else {})


def _markers(texts: Sequence[str], problems: list[str]) -> list[dict[str, Any]]:
    """In order of time, as a manifest wants them."""
    found = [_MARKER.fullmatch(text) for text in texts]
    problems += [
        f"--marker {text!a} is not of the form kind@seconds"
        for text, match in zip(texts, found, strict=True)
        if not match
    ]
    markers = [{"at_ns": int(Decimal(match[2]) * 1_000_000_000), "kind": match[1]} for match in found if match]
    return sorted(markers, key=lambda marker: marker["at_ns"])


def manifest_problems(document: dict[str, Any], duration_ns: int | None) -> list[str]:
    """What its reader says of a manifest, asked in a place of its own: nothing wrong must reach the landing.

    Args:
        document: the manifest.
        duration_ns: of the video; None where there is none.
    """
    videos = [entry for entry in document["files"] if entry["role"] == "video"] or [_STAND_IN_VIDEO]
    others = [entry for entry in document["files"] if entry["role"] != "video"]
    folders = [document["collected_on"], document["worker_id"], document["session_id"]]
    with TemporaryDirectory() as place:
        folder = Path(place, *(name if is_identifier(name) else _STAND_IN for name in folders))
        folder.mkdir(parents=True)
        # How many videos there are, and which tasks, has been said by then.
        (folder / MANIFEST_NAME).write_bytes(as_json(document | {"files": [videos[0], *others], "task_id": None}))
        try:
            manifest = read_manifest(folder)
            if duration_ns is not None:
                require_private_within(manifest.markers, duration_ns)
        except LandingError as error:
            return list(error.evidence.get("problems") or [error.detail.rstrip(".")])
    return []


def as_json(document: dict[str, Any]) -> bytes:
    """The bytes of the file: the same for the same values."""
    return (json.dumps(document, indent=1) + "\n").encode()
