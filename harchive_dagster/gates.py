"""The Dagster side of the gates: judge before writing, move sessions to quarantine, record the check, write, report.

The suites and their evaluation are in `quality`. Why a breach is yielded as a failed check and then raised, rather
than left to a check that runs after the asset: then the bad materialization would already be on record, and a later
run of downstream alone would build on it.
"""

import json
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from harchive_dagster.errors import HarchiveError, SessionRejectedError, UnexpectedError
from harchive_dagster.lake import ledgers
from harchive_dagster.lake.contract import PUBLISHED, RESTRICTED, TableContract
from harchive_dagster.lake.rows import without_sessions
from harchive_dagster.lake.standing import arrival_of, require_same_arrival
from harchive_dagster.lake.tables import Lake, PartitionKey, Written, worker_day_key
from harchive_dagster.partitions import worker_days
from harchive_dagster.quality.evaluation import Broken
from harchive_dagster.quality.gate import Rejection, judge_batch, judge_sessions, keep_reports
from harchive_dagster.quality.suites import SUITES
from harchive_dagster.reasons import Reason
from harchive_dagster.worker_day import WorkerDay

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 20
"""Sessions named in what a run reports: it is stored for every run. All are in the quarantine table."""
_CELL_LENGTH = 500
"""Characters of a sentence in a table, which may quote a manifest."""
_MARKUP = re.compile(r"([\\`|\[\]<>*])")

StageEvents = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]


def suite_check(stage: str) -> dg.AssetCheckSpec:
    """The one blocking check of a stage: its suite."""
    with warnings.catch_warnings():
        # Partitioned checks are a preview in Dagster 1.13; the tests hold what we rely on.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name=f"{stage}_suite",
            asset=stage,
            description=_describe(stage),
            blocking=True,
            # Without it, one worker's pass would release another's failure (Dagster gates per partition only so).
            partitions_def=worker_days,
        )


