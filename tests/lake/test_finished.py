"""Which worker-days are finished, read from the table's log: the same as its rows say, whatever the log holds."""

from datetime import date

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.lake.arrivals import finished, finished_version, released, worker_days_naming
from harchive_dagster.lake.tables import Lake, worker_day_key
from harchive_dagster.worker_day import WorkerDay

DAYS = [WorkerDay(date(2026, 3, day), f"worker-{day}") for day in (1, 2, 3)]
DIGESTS = ["none", "f" * 64, "0" * 64]


def row(worker_day, digest):
    counts = dict.fromkeys(("published_sessions", "published_episodes", "published_ns", "quarantined_sessions"), 1)
    key = {"collected_on": worker_day.collected_on, "worker_id": worker_day.worker_id}
    return key | {"arrival_digest": digest} | counts


def finish(lake, worker_day, *digests):
    table = ledgers.WORKER_DAYS.conform([row(worker_day, digest) for digest in digests])
    lake.replace(ledgers.WORKER_DAYS, worker_day_key(worker_day), table, run_id="r")


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def test_nothing_is_finished_in_an_empty_lake(lake):
    assert finished(lake) == {}
    assert finished_version(lake) is None
    assert worker_days_naming(lake, ["consent-1"]) == {"consent-1": []}


def test_the_last_arrival_of_every_worker_day_is_told(lake):
    for worker_day, digest in zip(DAYS, DIGESTS, strict=True):
        finish(lake, worker_day, "an earlier one")
        finish(lake, worker_day, digest)
    assert finished(lake) == dict(zip(DAYS, DIGESTS, strict=True))


def test_no_file_is_opened(lake):
    finish(lake, DAYS[0], "d")
    for file in (lake.root / "restricted" / "worker_days").rglob("*.parquet"):
        file.write_bytes(b"")
    assert finished(lake) == {DAYS[0]: "d"}


@pytest.mark.parametrize("digest", ["d" * 64, "é" * 200])
@pytest.mark.parametrize("indexed_columns", ["0", "32"])
def test_where_the_log_does_not_hold_the_value_the_rows_do(lake, digest, indexed_columns):
    table = ledgers.WORKER_DAYS.conform([row(DAYS[0], digest)])
    write_deltalake(
        lake.uri(ledgers.WORKER_DAYS),
        table,
        partition_by=list(ledgers.WORKER_DAYS.partition_by),
        configuration={"delta.dataSkippingNumIndexedCols": indexed_columns},
    )
    assert finished(lake) == {DAYS[0]: digest}


def test_what_was_taken_off_is_released(lake):
    for worker_day in DAYS:
        finish(lake, worker_day, "d")
    version = finished_version(lake)
    finish(lake, DAYS[1])
    finish(lake, DAYS[2], "another")
    assert released(lake, finished(lake), since_version=version) == {DAYS[1]}
    assert finished_version(lake) != version


def test_a_version_that_is_not_kept_releases_nothing(lake):
    finish(lake, DAYS[0], "d")
    assert released(lake, {}, since_version=99) == set()


@pytest.mark.parametrize("indexed_columns", ["0", "32"])
def test_the_sessions_that_name_a_consent_are_found_with_no_neighbour_too_few(lake, indexed_columns):
    named = {DAYS[0]: ["c-b"], DAYS[1]: ["c-a", "c-c"], DAYS[2]: ["c-" + "x" * 62]}
    rows = [
        {"collected_on": day.collected_on, "worker_id": day.worker_id, "consent_id": consent}
        for day, consents in named.items()
        for consent in consents
    ]
    write_deltalake(
        lake.uri(schemas.SESSIONS),
        pa.Table.from_pylist(rows),
        partition_by=list(schemas.SESSIONS.partition_by),
        configuration={"delta.dataSkippingNumIndexedCols": indexed_columns},
    )
    found = worker_days_naming(lake, ["c-a", "c-b", "c-" + "x" * 62, "c-z"])
    assert DAYS[0] in found["c-b"]
    assert DAYS[1] in found["c-a"]
    assert DAYS[2] in found["c-" + "x" * 62]
    assert indexed_columns == "0" or (found["c-z"], found["c-a"]) == ([], [DAYS[1]])
