"""Typed values out of documents that somebody else wrote (JSON, YAML), noting everything wrong at once.

What a manifest, a consent record or a catalogue must contain belongs to those modules, not here.
"""

import difflib
import hashlib
import json
import re
import reprlib
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from harchive_dagster.worker_day import IDENTIFIER_PATTERN

T = TypeVar("T")

INT64_MAX = 2**63 - 1
"""The largest time that the tables can hold, in ns."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOST_CHOICES = 40  # a line or two; the taxonomy has hundreds of words
_NO_DAY = date.min
_NO_MOMENT = datetime.min.replace(tzinfo=UTC)


def is_identifier(text: str) -> bool:
    """Whether a text can serve as an id, a folder name and a partition value."""
    return re.fullmatch(IDENTIFIER_PATTERN, text) is not None


def read_json_object(path: Path, *, max_bytes: int) -> tuple[dict[str, Any], str]:
    """Read one JSON object from a regular file.

    Args:
        path: the file; a link, folder or pipe in its place is refused before anything is opened.
        max_bytes: more than this is refused unread, so that no upload can fill the memory.

    Returns:
        The object, and the SHA-256 of the file's bytes as hex.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: anything else that keeps it from being one JSON object; the message says what.
    """
    raw = read_regular_file(path, max_bytes)
    document = parse_json(raw, path.name)
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} holds a JSON {type(document).__name__}, expected an object")
    return document, hashlib.sha256(raw).hexdigest()


def parse_json(raw: bytes, name: str) -> Any:
    """What a JSON document holds: UTF-8, no key twice in one object, finite numbers only.

    Raises:
        ValueError: it is not such a document; the message begins with `name`.
    """
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    except ValueError as error:  # covers JSONDecodeError, UnicodeDecodeError and numbers of thousands of digits
        raise ValueError(f"{name} is not valid JSON: {error}") from None


def is_storable(text: str) -> bool:
    """Whether tables and file names can hold a text: no NUL, and no half of a character, which JSON allows."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a file that is no link, folder or pipe; nothing is opened before that is known.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else, has more than `max_bytes`, or cannot be read.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        if status.st_size > max_bytes:
            raise ValueError(f"{path.name} has {status.st_size} bytes, at most {max_bytes} are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {reprlib.repr(twice)} appears twice in one object")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


