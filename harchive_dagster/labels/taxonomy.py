"""The canonical words of labels and their synonyms, from `taxonomy.yaml`. Which tasks exist is for `task_catalog`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from harchive_dagster.errors import SettingsError

_ARTICLES = frozenset({"a", "an", "the"})
_LONGEST_VERB = 8
"""Words; the longest that ships has three. A text of a million words must not be joined a million times."""


@dataclass(frozen=True)
class Taxonomy:
    """Which words labels are made of.

    Attributes:
        version: SemVer of the word lists.
        verbs: every normalised way to say a verb, and its canonical word.
        nouns: the same for nouns.
    """

    version: str
    verbs: Mapping[str, str]
    nouns: Mapping[str, str]

    def canonical_verb(self, text: str) -> str | None:
        """The canonical verb for a word or phrase in any case and spacing; None for words we do not know."""
        return self.verbs.get(normalised(text))

    def canonical_noun(self, text: str) -> str | None:
        """The canonical noun for a word or phrase in any case and spacing; None for words we do not know."""
        return self.nouns.get(normalised(text))

    def words_of(self, note: str) -> tuple[str | None, str | None]:
        """Canonical verb and noun of a note such as 'fold the shirt'; words that we do not know are left out."""
        words = [word for word in note.split() if word.casefold() not in _ARTICLES]
        for split in range(min(len(words), _LONGEST_VERB), 0, -1):
            verb = self.canonical_verb(" ".join(words[:split]))
            if verb is not None:
                return verb, self.canonical_noun(" ".join(words[split:]))
        return None, None


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
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _error(str(error)) from None
    if not isinstance(document, dict) or document.keys() != {"version", "verbs", "nouns"}:
        raise _error("it must hold exactly version, verbs and nouns")
    return Taxonomy(
        version=str(document["version"]),
        verbs=MappingProxyType(_words(document["verbs"], "verbs")),
        nouns=MappingProxyType(_words(document["nouns"], "nouns")),
    )


def _words(entries: Any, what: str) -> dict[str, str]:
    words: dict[str, str] = {}
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
