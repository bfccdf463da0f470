"""Partitions: one per worker-day, as a grid of dates and workers. No sensors or schedules.

See https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets and `docs/operations.md` for
how far this carries.
"""

from datetime import date

import dagster as dg

from harchive_dagster.settings import Settings
from harchive_dagster.worker_day import WorkerDay

workers = dg.DynamicPartitionsDefinition(name="worker")

# Read when the code location loads, because Dagster wants partitions at definition time. The window only bounds what
# is still worked on: the tables keep every older row.
days = dg.DailyPartitionsDefinition(
    start_date=Settings.from_environment().first_day.isoformat(),
    # Uploads of a day arrive during the night that follows it, before that day's partition would otherwise exist.
    end_offset=1,
)

worker_days = dg.MultiPartitionsDefinition({"date": days, "worker": workers})


def partition_key(worker_day: WorkerDay) -> dg.MultiPartitionKey:
    """The partition that stands for a worker-day."""
    return dg.MultiPartitionKey({"date": worker_day.collected_on.isoformat(), "worker": worker_day.worker_id})


def worker_day_of(context: dg.AssetExecutionContext) -> WorkerDay:
    """The worker-day that a run materializes."""
    key = context.partition_key
    assert isinstance(key, dg.MultiPartitionKey)
    return WorkerDay(date.fromisoformat(key.keys_by_dimension["date"]), key.keys_by_dimension["worker"])
