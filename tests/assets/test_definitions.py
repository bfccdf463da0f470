"""The code location as Dagster loads it: what exists, how it hangs together, what a person sees before any run."""

import dagster as dg
import pytest

from harchive_dagster.definitions import build_defs
from harchive_dagster.stages import STAGES, upstream_of

OVERVIEW = {"consents", "task_catalog", "quarantine", "catalog"}


@pytest.fixture(scope="module")
def defs():
    return build_defs()


@pytest.fixture(scope="module")
def nodes(defs):
    graph = defs.resolve_asset_graph()
    return {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}


def test_every_stage_and_the_overview_exist(nodes):
    assert {name for name, node in nodes.items() if node.is_materializable} == {*STAGES, *OVERVIEW}


def test_what_arrives_is_in_the_graph_too(nodes):
    arriving = {name for name, node in nodes.items() if node.group_name == "landing"}
    assert arriving == {"landing_uploads", "consent_records", "annotation_files"}


def test_stages_hang_together_as_the_flow_says(nodes):
    for name, stage in STAGES.items():
        parents = {key.to_user_string() for key in nodes[name].parent_keys} & set(STAGES)
        assert parents == set(stage.reads), name


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_partitioned_grouped_owned_and_described(nodes, name):
    node = nodes[name]
    assert isinstance(node.partitions_def, dg.MultiPartitionsDefinition)
    assert node.group_name == STAGES[name].group
    assert node.owners
    assert node.kinds
    assert len(node.description) > 40


@pytest.mark.parametrize("name", OVERVIEW)
def test_overview_tables_span_all_worker_days(nodes, name):
    assert nodes[name].partitions_def is None
    assert nodes[name].description
    assert nodes[name].owners


def test_every_stage_has_one_blocking_check_of_its_own_partition(defs):
    checks = {spec.name: spec for asset in defs.resolve_all_asset_specs() for spec in []} or {
        spec.name: spec for definition in defs.assets for spec in getattr(definition, "check_specs", ())
    }
    assert set(checks) == {f"{name}_suite" for name in STAGES}
    assert all(spec.blocking and spec.partitions_def is not None for spec in checks.values())
    assert all("goes to quarantine unless" in spec.description for spec in checks.values())


def test_the_worker_day_job_holds_exactly_the_stages(defs):
    job = defs.resolve_job_def("worker_day")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == set(STAGES)


def test_the_sweep_runs_at_two_in_india_by_default(defs):
    schedule = defs.resolve_schedule_def("nightly_sweep")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "Asia/Kolkata")


def test_the_hour_of_the_sweep_is_a_setting(monkeypatch):
    monkeypatch.setenv("HARCHIVE_NIGHTLY_AT", "30 4 * * *")
    monkeypatch.setenv("HARCHIVE_TIMEZONE", "America/Bogota")
    schedule = build_defs().resolve_schedule_def("nightly_sweep")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 4 * * *", "America/Bogota")


def test_any_resource_can_be_swapped():
    other = dg.ResourceDefinition.hardcoded_resource("other")
    assert build_defs(lake=other).resources["lake"] is other


def test_the_pseudonym_key_is_not_in_any_configuration(defs):
    assert "only-for-the-tests" not in repr(defs.resources)


def test_upstream_is_transitive():
    assert upstream_of("uploads") == frozenset()
    assert upstream_of("synced_frames") == {"uploads", "sensor_samples", "frame_observations", "clock_alignments"}
    assert upstream_of("episodes") == set(STAGES) - {"episodes"}
