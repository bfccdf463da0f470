"""Tables that span all worker-days: consents, the task catalogue, what is in quarantine, what is published."""

from typing import Any

import dagster as dg
import pyarrow as pa

from harchive_dagster.delivery.catalog import build_catalog
from harchive_dagster.labels.task_catalog import load_task_catalog
from harchive_dagster.lake import ledgers, reference
from harchive_dagster.lake.contract import TableContract
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.storage import Landing
from harchive_dagster.privacy.consent import read_all_consents
from harchive_dagster.stages import STAGES
from harchive_dagster.worker_day_asset import OWNERS


def _replace(context: dg.AssetExecutionContext, lake: Lake, contract: TableContract, table: pa.Table) -> dict[str, Any]:
    written = lake.replace(contract, {}, table, run_id=context.run.run_id)
    return {"dagster/row_count": written.row_count, "table_version": written.version}


@dg.asset(group_name="governance", kinds={"deltalake", "json"}, owners=list(OWNERS), deps=["consent_records"])
def consents(
    context: dg.AssetExecutionContext, landing: dg.ResourceParam[Landing], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult[None]:
    """Consent records as they stand. `uploads` reads the records themselves, so that this table can never be stale
    for it; the table is for people.
    """
    landing.bring_consents()
    records, errors = read_all_consents(landing.uploads)
    metadata = _replace(context, lake, ledgers.CONSENTS, reference.consent_rows(records))
    for error in errors:
        context.log.warning(str(error))
    withdrawn = sum(record.withdrawn_at is not None for record in records)
    unreadable = dg.MetadataValue.md("\n".join(f"- {error.detail}" for error in errors) or "none")
    return dg.MaterializeResult(metadata={**metadata, "withdrawn": withdrawn, "unreadable_records": unreadable})


@dg.asset(group_name="governance", kinds={"deltalake", "yaml"}, owners=list(OWNERS))
def task_catalog(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[None]:
    """The tasks that workers are asked to do, in every language: the versioned file of this repository as a table."""
    catalog = load_task_catalog()
    metadata = _replace(context, lake, ledgers.TASK_CATALOG, reference.task_rows(catalog))
    return dg.MaterializeResult(metadata={**metadata, "catalog_version": catalog.version})


@dg.asset(group_name="governance", kinds={"deltalake"}, owners=list(OWNERS), deps=list(STAGES))
def quarantine(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[None]:
    """What is set aside over all worker-days, by reason. The stages write the table; this is the look over it."""
    rows = lake.read(ledgers.QUARANTINE).to_pandas()
    by_reason = rows.groupby(["stage", "reason"]).size().sort_values(ascending=False)
    newest = rows.sort_values("at_utc", ascending=False).head(20)
    table = "\n".join(f"| {stage} | {reason} | {count} |" for (stage, reason), count in by_reason.items())
    recent = "\n".join(
        f"| {row.collected_on} | {row.worker_id} | {row.session_id} | {row.reason} | {row.detail} |"
        for row in newest.itertuples()
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "table_version": lake.version(ledgers.QUARANTINE) or 0,
            "by_reason": dg.MetadataValue.md(f"| stage | reason | sessions |\n|---|---|---|\n{table}"),
            "newest": dg.MetadataValue.md(
                f"| day | worker | session | reason | detail |\n|---|---|---|---|---|\n{recent}"
            ),
        }
    )


@dg.asset(group_name="governance", kinds={"deltalake"}, owners=list(OWNERS), deps=["episodes", "task_catalog"])
def catalog(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[None]:
    """The published tables: what a lab opens first."""
    table = build_catalog(lake)
    metadata = _replace(context, lake, ledgers.CATALOG, table)
    lines = "\n".join(f"| {row['table_name']} | {row['version']} | {row['row_count']} |" for row in table.to_pylist())
    return dg.MaterializeResult(
        metadata={**metadata, "tables": dg.MetadataValue.md(f"| table | version | rows |\n|---|---|---|\n{lines}")}
    )
