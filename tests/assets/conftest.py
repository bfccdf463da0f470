"""One worker-day on a lake of its own, materialized through the real job; shared by every test that only reads it."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from harchive_dagster.definitions import build_defs
from harchive_dagster.demo.breakage import Breakage
from harchive_dagster.demo.session import SessionSpec, folder_of, make_session
from harchive_dagster.demo.timeline import write_annotations
from harchive_dagster.demo.truth import SessionTruth
from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.storage import Landing
from harchive_dagster.partitions import partition_key
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.resources import LakeResource, LandingResource, PseudonymResource
from harchive_dagster.worker_day import WorkerDay

KEY = os.environ["HARCHIVE_PSEUDONYM_KEY"]
DAY = WorkerDay(date(2026, 3, 2), "worker-01")
SERIAL = "SN-7F3A-0001"


@dataclass(frozen=True)
class House:
    """A landing, a lake, and the code location over them."""

    root: Path
    instance: dg.DagsterInstance

    @property
    def landing(self) -> Landing:
        return Landing(self.root / "landing", self.root / "annotations")

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "lake")

    @property
    def pseudonyms(self) -> Pseudonymiser:
        return Pseudonymiser(KEY.encode())

    @property
    def resources(self) -> dict[str, dg.ConfigurableResource]:
        return {
            "landing": LandingResource(uploads=str(self.landing.uploads), annotations=str(self.landing.annotations)),
            "lake": LakeResource(root=str(self.lake.root)),
            "pseudonyms": PseudonymResource(key=KEY),
        }

    def run(
        self,
        worker_day: WorkerDay = DAY,
        selection: list[str] | None = None,
        **overrides: dg.ConfigurableResource,
    ) -> dg.ExecuteInProcessResult:
        """Materialize the whole chain of a worker-day, or some of its assets, with some resources swapped."""
        self.instance.add_dynamic_partitions("worker", [worker_day.worker_id])
        job = build_defs(**self.resources | overrides).resolve_job_def("worker_day")
        return job.execute_in_process(
            instance=self.instance,
            partition_key=partition_key(worker_day),
            asset_selection=[dg.AssetKey(name) for name in selection] if selection else None,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def overview(self) -> dg.ExecuteInProcessResult:
        """Materialize the tables that span all worker-days."""
        job = build_defs(**self.resources).resolve_job_def("overview")
        return job.execute_in_process(instance=self.instance, raise_on_error=False)

    def folder_of(self, session_id: str) -> Path:
        """Where a session's files lie."""
        return next(self.landing.uploads.glob(f"*/*/{session_id}"))

    def declare(self, path: Path, **stream: object) -> None:
        """Write one more sensor file into its session's manifest, or the new size and digest of one that is there."""
        manifest = path.parent / "manifest.json"
        document = json.loads(manifest.read_text())
        proof = {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        if stream:
            new = {
                "path": path.name,
                "role": "sensor",
                "stream_id": stream["stream_id"],
                "format": stream.pop("format"),
            }
            document["rig"]["streams"].append(stream)
            document["files"].append(new | proof)
        for file in document["files"]:
            if file["path"] == path.name:
                file.update(proof)
        manifest.write_text(json.dumps(document))

    def add(self, **overrides: object) -> SessionTruth:
        """Put one small generated session into the landing folder."""
        spec = SessionSpec(**{"width_px": 480, "height_px": 272, "duration_s": 10.0, "serial": SERIAL} | overrides)
        write_consent(self.landing.uploads, spec.worker_id, first_day=spec.collected_on)
        return make_session(folder_of(self.landing.uploads, spec), spec)


def _house(root: Path) -> House:
    (root / "landing").mkdir(parents=True)
    (root / "annotations").mkdir()
    (root / "dagster").mkdir()
    return House(root, dg.DagsterInstance.local_temp(str(root / "dagster"), {"telemetry": {"enabled": False}}))


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty house."""
    return _house(tmp_path)


@pytest.fixture(scope="session")
def make_house() -> Callable[[Path], House]:
    """Makes an empty house in a folder, for fixtures of a wider scope."""
    return _house


@dataclass(frozen=True)
class MaterializedDay:
    """A house in which one worker-day went through the whole chain, and what is true about it."""

    house: House
    worker_day: WorkerDay
    result: dg.ExecuteInProcessResult
    truths: dict[str, SessionTruth]


@pytest.fixture(scope="session")
def materialized(tmp_path_factory: pytest.TempPathFactory) -> MaterializedDay:
    """Two good sessions and one of every broken kind. Tests must not change it."""
    house = _house(tmp_path_factory.mktemp("materialized"))
    good = [
        house.add(session_id="s-good-one", task_id="wash_dishes"),
        house.add(session_id="s-good-two", task_id="tighten_bolts", imu_format="parquet", has_private=True),
    ]
    broken = [
        house.add(
            session_id=f"s-broken-{kind.value.replace('_', '-')}",
            broken=kind,
            duration_s=12.0 if kind is Breakage.FOREIGN_IMU else 5.0,
        )
        for kind in Breakage
    ]
    labels = house.landing.annotations / house.pseudonyms.session("s-good-one") / "anna.csv"
    write_annotations(labels, good[0].segments, np.random.default_rng(1), annotator="anna")
    result = house.run()
    return MaterializedDay(house, DAY, result, {truth.session_id: truth for truth in (*good, *broken)})
