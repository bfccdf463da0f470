"""Jobs: the whole chain of one worker-day, and the tables that span all of them. No asset logic.

See https://docs.dagster.io/guides/build/jobs/asset-jobs
"""

import dagster as dg

from harchive_dagster.stages import STAGES

# The run is the unit of scale: its steps share one process, because starting one costs more (imports of Dagster and
# Great Expectations, about ten seconds) than most steps take. Parallelism comes from many runs.
worker_day_job = dg.define_asset_job(
    name="worker_day",
    description="The whole chain of one worker-day, from what arrived to what a lab reads.",
    selection=dg.AssetSelection.assets(*STAGES),
    executor_def=dg.in_process_executor,
)

overview_job = dg.define_asset_job(
    name="overview",
    description="The tables that span all worker-days: consents, task catalogue, quarantine, catalog.",
    selection=dg.AssetSelection.assets("consents", "task_catalog", "quarantine", "catalog"),
    executor_def=dg.in_process_executor,
)
