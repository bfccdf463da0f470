"""The catalogue that a lab opens first: every published table, what it holds, which version is current."""

import json

import pyarrow as pa
import pyarrow.compute as pc

from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.lake.contract import CONTRACT_VERSION, PUBLISHED, TableContract
from harchive_dagster.lake.documentation import describe_columns
from harchive_dagster.lake.tables import Lake


def build_catalog(lake: Lake) -> pa.Table:
    """Rows of the catalog table for every published table that exists."""
    tables = [contract for contract in schemas.ALL_TABLES if contract.zone == PUBLISHED and contract != ledgers.CATALOG]
    return ledgers.CATALOG.conform(
        [_entry(lake, contract) for contract in tables if lake.version(contract) is not None]
    )


def _entry(lake: Lake, contract: TableContract) -> dict[str, object]:
    has_days = "collected_on" in contract.schema.names
    rows = lake.read_columns(contract, [contract.schema.names[0]])
    days = pc.min_max(rows.column("collected_on")).as_py() if has_days else {"min": None, "max": None}
    return {
        "table_name": contract.name,
        "description": contract.description,
        "contract_version": CONTRACT_VERSION,
        "version": lake.version(contract),
        "row_count": rows.num_rows,
        "first_day": days["min"],
        "last_day": days["max"],
        "columns": json.dumps(describe_columns(contract)),
    }
