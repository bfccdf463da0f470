"""What every test shares: an environment of its own, so that no test reads a developer's settings or instance."""

import base64
import inspect
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

MUTATIONS = 2_000
"""Damaged files per format in every run; a `fuzz` test of each format asks for 50,000."""

# Before any Dagster module is imported: tests must neither write into a developer's instance nor report usage.
os.environ.pop("DAGSTER_HOME", None)
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
for name in [name for name in os.environ if name.startswith("HARCHIVE_") and name != "HARCHIVE_REALDATA"]:
    del os.environ[name]
os.environ["HARCHIVE_PSEUDONYM_KEY"] = "only-for-the-tests-0123456789"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real recordings; skips where there is none."""
    folder = Path(os.environ.get("HARCHIVE_REALDATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings in {folder}")
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket of that S3, through boto3; the environment says where it is, as in production."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    return boto3.resource("s3", region_name="us-east-1").create_bucket(Bucket=f"landing-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def ward(tmp_path: Path) -> Any:
    """An empty landing and lake that sessions can be put into as runs leave them: taken in, finished, set aside."""
    from harchive_dagster.lake import ledgers
    from harchive_dagster.lake.tables import Lake, worker_day_key
    from harchive_dagster.landing.arrivals import arrival_of
    from harchive_dagster.landing.listing import LocalUploads
    from harchive_dagster.worker_day import WorkerDay

    class Ward:
        root = tmp_path
        landing = tmp_path / "landing"
        lake = Lake(tmp_path / "lake")
        uploads = LocalUploads(tmp_path / "landing")

        def arrive(
            self, session_id: str = "ses-0042", worker: str = "worker-01", day: str = "2026-03-02", manifest: str = "{}"
        ) -> WorkerDay:
            folder = self.landing / day / worker / session_id
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "manifest.json").write_text(manifest)
            return WorkerDay(date.fromisoformat(day), worker)

        def finish(self, worker_day: WorkerDay) -> None:
            """As if a run of what lies in the landing now had gone through."""
            digest = {"arrival_digest": arrival_of(self.landing, worker_day).digest or "none"}
            counts = dict.fromkeys(
                ("published_sessions", "published_episodes", "published_ns", "quarantined_sessions"), 0
            )
            arrived = {"complete_count": 1, "waiting_count": 0}
            for contract, rest in ((ledgers.ARRIVALS, arrived), (ledgers.WORKER_DAYS, counts)):
                row = {**worker_day_key(worker_day), **digest, **rest}
                self.lake.replace(contract, worker_day_key(worker_day), contract.conform([row]), run_id="r")

        def set_aside(self, worker_day: WorkerDay, **overrides: Any) -> None:
            """Put one more row into the ledger of a stage."""
            row = {
                "session_id": "ses-0042",
                "stage": "uploads",
                "reason": "task_unknown",
                "detail": "task_id 'juggle' is not in the catalogue.",
                "expectation": None,
                "evidence": '{"task_id": "juggle"}',
                "at_utc": datetime(2026, 3, 3, 1, 30, tzinfo=UTC),
                "run_id": "run-1",
                **overrides,
            }
            key = {**worker_day_key(worker_day), "stage": row["stage"]}
            there = self.lake.read(ledgers.QUARANTINE, key).to_pylist()
            rows = ledgers.QUARANTINE.conform([*there, {**worker_day_key(worker_day), **row}])
            self.lake.replace(ledgers.QUARANTINE, key, rows, run_id="r")

    (tmp_path / "landing").mkdir()
    return Ward()


@pytest.fixture
def make_recorder_file() -> Callable[[Path], Path]:
    """Writes the one MCAP file of a cap that records 2 s of video and of its own motion."""

    def make(path: Path) -> Path:
        import av
        import numpy as np
        from mcap.writer import Writer

        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 192, 160, "yuv420p", Fraction(1, 30)
        encoder.options = {"bf": "0", "g": "15", "threads": "1"}
        pictures = []
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(np.full((160, 192, 3), 4 * number, dtype=np.uint8), format="rgb24")
            frame.pts = number
            pictures += encoder.encode(frame)
        pictures += encoder.encode(None)
        start_ns = 1_772_424_000 * 10**9  # 2 March 2026, 04:00 UTC

        def stamp(t_ns: int) -> dict[str, int]:
            return {"sec": t_ns // 10**9, "nsec": t_ns % 10**9}

        with path.open("wb") as file:
            writer = Writer(file)
            writer.start()
            schema = writer.register_schema("foxglove.CompressedVideo", "jsonschema", b"{}")
            camera = writer.register_channel("/camera", "json", schema)
            imu = writer.register_channel("/imu", "json", writer.register_schema("Imu", "jsonschema", b"{}"))
            for number, picture in enumerate(pictures):
                t_ns = start_ns + number * 33_333_333
                data = base64.b64encode(bytes(picture)).decode()
                message = {"timestamp": stamp(t_ns), "frame_id": "cam", "format": "h264", "data": data}
                writer.add_message(camera, log_time=t_ns, publish_time=t_ns, data=json.dumps(message).encode())
            for number in range(400):
                t_ns = start_ns + number * 5_000_000
                vectors = {"gyro_x_rad_s": 0.1, "gyro_y_rad_s": 0.2, "gyro_z_rad_s": 0.0}
                vectors |= {"accel_x_m_s2": 0.0, "accel_y_m_s2": 0.0, "accel_z_m_s2": 9.81}
                data = json.dumps({"t_device_ns": t_ns} | vectors).encode()
                writer.add_message(imu, log_time=t_ns, publish_time=t_ns, data=data)
            writer.finish()
        return path

    return make


@pytest.fixture
def survive_mutations(tmp_path: Path) -> Callable[..., dict[str, int]]:
    """Runs a module-level function of a test file on damaged copies of files; only SessionRejectedError may come out.

    Gives back how many were still read and how many refused; a check that nothing is ever refused, or that everything
    is, would prove little, so both must have happened.
    """

    def run(exercise: Callable[[Path], object], seeds: list[Path], count: int = MUTATIONS) -> dict[str, int]:
        task = {
            "source": inspect.getsourcefile(exercise),
            "name": exercise.__name__,
            "seeds": [str(seed) for seed in seeds],
            "suffix": seeds[0].suffix,
            "folder": str(tmp_path),
            "first": 0,
            "count": count,
        }
        child = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("mutated_inputs.py"))],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            check=False,
            timeout=3000,
        )
        current = tmp_path / "current"
        killer = current.read_text() if current.exists() else "before the first"
        assert child.returncode == 0, f"mutation {killer} ended with {child.returncode}:\n{child.stderr[-4000:]}"
        outcomes = json.loads(child.stdout.splitlines()[-1])
        assert all(outcomes.values()), outcomes
        return outcomes

    return run
