"""Others' numbered classes of verbs and nouns and the words of ours that they stand for, from a CSV file by path.

Our own words are in `taxonomy`; no class list of others is part of this package.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from harchive_dagster.errors import SettingsError
from harchive_dagster.labels.formats.csv_rows import rows_of
from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError, read_annotation_file
from harchive_dagster.labels.taxonomy import load_taxonomy, normalised

COLUMNS = ("kind", "class_id", "class_name", "word")
VERB, NOUN = "verb", "noun"

CLASSES_SUFFIX = ".classes.csv"
"""Put behind a label file's name, it names the mapping that the file is read by."""

_SHOWN_PROBLEMS = 5
_CLASS_ID = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True)
class ClassMapping:
    """Classes and words, each the other's: several words may share a class, and a word may stand for several.

    The first row of a class is what it is read as; the first row of a word is what it is written as.

    Attributes:
        words_by_id: our canonical word, by kind and number of their class.
        words_by_name: the same by kind and normalised name.
        ids: number of their class, by kind and our canonical word.
    """

    words_by_id: Mapping[tuple[str, int], str]
    words_by_name: Mapping[tuple[str, str], str]
    ids: Mapping[tuple[str, str], int]

    def word_named(self, kind: str, name: str) -> str:
        """Our word for the class of that name, however it is written; empty where no row has it."""
        return self.words_by_name.get((kind, normalised(name)), "")


def class_mapping_beside(label_file: Path) -> Path:
    """Where the mapping of a label file lies, if it has one."""
    return label_file.with_name(f"{label_file.name}{CLASSES_SUFFIX}")


def read_class_mapping(path: Path) -> ClassMapping:
    """Read a mapping.

    Raises:
        SettingsError: it cannot be used; names what is wrong, and where.
    """
    try:
        return parse_class_mapping(read_annotation_file(path))
    except FileProblemError as error:
        raise SettingsError(
            f"The class mapping {path.name!a} cannot be used: {error}.",
            consequence="Nothing was written.",
            mend=f"Give it the columns {', '.join(COLUMNS)}, and words of our taxonomy.",
        ) from None


def parse_class_mapping(file: AnnotationFile) -> ClassMapping:
    """Make a mapping of a CSV file with `COLUMNS`.

    Raises:
        FileProblemError: naming the first of what is wrong with it, by line.
    """
    words_by_id: dict[tuple[str, int], str] = {}
    words_by_name: dict[tuple[str, str], str] = {}
    ids: dict[tuple[str, str], int] = {}
    names: dict[tuple[str, int], str] = {}
    problems: list[str] = []
    for place, row in rows_of(file, COLUMNS, (), is_closed=True):
        wrong = list(_problems(row))
        if not wrong:
            kind, number, name = row["kind"], int(row["class_id"]), normalised(row["class_name"])
            if names.setdefault((kind, number), name) != name:
                wrong.append(f"{kind} class {number} is named {name!a}, and {names[kind, number]!a} before")
            word = _canonical(kind, row["word"]) or ""
            words_by_id.setdefault((kind, number), word)
            words_by_name.setdefault((kind, name), word)
            ids.setdefault((kind, word), number)
        problems += [f"{place}: {problem}" for problem in wrong]
    if not words_by_id and not problems:
        problems.append("it has no rows")
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        raise FileProblemError("; ".join(problems[:_SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else ""))
    return ClassMapping(MappingProxyType(words_by_id), MappingProxyType(words_by_name), MappingProxyType(ids))


def _canonical(kind: str, word: str) -> str | None:
    taxonomy = load_taxonomy()
    return taxonomy.canonical_verb(word) if kind == VERB else taxonomy.canonical_noun(word)


def _problems(row: Mapping[str, str]) -> Iterator[str]:
    kind, word = row["kind"], row["word"]
    if kind not in (VERB, NOUN):
        yield f"kind is {kind!a}, expected {VERB} or {NOUN}"
    elif _canonical(kind, word) is None:
        known = load_taxonomy().verbs if kind == VERB else load_taxonomy().nouns
        near = ", ".join(difflib.get_close_matches(normalised(word), known, n=3)) or "none is written like it"
        yield f"word is {word!a}, which is no {kind} of the taxonomy ({near})"
    if not _CLASS_ID.fullmatch(row["class_id"]):
        yield f"class_id is {row['class_id']!a}, expected a whole number"
    if not normalised(row["class_name"]):
        yield "class_name is empty"
