"""The page of all tables, written from the schemas so that it cannot drift. No data is read."""

from harchive_dagster.lake.contract import CONTRACT_VERSION, PUBLISHED, RESTRICTED, TableContract
from harchive_dagster.lake.schemas import ALL_TABLES

_INTRODUCTION = f"""# Tables

Written from the schemas by `harchive tables`; contract version {CONTRACT_VERSION}.
Types are Arrow's; `?` marks what may be null. Times are `int64` nanoseconds of
session time unless the name says otherwise, intervals are half-open.

`published/` is what labs read. `restricted/` may identify somebody and stays in the house.
"""


def table_pages() -> str:
    """Markdown of every table: what a row is, how it is partitioned, each column with type, unit and meaning."""
    parts = [_INTRODUCTION]
    for zone in (PUBLISHED, RESTRICTED):
        parts += [_section(contract) for contract in ALL_TABLES if contract.zone == zone]
    return "\n".join(parts)


def describe_columns(contract: TableContract) -> list[dict[str, str]]:
    """Every column as a person reads it: name, type, unit, description."""
    described = []
    for field in contract.columns:
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        described.append(
            {
                "name": field.name,
                "type": f"{field.type}{'?' if field.nullable else ''}",
                "unit": metadata.get("unit", ""),
                "description": metadata.get("description", ""),
            }
        )
    return described


def _section(contract: TableContract) -> str:
    rows = "\n".join(
        f"| `{column['name']}` | {column['type']} | {column['unit']} | {column['description']} |"
        for column in describe_columns(contract)
    )
    partition = ", ".join(f"`{name}`" for name in contract.partition_by) or "nothing: it is replaced whole"
    return (
        f"## {contract.zone}/{contract.name}\n\n{contract.description}. Partitioned by {partition}.\n\n"
        f"| column | type | unit | |\n|---|---|---|---|\n{rows}\n"
    )
