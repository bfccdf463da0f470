from typing import Any

import pytest
import yaml

from harchive_dagster.errors import SettingsError
from harchive_dagster.labels.taxonomy import PRIMITIVE, load_taxonomy, parse_taxonomy


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


def test_every_verb_is_made_of_primitives_and_every_word_has_a_category() -> None:
    taxonomy = load_taxonomy()
    assert taxonomy.primitives_of("grasp") == ("grasp",)
    assert taxonomy.primitives_of("stack") == ("reach", "grasp", "lift", "move", "place", "release")
    assert taxonomy.primitives_of("walk") == ()
    assert taxonomy.noun_categories["wrench"] == "hand tool"
    assert set(taxonomy.verb_categories) == set(taxonomy.verbs.values())
    assert set(taxonomy.noun_categories) == set(taxonomy.nouns.values())
    primitives = {verb for verb, category in taxonomy.verb_categories.items() if category == PRIMITIVE}
    assert all(set(taxonomy.primitives_of(verb)) <= primitives for verb in taxonomy.verb_categories)


def test_the_words_reach_over_household_kitchen_and_workshop() -> None:
    taxonomy = load_taxonomy()
    assert len(taxonomy.verb_categories) >= 100
    assert len(taxonomy.noun_categories) >= 250
    assert {"iron", "knead", "solder", "sweep"} <= set(taxonomy.verb_categories)


GOOD = {
    "version": "1.0.0",
    "verbs": {"primitive": {"primitives": [], "words": {"grasp": ["grab"]}}},
    "nouns": {"thing": {"cup": []}},
}


def _verbs(words: Any, primitives: Any = ()) -> dict[str, Any]:
    return {"verbs": {**GOOD["verbs"], "care": {"primitives": list(primitives), "words": words}}}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (_verbs({"fold": ["bend"], "crease": ["bend"]}), "'bend' stands for 'fold'"),
        (_verbs({"fold": ["Fold"]}), "'fold' stands for 'fold'"),
        (_verbs({"fold": ["grab"]}), "'grab' stands for 'grasp' and for 'fold'"),
        (_verbs({"fold": "bend"}), "with a list of synonyms"),
        (_verbs({"fold": [3]}), "which is not a word"),
        (_verbs({}), "verbs must be a mapping of canonical words"),
        (_verbs({"fold": []}, ["juggle"]), "has 'juggle' among its primitives"),
        (_verbs({"fold": []}, [["grasp"]]), "among its primitives"),
        ({"verbs": {"care": {"fold": []}}}, "exactly a list of primitives, and words"),
        ({"verbs": {"care": {"primitives": [], "words": {"fold": []}}}}, "no category 'primitive'"),
        ({"verbs": {}}, "verbs must be a mapping of categories"),
        ({"nouns": {"thing": []}}, "'thing' must be a word with a mapping"),
        ({"more": 1}, "exactly version, verbs and nouns"),
    ],
)
def test_a_taxonomy_that_contradicts_itself_is_refused(changed: dict[str, Any], problem: str) -> None:
    parse_taxonomy(yaml.safe_dump(GOOD))
    with pytest.raises(SettingsError, match=problem):
        parse_taxonomy(yaml.safe_dump(GOOD | changed, sort_keys=False))


def test_a_word_that_is_listed_twice_does_not_lose_its_synonyms_unseen() -> None:
    text = yaml.safe_dump(GOOD).replace("cup: []", "cup: [mug]\n    cup: []")
    with pytest.raises(SettingsError, match=r"key 'cup' appears twice in .* line"):
        parse_taxonomy(text)


def test_a_taxonomy_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(SettingsError, match="while parsing"):
        parse_taxonomy("verbs: [")
