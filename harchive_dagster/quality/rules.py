"""What a rule and a suite are. The suites themselves are in `suites`; running them is in `evaluation`."""

from dataclasses import dataclass, field
from typing import Any

from harchive_dagster.reasons import Reason


@dataclass(frozen=True)
class Rule:
    """One Great Expectations expectation, held as data so that listing suites does not import the library.

    Attributes:
        expectation: class name in `great_expectations.expectations`.
        arguments: its keyword arguments.
        meaning: one sentence for the check's metadata.
        reason: quarantine code for sessions that break it (session rules only).
    """

    expectation: str
    arguments: dict[str, Any] = field(hash=False)
    meaning: str
    reason: Reason = Reason.EXPECTATION_FAILED

    @property
    def name(self) -> str:
        """Short name for tables and metadata: the expectation and its column."""
        subject = self.arguments.get("column") or "+".join(self.arguments.get("column_list", ())) or "table"
        return f"{self.expectation}({subject})"


@dataclass(frozen=True)
class Suite:
    """The gate of one stage.

    Attributes:
        stage: the asset it guards.
        session_rules: judged on one row per session (or stream); a session that breaks one goes to quarantine.
        batch_rules: judged on the rows about to be written; one broken rule and nothing is written.
    """

    stage: str
    session_rules: tuple[Rule, ...]
    batch_rules: tuple[Rule, ...]


def between(column: str, low: float | None, high: float | None, meaning: str, **more: Any) -> Rule:
    """Every value lies in [low, high]; None leaves an end open. `reason=` names the quarantine code."""
    reason = more.pop("reason", Reason.EXPECTATION_FAILED)
    arguments = {"column": column, "min_value": low, "max_value": high, **more}
    return Rule("ExpectColumnValuesToBeBetween", arguments, meaning, reason)


def zero(column: str, meaning: str, reason: Reason = Reason.EXPECTATION_FAILED) -> Rule:
    """Every value is zero: for counts of things that must not be."""
    return between(column, 0, 0, meaning, reason=reason)


def one_of(column: str, values: tuple[str, ...], meaning: str) -> Rule:
    """Every value is in the list."""
    return Rule("ExpectColumnValuesToBeInSet", {"column": column, "value_set": list(values)}, meaning)


def matches(column: str, pattern: str, meaning: str) -> Rule:
    """Every value matches the pattern."""
    return Rule("ExpectColumnValuesToMatchRegex", {"column": column, "regex": pattern}, meaning)


def not_null(column: str, meaning: str) -> Rule:
    """No value is missing."""
    return Rule("ExpectColumnValuesToNotBeNull", {"column": column}, meaning)


def unique(columns: tuple[str, ...], meaning: str) -> Rule:
    """The columns are unique, alone or together."""
    if len(columns) == 1:
        return Rule("ExpectColumnValuesToBeUnique", {"column": columns[0]}, meaning)
    return Rule("ExpectCompoundColumnsToBeUnique", {"column_list": list(columns)}, meaning)


def less_than(smaller: str, larger: str, meaning: str) -> Rule:
    """One column is below the other in every row."""
    return Rule("ExpectColumnPairValuesAToBeGreaterThanB", {"column_A": larger, "column_B": smaller}, meaning)
