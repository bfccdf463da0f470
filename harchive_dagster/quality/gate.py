"""The gate of a stage: which sessions may pass, which go to quarantine, and whether the batch may be written at all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harchive_dagster.errors import SessionRejectedError
from harchive_dagster.quality.evaluation import Validation, evaluate
from harchive_dagster.quality.rules import Rule, Suite
from harchive_dagster.reasons import Reason

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rejection:
    """One session set aside at one stage: a row of the quarantine table in the making."""

    session_id: str
    reason: Reason
    detail: str
    expectation: str | None = None
    evidence: Mapping[str, Any] | None = None

    @classmethod
    def from_error(cls, session_id: str, error: SessionRejectedError) -> "Rejection":
        """The rejection that a library error asks for."""
        return cls(session_id, error.reason, error.detail, evidence=error.evidence)


def judge_sessions(suite: Suite, facts: "pd.DataFrame") -> tuple[list[Rejection], Validation]:
    """Which sessions break a session rule.

    Args:
        suite: of the stage.
        facts: one row per session or stream, with `session_id` and every column the session rules name.

    Returns:
        One rejection per session (its first broken rule leads, all are in the evidence), and the validation. Figures
        that keep a rule, of another stream of the session, are not named with those that break it.
    """
    validation = evaluate(f"{suite.stage}.sessions", suite.session_rules, facts)
    by_session: dict[str, dict[Rule, list[str]]] = {}
    for broken in validation.broken:
        for row in broken.rows:
            found = by_session.setdefault(row["session_id"], {})
            found.setdefault(broken.rule, []).append(_figure(broken.rule, row))
    rejections = []
    for session_id, found in sorted(by_session.items()):
        first = next(iter(found))
        rejections.append(
            Rejection(
                session_id,
                first.reason,
                f"The suite of {suite.stage} expects that {first.meaning}; found {', '.join(found[first])}.",
                expectation=first.name,
                evidence={"broken": {rule.name: figures for rule, figures in found.items()}},
            )
        )
    return rejections, validation


def _figure(rule: Rule, row: Mapping[str, Any]) -> str:
    figure = str(row[rule.arguments["column"]])
    return f"{figure} in stream {row['stream_id']!r}" if "stream_id" in row else figure


def judge_batch(suite: Suite, rows: "pd.DataFrame") -> Validation:
    """Whether the rows about to be written keep every invariant of the suite."""
    return evaluate(f"{suite.stage}.batch", suite.batch_rules, rows)


def keep_reports(folder: Path, stage: str, partition: str, reports: Sequence[dict[str, Any]]) -> None:
    """Keep the last validation of a partition for the Data Docs; the previous one is replaced whole."""
    target = folder / stage / f"{partition}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".draft")
    draft.write_text(json.dumps(list(reports)))
    draft.replace(target)
