"""Writes small uploads whose manifest agrees with their files; tests then break one thing each."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONTENTS = {"cap.mp4": b"not really a video", "imu.csv": b"t_device_ns\n"}


def manifest_document(**overrides: Any) -> dict[str, Any]:
    """A valid manifest as JSON-ready values; the files are those of `CONTENTS`."""

    def file(path: str, **more: Any) -> dict[str, Any]:
        content = CONTENTS[path]
        return {
            "path": path,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            **more,
        }

    return {
        "manifest_version": 1,
        "session_id": "ses-001",
        "worker_id": "worker-7",
        "collected_on": "2026-03-14",
        "started_at": "2026-03-14T09:30:00+05:30",
        "consent_id": "consent-7",
        "task_id": "fold_laundry",
        "site": {"country": "IN", "region": "IN-KA", "environment": "home"},
        "rig": {
            "model": "cap-2",
            "camera": "cam-x",
            "serial": "SN-1",
            "streams": [
                {"stream_id": "imu_head", "placement": "head", "kind": "imu", "rate_hz": 200.0},
            ],
        },
        "files": [
            file("cap.mp4", role="video", format="mp4"),
            file("imu.csv", role="sensor", format="csv", stream_id="imu_head"),
        ],
        "markers": [
            {"at_ns": 1_000_000_000, "kind": "task_start"},
            {"at_ns": 2_000_000_000, "kind": "private_start"},
            {"at_ns": 3_000_000_000, "kind": "private_end"},
            {"at_ns": 4_000_000_000, "kind": "step", "note": "fold the shirt"},
            {"at_ns": 9_000_000_000, "kind": "task_end"},
        ],
        **overrides,
    }


@pytest.fixture
def manifest_json() -> Callable[..., dict[str, Any]]:
    return manifest_document


@pytest.fixture
def session_folder(tmp_path: Path) -> Path:
    """A whole upload at `<tmp_path>/2026-03-14/worker-7/ses-001`."""
    folder = tmp_path / "2026-03-14" / "worker-7" / "ses-001"
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(manifest_document()))
    return folder
