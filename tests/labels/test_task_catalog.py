from importlib.resources import files

import pytest

from harchive_dagster.errors import SettingsError
from harchive_dagster.labels.task_catalog import (
    LANGUAGES,
    load_task_catalog,
    parse_task_catalog,
    required_agreement,
)

TEXT = files("harchive_dagster.labels").joinpath("tasks.yaml").read_text("utf-8")


def test_the_shipped_catalogue_keeps_the_tasks_that_were_ever_published() -> None:
    first = {"fold_laundry", "wash_dishes", "tighten_bolts", "chop_vegetables", "wipe_table", "sort_parts"}
    assert first <= set(load_task_catalog().tasks)


@pytest.mark.parametrize("environment", ["home", "kitchen", "workshop"])
def test_the_tasks_reach_over_household_kitchen_and_workshop(environment: str) -> None:
    tasks = [task for task in load_task_catalog().tasks.values() if environment in task.environments]
    assert len(tasks) >= 10
    assert len({step.verb for task in tasks for step in task.steps}) >= 20


def test_each_task_is_worded_in_every_language_and_in_its_script() -> None:
    scripts = {"en": ("A", "z"), "hi": ("\u0900", "\u097f"), "kn": ("\u0c80", "\u0cff")}
    for task in load_task_catalog().tasks.values():
        assert task.text == task.instruction["en"]
        for language in LANGUAGES:
            first, last = scripts[language]
            assert first <= task.instruction[language][0] <= last, (task.task_id, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_tasks_are_asked_for_in_the_same_words(language: str) -> None:
    asked = [task.instruction[language] for task in load_task_catalog().tasks.values()]
    assert len(set(asked)) == len(asked) >= 25


def test_each_task_says_what_to_expect() -> None:
    for task in load_task_catalog().tasks.values():
        assert 0 < task.min_duration_s < task.max_duration_s
        assert {step.noun for step in task.steps} <= set(task.objects), task.task_id


def test_a_task_needs_measured_clocks_unless_it_says_otherwise() -> None:
    assert not any(task.is_device_time_ok for task in load_task_catalog().tasks.values())
    lenient = parse_task_catalog(
        TEXT.replace("    success: The whole", "    sync: device_time_ok\n    success: The whole")
    )
    assert [task.task_id for task in lenient.tasks.values() if task.is_device_time_ok] == ["wipe_table"]


def test_a_task_asks_of_its_annotators_to_agree_more_than_chance_unless_it_says_otherwise() -> None:
    assert required_agreement(None) == required_agreement("wash_dishes") == required_agreement("no_such_task") == 0.0
    strict = parse_task_catalog(
        TEXT.replace("    success: The whole", "    min_agreement: 0.8\n    success: The whole")
    )
    assert {task.min_agreement for task in strict.tasks.values()} == {0.0, 0.8}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version: 1.1.0", "version: one", "version is 'one'"),
        ("task_id: wash_dishes", "task_id: fold_laundry", "'fold_laundry', which is taken"),
        ("verb: tighten", "verb: juggle", "verb is 'juggle', expected one of"),
        ("noun: wrench", "noun: unicorn", "noun is 'unicorn', expected one of"),
        ("noun: wrench", "noun: wrensh", r"noun is 'wrensh', expected one of \d+ words \(wrench"),
        ("noun: wrench", "noun: spanner", "noun is 'spanner', expected one of"),
        ("objects: [table, cloth", "objects: [table, unicorn", r"objects\[1\] is 'unicorn', expected one of"),
        ("duration_s: [5, 600]", "duration_s: [600, 5]", "must be the shortest and the longest"),
        ("duration_s: [5, 600]", "duration_s: [-5, 600]", r"duration_s\[0\] is -5"),
        ("environments: [home, shop]", "environments: [moon]", r"environments\[0\] is 'moon'"),
        ("      hi: धुले कपड़े तह करके एक के ऊपर एक रखें।\n", "", "instruction.hi is missing"),
        ("    success: The whole", "    sucess: The whole", "'sucess' is not a known key"),
        ("    success: The whole", "    sync: maybe\n    success: The whole", "sync is 'maybe', expected one of"),
        ("    success: The whole", "    min_agreement: 2\n    success: The whole", "min_agreement is 2"),
        ("tasks:", "jobs:", "tasks is missing"),
        ("tasks:", "tasks: [", "while parsing"),
        ("tasks:", f"tasks: {'[' * 5000}", "nested too deeply"),
        (
            "    success: The whole",
            "    success: Clean.\n    success: The whole",
            "key 'success' appears twice in .* line",
        ),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_refused(old: str, new: str, problem: str) -> None:
    assert old in TEXT
    with pytest.raises(SettingsError, match=problem):
        parse_task_catalog(TEXT.replace(old, new, 1))
