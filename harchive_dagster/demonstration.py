"""The demonstration's Dagster side: the real job over real partitions, on the persistent instance that the UI shows.

The generated uploads and the comparison with their truth are in `demo`.
"""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed

from harchive_dagster.jobs import overview_job
from harchive_dagster.landing.arrivals import list_arrivals
from harchive_dagster.landing.listing import LocalUploads
from harchive_dagster.running import register_workers, run_job, run_worker_day
from harchive_dagster.settings import Settings
from harchive_dagster.worker_day import WorkerDay


def run_worker_days(processes: int, progress: Callable[[str], None]) -> list[WorkerDay]:
    """Run the whole chain for every worker-day in landing, then the overview tables.

    Args:
        processes: worker-days at the same time.
        progress: receives one line per finished worker-day.

    Returns:
        The worker-days whose run failed.
    """
    found = [arrival for arrival in list_arrivals(LocalUploads(Settings.from_environment().landing)) if arrival.digest]
    register_workers(found)
    failed = []
    # Spawned, not forked: Dagster, OpenCV and onnxruntime hold threads and locks that a fork would copy mid-way.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        started = time.monotonic()
        pending = {pool.submit(run_worker_day, arrival): arrival for arrival in found}
        for number, future in enumerate(as_completed(pending), start=1):
            arrival = pending[future]
            is_success = future.result()
            outcome = "done" if is_success else "FAILED"
            progress(f"[{number}/{len(found)}] {arrival.worker_day} {outcome} after {time.monotonic() - started:.0f} s")
            if not is_success:
                failed.append(arrival.worker_day)
        pool.submit(run_job, overview_job.name).result()
    return failed
