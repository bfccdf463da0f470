"""What a gate reports of what it set aside: short however much that is, and shown as it is."""

import logging
import re
from datetime import date
from types import SimpleNamespace

import pytest

from harchive_dagster.errors import LandingError
from harchive_dagster.gates import StageGate
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.lake.tables import Lake
from harchive_dagster.reasons import Reason
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 2), "worker-01")
CONTEXT = SimpleNamespace(log=logging.getLogger(__name__), run=SimpleNamespace(run_id="r"))
"""Of a run, what a gate asks for."""


@pytest.fixture
def reported(tmp_path):
    """Sets sessions aside at intake and returns the result with its check, and the lake."""

    def report(details):
        lake = Lake(tmp_path)
        gate = StageGate(CONTEXT, lake, "uploads", DAY)
        for session_id, detail in details.items():
            gate.reject(session_id, LandingError(Reason.MANIFEST_INVALID, detail, mend="-"))
        sessions = schemas.SESSIONS.empty()
        (result,) = gate.publish({schemas.SESSIONS: sessions}, sessions.to_pandas(), {}, accepted=[])
        return result, lake

    return report


def test_thousands_of_broken_sessions_make_a_short_report_that_says_how_many_there_are(reported):
    result, lake = reported({f"s-{number:04d}": "manifest is broken. " * 200 for number in range(1000)})
    (check,) = result.check_results
    assert check.description.startswith("0 sessions go on. 1000 quarantined: s-0000, s-0001, ")
    assert check.description.endswith(" and 980 more, see harchive quarantine list.")
    table = check.metadata["quarantined"].value
    assert "| 980 more |" in table
    assert (len(check.description) < 1000, len(table) < 20_000) == (True, True)
    assert result.metadata["quarantined"].value == table
    assert lake.read(ledgers.QUARANTINE).num_rows == 1000


def test_a_few_broken_sessions_are_all_named(reported):
    result, _ = reported({"s-two": "b.", "s-one": "a."})
    (check,) = result.check_results
    assert check.description == "0 sessions go on. 2 quarantined: s-one, s-two."
    assert check.metadata["quarantined"].value.splitlines()[2:] == [
        "| s-one | manifest_invalid | a. |",
        "| s-two | manifest_invalid | b. |",
    ]


@pytest.mark.parametrize(
    "words", ["a | b", "![x](http://x.example/p.png)", "[x](y)", "`code`", "<img src=x>", "*loud*", "\\| b", "a\n| b"]
)
def test_what_an_upload_writes_is_no_markup_in_a_report(reported, words):
    result, _ = reported({"s-one": f"file {words} is missing."})
    head, _, row = result.metadata["quarantined"].value.splitlines()
    unescaped = re.sub(r"\\.", "", row)
    assert unescaped.count("|") == head.count("|")
    assert not set("`[]<>*\\") & set(unescaped)
    assert re.sub(r"\\(.)", r"\1", row) == f"| s-one | manifest_invalid | file {' '.join(words.split())} is missing. |"
