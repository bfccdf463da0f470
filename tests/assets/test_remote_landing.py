"""The whole chain over uploads in an object store: the same rows as over a folder; an outage is no session's fault."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from harchive_dagster.demo.breakage import Breakage
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.landing.storage import Landing
from harchive_dagster.resources import LandingResource
from harchive_dagster.sensors import arrivals

SESSION = "2026-03-02/worker-01/s-one"


@dataclass(frozen=True)
class RemoteHouse:
    """A house whose uploads lie in a bucket."""

    house: object
    bucket: object

    @property
    def resource(self):
        annotations, spool = (str(self.house.root / name) for name in ("annotations", "spool"))
        return LandingResource(uploads=f"s3://{self.bucket.name}/in", annotations=annotations, spool=spool)

    @property
    def landing(self):
        return self.resource.create_resource(dg.build_init_resource_context())

    def run(self, selection=None):
        return self.house.run(selection=selection, landing=self.resource)

    def tick(self, cursor=None):
        context = dg.build_sensor_context(instance=self.house.instance, cursor=cursor)
        return arrivals(context, landing=self.landing, lake=self.house.lake)

    def spooled(self):
        files = (path for path in (self.house.root / "spool").rglob("*") if path.is_file())
        return {path.name for path in files if not path.relative_to(self.house.root / "spool").parts[1].startswith(".")}


@pytest.fixture
def remote(house, bucket):
    return RemoteHouse(house, bucket)


def upload(bucket, folder: Path):
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put_object(Key=f"in/{path.relative_to(folder).as_posix()}", Body=path.read_bytes())


@pytest.fixture
def go_down(monkeypatch):
    """Makes the store answer no more."""

    def down():
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setattr("harchive_dagster.landing.object_store._RETRIES", {"max_retries": 1})

    return down


def failure(result):
    event = next(event for event in result.all_events if event.is_step_failure)
    return event.step_key, event.step_failure_data.error.cause or event.step_failure_data.error


def content(lake):
    volatile = {"ingested_at_utc", "at_utc", "run_id"}
    found = {}
    for contract in schemas.ALL_TABLES:
        table = lake.read(contract)
        rows = table.drop_columns([name for name in table.column_names if name in {*contract.volatile, *volatile}])
        found[contract.zone, contract.name] = rows.to_pylist()
    return found


@pytest.mark.slow
def test_the_rows_are_those_of_a_local_landing(remote, make_house, tmp_path):
    local = make_house(tmp_path / "local")
    local.add(session_id="s-one", task_id="wash_dishes", duration_s=8.0)
    local.add(session_id="s-broken", duration_s=5.0, broken=Breakage.WRONG_CHECKSUM)
    assert local.run().success
    upload(remote.bucket, local.landing.uploads)
    (request,) = remote.tick().run_requests
    assert request.partition_key == "2026-03-02|worker-01"
    assert remote.run().success
    assert content(remote.house.lake) == content(local.lake)
    assert local.lake.read(schemas.EPISODES).num_rows
    assert remote.spooled() == {"consent-worker-01.json"}
    assert not remote.tick().run_requests


def test_a_store_that_is_down_fails_the_run_with_one_line_and_sets_nobody_aside(remote, go_down):
    remote.house.add(session_id="s-one", duration_s=5.0)
    upload(remote.bucket, remote.house.landing.uploads)
    assert remote.run(selection=["uploads"]).success
    before = remote.house.lake.read(schemas.SESSIONS).to_pylist()
    go_down()
    result = remote.run(selection=["uploads"])
    assert not result.success
    step, error = failure(result)
    assert step == "uploads"
    assert error.cls_name == "StoreError"
    assert len(error.message.strip().splitlines()) == 1
    assert remote.house.lake.read(ledgers.QUARANTINE).num_rows == 0
    assert remote.house.lake.read(schemas.SESSIONS).to_pylist() == before
    assert isinstance(remote.tick(), dg.SkipReason)


def test_a_store_that_goes_down_between_two_stages_fails_the_second(remote, go_down):
    remote.house.add(session_id="s-one", duration_s=5.0)
    upload(remote.bucket, remote.house.landing.uploads)
    assert remote.run(selection=["uploads"]).success
    landing = remote.landing
    assert isinstance(landing, Landing)
    (landing.uploads / SESSION / "manifest.json").unlink()
    go_down()
    result = remote.run(selection=["sensor_samples"])
    assert failure(result)[1].cls_name == "StoreError"
    assert remote.house.lake.read(ledgers.QUARANTINE).num_rows == 0
