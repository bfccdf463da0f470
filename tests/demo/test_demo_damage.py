"""The page of damages says what the code does, and covers what landing can say."""

import re
from pathlib import Path

import pytest

from harchive_dagster.demo.damage import damage_page
from harchive_dagster.demo.damaged_uploads import DAMAGES
from harchive_dagster.reasons import Reason

PAGE = Path(__file__).resolve().parents[2] / "docs" / "damage.md"

LANDING_REASONS = {
    Reason.MANIFEST_INVALID,
    Reason.FILE_MISSING,
    Reason.CHECKSUM_MISMATCH,
    Reason.FILE_TOO_LARGE,
    Reason.DUPLICATE_SESSION,
    Reason.TASK_UNKNOWN,
    Reason.CONSENT_MISSING,
    Reason.CONSENT_INVALID,
    Reason.CONSENT_WITHDRAWN,
    Reason.VIDEO_UNREADABLE,
    Reason.VIDEO_TRUNCATED,
    Reason.ARCHIVE_UNSAFE,
    Reason.SENSOR_UNREADABLE,
    Reason.SENSOR_NOT_MONOTONIC,
    Reason.SENSOR_MISSING,
}


def without_numbers(page: str) -> str:
    """Another release of an encoder makes files of other sizes; what is said about them stays."""
    return re.sub(r"\d+", "0", page)


def test_the_page_is_the_one_that_running_gives() -> None:
    assert without_numbers(PAGE.read_text()) == without_numbers(damage_page())


def test_no_damage_passes_as_a_whole_upload() -> None:
    assert "Accepted." not in PAGE.read_text()


@pytest.mark.parametrize("reason", sorted(LANDING_REASONS))
def test_every_reason_that_landing_can_give_has_a_damage(reason: Reason) -> None:
    assert f"| `{reason}` |" in PAGE.read_text()


def test_the_page_names_no_place_on_any_machine() -> None:
    assert not [word for word in PAGE.read_text().split() if word.startswith(("/", "'/")) or "/tmp" in word]


def test_no_two_damages_of_one_thing_have_the_same_name() -> None:
    for damages in DAMAGES.values():
        assert len({damage.name for damage in damages}) == len(damages)
