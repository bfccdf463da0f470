"""What the guide to labels shows is executed, and what it lists is all there is."""

import csv
import doctest
import io
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from harchive_dagster.cli import cli
from harchive_dagster.labels.annotation_files import read_annotations
from harchive_dagster.labels.episodes import REJECTIONS
from harchive_dagster.labels.outcomes import outcome_of
from harchive_dagster.labels.task_catalog import Task, load_task_catalog, parse_task_catalog
from harchive_dagster.lake import schemas

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "labels.md").read_text()
MAPPING, LABELS = re.findall(r"```csv\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = "".join(re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)).splitlines()
SESSION = "s-good-one"


@pytest.fixture
def desk(materialized, tmp_path, monkeypatch):
    """A folder with the guide's files, beside a lake that is only read."""
    house = materialized.house
    monkeypatch.setenv("HARCHIVE_LAKE", str(house.lake.root))
    monkeypatch.setenv("HARCHIVE_ANNOTATIONS", str(tmp_path / "annotations"))
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", house.pseudonyms.key.decode())
    monkeypatch.chdir(tmp_path)
    Path("theirs.csv").write_text(MAPPING)
    Path("asha.csv").write_text(LABELS)
    return house


def test_the_guide_s_commands_do_what_it_says(desk):
    assert len(COMMANDS) == 4
    said = []
    for command in COMMANDS:
        program, *arguments = shlex.split(command.replace("s-0042", SESSION))
        assert program == "harchive"
        outcome = CliRunner().invoke(cli, arguments)
        assert outcome.exit_code == 0, outcome.output or outcome.exception
        said.append(outcome.output)
    assert said[0].startswith("asha.csv: 3 labels, filed: ")
    assert all(re.match(r" +\d+  20\d\d-", versions) for versions in said[2:])
    (job,) = Path("job").glob("*.csv")
    washed = [row for row in csv.DictReader(io.StringIO(job.read_text())) if row["verb"] == "wash"]
    assert washed
    assert {row["verb_class"] for row in washed} == {"1"}


def test_the_guide_s_labels_are_read_as_it_says(desk):
    CliRunner().invoke(cli, shlex.split(COMMANDS[0].replace("s-0042", SESSION))[1:], catch_exceptions=False)
    pseudonym = desk.pseudonyms.session(SESSION)
    labels = read_annotations(Path("annotations"), session_pseudonym=pseudonym, duration_ns=10_000_000_000)
    assert [(one.layer, one.verb, one.noun) for one in labels] == [
        ("action", "wash", "plate"),
        ("action", "juggle", "plate"),
        ("episode", None, None),
    ]
    assert outcome_of((0, 8_000_000_000), [], labels).name == "success"


def test_the_guide_s_examples_of_words_hold():
    test = doctest.DocTestParser().get_doctest(GUIDE.replace("```", ""), {}, "docs/labels.md", "docs/labels.md", 0)
    assert len(test.examples) >= 5
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_the_guide_s_task_is_the_catalogue_s():
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (task,) = parse_task_catalog(f"version: 1.0.0\ntasks:\n{example}").tasks.values()
    assert task == load_task_catalog().tasks["wipe_table"]


def test_the_guide_explains_every_field_of_a_task():
    section = GUIDE.split("\n## Tasks", 1)[1].split("\n## ", 1)[0]
    cells = " ".join(re.findall(r"^\| (`.+?) \|", section, re.MULTILINE))
    explained = set(re.findall(r"`(\w+)`", cells))
    assert explained == {field.name for field in fields(Task)} - {"min_duration_s", "max_duration_s"} | {"duration_s"}


@pytest.mark.parametrize("reason", REJECTIONS)
def test_the_guide_explains_every_rejection(reason):
    assert f"| `{reason}` |" in GUIDE


def test_the_guide_explains_every_term_of_the_quality():
    terms = {name.removeprefix("quality_") for name in schemas.EPISODES.schema.names if name.startswith("quality_")}
    assert not [term for term in terms - {"score"} if f"| `{term}` |" not in GUIDE]


def test_every_page_is_linked_from_the_readme_or_from_one_that_is():
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    reached, left = set(), {"README.md"}
    while left:
        page = left.pop()
        text = (ROOT / page if page == "README.md" else ROOT / "docs" / page).read_text()
        reached.add(page)
        left |= (set(re.findall(r"\]\((?:docs/)?(\w+\.md)", text)) & pages) - reached
    assert pages <= reached
