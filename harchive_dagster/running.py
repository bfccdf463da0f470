"""Runs on the persistent Dagster instance, in this process, for commands. What runs by itself is in `sensors`."""

from collections.abc import Sequence

import dagster as dg
from dagster._check import CheckError
from sqlalchemy.exc import SQLAlchemyError
from yaml import YAMLError

from harchive_dagster.doctor.findings import first_line
from harchive_dagster.errors import SettingsError
from harchive_dagster.jobs import worker_day_job
from harchive_dagster.landing.arrivals import Arrival
from harchive_dagster.partitions import partition_key
from harchive_dagster.sensors import run_request, unregistered_workers
from harchive_dagster.worker_day import WorkerDay

_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
"""Everything is in the instance's logs; the terminal shows progress."""

INSTANCE_ERRORS = (dg.DagsterError, CheckError, YAMLError, SQLAlchemyError, OSError)
"""What an instance raises: refused configuration, a storage that is not installed, no YAML, no or a broken database."""

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def open_instance() -> dg.DagsterInstance:
    """The instance that DAGSTER_HOME names.

    Raises:
        SettingsError: it is not set, or what it names cannot be used.
    """
    try:
        return dg.DagsterInstance.get()
    except INSTANCE_ERRORS as error:
        raise SettingsError(
            f"No Dagster instance: {first_line(error)}.",
            consequence="Runs, ticks and partitions are kept nowhere.",
            mend="Set DAGSTER_HOME to the absolute path of a folder that is kept, with a sound dagster.yaml in it.",
        ) from None


def register_workers(found: list[Arrival]) -> None:
    """Make partitions of arriving workers."""
    with open_instance() as instance:
        instance.add_dynamic_partitions("worker", unregistered_workers(instance, found))


def run_worker_day(arrival: Arrival, *, note: str = "", stages: Sequence[str] | None = None) -> bool:
    """Run the whole chain (or some stages) of a worker-day whose worker is registered; returns whether it succeeded."""
    request = run_request(arrival)
    tags = {**request.tags, "harchive/note": note} if note else request.tags
    selection = [dg.AssetKey(stage) for stage in stages] if stages else None
    return run_job(worker_day_job.name, partition_key=request.partition_key, tags=tags, asset_selection=selection)


def run_job(job_name: str, **arguments: object) -> bool:
    """Run a job of the code location; returns whether it succeeded."""
    from harchive_dagster.definitions import defs

    with open_instance() as instance:
        result = defs.resolve_job_def(job_name).execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config=_QUIET,
            **arguments,  # type: ignore[arg-type]
        )
    return result.success


def require_no_run(worker_day: WorkerDay) -> None:
    """Refuse to go on while a run of this worker-day is queued or under way.

    Raises:
        SettingsError: there is one; or there is no instance that could tell.
    """
    with open_instance() as instance:
        wanted = dg.RunsFilter(statuses=_UNDER_WAY, tags={"dagster/partition": str(partition_key(worker_day))})
        runs = instance.get_runs(wanted, limit=1)
    if runs:
        raise SettingsError(
            f"Run {runs[0].run_id} of {worker_day} is queued or under way.",
            consequence="Nothing was changed: it would finish the worker-day as it began.",
            mend="Try again when it is through, or end it in the UI.",
        )
