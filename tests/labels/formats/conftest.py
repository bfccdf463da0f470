"""What the tests of annotation formats share: proxies at the rates that cameras have, and jobs on them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harchive_dagster.labels.annotation_files import Annotation, read_annotations
from harchive_dagster.labels.formats.protocol import Drawn, Job
from harchive_dagster.labels.formats.proxy import Proxy, write_proxy
from harchive_dagster.labels.formats.registry import format_named

SESSION = "s-abcdefghij234567klmn"
NTSC = Fraction(1000, 1001)
RATES: dict[str, Fraction | None] = {
    "23.976": 24 * NTSC,
    "25": Fraction(25),
    "29.97": 30 * NTSC,
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": 60 * NTSC,
    "varying": None,
}


def _make_proxy(fps: str = "30", *, frame_count: int = 900, session: str = SESSION, digest: str = "ab") -> Proxy:
    rate = RATES[fps]
    if rate is None:  # a phone in changing light: 15 to 60 frames a second
        boundaries = np.concatenate(
            [[0], np.cumsum(np.random.default_rng(5).integers(16, 67, frame_count) * 1_000_000)]
        )
    else:
        boundaries = np.array([round(number * 10**9 / rate) for number in range(frame_count + 1)])
    return Proxy(session, digest * 32, boundaries[:-1].astype(np.int64), int(boundaries[-1]), 1280, 720)


def _make_job(*labels: Drawn, **changes: Any) -> Job:
    proxy = changes.pop("proxy", None) or _make_proxy()
    values: dict[str, Any] = {
        "proxy": proxy,
        "video_uri": f"media/{proxy.name}.mp4",
        "instruction": "Fold the clean laundry & stack it.",
        "labels": labels,
        "verbs": ("fold", "grasp"),
        "nouns": ("shirt", "towel"),
        "made_at": datetime(2026, 3, 2, 4, 30, tzinfo=UTC),
    }
    return Job(**(values | changes))


def accepted(task_list: bytes) -> bytes:
    """Label Studio's export after annotators submitted what was predicted for them."""
    (task,) = json.loads(task_list)
    task["annotations"] = [
        {"id": number, "completed_by": {"email": one["model_version"]}, "result": one["result"]}
        for number, one in enumerate(task["predictions"])
    ]
    return json.dumps([task]).encode()


class AnnotationsFolder:
    """An annotators' folder: what is dropped into it can be read as the pipeline does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.session = root / SESSION

    def know(self, *proxies: Proxy) -> None:
        for proxy in proxies:
            write_proxy(proxy, self.session)

    def drop(self, content: str | bytes, name: str = "asha.csv") -> Path:
        path = self.session / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def drop_job(self, job: Job, tool: str) -> None:
        """What an annotator's tool saves when everything in a job is accepted."""
        for name, content in format_named(tool).write(job).items():
            if not name.endswith((".label-config.xml", ".labels.json")):
                self.drop(accepted(content) if tool == "label-studio" else content, f"asha.{name}")

    def read(self, duration_ns: int | None = None) -> list[Annotation]:
        return read_annotations(self.root, session_pseudonym=SESSION, duration_ns=duration_ns)


@pytest.fixture
def make_proxy() -> Callable[..., Proxy]:
    return _make_proxy


@pytest.fixture
def make_job() -> Callable[..., Job]:
    return _make_job


@pytest.fixture
def annotations(tmp_path: Path) -> AnnotationsFolder:
    return AnnotationsFolder(tmp_path / "annotations")
