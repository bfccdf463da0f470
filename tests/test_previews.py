"""Where pictures in metadata lie, and that they go as docs/operations.md says."""

import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from harchive_dagster.previews import inline_png

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text()
(PURGE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
WITHDRAWN, OTHER = "2026-03-02|worker-01", "2026-03-02|worker-02"
PICTURE = b"a picture of them " * 1000
AS_STORED = "YSBwaWN0dXJlIG9mIHRoZW0g"
"""Of the picture's base64, what repeats."""


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DAGSTER_HOME."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


def shown_in(storage: Path) -> set[str]:
    """Files of Dagster's storage that hold the picture."""
    return {path.name for path in storage.rglob("*") if path.is_file() and AS_STORED.encode() in path.read_bytes()}


@dg.asset(partitions_def=dg.StaticPartitionsDefinition([WITHDRAWN, OTHER]), config_schema={"is_shown": bool})
def anonymized(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    is_shown = context.op_execution_context.op_config["is_shown"]
    yield dg.MaterializeResult(metadata={"anonymized s-one": inline_png(PICTURE, "s-one")} if is_shown else {})


def run(worker_day: str, *, is_shown: bool) -> str:
    job = dg.Definitions(assets=[anonymized], jobs=[dg.define_asset_job("worker_day", [anonymized])])
    config = {"ops": {"anonymized": {"config": {"is_shown": is_shown}}}}
    with dg.DagsterInstance.get() as instance:
        return (
            job.resolve_job_def("worker_day")
            .execute_in_process(instance=instance, partition_key=worker_day, run_config=config)
            .run_id
        )


def test_pictures_of_a_withdrawn_session_go_with_the_earlier_runs_of_its_worker_day_and_not_before(
    storage: Path,
) -> None:
    earlier = [run(WITHDRAWN, is_shown=True) for _ in range(2)]
    other, newest = run(OTHER, is_shown=False), run(WITHDRAWN, is_shown=False)
    assert shown_in(storage) == {"index.db", *(f"{run_id}.db" for run_id in earlier)}
    exec(compile(PURGE, "docs/operations.md", "exec"), {})
    assert shown_in(storage) == set()
    with dg.DagsterInstance.get() as instance:
        assert {one.run_id for one in instance.get_runs()} == {other, newest}


def test_wiping_the_asset_leaves_its_pictures_in_the_runs(storage: Path) -> None:
    run_id = run(WITHDRAWN, is_shown=True)
    with dg.DagsterInstance.get() as instance:
        instance.wipe_assets([anonymized.key])
    assert f"{run_id}.db" in shown_in(storage)
