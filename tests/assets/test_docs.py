"""What the documents show is executed, and what they list is all there is."""

import itertools
import re
from pathlib import Path

import pytest

from harchive_dagster.lake import schemas
from harchive_dagster.lake.documentation import table_pages
from harchive_dagster.reasons import Reason
from harchive_dagster.settings import Settings
from harchive_dagster.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def test_a_labs_first_queries_run(materialized, monkeypatch, capsys):
    house = materialized.house
    monkeypatch.setenv("LAKE", str(house.lake.root / "published"))
    overview = house.overview()
    assert overview.success
    scope: dict[str, object] = {}
    for block in blocks("docs/querying.md", "python"):
        exec(compile(block, "docs/querying.md", "exec"), scope)
    printed = capsys.readouterr().out
    assert "wash_dishes" in printed
    assert "(272, 480, 3)" in printed
    assert scope["windows"].shape[1:] == (schemas.IMU_WINDOW_SIZE, 6)
    assert set(scope["catalog"]["table_name"]) >= {"episodes", "segments", "synced_frames", "task_catalog"}


def test_commands_of_the_readme_are_targets_of_the_makefile():
    commands = set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "ui"} <= commands <= targets


def test_ci_runs_the_readmes_test_command_last():
    assert (ROOT / ".ci/run").read_text().strip().splitlines()[-1] == "make test"


def test_the_picture_of_the_dag_has_every_stage_and_only_its_edges():
    picture = blocks("README.md", "mermaid")[0]
    edges = set()
    for line in picture.splitlines()[1:]:
        groups = [[name.strip().split("(")[0].split("[")[0] for name in part.split("&")] for part in line.split("-->")]
        for left, right in itertools.pairwise(groups):
            edges |= {(a, b) for a in left for b in right}
    drawn = {(a, b) for a, b in edges if a in STAGES and b in STAGES}
    assert drawn == {(read, name) for name, stage in STAGES.items() for read in stage.reads}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_in_the_readme(name):
    assert f"| `{name}` |" in (ROOT / "README.md").read_text()


def test_every_setting_is_in_the_readme():
    source = (ROOT / "harchive_dagster/settings.py").read_text()
    names = set(re.findall(r"HARCHIVE_[A-Z_]+", source))
    assert len(names) == len(Settings.__dataclass_fields__) + 1
    assert not [name for name in names if name not in (ROOT / "README.md").read_text()]


def test_the_page_of_the_tables_is_the_one_that_the_schemas_give():
    assert (ROOT / "docs/tables.md").read_text() == table_pages()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained(reason):
    assert f"| `{reason}` |" in (ROOT / "docs/operations.md").read_text()