def _describe(stage: str) -> str:
    suite = SUITES[stage]
    sessions = "".join(f"\n- {rule.meaning}" for rule in suite.session_rules)
    batch = "".join(f"\n- {rule.meaning}" for rule in suite.batch_rules)
    return f"A session goes to quarantine unless:{sessions}\n\nNothing is written unless:{batch}"


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> dg.MarkdownMetadataValue:
    lines = [head, ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _cell(text: str) -> str:
    """On one line, shown as it is: an upload chooses some of the words, and must not draw pictures with them."""
    line = " ".join(text.split())
    shown = line if len(line) <= _CELL_LENGTH else f"{line[:_CELL_LENGTH]}…"
    return _MARKUP.sub(r"\\\1", shown)


class StageGate:
    """What one run of one stage has accepted, set aside and found broken so far."""

    def __init__(self, context: dg.AssetExecutionContext, lake: Lake, stage: str, worker_day: WorkerDay) -> None:
        self._context = context
        self._lake = lake
        self._suite = SUITES[stage]
        self._stage = stage
        self._worker_day = worker_day
        self._rejections: dict[str, Rejection] = {}
        self._breaches: list[Broken] = []
        self._reports: list[dict[str, Any]] = []
        self._remarks: list[str] = []
        require_same_arrival(lake, worker_day, stage)

    @property
    def rejected(self) -> Mapping[str, Reason]:
        """Sessions set aside by this stage so far, and why."""
        return {session_id: rejection.reason for session_id, rejection in self._rejections.items()}

    @property
    def _unnamed_count(self) -> int:
        return max(0, len(self._rejections) - _NAMED)

    def remark(self, sentence: str) -> None:
        """Say something that sets no session aside and that somebody should look at: the check warns."""
        self._remarks.append(sentence)

    @contextmanager
    def session(self, session_id: str) -> Iterator[None]:
        """Work on one session; an error that rejects it ends that work and nothing else."""
        try:
            yield
        except SessionRejectedError as error:
            self.reject(session_id, error)
        except HarchiveError:
            raise
        except Exception as error:
            # One session must not stop its neighbours, nor keep a withdrawal among them from taking effect.
            self._context.log.error(f"{session_id}: {traceback.format_exc()}")
            self.reject(session_id, UnexpectedError(error))

    def reject(self, session_id: str, error: SessionRejectedError) -> None:
        """Set a session aside; its first reason stays."""
        self._rejections.setdefault(session_id, Rejection.from_error(session_id, error))
        self._context.log.warning(f"{session_id} is quarantined: {error}")

    def sift(self, facts: "pd.DataFrame") -> None:
        """Hold the sessions' figures against the session rules and set aside those that break one."""
        facts = facts[~facts["session_id"].isin(list(self._rejections))]
        rejections, validation = judge_sessions(self._suite, facts)
        self._reports.append(validation.report)
        for rejection in rejections:
            self._rejections[rejection.session_id] = rejection
            self._context.log.warning(f"{rejection.session_id} is quarantined: {rejection.detail}")
        # A rule that broke without naming a session could not be evaluated, and what was not proven is not passed.
        self._breaches.extend(broken for broken in validation.broken if not broken.sessions)

    def keep(self, rows: pa.Table) -> pa.Table:
        """The rows of the sessions that were not set aside."""
        return without_sessions(rows, list(self._rejections))

    def publish(
        self,
        batches: Mapping[TableContract, pa.Table],
        judged: "pd.DataFrame",
        metadata: Mapping[str, Any],
        *,
        accepted: Sequence[str],
        published_key: PartitionKey | None = None,
        before_writing: Callable[[], None] | None = None,
    ) -> StageEvents:
        """Judge the batch, then write it and the quarantine; or write nothing and fail.

        Args:
            batches: tables to write, in this order; the last is the stage's main table, which points to the others.
            judged: the main table's rows with any derived column that the batch rules name.
            metadata: what a person wants to see of this run beside the counts.
            accepted: sessions that go on.
            published_key: the partition of published tables, whose rows carry pseudonyms.
            before_writing: makes files that the rows point to, once the batch may be written.
        """
        validation = judge_batch(self._suite, judged)
        self._reports.append(validation.report)
        self._breaches.extend(validation.broken)
        keep_reports(
            self._lake.validations,
            self._stage,
            f"{self._worker_day.collected_on}_{self._worker_day.worker_id}",
            self._reports,
        )
        if self._breaches:
            yield self._breach()
            raise dg.Failure(
                f"{self._stage} breaks its suite: {'; '.join(map(str, self._breaches))}. Nothing was written; the "
                f"last good rows of {self._worker_day} stay. See the failed check for the offending values.",
                allow_retries=False,
            )
        # First those set aside: were the run killed here, nothing rejected could pass on.
        self._write_quarantine()
        if before_writing is not None:
            before_writing()
        keys = {RESTRICTED: worker_day_key(self._worker_day), PUBLISHED: published_key or {}}
        written = [
            self._lake.replace(contract, keys[contract.zone], rows, run_id=self._context.run.run_id)
            for contract, rows in batches.items()
        ]
        self._write_stage_run()
        yield dg.MaterializeResult(
            metadata={
                **self._counts(written, accepted),
                **metadata,
            },
            check_results=[self._verdict(accepted)],
        )

    def _breach(self) -> dg.AssetCheckResult:
        rows = [(one.rule.name, one.rule.meaning, str(one.count), ", ".join(one.values)) for one in self._breaches]
        return dg.AssetCheckResult(
            check_name=f"{self._stage}_suite",
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description="Nothing was written; the last good rows stay readable.",
            metadata={
                "broken_expectations": [broken.rule.name for broken in self._breaches],
                "offending": _markdown_table(("expectation", "expects", "rows", "values"), rows),
            },
        )

    def _verdict(self, accepted: Sequence[str]) -> dg.AssetCheckResult:
        rules = len(self._suite.session_rules) + len(self._suite.batch_rules)
        named = sorted(self._rejections)[:_NAMED]
        rest = f" and {self._unnamed_count} more, see harchive quarantine list" if self._unnamed_count else ""
        aside = f"{len(self._rejections)} quarantined: {', '.join(named)}{rest}"
        return dg.AssetCheckResult(
            check_name=f"{self._stage}_suite",
            passed=not (self._rejections or self._remarks),
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(accepted)} sessions go on. {aside if self._rejections else 'None quarantined'}."
            + "".join(f" {remark[0].upper()}{remark[1:]}." for remark in self._remarks[:_NAMED]),
            metadata={"expectations": rules, "quarantined": self._rejection_table(), "remarks": self._remarks[:1000]},
        )

    def _counts(self, written: Sequence[Written], accepted: Sequence[str]) -> dict[str, Any]:
        return {
            "dagster/row_count": written[-1].row_count,
            "table_version": written[-1].version,
            "tables": _markdown_table(
                ("table", "version", "rows", ""),
                [
                    (w.table, str(w.version), str(w.row_count), "unchanged" if w.is_unchanged else "written")
                    for w in written
                ],
            ),
            "accepted_sessions": len(accepted),
            "quarantined_sessions": len(self._rejections),
            "quarantined": self._rejection_table(),
        }

    def _rejection_table(self) -> dg.MarkdownMetadataValue:
        if not self._rejections:
            return dg.MetadataValue.md("none")
        first = [self._rejections[session_id] for session_id in sorted(self._rejections)[:_NAMED]]
        rows = [(rejection.session_id, rejection.reason.value, rejection.detail) for rejection in first]
        if self._unnamed_count:
            rows.append((f"{self._unnamed_count} more", "", "See harchive quarantine list, or the table quarantine."))
        return _markdown_table(("session", "reason", "detail"), rows)

    def _write_stage_run(self) -> None:
        key = {**worker_day_key(self._worker_day), "stage": self._stage}
        row = {**key, "arrival_digest": arrival_of(self._lake, self._worker_day)}
        rows = ledgers.STAGE_RUNS.conform([row])
        self._lake.replace(ledgers.STAGE_RUNS, key, rows, run_id=self._context.run.run_id)

    def _write_quarantine(self) -> None:
        now = datetime.now(UTC)
        rows = [
            {
                "collected_on": self._worker_day.collected_on,
                "worker_id": self._worker_day.worker_id,
                "session_id": rejection.session_id,
                "stage": self._stage,
                "reason": rejection.reason.value,
                "detail": rejection.detail,
                "expectation": rejection.expectation,
                "evidence": json.dumps(dict(rejection.evidence or {}), sort_keys=True, default=str),
                "at_utc": now,
                "run_id": self._context.run.run_id,
            }
            for rejection in self._rejections.values()
        ]
        self._lake.replace(
            ledgers.QUARANTINE,
            {**worker_day_key(self._worker_day), "stage": self._stage},
            ledgers.QUARANTINE.conform(rows),
            run_id=self._context.run.run_id,
        )
