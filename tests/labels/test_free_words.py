import pytest

from harchive_dagster.labels.free_words import in_our_words
from harchive_dagster.labels.taxonomy import load_taxonomy


@pytest.mark.parametrize(
    ("verb", "noun", "text", "shown"),
    [
        ("fold", "garment", None, "fold garment"),
        ("fold", None, "asha folds", "fold"),
        ("fold", "asha's shirt", None, "other"),
        ("greet asha", "garment", None, "other"),
        (None, "plate", None, "plate"),
        (None, "asha", None, "other"),
        (None, "plate", "asha has it", "other"),
        (None, "plate", "manipulation", "manipulation"),
        (None, None, "idle", "idle"),
        (None, None, "failure", "failure"),
        (None, None, "asha is here", "other"),
        (None, None, "", "other"),
        ("", "", None, "other"),
    ],
)
def test_a_label_is_shown_in_our_words_or_as_other(verb, noun, text, shown):
    assert in_our_words(verb, noun, text, load_taxonomy()) == shown
