"""The nightly sweep: whatever arrived and is not in the tables is requested again. No asset logic.

See https://docs.dagster.io/guides/automate/schedules
"""

import dagster as dg

from harchive_dagster.errors import HarchiveError
from harchive_dagster.jobs import overview_job, worker_day_job
from harchive_dagster.lake.arrivals import unprocessed
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.arrivals import list_arrivals
from harchive_dagster.landing.storage import Landing
from harchive_dagster.sensors import in_window, run_request, unregistered_workers
from harchive_dagster.settings import Settings


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The sweep at the configured hour, and the overview tables when it should be through."""

    @dg.schedule(
        name="nightly_sweep",
        job=worker_day_job,
        cron_schedule=settings.nightly_at,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Requests every worker-day whose uploads are not what the tables hold.",
    )
    def nightly_sweep(
        context: dg.ScheduleEvaluationContext, landing: dg.ResourceParam[Landing], lake: dg.ResourceParam[Lake]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        try:
            found = list_arrivals(landing.listing, since=settings.first_day)
            left = in_window(unprocessed(lake, found, since=settings.first_day))
        except HarchiveError as error:
            return dg.SkipReason(str(error))
        if not left:
            return dg.SkipReason("every complete upload is in the tables")
        context.instance.add_dynamic_partitions("worker", unregistered_workers(context.instance, left))
        night = context.scheduled_execution_time.date().isoformat()
        return [run_request(arrival, attempt=f"sweep-{night}") for arrival in left]

    overview = dg.ScheduleDefinition(
        name="morning_overview",
        job=overview_job,
        cron_schedule="0 6 * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Rewrites the tables that span all worker-days once the night is over.",
    )
    return [nightly_sweep, overview]