@dataclass
class Findings:
    """What is wrong with one document: all of it, and separately the mandatory fields it lacks."""

    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Fields:
    """One object of a document. A getter returns the value, or notes a problem and returns a placeholder of its type.

    Placeholders must never leave the caller: it raises whenever `findings.problems` is not empty.

    Args:
        values: the object as parsed.
        findings: shared by all objects of the document.
        where: the object's place in the document, such as `rig.streams[0]`; empty at the root.
        private: names of keys, here and in nested objects, whose values no message repeats: messages reach logs.
    """

    def __init__(
        self, values: Mapping[Any, Any], findings: Findings, where: str = "", *, private: Collection[str] = ()
    ) -> None:
        self.findings = findings
        self._values = values
        self._where = where
        self._private = private
        self._asked: set[str] = set()

    def path(self, key: str) -> str:
        """A field's full name, for messages."""
        return f"{self._where}.{key}" if self._where else key

    def note(self, key: str, problem: str) -> None:
        """Note something wrong with a field."""
        self.findings.problems.append(f"{self.path(key)} {problem}")

    def refuse_unknown(self) -> None:
        """Note every key that no getter has asked for."""
        for key in self._values:
            if key not in self._asked:
                self.note(reprlib.repr(key), "is not a known key")

    def is_given(self, key: str) -> bool:
        """Whether the key is present and not null. Counts as asked for."""
        self._asked.add(key)
        return self._values.get(key) is not None

    def is_false(self, key: str) -> bool:
        """Whether the key is given and false; anything else counts as not said. Counts as asked for."""
        self._asked.add(key)
        return self._values.get(key) is False

    def text(
        self,
        key: str,
        *,
        pattern: str | None = None,
        choices: Collection[str] | None = None,
        max_length: int = 2000,
    ) -> str:
        """A text that is not empty, fits a pattern in full or is one of the choices, and can be stored as UTF-8."""
        value = self._get(key, str, "a text")
        if value is None:
            return ""
        problem = _text_problem(value, self._shown(key, value), pattern, choices, max_length)
        if problem:
            self.note(key, problem)
            return ""
        return str(value)

    def identifier(self, key: str) -> str:
        """A text of the form `IDENTIFIER_PATTERN`."""
        return self.text(key, pattern=IDENTIFIER_PATTERN)

    def integer(self, key: str, *, low: int = 0, high: int = INT64_MAX) -> int:
        """A whole number in [low, high]."""
        value = self._get(key, int, "a whole number")
        if value is None:
            return low
        if not low <= value <= high:
            self.note(key, f"is {self._shown(key, value)}, expected {low} to {high}")
            return low
        return int(value)

    def number(self, key: str, *, low: float, high: float) -> float:
        """A number in [low, high]."""
        value = self._get(key, (int, float), "a number")
        return low if value is None else self._bounded(key, value, low, high)

    def numbers(self, key: str, *, low: float, high: float) -> tuple[float, ...]:
        """A list of numbers, each in [low, high]."""
        found = []
        for index, value in enumerate(self._list(key, min_count=0)):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found.append(self._bounded(f"{key}[{index}]", value, low, high))
            else:
                self.note(f"{key}[{index}]", f"is {self._shown(key, value)}, expected a number")
        return tuple(found)

    def day(self, key: str) -> date:
        """A calendar day as YYYY-MM-DD."""
        value = self._get(key, str, "a day as YYYY-MM-DD")
        if value is None:
            return _NO_DAY
        day = parse_day(value)
        if day is None:
            self.note(key, f"is {self._shown(key, value)}, expected a day as YYYY-MM-DD")
        return day or _NO_DAY

    def moment(self, key: str) -> datetime:
        """An RFC 3339 date and time with its offset."""
        value = self._get(key, str, "an RFC 3339 time with offset")
        if value is None:
            return _NO_MOMENT
        moment = parse_moment(value)
        if moment is None:
            self.note(key, f"is {self._shown(key, value)}, expected an RFC 3339 time with offset")
        return moment or _NO_MOMENT

    def texts(self, key: str, *, choices: Collection[str] | None = None) -> tuple[str, ...]:
        """A list of at least one text."""
        values = self._list(key, min_count=1)
        for index, value in enumerate(values):
            problem = (
                _text_problem(value, self._shown(key, value), None, choices, 2000)
                if isinstance(value, str)
                else f"is {self._shown(key, value)}, expected a text"
            )
            if problem:
                self.note(f"{key}[{index}]", problem)
        return tuple(value for value in values if isinstance(value, str))

    def mapping(self, key: str) -> "Fields":
        """A nested object."""
        value = self._get(key, dict, "an object")
        findings = self.findings if value is not None else Findings()
        return Fields(value or {}, findings, self.path(key), private=self._private)

    def mappings(self, key: str, *, min_count: int = 0) -> "list[Fields]":
        """A list of nested objects."""
        found = []
        for index, value in enumerate(self._list(key, min_count=min_count)):
            if isinstance(value, dict):
                found.append(Fields(value, self.findings, f"{self.path(key)}[{index}]", private=self._private))
            else:
                self.note(f"{key}[{index}]", f"is {self._shown(key, value)}, expected an object")
        return found

    def optional(self, key: str, getter: Callable[[str], T]) -> T | None:
        """None where the key is absent or null, else what the getter makes of it."""
        return getter(key) if self.is_given(key) else None

    def _bounded(self, key: str, value: float, low: float, high: float) -> float:
        if not low <= value <= high:
            self.note(key, f"is {self._shown(key, value)}, expected {low} to {high}")
            return low
        return float(value)

    def _list(self, key: str, *, min_count: int) -> list[Any]:
        values = self._get(key, list, "a list")
        if values is None:
            return []
        if len(values) < min_count:
            self.note(key, f"has {len(values)} entries, expected at least {min_count}")
        return list(values)

    def _get(self, key: str, kind: type | tuple[type, ...], expected: str) -> Any:
        self._asked.add(key)
        value = self._values.get(key)
        if value is None:
            self.findings.missing.append(self.path(key))
            self.note(key, f"is missing, expected {expected}")
            return None
        if not isinstance(value, kind) or isinstance(value, bool):
            self.note(key, f"is {self._shown(key, value)}, expected {expected}")
            return None
        return value

    def _shown(self, key: str, value: Any) -> str:
        """A wrong value as messages show it; `key` may carry an index."""
        return "wrong" if key.partition("[")[0] in self._private else reprlib.repr(value)


def _some_of(value: str, choices: Collection[str]) -> str:
    """What could be meant: all choices, or of a whole vocabulary what is written like it."""
    if len(choices) <= _MOST_CHOICES:
        return f"one of {', '.join(sorted(choices))}"
    near = ", ".join(difflib.get_close_matches(value, choices)) or "none is written like it"
    return f"one of {len(choices)} words ({near})"


def _text_problem(
    value: str, shown: str, pattern: str | None, choices: Collection[str] | None, max_length: int
) -> str | None:
    if not value.strip():
        return "is empty"
    if len(value) > max_length:
        return f"has {len(value)} characters, at most {max_length} are allowed"
    if choices is not None and value not in choices:
        return f"is {shown}, expected {_some_of(value, choices)}"
    if pattern is not None and not re.fullmatch(pattern, value, re.ASCII):
        return f"is {shown}, expected the form {pattern}"
    if not is_storable(value):
        return f"is {shown}, which cannot be stored as text"
    return None


def parse_day(text: str) -> date | None:
    """A day written as YYYY-MM-DD and in no other ISO 8601 form; None for anything else."""
    if not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def parse_moment(text: str) -> datetime | None:
    """An RFC 3339 time with offset, aware and convertible to UTC; None for anything else."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)  # year 1 and year 9999 fall off the calendar here rather than later
    except (ValueError, OverflowError):
        return None
    return moment
