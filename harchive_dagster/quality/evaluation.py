"""Runs rules through Great Expectations and says which broke, on which sessions, with which values.

The library is imported here, inside functions: it takes seconds. Nothing here decides what follows from a breach.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harchive_dagster.quality.rules import Rule, not_null

if TYPE_CHECKING:
    import pandas as pd

_SAMPLE = 5
"""Offending values shown for one rule: enough to see the pattern, few enough to read."""
_NAMES = ("session_id", "stream_id")
"""Columns that say which row offends."""


@dataclass(frozen=True)
class Broken:
    """One rule that did not hold.

    Attributes:
        rows: each offending row's session_id and stream_id, as far as the frame has them, and what the rule judges.
        values: a few of the offending ones.
    """

    rule: Rule
    rows: tuple[Mapping[str, Any], ...]
    count: int
    values: tuple[str, ...]

    @property
    def sessions(self) -> tuple[str, ...]:
        """Whom it concerns, sorted; nobody where the frame names no sessions or the rule could not be evaluated."""
        return tuple(sorted({str(row["session_id"]) for row in self.rows}))

    def __str__(self) -> str:
        found = f"{self.count} offending, e.g. {', '.join(self.values)}" if self.values else "could not be evaluated"
        return f"{self.rule.name}: {self.rule.meaning} ({found})"


@dataclass(frozen=True)
class Validation:
    """The outcome of a list of rules on one frame; `report` is Great Expectations' own JSON."""

    broken: tuple[Broken, ...]
    report: dict[str, Any]


@functools.cache
def _batch_definition() -> Any:
    """One ephemeral context a process: it holds no state between validations that we use."""
    # Read by the library when it is imported; it would otherwise report usage to its maker.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("lake")
    return source.add_dataframe_asset("batch").add_batch_definition_whole_dataframe("whole")


def evaluate(name: str, rules: Sequence[Rule], frame: "pd.DataFrame") -> Validation:
    """Validate a frame against rules.

    Args:
        name: of the suite, as it appears in the Data Docs.
        rules: at least one.
        frame: with a `session_id` column where broken rules are to name sessions; may be empty.
    """
    rules = _with_null_guards(rules)
    batch_definition = _batch_definition()  # sets the environment before the library is imported below
    import great_expectations as gx

    suite = gx.ExpectationSuite(
        name=name,
        expectations=[
            getattr(gx.expectations, rule.expectation)(
                **rule.arguments, notes=rule.meaning, meta={"position": position}
            )
            for position, rule in enumerate(rules)
        ],
    )
    batch = batch_definition.get_batch(batch_parameters={"dataframe": frame.reset_index(drop=True)})
    result_format: dict[str, Any] = {"result_format": "COMPLETE", "include_unexpected_rows": False}
    if "session_id" in frame.columns:
        result_format["unexpected_index_column_names"] = [name for name in _NAMES if name in frame.columns]
    outcome = batch.validate(suite, result_format=result_format)
    broken = [
        _broken(rules[result.expectation_config.meta["position"]], result)
        for result in outcome.results
        if not result.success
    ]
    return Validation(broken=tuple(broken), report=_without_rows(outcome.to_json_dict()))


def _with_null_guards(rules: Sequence[Rule]) -> list[Rule]:
    """Every column a rule names must also be there: the library passes over nulls, which would let NaN through."""
    guarded: dict[str, Rule] = {}
    for rule in rules:
        column = rule.arguments.get("column")
        if column and rule.expectation != "ExpectColumnValuesToNotBeNull":
            guard = not_null(column, f"{column} was measured")
            guarded.setdefault(column, replace(guard, reason=rule.reason))
    return [*rules, *guarded.values()]


def _broken(rule: Rule, result: Any) -> Broken:
    found = result.result or {}
    rows = tuple(row for row in found.get("unexpected_index_list") or () if isinstance(row, dict))
    values = [str(value) for value in found.get("unexpected_list", [])[:_SAMPLE]]
    return Broken(rule, rows, int(found.get("unexpected_count", 0)), tuple(values))


def _without_rows(report: dict[str, Any]) -> dict[str, Any]:
    """Lists of every offending row can be as long as the table; the counts and samples stay."""
    for result in report["results"]:
        for key in ("unexpected_list", "unexpected_index_list", "unexpected_index_query"):
            result["result"].pop(key, None)
    return report
