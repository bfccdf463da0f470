"""The checks of `harchive doctor` that need Dagster itself: its instance, its daemon, this code location."""

import os
from pathlib import Path

import dagster as dg

from harchive_dagster.doctor.findings import Finding, doubtful, fine, first_line
from harchive_dagster.errors import SettingsError
from harchive_dagster.running import INSTANCE_ERRORS, open_instance


def code_location_loads() -> Finding:
    """Assets, jobs, sensor and schedules can be loaded under the present settings."""
    try:
        from harchive_dagster.definitions import build_defs

        defs = build_defs()
        dg.Definitions.validate_loadable(defs)
        graph = defs.resolve_asset_graph()
    except dg.DagsterError as error:
        raise SettingsError(
            f"The code location cannot be loaded: {first_line(error)}.",
            consequence="Nothing runs, neither by itself nor by hand.",
            mend="Mend what it names; `dagster definitions validate` says more.",
        ) from None
    return fine(f"{len(graph.materializable_asset_keys)} assets, {len(graph.asset_check_keys)} checks")


def instance_answers() -> Finding:
    """DAGSTER_HOME names an instance whose storage can be read."""
    try:
        with open_instance() as instance:
            count = instance.get_runs_count()
    except INSTANCE_ERRORS as error:
        raise SettingsError(
            f"The storage of the Dagster instance cannot be read: {first_line(error)}.",
            consequence="Nothing runs, neither by itself nor by hand.",
            mend="See that its database answers; `dagster instance info` names it.",
        ) from None
    home = Path(os.environ["DAGSTER_HOME"])
    if not (home / "dagster.yaml").is_file():
        return doubtful(
            f"{home} holds no dagster.yaml.",
            consequence="Nothing bounds how many runs start at once, and dead runs stay busy for ever.",
            mend="Copy dagster.yaml there.",
        )
    return fine(f"{home}: {count} runs on record")


def daemon_is_alive() -> Finding:
    """Whatever runs by itself has given a sign of life lately."""
    try:
        with open_instance() as instance:
            statuses = instance.get_daemon_statuses()
    except (SettingsError, *INSTANCE_ERRORS):  # said by the check before
        return doubtful(
            "No instance, no daemon.",
            consequence="Nothing is requested or started by itself.",
            mend="Mend the instance first.",
        )
    silent = sorted(name for name, status in statuses.items() if not status.healthy)
    if silent:
        return doubtful(
            f"No recent heartbeat of {', '.join(silent)}.",
            consequence="Nothing is requested or started by itself.",
            mend="Start dagster-daemon (or `dagster dev`), or look into its log.",
        )
    return fine(f"{len(statuses)} parts alive")
