import pytest

from harchive_dagster.errors import SettingsError
from harchive_dagster.labels.taxonomy import load_taxonomy, parse_taxonomy


def test_the_shipped_taxonomy_holds_the_primitives() -> None:
    assert {"grasp", "lift", "place", "release"} <= set(load_taxonomy().verbs.values())


@pytest.mark.parametrize(
    ("said", "canonical"),
    [
        ("grasp", "grasp"),
        ("Grab", "grasp"),
        ("  put   DOWN ", "place"),
        ("put_down", "place"),
        ("pick-up", "lift"),
        ("let go", "release"),
        ("juggle", None),
        ("", None),
    ],
)
def test_verbs_are_found_however_they_are_written(said: str, canonical: str | None) -> None:
    assert load_taxonomy().canonical_verb(said) == canonical


def test_verbs_and_nouns_are_kept_apart() -> None:
    taxonomy = load_taxonomy()
    assert taxonomy.canonical_noun("T-Shirt") == "shirt"
    assert taxonomy.canonical_noun("spanner") == "wrench"
    assert taxonomy.canonical_noun("grab") is None
    assert (taxonomy.canonical_verb("peel"), taxonomy.canonical_noun("peel")) == ("peel", "peel")


def test_every_canonical_word_stands_for_itself() -> None:
    taxonomy = load_taxonomy()
    assert all(taxonomy.canonical_verb(verb) == verb for verb in taxonomy.verbs.values())
    assert all(taxonomy.canonical_noun(noun) == noun for noun in taxonomy.nouns.values())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version: 1.0.0\nverbs: {fold: [bend], crease: [bend]}\nnouns: {cup: []}", "'bend' stands for 'fold'"),
        ("version: 1.0.0\nverbs: {fold: [Fold]}\nnouns: {cup: []}", "'fold' stands for 'fold'"),
        ("version: 1.0.0\nverbs: {fold: bend}\nnouns: {cup: []}", "with a list of synonyms"),
        ("version: 1.0.0\nverbs: {fold: [3]}\nnouns: {cup: []}", "which is not a word"),
        ("version: 1.0.0\nverbs: {}\nnouns: {cup: []}", "verbs must be a mapping"),
        ("verbs: {fold: []}\nnouns: {cup: []}", "exactly version, verbs and nouns"),
        ("verbs: [", "while parsing"),
    ],
)
def test_a_taxonomy_that_contradicts_itself_is_refused(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        parse_taxonomy(text)
