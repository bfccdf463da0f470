"""Reading and writing the lake's Delta tables: one commit per partition, no commit when nothing changed.

Which columns a table has is in `schemas`; whether rows are good enough to be written is judged in `quality`.
"""

import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from harchive_dagster.errors import LakeError
from harchive_dagster.lake.contract import CONTRACT_VERSION, RESTRICTED, TableContract
from harchive_dagster.worker_day import WorkerDay

if TYPE_CHECKING:
    from deltalake import DeltaTable

PartitionKey = Mapping[str, str | date]
"""Values of a contract's partition columns; empty for a table that is written whole."""

_COMMIT_ATTEMPTS = 6
"""Conflicts need overlapping predicates or a compaction under way; six tries with back-off outlast one (about 6 s)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What a write left behind: the table version that readers now see."""

    table: str
    version: int
    row_count: int
    is_unchanged: bool


@dataclass(frozen=True)
class Lake:
    """The folder (or object store) that holds every table and the media beside them.

    Attributes:
        root: local folder.
    """

    root: Path

    def uri(self, contract: TableContract) -> str:
        """Where a table lies."""
        return str(self.root / contract.zone / contract.name)

    def media_folder(self, zone: str) -> Path:
        """Where a zone keeps its video files; `uri` columns are relative to it."""
        return self.root / zone / "media"

    @property
    def validations(self) -> Path:
        """Where the last validation of every stage and partition is kept, for the Data Docs."""
        return self.root / RESTRICTED / "validations"

    def version(self, contract: TableContract) -> int | None:
        """The current version, or None while the table does not exist."""
        from deltalake import DeltaTable

        return DeltaTable(self.uri(contract)).version() if self._exists(contract) else None

    def read(self, contract: TableContract, key: PartitionKey | None = None, *, version: int | None = None) -> pa.Table:
        """Rows of one partition (or all) as they are now or were in a version, sorted by the contract's key.

        Nullable columns that an older version did not write are null.

        Raises:
            LakeError: the table lacks columns that must have values, or the version cannot be read.
        """
        if not self._exists(contract):
            return contract.empty()
        filters = [(name, "=", value) for name, value in (key or {}).items()]
        stored = self._stored(contract, version, filters=filters or None)
        for field in contract.columns:
            if field.nullable and field.name not in stored.column_names:
                stored = stored.append_column(field, pa.nulls(stored.num_rows, field.type))
        missing = set(contract.schema.names) - set(stored.column_names)
        if missing:
            raise LakeError(
                f"Table {contract.name} at {self.uri(contract)} lacks columns {sorted(missing)}.",
                consequence="It cannot be read under this version of the data contract.",
                mend="Migrate the table, or run the version of harchive that wrote it.",
            )
        return contract.conform(stored)

    def read_columns(self, contract: TableContract, columns: list[str]) -> pa.Table:
        """All rows of a few columns, unsorted; for counting and look-ups over the whole table."""
        if not self._exists(contract):
            return contract.empty().select(columns)
        return self._stored(contract, columns=columns)

    def read_worker_day(self, contract: TableContract, worker_day: WorkerDay) -> pa.Table:
        """Rows of one worker-day of a restricted table."""
        return self.read(contract, worker_day_key(worker_day))

    def replace(self, contract: TableContract, key: PartitionKey, rows: pa.Table, *, run_id: str) -> Written:
        """Replace exactly the rows of one partition in one commit; do nothing when the content is the same.

        Content is every column that is not volatile. Volatile columns of an unchanged partition keep their values.

        Raises:
            LakeError: rows lie outside the partition, or every commit attempt met a conflict.
        """
        rows = contract.conform(rows)
        _require_rows_inside(contract, key, rows)
        if self._exists(contract) and _is_same_content(contract, self.read(contract, key), rows):
            version = self.version(contract)
            assert version is not None
            return Written(contract.name, version, rows.num_rows, is_unchanged=True)
        version = self._commit(contract, key, rows, run_id)
        return Written(contract.name, version, rows.num_rows, is_unchanged=False)

    def _stored(self, contract: TableContract, version: int | None = None, **selection: Any) -> pa.Table:
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        # Arrow's own file system: deltalake's lives in Python, Arrow's threads still call it while the interpreter
        # shuts down, and a short command then ends in an abort after its last line (4 of 10 at worst, deltalake 1.6).
        files = SubTreeFileSystem(self.uri(contract), LocalFileSystem())
        try:
            return self.delta_table(contract, version).to_pyarrow_table(filesystem=files, **selection)
        except FileNotFoundError as error:
            if version is None:
                raise
            raise _unreadable_version(contract, version, error) from None

    def delta_table(self, contract: TableContract, version: int | None = None) -> "DeltaTable":
        """The table as deltalake knows it, now or in a version.

        Raises:
            LakeError: there is no such version, or its log is gone.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            return DeltaTable(self.uri(contract), version=version)
        except DeltaError as error:
            if version is None:
                raise
            raise _unreadable_version(contract, version, error) from None

    def _exists(self, contract: TableContract) -> bool:
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(self.uri(contract))

    def _create_if_missing(self, contract: TableContract) -> None:
        from deltalake import DeltaTable, write_deltalake

        if not self._exists(contract):
            # Not DeltaTable.create: it writes the table's absolute path into the log, which labs read.
            write_deltalake(
                self.uri(contract),
                contract.empty(),
                mode="ignore",
                partition_by=list(contract.partition_by) or None,
                name=contract.name,
                description=contract.description,
            )
        table = DeltaTable(self.uri(contract))
        properties = {"harchive.contract_version": CONTRACT_VERSION}
        if not properties.items() <= table.metadata().configuration.items():
            # delta-rs refuses property names it does not know unless told otherwise.
            table.alter.set_table_properties(properties, raise_if_not_exists=False)

    def _schema_mode(self, contract: TableContract) -> Literal["merge"] | None:
        """A table of an older version gets its new columns where older rows may go without them."""
        from deltalake import DeltaTable

        stored = {field.name for field in DeltaTable(self.uri(contract)).schema().fields}
        lacking = [field for field in contract.columns if field.name not in stored]
        return "merge" if lacking and all(field.nullable for field in lacking) else None

    def _commit(self, contract: TableContract, key: PartitionKey, rows: pa.Table, run_id: str) -> int:
        from deltalake import CommitProperties, DeltaTable, write_deltalake
        from deltalake.exceptions import CommitFailedError

        properties = CommitProperties(
            custom_metadata={"harchive.run_id": run_id, "harchive.contract_version": CONTRACT_VERSION}
        )
        # The table's schema holds the descriptions; rows that carried other words would be refused (delta-rs 1.6).
        plain = rows.cast(pa.schema([field.remove_metadata() for field in rows.schema]))
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                # Inside the loop: two runs that make a table at the same time meet a conflict here as well.
                self._create_if_missing(contract)
                write_deltalake(
                    self.uri(contract),
                    plain,
                    mode="overwrite",
                    predicate=_predicate(key),
                    schema_mode=self._schema_mode(contract),
                    commit_properties=properties,
                )
            except CommitFailedError as conflict:
                pause_s = 0.1 * 2**attempt * (1 + random.random())
                _log.warning(
                    "commit to %s met a conflict (%s); trying again in %.1f s", contract.name, conflict, pause_s
                )
                time.sleep(pause_s)
            else:
                return DeltaTable(self.uri(contract)).version()
        raise LakeError(
            f"Table {contract.name} met a commit conflict {_COMMIT_ATTEMPTS} times for {dict(key)}.",
            consequence="Nothing was written; the last good rows stay.",
            mend="See which other job writes the same rows, and run this one again afterwards.",
        )


def _unreadable_version(contract: TableContract, version: int, error: Exception) -> LakeError:
    return LakeError(
        f"Version {version} of table {contract.name} cannot be read: {' '.join(str(error).split())[:200]}.",
        consequence="Nothing was read.",
        mend="`harchive changes` without --from lists the versions; a vacuum removes what older ones were made of.",
    )


def worker_day_key(worker_day: WorkerDay) -> PartitionKey:
    """The partition of a restricted table that holds one worker-day."""
    return {"collected_on": worker_day.collected_on, "worker_id": worker_day.worker_id}


def _predicate(key: PartitionKey) -> str | None:
    """Values are identifiers or dates (WorkerDay and pseudonyms see to that), so quoting is safe."""
    return " AND ".join(f"{name} = '{value}'" for name, value in key.items()) or None


def _require_rows_inside(contract: TableContract, key: PartitionKey, rows: pa.Table) -> None:
    if set(key) != set(contract.partition_by):
        raise LakeError(
            f"Table {contract.name} is partitioned by {contract.partition_by}, the write names {tuple(key)}.",
            consequence="Nothing was written.",
            mend="Address one whole partition.",
        )
    for name, value in key.items():
        strays = {str(found) for found in rows.column(name).unique().to_pylist()} - {str(value)}
        if strays:
            raise LakeError(
                f"Rows for {contract.name} carry {name} {sorted(strays)[:3]}, the write is for {value!s}.",
                consequence="Nothing was written.",
                mend="Fix the asset that built them.",
            )


def _is_same_content(contract: TableContract, stored: pa.Table, rows: pa.Table) -> bool:
    """Equality that takes NaN for equal to itself is not needed: contracts hold no NaN."""
    names = [name for name in contract.schema.names if name not in contract.volatile]
    if stored.num_rows != rows.num_rows:
        return False
    return bool(stored.select(names).equals(rows.select(names)))
