"""The form a table contract takes: columns with units, keys, partitioning.

The tables themselves are in `schemas`; reading and writing is in `tables`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

CONTRACT_VERSION = "1.0.0"
"""SemVer of the data contract: a new nullable column is minor, anything else major."""

RESTRICTED = "restricted"
PUBLISHED = "published"


def column(name: str, kind: pa.DataType, description: str, *, unit: str = "", is_nullable: bool = False) -> pa.Field:
    """One column whose description and unit travel in the field's metadata."""
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=is_nullable, metadata=metadata)


@dataclass(frozen=True)
class TableContract:
    """What readers of one table may rely on.

    Attributes:
        name: the table's folder name inside its zone.
        zone: `restricted` or `published`.
        columns: in the order they are stored.
        partition_by: a write replaces exactly the rows of one value of these columns.
        key: columns that are unique together; rows are stored in this order.
        volatile: columns that say when or by which run a row was written; they do not count as content.
    """

    name: str
    zone: str
    description: str
    columns: tuple[pa.Field, ...]
    partition_by: tuple[str, ...]
    key: tuple[str, ...]
    volatile: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, descriptions and units included."""
        return pa.schema(self.columns)

    def conform(self, rows: Iterable[dict[str, object]] | pa.Table) -> pa.Table:
        """Rows or a table in this contract's column order and types, sorted by key.

        Raises:
            pa.ArrowInvalid, KeyError: a column is missing or its values do not fit: a bug in the caller.
        """
        if isinstance(rows, pa.Table):
            table = rows.select(self.schema.names).cast(self.schema)
        else:
            table = pa.Table.from_pylist(list(rows), schema=self.schema)
        table.validate(full=True)
        for field in self.columns:
            if not field.nullable and table.column(field.name).null_count:
                raise pa.ArrowInvalid(f"{self.name}.{field.name} holds nulls")
        return table.sort_by([(name, "ascending") for name in self.key])

    def empty(self) -> pa.Table:
        """No rows, right columns."""
        return self.schema.empty_table()
