"""Delta tables: one commit per partition, none when nothing changed, readers never see a mix."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from harchive_dagster.errors import LakeError
from harchive_dagster.lake import schemas
from harchive_dagster.lake.contract import CONTRACT_VERSION, RESTRICTED, TableContract, column
from harchive_dagster.lake.tables import Lake, worker_day_key
from harchive_dagster.worker_day import WorkerDay

TABLE = TableContract(
    name="things",
    zone=RESTRICTED,
    description="for the tests",
    columns=(
        column("collected_on", pa.date32(), "day"),
        column("worker_id", pa.string(), "worker"),
        column("n", pa.int64(), "number", unit="ns"),
        column("seen_by", pa.string(), "run"),
    ),
    partition_by=("collected_on", "worker_id"),
    key=("n",),
    volatile=("seen_by",),
)
DAY = WorkerDay(date(2026, 3, 2), "worker-01")
OTHER = WorkerDay(date(2026, 3, 2), "worker-02")


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def make_rows(*numbers, worker_day=DAY, seen_by="first"):
    return TABLE.conform(
        {"collected_on": worker_day.collected_on, "worker_id": worker_day.worker_id, "n": n, "seen_by": seen_by}
        for n in numbers
    )


def write(lake, rows, worker_day=DAY, run_id="run"):
    return lake.replace(TABLE, worker_day_key(worker_day), rows, run_id=run_id)


def numbers(lake, worker_day=DAY):
    return lake.read_worker_day(TABLE, worker_day).column("n").to_pylist()


def test_a_write_replaces_exactly_its_worker_day(lake):
    write(lake, make_rows(1, 2))
    write(lake, make_rows(7, worker_day=OTHER), OTHER)
    write(lake, make_rows(3))
    assert numbers(lake) == [3]
    assert numbers(lake, OTHER) == [7]


def test_rows_come_back_sorted_by_key(lake):
    write(lake, make_rows(3, 1, 2))
    assert numbers(lake) == [1, 2, 3]


def test_unchanged_content_makes_no_commit(lake):
    first = write(lake, make_rows(1, 2))
    again = write(lake, make_rows(2, 1, seen_by="second"))
    assert (again.version, again.is_unchanged) == (first.version, True)
    assert lake.read_worker_day(TABLE, DAY).column("seen_by").to_pylist() == ["first", "first"]


def test_changed_content_makes_one_commit(lake):
    first = write(lake, make_rows(1, 2))
    assert write(lake, make_rows(1, 2, 3)).version == first.version + 1


def test_an_empty_worker_day_is_written_as_empty(lake):
    write(lake, make_rows(1))
    write(lake, make_rows())
    assert numbers(lake) == []


def test_a_commit_names_its_run_and_contract(lake):
    write(lake, make_rows(1), run_id="run-42")
    newest = DeltaTable(lake.uri(TABLE)).history(1)[0]
    assert newest["harchive.run_id"] == "run-42"
    assert newest["harchive.contract_version"] == CONTRACT_VERSION


def test_units_and_descriptions_travel_in_the_schema(lake):
    write(lake, make_rows(1))
    field = lake.read(TABLE).schema.field("n")
    assert field.metadata == {b"description": b"number", b"unit": b"ns"}


def test_many_writers_may_make_and_fill_one_table_at_the_same_time(lake):
    days = [WorkerDay(date(2026, 3, 2), f"worker-{number:02d}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda day: write(lake, make_rows(1, 2, worker_day=day), day), days))
    assert [numbers(lake, day) for day in days] == [[1, 2]] * 8
    assert DeltaTable(lake.uri(TABLE)).metadata().configuration["harchive.contract_version"] == CONTRACT_VERSION


def test_a_description_in_other_words_does_not_stop_writing(lake):
    write(lake, make_rows(1))
    reworded = dataclasses.replace(
        TABLE, columns=tuple(field.with_metadata({"description": "other words"}) for field in TABLE.columns)
    )
    rows = reworded.conform(make_rows(1, 2))
    lake.replace(reworded, worker_day_key(DAY), rows, run_id="run")
    assert numbers(lake) == [1, 2]


def test_the_contract_version_is_a_property_of_the_table(lake):
    write(lake, make_rows(1))
    assert DeltaTable(lake.uri(TABLE)).metadata().configuration["harchive.contract_version"] == CONTRACT_VERSION


def test_the_log_does_not_say_where_the_lake_lies(lake):
    write(lake, make_rows(1))
    logs = list((lake.root / "restricted/things/_delta_log").glob("*.json"))
    assert len(logs) >= 2
    assert not any(str(lake.root) in log.read_text() for log in logs)


def test_rows_of_another_worker_day_are_refused(lake):
    with pytest.raises(LakeError, match=r"carry worker_id \['worker-02'\], the write is for worker-01"):
        write(lake, make_rows(1, worker_day=OTHER))
    assert lake.version(TABLE) is None


def test_a_partial_key_is_refused(lake):
    with pytest.raises(LakeError, match="Address one whole partition"):
        lake.replace(TABLE, {"worker_id": "worker-01"}, make_rows(1), run_id="run")


def test_a_table_that_lacks_columns_says_so(lake):
    write(lake, make_rows(1))
    wider = dataclasses.replace(TABLE, columns=(*TABLE.columns, column("extra", pa.string(), "new")))
    with pytest.raises(LakeError, match=r"lacks columns \['extra'\]"):
        lake.read(wider)


def test_a_nullable_column_that_an_older_table_lacks_is_null_until_it_is_written(lake):
    write(lake, make_rows(1))
    write(lake, make_rows(2, worker_day=OTHER), OTHER)
    wider = dataclasses.replace(TABLE, columns=(*TABLE.columns, column("extra", pa.string(), "new", is_nullable=True)))
    assert lake.read(wider).column("extra").to_pylist() == [None, None]
    rows = wider.conform([{**make_rows(1).to_pylist()[0], "extra": "now"}])
    assert not lake.replace(wider, worker_day_key(DAY), rows, run_id="run").is_unchanged
    assert lake.read(wider).select(["n", "extra"]).to_pylist() == [{"n": 1, "extra": "now"}, {"n": 2, "extra": None}]


def test_a_null_where_the_contract_has_none_is_refused():
    with pytest.raises(pa.ArrowInvalid, match=r"things\.n holds nulls"):
        TABLE.conform([{"collected_on": DAY.collected_on, "worker_id": "worker-01", "n": None, "seen_by": "x"}])


def test_a_missing_table_reads_as_empty(lake):
    assert lake.read(TABLE).num_rows == 0
    assert lake.read_columns(TABLE, ["n"]).num_rows == 0


@pytest.mark.parametrize("contract", schemas.ALL_TABLES, ids=lambda contract: f"{contract.zone}/{contract.name}")
def test_every_column_of_the_contract_is_described(contract):
    names = contract.schema.names
    assert all(field.metadata[b"description"] for field in contract.columns)
    assert len(set(names)) == len(names)
    assert {*contract.partition_by, *contract.key, *contract.volatile} <= set(names)


@pytest.mark.parametrize(
    "contract", [c for c in schemas.ALL_TABLES if c.zone == "published"], ids=lambda contract: contract.name
)
def test_no_published_table_has_a_column_for_operational_names(contract):
    forbidden = {
        "worker_id",
        "session_id",
        "stream_id",
        "rig_model",
        "serial",
        "consent_id",
        "region",
        "manifest_sha256",
    }
    assert not forbidden & set(contract.schema.names)


def test_rows_that_delta_refuses_are_not_tried_again(lake, monkeypatch):
    write(lake, make_rows(1))
    pauses = []
    monkeypatch.setattr("harchive_dagster.lake.tables.time.sleep", pauses.append)
    wider = dataclasses.replace(TABLE, columns=(*TABLE.columns, pa.field("extra", pa.string(), nullable=False)))
    rows = make_rows(1).append_column(wider.columns[-1], [["new"]])
    with pytest.raises(DeltaError):
        lake._commit(wider, worker_day_key(DAY), rows, "run")
    assert pauses == []
