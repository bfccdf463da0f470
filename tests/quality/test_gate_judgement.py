"""Suites judged by Great Expectations: what breaks, whom it concerns, and that nothing unproven passes."""

import pandas as pd
import pytest

from harchive_dagster.quality.evaluation import evaluate
from harchive_dagster.quality.gate import judge_batch, judge_sessions
from harchive_dagster.quality.rules import Suite, between, less_than, matches, one_of, unique, zero
from harchive_dagster.quality.suites import SUITES
from harchive_dagster.reasons import Reason
from harchive_dagster.stages import STAGES

SUITE = Suite(
    "tried",
    session_rules=(
        between("rate", 0.8, 1.2, "the rate is right", reason=Reason.SENSOR_IMPLAUSIBLE),
        zero("holes", "there are no holes"),
    ),
    batch_rules=(unique(("session_id",), "a session appears once"),),
)


def make_facts(**overrides):
    facts = {"session_id": ["one", "two", "three"], "rate": [1.0, 1.0, 1.0], "holes": [0, 0, 0]} | overrides
    return pd.DataFrame(facts)


def test_sessions_that_keep_every_rule_pass():
    rejections, validation = judge_sessions(SUITE, make_facts())
    assert rejections == []
    assert validation.broken == ()


def test_a_session_that_breaks_a_rule_is_named_with_reason_rule_and_value():
    (rejection,), _ = judge_sessions(SUITE, make_facts(rate=[1.0, 2.5, 1.0]))
    assert rejection.session_id == "two"
    assert rejection.reason is Reason.SENSOR_IMPLAUSIBLE
    assert rejection.expectation == "ExpectColumnValuesToBeBetween(rate)"
    assert "the rate is right" in rejection.detail
    assert "2.5" in rejection.detail


def test_the_first_broken_rule_leads_and_all_are_evidence():
    (rejection,), _ = judge_sessions(SUITE, make_facts(rate=[9.0, 1, 1], holes=[4, 0, 0]))
    assert rejection.reason is Reason.SENSOR_IMPLAUSIBLE
    assert len(rejection.evidence["broken"]) == 2


def test_only_the_offending_stream_is_named_and_not_its_sound_neighbour():
    facts = make_facts(session_id=["one"] * 3, stream_id=["head", "wrist", "hand"], rate=[1.0, 0.25, 3.0])
    (rejection,), _ = judge_sessions(SUITE, facts)
    assert rejection.detail.endswith("found 0.25 in stream 'wrist', 3.0 in stream 'hand'.")
    assert rejection.evidence == {
        "broken": {"ExpectColumnValuesToBeBetween(rate)": ["0.25 in stream 'wrist'", "3.0 in stream 'hand'"]}
    }


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_figure_that_was_not_measured_does_not_pass(missing):
    rejections, validation = judge_sessions(SUITE, make_facts(rate=[1.0, missing, 1.0]))
    assert [rejection.session_id for rejection in rejections] == ["two"]
    assert validation.broken


def test_a_rule_that_cannot_be_evaluated_is_broken_for_nobody_and_so_a_breach():
    rejections, validation = judge_sessions(SUITE, make_facts().drop(columns="rate"))
    assert rejections == []
    assert [broken.sessions for broken in validation.broken if broken.rule.arguments["column"] == "rate"]
    assert all(not broken.sessions for broken in validation.broken)


def test_a_broken_batch_shows_the_offending_values():
    validation = judge_batch(SUITE, pd.DataFrame({"session_id": ["one", "one"]}))
    (broken,) = validation.broken
    assert "one" in broken.values
    assert "a session appears once" in str(broken)


def test_an_empty_batch_keeps_every_rule():
    for suite in SUITES.values():
        columns = {rule.arguments.get("column") for rule in suite.batch_rules} - {None}
        columns |= {name for rule in suite.batch_rules for name in rule.arguments.get("column_list", ())}
        columns |= {
            rule.arguments[key]
            for rule in suite.batch_rules
            for key in ("column_A", "column_B")
            if key in rule.arguments
        }
        assert judge_batch(suite, pd.DataFrame({name: [] for name in columns})).broken == (), suite.stage


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (between("v", 0, 1, "m"), [0.0, 1.0], [1.5]),
        (between("v", 0, None, "m", strict_min=True), [0.1], [0.0]),
        (zero("v", "m"), [0], [1]),
        (one_of("v", ("a", "b"), "m"), ["a"], ["c"]),
        (matches("v", "^p-", "m"), ["p-1"], ["q-1"]),
        (unique(("v",), "m"), [1, 2], [1, 1]),
    ],
    ids=["between", "strictly between", "zero", "one of", "matches", "unique"],
)
def test_each_kind_of_rule_holds_for_good_and_breaks_for_bad_values(rule, good, bad):
    assert not evaluate("tried", [rule], pd.DataFrame({"v": good})).broken
    assert evaluate("tried", [rule], pd.DataFrame({"v": bad})).broken


def test_less_than_compares_two_columns():
    rule = less_than("start", "end", "ends later")
    assert not evaluate("tried", [rule], pd.DataFrame({"start": [1], "end": [2]})).broken
    assert evaluate("tried", [rule], pd.DataFrame({"start": [2], "end": [2]})).broken


def test_reports_do_not_carry_whole_columns():
    validation = judge_batch(SUITE, pd.DataFrame({"session_id": ["one"] * 5000}))
    assert len(str(validation.report)) < 20_000


def test_every_stage_has_a_suite_with_both_kinds_of_rules():
    assert list(SUITES) == list(STAGES)
    assert all(suite.session_rules and suite.batch_rules for suite in SUITES.values())
