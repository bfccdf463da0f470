"""A reviewer's corrections on their way through the chain: what was missed gets hidden, what was wrong gets shown."""

import itertools

import pytest
from click.testing import CliRunner

import assets.raw
from harchive_dagster.cli import cli
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.lake.corrections import corrections_of

SESSION = "s-missed"
AT_THE_EDGE = 12
"""Frames before and after a visit in which less than half of the face is in the picture, and truth does not list it."""


def set_aside(house):
    return {row["reason"]: row for row in house.lake.read(ledgers.QUARANTINE).to_pylist()}


def redact(house, *arguments):
    environment = {"HARCHIVE_LANDING": str(house.landing.uploads), "HARCHIVE_LAKE": str(house.lake.root)}
    outcome = CliRunner().invoke(cli, ["redact", *map(str, arguments)], env=environment, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def hide_anew(house):
    """Run the stage of the redactions alone; its check."""
    result = house.run(selection=["redactions"])
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    return check


def hidden(house):
    return house.lake.read(schemas.REDACTIONS).to_pylist()


def revoke_all(house):
    for one in corrections_of(house.lake, SESSION):
        if one.is_standing:
            redact(house, "revoke", one.correction_id, "--reason", "the next test")


@pytest.fixture(scope="module")
def day(tmp_path_factory, make_house):
    """A session in which the face's second visit was missed, and what the audit made of that."""
    house = make_house(tmp_path_factory.mktemp("corrections"))
    truth = house.add(session_id=SESSION, duration_s=6.0)
    frames = sorted({face.frame_index for face in truth.faces})
    missed_from = next(late for early, late in itertools.pairwise(frames) if late > early + 2 * AT_THE_EDGE)
    missed_from -= AT_THE_EDGE
    real = assets.raw.look

    def look(*arguments, **options):
        seen, found = real(*arguments, **options)
        return seen, [one for one in found if one.frame_index < missed_from]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assets.raw, "look", look)
        assert house.run(selection=["uploads", "frame_observations", "redactions", "anonymized_videos"]).success
    assert set(set_aside(house)) == {"audit_found_faces"}
    missed = [face for face in truth.faces if face.frame_index >= missed_from]
    return house, missed


def test_what_the_audit_found_is_hidden_by_a_correction_and_the_session_goes_on(day):
    house, missed = day
    before = hidden(house)
    left, top = min(face.x for face in missed), min(face.y for face in missed)
    width, height = max(face.x + face.w for face in missed) - left, max(face.y + face.h for face in missed) - top
    first, last = missed[0].frame_index - AT_THE_EDGE, missed[-1].frame_index + AT_THE_EDGE
    span = ["--from", f"{first}f", "--to", f"{last}f"]
    box = f"{left},{top},{width},{height}"
    said = redact(house, "add", SESSION, *span, "--box", box, "--reason", "customer in the mirror", "--by", "anna")
    assert '--partition "2026-03-02|worker-01" --select redactions,anonymized_videos,episodes' in said
    result = house.run(selection=["redactions", "anonymized_videos"])
    assert result.success
    assert set_aside(house) == {}
    (video,) = house.lake.read(schemas.ANONYMIZED_VIDEOS).to_pylist()
    assert video["audit_residual_faces"] == 0
    added = [row for row in hidden(house) if row["source"] == "reviewed"]
    assert [row["frame_index"] for row in added] == list(range(first, last + 1))
    assert [row for row in hidden(house) if row["source"] != "reviewed"] == before


def test_a_removed_track_is_shown_and_every_other_redaction_stays_as_it_was(day):
    house, _ = day
    revoke_all(house)
    hide_anew(house)
    before = hidden(house)
    track_id = before[0]["track_id"]
    redact(house, "remove", SESSION, track_id, "--reason", "a clock")
    check = hide_anew(house)
    assert (check.passed, check.metadata["remarks"].value) == (True, [])
    assert hidden(house) == [row for row in before if row["track_id"] != track_id]
    (correction,) = [one for one in corrections_of(house.lake, SESSION) if one.is_standing]
    lifted = house.lake.read(schemas.LIFTED_REDACTIONS).to_pylist()
    assert {row.pop("correction_id") for row in lifted} == {correction.correction_id}
    assert lifted == [row for row in before if row["track_id"] == track_id]
    assert f"in force in {len(lifted)} frames" in redact(house, "list", SESSION)


def test_a_revoked_correction_leaves_no_trace_in_what_is_hidden(day):
    house, _ = day
    revoke_all(house)
    hide_anew(house)
    before = hidden(house)
    redact(house, "add", SESSION, "--from", "0s", "--to", "1s", "--whole-frame", "--reason", "a screen", "--later")
    redact(house, "remove", SESSION, before[0]["track_id"], "--reason", "a clock", "--later")
    hide_anew(house)
    assert hidden(house) != before
    revoke_all(house)
    hide_anew(house)
    assert hidden(house) == before
    assert house.lake.read(schemas.LIFTED_REDACTIONS).num_rows == 0
    assert "the next test" in redact(house, "list", SESSION)


def test_a_removal_that_matches_nothing_any_more_is_said_by_the_check(day):
    house, _ = day
    revoke_all(house)
    hide_anew(house)
    track_id = hidden(house)[0]["track_id"]
    for _ in range(2):  # the second finds what it removes already lifted
        redact(house, "remove", SESSION, track_id, "--reason", "a clock", "--later")
    check = hide_anew(house)
    assert not check.passed
    assert "matches nothing in this recording any more" in check.description
    assert redact(house, "list", SESSION).count("in force in") == 1
