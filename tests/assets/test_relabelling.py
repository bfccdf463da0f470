"""What new labels of one session do to published tables, through the real job."""

import csv

import pytest

from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.lake.changes import row_changes

pytestmark = pytest.mark.slow  # two recordings through the whole chain before the first test

SECOND = 1_000_000_000
LABELLED = ["annotations", "segments", "episodes"]


def annotate(house, session_id, annotator, *labels):
    """Put an annotator's file of (start s, end s, verb) where annotators put theirs."""
    path = house.landing.annotations / house.pseudonyms.session(session_id) / f"{annotator}.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["annotation_id", "annotator", "layer", "start_ns", "end_ns", "verb", "noun", "text"])
        for number, (start_s, end_s, verb) in enumerate(labels):
            times = int(start_s * SECOND), int(end_s * SECOND)
            writer.writerow([f"{annotator}-{number}", annotator, "action", *times, verb, "plate", ""])


def changed_sessions(house, contract, older):
    newer = house.lake.version(contract)
    return {change.row["session_pseudonym"] for change in row_changes(house.lake, contract, older, newer)}


def verdict(result, stage="segments"):
    (found,) = (one for one in result.get_asset_check_evaluations() if one.check_name == f"{stage}_suite")
    return found


@pytest.fixture(scope="module")
def day(tmp_path_factory, make_house):
    """Two sessions, one of them labelled by one person, that went through once."""
    house = make_house(tmp_path_factory.mktemp("relabelling"))
    for session_id in ("s-relabelled", "s-as-it-was"):
        house.add(session_id=session_id, task_id="wash_dishes", seed=len(session_id))
    annotate(house, "s-relabelled", "anna", (1, 3, "wash"), (4, 6, "rinse"))
    annotate(house, "s-as-it-was", "anna", (2, 5, "wash"))
    assert house.run().success
    return house


def test_a_second_annotator_changes_rows_of_that_session_alone(day):
    before = {contract: day.lake.version(contract) for contract in (schemas.PUBLISHED_SEGMENTS, schemas.EPISODES)}
    annotate(day, "s-relabelled", "ravi", (1, 3.5, "wash"), (4, 6, "rinse"), (7, 8, "place"))
    result = day.run(selection=LABELLED)
    assert result.success
    relabelled = day.pseudonyms.session("s-relabelled")
    assert changed_sessions(day, schemas.PUBLISHED_SEGMENTS, before[schemas.PUBLISHED_SEGMENTS]) == {relabelled}
    # Its episodes too: their action spans follow the labels.
    assert changed_sessions(day, schemas.EPISODES, before[schemas.EPISODES]) == {relabelled}
    rows = day.lake.read(schemas.PUBLISHED_SEGMENTS).to_pylist()
    merged = {
        (row["start_ns"] / SECOND, row["end_ns"] / SECOND, row["label"], row["agreement"])
        for row in rows
        if row["session_pseudonym"] == relabelled and row["layer"] == "action"
    }
    assert merged == {(1, 3.25, "wash plate", 1), (4, 6, "rinse plate", 1), (7, 8, "place plate", 0)}
    assert verdict(result).passed


def test_annotators_who_agree_by_chance_alone_set_their_session_aside(day):
    before = day.lake.version(schemas.PUBLISHED_SEGMENTS)
    annotate(day, "s-relabelled", "ravi", (3, 4, "wash"), (6, 9, "place"))
    result = day.run(selection=LABELLED)
    assert result.success
    (row,) = day.lake.read(ledgers.QUARANTINE).to_pylist()
    assert (row["session_id"], row["stage"], row["reason"]) == ("s-relabelled", "segments", "labels_disputed")
    assert "hardly agree on action" in verdict(result).description
    gone = {day.pseudonyms.session("s-relabelled")}
    assert changed_sessions(day, schemas.PUBLISHED_SEGMENTS, before) == gone


def test_a_mended_label_takes_the_session_in_again_and_the_check_warns_of_poor_agreement_and_hidden_labels(day):
    annotate(day, "s-relabelled", "ravi", (1, 3, "wash"), (5, 7, "rinse"), (8, 9, "place"), (8.2, 8.8, "hold"))
    result = day.run(selection=LABELLED)
    assert result.success
    assert not day.lake.read(ledgers.QUARANTINE).num_rows
    assert not verdict(result).passed
    assert "harchive disagreements --session s-relabelled" in verdict(result).description
    assert "1 labels of s-relabelled lie under others" in verdict(result).description


def test_a_judgement_in_other_words_than_ours_is_warned_of_and_decides_nothing(day):
    path = day.landing.annotations / day.pseudonyms.session("s-as-it-was") / "uma.csv"
    path.write_text(
        f"annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text\n1,uma,episode,0,{9 * SECOND},,,ravi won\n"
    )
    result = day.run(selection=LABELLED)
    assert result.success
    said = verdict(result, "episodes").description
    assert "1 labels on the layer episode of s-as-it-was say neither success nor failure" in said
    assert "ravi" not in said
    assert {row["outcome"] for row in day.lake.read(schemas.EPISODES).to_pylist()} == {"unknown"}
