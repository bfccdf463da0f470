"""What a check is, and how one is carried out without ever raising or giving a secret away. No checks themselves."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from harchive_dagster.errors import HarchiveError

_SECRET_NAME = re.compile(r"KEY|SECRET|PASSWORD|TOKEN|CREDENTIAL", re.IGNORECASE)
_SECRET_CHARACTERS = 8
"""Shorter values are no secrets that deserve the name, and occur in ordinary words."""
_LOGIN_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")

_SHOWN_CHARACTERS = 300


class Level(StrEnum):
    """How bad it is. Only FAIL makes the command fail."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """What one check found, in one line."""

    level: Level
    text: str


@dataclass(frozen=True)
class Check:
    """One thing to look at. `look` raises HarchiveError for what must be mended."""

    name: str
    look: Callable[[], Finding]


def fine(text: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, text)


def doubtful(culprit: str, *, consequence: str, mend: str) -> Finding:
    """Something that may be meant so."""
    return Finding(Level.WARN, f"{culprit} {consequence} {mend}")


def examine(check: Check, environment: Mapping[str, str] | None = None) -> Finding:
    """Carry out one check; whatever goes wrong is its finding."""
    try:
        finding = check.look()
    except HarchiveError as error:
        finding = Finding(Level.FAIL, str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # libraries in Rust panic past Exception, and the other checks must still be made
        finding = Finding(
            Level.FAIL,
            f"{type(error).__name__}: {first_line(error)}. The check could not be completed. "
            "Mend what it names; report it where it makes no sense.",
        )
    return Finding(finding.level, _presentable(finding.text, os.environ if environment is None else environment))


def first_line(error: BaseException) -> str:
    """The beginning of what a library says about its error, without the full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:_SHOWN_CHARACTERS].rstrip(". ")


def _presentable(text: str, environment: Mapping[str, str]) -> str:
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_CHARACTERS:
            text = text.replace(value, "***")
    text = _LOGIN_IN_URL.sub("***@", text)
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
