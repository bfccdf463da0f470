"""The one place where everything meets: assets, resources, jobs, sensor, schedules. The code location's entry point."""

from typing import Any

import dagster as dg

from assets import anonymized, governance, labeled, published, raw, synced
from harchive_dagster.jobs import overview_job, worker_day_job
from harchive_dagster.privacy.detectors import DetectorChoice
from harchive_dagster.resources import (
    DetectorsResource,
    HidingResource,
    LakeResource,
    LandingResource,
    PseudonymResource,
    SyncSearchResource,
)
from harchive_dagster.schedules import build_schedules
from harchive_dagster.sensors import arrivals
from harchive_dagster.settings import Settings

ASSET_MODULES = (raw, synced, anonymized, labeled, published, governance)


def build_defs(**resource_overrides: Any) -> dg.Definitions:
    """Everything this code location offers; tests and other deployments swap any resource by name.

    Raises:
        SettingsError: a setting cannot be used, or a detector's model is not what it should be.
    """
    settings = Settings.from_environment()
    DetectorChoice.of(settings.detectors)  # now, not when the first recording of the night is looked at
    resources: dict[str, Any] = {
        "landing": LandingResource(
            uploads=settings.landing_place,
            spool=str(settings.spool),
            annotations=str(settings.annotations),
            max_session_gb=settings.max_session_gb,
        ),
        "lake": LakeResource(root=str(settings.lake)),
        "detectors": DetectorsResource(names=list(settings.detectors)),
        "sync_search_s": SyncSearchResource(seconds=settings.sync_search_s),
        "hiding": HidingResource(how=settings.hiding),
        "pseudonyms": PseudonymResource(key=dg.EnvVar("HARCHIVE_PSEUDONYM_KEY")),
    }
    return dg.Definitions(
        assets=dg.load_assets_from_modules(list(ASSET_MODULES), include_specs=True),
        resources=resources | resource_overrides,
        jobs=[worker_day_job, overview_job],
        sensors=[arrivals],
        schedules=build_schedules(settings),
    )


defs = build_defs()
