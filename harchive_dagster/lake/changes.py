"""What changed between two versions of a table, row by row. Which tables may be asked about is for the command."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from harchive_dagster.errors import LakeError
from harchive_dagster.lake.contract import TableContract
from harchive_dagster.lake.tables import Lake, PartitionKey

ADDED = "added"
REMOVED = "removed"
CHANGED = "changed"


@dataclass(frozen=True)
class RowChange:
    """One row that is not the same in both versions.

    Attributes:
        kind: added, removed or changed.
        before, after: the row by column; None where there is none.
    """

    kind: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def row(self) -> dict[str, Any]:
        """The newer of what there is."""
        return self.after or self.before or {}

    @property
    def columns(self) -> list[str]:
        """Columns whose values differ, where the row is in both versions."""
        before, after = self.before or {}, self.after or {}
        return [name for name in before.keys() & after.keys() if before[name] != after[name]]


@dataclass(frozen=True)
class Version:
    """One commit of a table; `run_id` is None for what was no run's."""

    version: int
    at_utc: datetime
    run_id: str | None


def versions(lake: Lake, contract: TableContract) -> list[Version]:
    """Every version that the table's log still tells of, newest first.

    Raises:
        LakeError: there is no such table.
    """
    _require_table(lake, contract)
    return [
        Version(
            commit["version"], datetime.fromtimestamp(commit["timestamp"] / 1000, UTC), commit.get("harchive.run_id")
        )
        for commit in lake.delta_table(contract).history()
    ]


def row_changes(lake: Lake, contract: TableContract, older: int, newer: int) -> Iterator[RowChange]:
    """Rows that differ between two versions, in the order of the table's key within each partition.

    Only partitions whose files differ are read, one at a time. Columns that say when or by whom a row was written do
    not count.

    Raises:
        LakeError: there is no such table or version, or its files are gone.
    """
    _require_table(lake, contract)
    before, after = (_files(lake, contract, version) for version in (older, newer))
    for values in sorted(before.keys() | after.keys(), key=str):
        if before.get(values) != after.get(values):
            key = dict(zip(contract.partition_by, values, strict=True))
            yield from _partition_changes(lake, contract, key, older, newer)


def _partition_changes(
    lake: Lake, contract: TableContract, key: PartitionKey, older: int, newer: int
) -> Iterator[RowChange]:
    before, after = (_rows(contract, lake.read(contract, key, version=version)) for version in (older, newer))
    for row_key in sorted(before.keys() | after.keys()):
        old, new = before.get(row_key), after.get(row_key)
        if old is None:
            yield RowChange(ADDED, None, new)
        elif new is None:
            yield RowChange(REMOVED, old, None)
        elif old != new:
            yield RowChange(CHANGED, old, new)


def _rows(contract: TableContract, table: pa.Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    content = table.drop_columns(list(contract.volatile)).to_pylist()
    return {tuple(row[name] for name in contract.key): row for row in content}


def _files(lake: Lake, contract: TableContract, version: int) -> dict[tuple[Any, ...], frozenset[str]]:
    """By values of the partition columns, the files that a version is made of."""
    actions = pa.table(lake.delta_table(contract, version).get_add_actions(flatten=True))
    columns = [actions.column(f"partition.{name}").to_pylist() for name in contract.partition_by]
    files: dict[tuple[Any, ...], frozenset[str]] = {}
    for path, *values in zip(actions.column("path").to_pylist(), *columns, strict=True):
        files[tuple(values)] = files.get(tuple(values), frozenset()) | {path}
    return files


def _require_table(lake: Lake, contract: TableContract) -> None:
    if lake.version(contract) is None:
        raise LakeError(
            f"There is no table {contract.name} at {lake.uri(contract)}.",
            consequence="There are no versions to compare.",
            mend="See that HARCHIVE_LAKE names the lake, and that a run has published into it.",
        )
