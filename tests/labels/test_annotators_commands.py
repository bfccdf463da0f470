"""`harchive disagreements` and `harchive agreement` as an adjudicator runs them."""

import csv
import io
import json
import os
from datetime import UTC, date, datetime

import pytest
from click.testing import CliRunner

from harchive_dagster.cli import cli
from harchive_dagster.errors import LakeError
from harchive_dagster.lake import schemas
from harchive_dagster.lake.tables import Lake, worker_day_key
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.worker_day import WorkerDay

SECOND = 1_000_000_000
DAY = WorkerDay(date(2026, 3, 2), "worker-01")


def run(*arguments, command="disagreements"):
    outcome = CliRunner().invoke(cli, [command, *arguments])
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """Two sessions that two people labelled."""
    monkeypatch.setenv("HARCHIVE_LAKE", str(tmp_path / "lake"))
    lake = Lake(tmp_path / "lake")
    drawn = [
        ("ses-1", "a-1", 0, 4, "fold"),
        ("ses-1", "a-2", 0, 4, "fold"),
        ("ses-1", "a-1", 5, 10, "stack"),
        ("ses-2", "a-1", 0, 4, "fold"),
        ("ses-2", "a-2", 1, 4, "wipe\x1b[31m"),
    ]
    common = dict.fromkeys(schemas.ANNOTATIONS.schema.names) | worker_day_key(DAY)
    common |= {"tool": "csv", "tool_version": "1", "layer": "action", "attributes": "{}", "source_file_sha256": "0"}
    rows = [
        common
        | {"session_id": session, "annotator": annotator, "annotation_id": str(number), "verb": verb}
        | {"start_ns": start * SECOND, "end_ns": end * SECOND}
        for number, (session, annotator, start, end, verb) in enumerate(drawn)
    ]
    texts = ("participant_id", "consent_id", "country", "environment", "rig_model", "camera", "video_sha256")
    known = dict.fromkeys(schemas.SESSIONS.schema.names) | worker_day_key(DAY) | dict.fromkeys(texts, "x")
    known |= {"manifest_sha256": "x", "status": "accepted", "bytes": 1, "duration_ns": 20 * SECOND}
    known |= dict.fromkeys(("started_at_utc", "ingested_at_utc"), datetime(2026, 3, 2, tzinfo=UTC))
    sessions = schemas.SESSIONS.conform([known | {"session_id": session_id} for session_id in ("ses-1", "ses-2")])
    lake.replace(schemas.SESSIONS, worker_day_key(DAY), sessions, run_id="r")
    lake.replace(schemas.ANNOTATIONS, worker_day_key(DAY), schemas.ANNOTATIONS.conform(rows), run_id="r")
    return lake


def test_the_worst_come_first_and_escapes_reach_no_terminal(lake):
    assert run().splitlines() == [
        "0.00  ses-1  action 5.000-10.000 s: 1 x stack, 1 x nothing",
        "0.00  ses-2  action 0.000-4.000 s: 1 x fold, 1 x wipe?[31m",
        "2 spans on which annotators differ",
    ]


def test_a_choice_and_a_limit(lake):
    assert run("--session", "ses-2").splitlines()[-1] == "1 spans on which annotators differ"
    assert run("--day", "2026-03-03").splitlines() == ["0 spans on which annotators differ"]
    assert "and 1 more: --limit shows them, --csv all" in run("--limit", "1", "--worker", "worker-01")


def test_a_session_is_chosen_by_its_pseudonym_as_well_and_a_mistyped_one_is_no_agreement(lake):
    pseudonym = Pseudonymiser(os.environ["HARCHIVE_PSEUDONYM_KEY"].encode()).session("ses-2")
    assert run("--session", pseudonym) == run("--session", "ses-2")
    with pytest.raises(LakeError, match=r"no session 'ses-3' in the lake \(ses-"):
        CliRunner().invoke(cli, ["disagreements", "--session", "ses-3"], catch_exceptions=False)


def test_where_nobody_labelled_what_another_did_the_command_says_so(lake):
    assert run("--day", "2026-03-03", command="agreement") == "no layer of a session was labelled by several people\n"


def test_all_of_them_as_csv(lake):
    rows = list(csv.DictReader(io.StringIO(run("--csv", "--limit", "1"))))
    assert [(row["session"], row["start_ns"], row["agreement"], row["shown"]) for row in rows] == [
        ("ses-1", "5000000000", "0.0", "True"),
        ("ses-2", "0", "0.0", "True"),
    ]


def test_agreement_by_session_and_the_words_that_are_taken_for_each_other(lake):
    lines = run(command="agreement").splitlines()
    assert lines[0].split() == ["alpha", "same", "span", "mean", "IoU", "annotators"]
    assert [line.split()[1:] for line in lines[1:3]] == [
        ["1.00", "0.75", "2", "ses-2", "action"],
        ["0.67", "1.00", "2", "ses-1", "action"],
    ]
    assert lines[4:6] == ["verbs of the same span", "    1  fold"]
    assert "    1  fold / wipe?[31m" in lines
    (only,) = json.loads(run("--session", "ses-1", "--json", command="agreement"))
    assert (only["session"], only["annotator_count"], only["verbs"]) == ("ses-1", 2, [["fold", "fold", 1]])
    assert json.loads(run("--worker", "worker-02", "--json", command="agreement")) == []
