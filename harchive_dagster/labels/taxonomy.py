"""The canonical words of labels and their synonyms, from `taxonomy.yaml`. Which tasks exist is for `task_catalog`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.yaml_documents import parse_yaml

_ARTICLES = frozenset({"a", "an", "the"})
_LONGEST_VERB = 8
"""Words; the longest that ships has three. A text of a million words must not be joined a million times."""

PRIMITIVE = "primitive"
"""The category of the verbs that the others are made of."""


@dataclass(frozen=True)
class Taxonomy:
    """Which words labels are made of.

    Attributes:
        version: SemVer of the word lists.
        verbs: every normalised way to say a verb, and its canonical word.
        nouns: the same for nouns.
        verb_categories, noun_categories: each canonical word's category.
        primitives: by category of verbs, what the hands do in each of its verbs, in order.
    """

    version: str
    verbs: Mapping[str, str]
    nouns: Mapping[str, str]
    verb_categories: Mapping[str, str]
    noun_categories: Mapping[str, str]
    primitives: Mapping[str, tuple[str, ...]]

    def canonical_verb(self, text: str) -> str | None:
        """The canonical verb for a word or phrase in any case and spacing; None for words we do not know."""
        return self.verbs.get(normalised(text))

    def canonical_noun(self, text: str) -> str | None:
        """The canonical noun for a word or phrase in any case and spacing; None for words we do not know."""
        return self.nouns.get(normalised(text))

    def has_words(self, verb: str | None, noun: str | None) -> bool | None:
        """Whether we know the verb and the noun, or the one that there is; None where there is neither."""
        given = ((verb, self.canonical_verb), (noun, self.canonical_noun))
        found = [canonical(word) for word, canonical in given if word]
        return None not in found if found else None

    def words_of(self, note: str) -> tuple[str | None, str | None]:
        """Canonical verb and noun of a note such as 'fold the shirt'; words that we do not know are left out."""
        words = [word for word in note.split() if word.casefold() not in _ARTICLES]
        for split in range(min(len(words), _LONGEST_VERB), 0, -1):
            verb = self.canonical_verb(" ".join(words[:split]))
            if verb is not None:
                return verb, self.canonical_noun(" ".join(words[split:]))
        return None, None

    def primitives_of(self, verb: str) -> tuple[str, ...]:
        """What the hands do in a canonical verb, in order; a primitive is itself.

        Raises:
            KeyError: not a canonical verb.
        """
        category = self.verb_categories[verb]
        return (verb,) if category == PRIMITIVE else self.primitives[category]


def normalised(text: str) -> str:
    """Lower case, with one space wherever blanks, '-' or '_' were."""
    return " ".join(text.casefold().replace("-", " ").replace("_", " ").split())


@cache
def load_taxonomy() -> Taxonomy:
    """The taxonomy that ships with the package.

    Raises:
        SettingsError: the file contradicts itself.
    """
    return parse_taxonomy(files("harchive_dagster.labels").joinpath("taxonomy.yaml").read_text("utf-8"))


def parse_taxonomy(text: str) -> Taxonomy:
    """Read a taxonomy from YAML.

    Raises:
        SettingsError: not YAML, not of the expected form, or a word stands in two places.
    """
    try:
        document = parse_yaml(text)
    except ValueError as error:
        raise _error(str(error)) from None
    if not isinstance(document, dict) or document.keys() != {"version", "verbs", "nouns"}:
        raise _error("it must hold exactly version, verbs and nouns")
    verbs, primitives = _verb_groups(document["verbs"])
    nouns = _groups(document["nouns"], "nouns")
    return Taxonomy(
        version=str(document["version"]),
        verbs=MappingProxyType(_words(verbs, "verbs")),
        nouns=MappingProxyType(_words(nouns, "nouns")),
        verb_categories=MappingProxyType(_categories(verbs)),
        noun_categories=MappingProxyType(_categories(nouns)),
        primitives=MappingProxyType(primitives),
    )


def _verb_groups(entries: Any) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    groups, primitives = {}, {}
    for category, entry in _groups(entries, "verbs").items():
        if entry.keys() != {"primitives", "words"} or not isinstance(entry["primitives"], list):
            raise _error(f"verbs: the category {category!r} must hold exactly a list of primitives, and words")
        groups[category] = entry["words"]
        primitives[category] = tuple(entry["primitives"])
    known = groups.get(PRIMITIVE)
    if not isinstance(known, dict):
        raise _error(f"verbs: there is no category {PRIMITIVE!r} with words")
    for category, names in primitives.items():
        unknown = [name for name in names if not isinstance(name, str) or name not in known]
        if unknown:
            raise _error(f"verbs: the category {category!r} has {unknown[0]!r} among its primitives, which is none")
    return groups, primitives


def _groups(entries: Any, what: str) -> dict[str, Any]:
    if not isinstance(entries, dict) or not entries:
        raise _error(f"{what} must be a mapping of categories")
    for category, entry in entries.items():
        if not isinstance(category, str) or not isinstance(entry, dict) or not entry:
            raise _error(f"{what}: the category {category!r} must be a word with a mapping")
    return entries


def _categories(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {word: category for category, entries in groups.items() for word in entries}


def _words(groups: Mapping[str, Any], what: str) -> dict[str, str]:
    words: dict[str, str] = {}
    for entries in groups.values():
        for canonical, said in _spellings(entries, what):
            if said in words:
                raise _error(f"{what}: {said!r} stands for {words[said]!r} and for {canonical!r}")
            words[said] = canonical
    return words


def _spellings(entries: Any, what: str) -> Iterator[tuple[str, str]]:
    if not isinstance(entries, dict) or not entries:
        raise _error(f"{what} must be a mapping of canonical words to lists of synonyms")
    for canonical, synonyms in entries.items():
        if not isinstance(canonical, str) or not isinstance(synonyms, list):
            raise _error(f"{what}: the entry {canonical!r} must be a word with a list of synonyms")
        for said in (canonical, *synonyms):
            if not isinstance(said, str) or not normalised(said):
                raise _error(f"{what}: {canonical!r} has the synonym {said!r}, which is not a word")
            yield canonical, normalised(said)


def _error(problem: str) -> SettingsError:
    return SettingsError(
        f"The taxonomy cannot be used: {problem}.",
        consequence="No label can be read.",
        mend="Correct taxonomy.yaml.",
    )
