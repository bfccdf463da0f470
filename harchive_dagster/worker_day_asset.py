"""How a worker-day asset is declared: partitions, group, owners, lineage and its blocking check, alike for all."""

from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg

from harchive_dagster.gates import suite_check
from harchive_dagster.partitions import worker_days
from harchive_dagster.stages import STAGES

OWNERS = ("team:data-engineering",)


def worker_day_asset(
    name: str, *, kinds: Iterable[str], also_reads: Iterable[str] = (), pool: str | None = None
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorate a stage. Its docstring becomes the description that the UI shows.

    Args:
        name: of the stage; where it stands in the flow is written in `stages`.
        kinds: what it is made of, for the UI.
        also_reads: assets outside the flow that it depends on.
        pool: concurrency pool, for stages that occupy cores for minutes.
    """
    stage = STAGES[name]
    return dg.asset(
        name=name,
        group_name=stage.group,
        partitions_def=worker_days,
        deps=[*stage.reads, *also_reads],
        kinds=set(kinds),
        owners=list(OWNERS),
        check_specs=[suite_check(name)],
        output_required=False,  # a breach materializes nothing
        pool=pool,
        # What the code does to its rows; a change means that stored worker-days may be worth running again.
        code_version="1",
    )
