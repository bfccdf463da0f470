"""Damaged manifests and consent records by the thousand: a checked one comes out, or a refusal."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.landing.layout import MANIFEST_NAME
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.privacy.consent import read_all_consents, read_consent

CONSENT = "consent-worker-7"


def exercise_manifest(path: Path) -> None:
    folder = path.parent / "2026-03-14" / "worker-7" / "ses-001"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_NAME).write_bytes(path.read_bytes())
    manifest = read_manifest(folder)
    assert manifest.video_file.role == "video"
    assert all(start_ns < end_ns for start_ns, end_ns in manifest.private_intervals_ns)
    assert [manifest.stream_of(file).stream_id for file in manifest.sensor_files]


def exercise_consent(path: Path) -> None:
    landing = path.parent / "landing"
    (landing / "consents").mkdir(parents=True, exist_ok=True)
    (landing / "consents" / f"{CONSENT}.json").write_bytes(path.read_bytes())
    records, errors = read_all_consents(landing)
    assert len(records) + len(errors) == 1
    assert read_consent(landing, CONSENT).record_id == CONSENT


def _manifest(folder: Path, document: dict[str, Any]) -> Path:
    path = folder / "seed.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def _consent(folder: Path) -> Path:
    return write_consent(folder, "worker-7", first_day=date(2026, 3, 14))


def _seed(folder: Path, exercise: Callable[[Path], None], document: dict[str, Any]) -> Path:
    return _manifest(folder, document) if exercise is exercise_manifest else _consent(folder)


@pytest.mark.parametrize("exercise", [exercise_manifest, exercise_consent])
def test_two_thousand_damaged_documents_are_read_or_refused(
    tmp_path: Path,
    survive_mutations: Callable[..., dict[str, int]],
    manifest_json: Callable[..., dict[str, Any]],
    exercise: Callable[[Path], None],
) -> None:
    survive_mutations(exercise, [_seed(tmp_path, exercise, manifest_json())])


@pytest.mark.fuzz
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("exercise", [exercise_manifest, exercise_consent])
def test_fifty_thousand_damaged_documents_are_read_or_refused(
    tmp_path: Path,
    survive_mutations: Callable[..., dict[str, int]],
    manifest_json: Callable[..., dict[str, Any]],
    exercise: Callable[[Path], None],
) -> None:
    survive_mutations(exercise, [_seed(tmp_path, exercise, manifest_json())], 50_000)
