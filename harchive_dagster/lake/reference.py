"""Reference data as rows: consent records and the task catalogue."""

from collections.abc import Sequence

import pyarrow as pa

from harchive_dagster.labels.task_catalog import TaskCatalog
from harchive_dagster.lake import ledgers
from harchive_dagster.privacy.consent import ConsentRecord


def consent_rows(records: Sequence[ConsentRecord]) -> pa.Table:
    """Rows of consents."""
    return ledgers.CONSENTS.conform(
        {
            "consent_id": record.record_id,
            "worker_id": record.principal_id,
            "purposes": list(record.purposes),
            "recipients": list(record.recipients),
            "jurisdiction": record.jurisdiction,
            "retention_period": record.retention_period,
            "language": record.language,
            "notice_version": record.notice_version,
            "valid_from_utc": record.valid_from,
            "valid_until_utc": record.valid_until,
            "withdrawn_at_utc": record.withdrawn_at,
        }
        for record in records
    )


def task_rows(catalog: TaskCatalog) -> pa.Table:
    """Rows of task_catalog: one per task and language."""
    return ledgers.TASK_CATALOG.conform(
        {
            "task_id": task.task_id,
            "catalog_version": catalog.version,
            "language": language,
            "instruction": instruction,
            "steps": [f"{step.verb} {step.noun}" for step in task.steps],
            "objects": list(task.objects),
            "environments": list(task.environments),
            "success": task.success,
            "sync": task.sync,
            "min_duration_s": task.min_duration_s,
            "max_duration_s": task.max_duration_s,
        }
        for task in catalog.tasks.values()
        for language, instruction in task.instruction.items()
    )
