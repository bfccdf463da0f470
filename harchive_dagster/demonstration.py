"""The demonstration's Dagster side: the real job over real partitions, on the persistent instance that the UI shows.

The generated uploads and the comparison with their truth are in `demo`.
"""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed

import dagster as dg

from harchive_dagster.jobs import overview_job, worker_day_job
from harchive_dagster.landing.arrivals import Arrival, list_arrivals
from harchive_dagster.sensors import run_request, unregistered_workers
from harchive_dagster.settings import Settings
from harchive_dagster.worker_day import WorkerDay

_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
"""Everything is in the instance's logs; the terminal shows progress."""


def run_worker_days(processes: int, progress: Callable[[str], None]) -> list[WorkerDay]:
    """Run the whole chain for every worker-day in landing, then the overview tables.

    Args:
        processes: worker-days at the same time.
        progress: receives one line per finished worker-day.

    Returns:
        The worker-days whose run failed.
    """
    found = [arrival for arrival in list_arrivals(Settings.from_environment().landing) if arrival.digest]
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("worker", unregistered_workers(instance, found))
    failed = []
    # Spawned, not forked: Dagster, OpenCV and onnxruntime hold threads and locks that a fork would copy mid-way.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        started = time.monotonic()
        pending = {pool.submit(_run_worker_day, arrival): arrival for arrival in found}
        for number, future in enumerate(as_completed(pending), start=1):
            arrival = pending[future]
            is_success = future.result()
            outcome = "done" if is_success else "FAILED"
            progress(f"[{number}/{len(found)}] {arrival.worker_day} {outcome} after {time.monotonic() - started:.0f} s")
            if not is_success:
                failed.append(arrival.worker_day)
        pool.submit(_run_overview).result()
    return failed


def _run_worker_day(arrival: Arrival) -> bool:
    request = run_request(arrival)
    return _execute(worker_day_job.name, partition_key=request.partition_key, tags=request.tags)


def _run_overview() -> bool:
    return _execute(overview_job.name)


def _execute(job_name: str, **arguments: object) -> bool:
    from harchive_dagster.definitions import defs

    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def(job_name).execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config=_QUIET,
            **arguments,  # type: ignore[arg-type]
        )
    return result.success
