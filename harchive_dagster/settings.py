"""Every setting, read from the environment in one place and checked at once. Secrets are not here but in resources."""

import math
import os
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.object_store import SCHEMES
from harchive_dagster.privacy.hiding import Hiding

_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,221}", re.ASCII)
"""Amazon's, Google's and Azure's names together; the longest are Google's."""
_PREFIX_PART = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._=-]{1,200}", re.ASCII)
"""Of what is safe in a key everywhere, that which needs no escaping in a URL."""

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_WEEKDAYS = "sun mon tue wed thu fri sat"
_CRON_FIELDS = ((0, 59, ""), (0, 23, ""), (1, 31, ""), (1, 12, _MONTHS), (0, 7, _WEEKDAYS))
"""Least and greatest value of each field, and the names that stand for values from the least on."""
_CRON_PART = re.compile(r"(?:\*|(\w{1,3})(?:-(\w{1,3}))?)(?:/([1-9][0-9]?))?", re.ASCII)
"""Of what Dagster takes, the part that every cron means the same by: no `L`, `#` or `?`."""
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class Settings:
    """Where things lie and when they run.

    Attributes:
        landing_place: absolute path of the folder, or URL of the object store, that uploads arrive in
            (HARCHIVE_LANDING).
        spool: folder that what is worked on of a remote landing is fetched to; untouched for a local one
            (HARCHIVE_SPOOL).
        annotations: folder that annotators' files arrive in, one folder per session pseudonym (HARCHIVE_ANNOTATIONS).
        lake: folder of the Delta tables and media (HARCHIVE_LAKE).
        max_session_gb: what the files of one session may come to, in 10^9 bytes (HARCHIVE_MAX_SESSION_GB).
        sync_search_s: how far from where a device clock is expected its offset is searched (HARCHIVE_SYNC_SEARCH_S).
        hiding: what is put in the place of what is hidden (HARCHIVE_HIDE).
        first_day: first day that is still worked on in Dagster; tables keep older rows for ever (HARCHIVE_FIRST_DAY).
        nightly_at: cron expression of the nightly sweep (HARCHIVE_NIGHTLY_AT).
        timezone: zone that expression is meant in (HARCHIVE_TIMEZONE).
        detectors: what looks for people: names of `BUILT_IN_DETECTORS`, and absolute paths of model cards or of model
            files with a card beside them (HARCHIVE_DETECTORS).
    """

    landing_place: str
    spool: Path
    annotations: Path
    lake: Path
    max_session_gb: int
    sync_search_s: float
    hiding: Hiding
    first_day: date
    nightly_at: str
    timezone: str
    detectors: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read and check all settings.

        Raises:
            SettingsError: a value cannot be used.
        """
        read = os.environ if environment is None else environment
        return cls(
            landing_place=_place("HARCHIVE_LANDING", read.get("HARCHIVE_LANDING", "var/landing")),
            spool=_folder("HARCHIVE_SPOOL", read.get("HARCHIVE_SPOOL", "var/spool")),
            annotations=_folder("HARCHIVE_ANNOTATIONS", read.get("HARCHIVE_ANNOTATIONS", "var/annotations")),
            lake=_folder("HARCHIVE_LAKE", read.get("HARCHIVE_LAKE", "var/lake")),
            max_session_gb=_count("HARCHIVE_MAX_SESSION_GB", read.get("HARCHIVE_MAX_SESSION_GB", "200")),
            sync_search_s=_search_s("HARCHIVE_SYNC_SEARCH_S", read.get("HARCHIVE_SYNC_SEARCH_S", "10")),
            hiding=_hiding("HARCHIVE_HIDE", read.get("HARCHIVE_HIDE", Hiding.MOSAIC)),
            first_day=_day("HARCHIVE_FIRST_DAY", read.get("HARCHIVE_FIRST_DAY", "2026-01-01")),
            nightly_at=_cron("HARCHIVE_NIGHTLY_AT", read.get("HARCHIVE_NIGHTLY_AT", "0 2 * * *")),
            timezone=_timezone("HARCHIVE_TIMEZONE", read.get("HARCHIVE_TIMEZONE", "Asia/Kolkata")),
            detectors=_detectors("HARCHIVE_DETECTORS", read.get("HARCHIVE_DETECTORS", "centerface")),
        )

    @property
    def landing(self) -> Path:
        """The landing folder, for what writes uploads itself.

        Raises:
            SettingsError: uploads arrive in an object store.
        """
        if "://" in self.landing_place:
            raise SettingsError(
                f"HARCHIVE_LANDING={self.landing_place!r} is no folder of this machine.",
                consequence="Nothing can be written into it from here.",
                mend="Name a local folder, and copy what is in it with the object store's own tools.",
            )
        return Path(self.landing_place)


def _place(name: str, value: str) -> str:
    """A folder's absolute path, or an object store's URL without a slash at its end."""
    scheme, separator, rest = value.partition("://")
    if not separator:
        return str(_folder(name, value))
    if scheme == "file" and rest.startswith("/"):
        return str(_folder(name, unquote(rest)))
    bucket, *prefix = rest.rstrip("/").split("/")
    # Neither user names nor query strings: they hold secrets, and what is set here shows in the UI.
    is_plain = _BUCKET.fullmatch(bucket) and all(_PREFIX_PART.fullmatch(part) for part in prefix)
    if scheme not in SCHEMES or not is_plain:
        raise SettingsError(
            f"{name} is no folder, nor a URL of the form {'://bucket/prefix, '.join(SCHEMES)}://bucket/prefix.",
            consequence="No upload can be found.",
            mend="Write a path or such a URL; credentials go into environment variables of their own.",
        )
    return f"{scheme}://{'/'.join([bucket, *prefix])}"


def _folder(name: str, value: str) -> Path:
    if "://" in value:
        raise SettingsError(  # without the value: a URL can hold a password
            f"{name} is a URL, and only a folder of this machine will do.",
            consequence="Files would land in a folder that is named like the URL, beneath wherever this was started.",
            mend="Write a path.",
        )
    return Path(value).expanduser().absolute()


def _detectors(name: str, value: str) -> tuple[str, ...]:
    # Not at the top: they bring numpy along, and every command's help would wait for it.
    from harchive_dagster.privacy.detectors import BUILT_IN_DETECTORS
    from harchive_dagster.privacy.model_card import CARD_SUFFIXES

    suffixes = (".onnx", *CARD_SUFFIXES)
    words = [word.strip() for word in value.split(",")]
    wrong = [word for word in words if word not in BUILT_IN_DETECTORS and Path(word).suffix not in suffixes]
    if wrong or len(set(words)) < len(words):
        raise SettingsError(
            f"{name}={value!r} names {f'{wrong[0]!r}, which is no detector' if wrong else 'a detector twice'}.",
            consequence="People could be recognised in what is published.",
            mend=f"Write a list of {', '.join(BUILT_IN_DETECTORS)} and paths that end in {', '.join(suffixes)}.",
        )
    return tuple(word if word in BUILT_IN_DETECTORS else str(_folder(name, word)) for word in words)


def _count(name: str, value: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", value, re.ASCII):
        raise SettingsError(
            f"{name}={value!r} is not a whole number from 1 to 999999999.",
            consequence="No limit can be held against what arrives.",
            mend="Write it in digits, for example 200.",
        )
    return int(value)


def _search_s(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 1.0 <= seconds <= 300.0:
        raise SettingsError(
            f"{name}={value!r} is not a number of seconds from 1 to 300.",
            consequence="No clock can be searched for.",
            mend="Write for example 10: the farthest that cap and sensor may be apart.",
        )
    return seconds


def _hiding(name: str, value: str) -> Hiding:
    try:
        return Hiding(value)
    except ValueError:
        raise SettingsError(
            f"{name}={value!r} is no way to hide anything.",
            consequence="No recording can be anonymized.",
            mend=f"Write {' or '.join(Hiding)}.",
        ) from None


def _day(name: str, value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise SettingsError(
            f"{name}={value!r} is not a day.",
            consequence="No worker-day can be addressed.",
            mend="Write it as YYYY-MM-DD.",
        ) from None


def _cron(name: str, value: str) -> str:
    fields = value.lower().split()
    found = [_cron_values(*each) for each in zip(fields, _CRON_FIELDS, strict=False)]
    if len(fields) != len(_CRON_FIELDS) or not all(found) or not _comes(days=found[2], months=found[3]):
        raise SettingsError(
            f"{name}={value!r} is not a cron expression.",
            consequence="The nightly sweep has no time to run at.",
            mend="Write minute, hour, day, month and weekday, for example '0 2 * * *'.",
        )
    return value


def _cron_values(text: str, field: tuple[int, int, str]) -> set[int]:
    """What a field of a cron expression stands for; nothing where it cannot be read. Steps are not applied."""
    low, high, names = field
    value_of = {name: low + place for place, name in enumerate(names.split())}
    value_of |= {text: value for value in range(low, high + 1) for text in (str(value), f"{value:02d}")}
    values: set[int] = set()
    for part in text.split(","):
        match = _CRON_PART.fullmatch(part)
        if match is None:
            return set()
        start, end, step = match.groups()
        if start is None:
            values.update(range(low, high + 1))
        elif start in value_of and (end is None or end in value_of):
            first = value_of[start]
            last = value_of[end] if end else high if step else first
            # One that ends before it starts, as in 22-4, goes on from the least.
            values.update(range(first, last + 1) if first <= last else {*range(low, last + 1), *range(first, high + 1)})
        else:
            return set()
    return values


def _comes(days: set[int], months: set[int]) -> bool:
    """Whether one of the months has one of the days: there is no 30 February."""
    return any(min(days) <= _LONGEST_MONTHS[month - 1] for month in months)


def _timezone(name: str, value: str) -> str:
    if value not in zoneinfo.available_timezones():
        raise SettingsError(
            f"{name}={value!r} is not a time zone of the IANA database.",
            consequence="The nightly sweep has no time to run at.",
            mend="Write it like Asia/Kolkata.",
        )
    return value


def pseudonym_key(environment: Mapping[str, str] | None = None) -> bytes:
    """The key from HARCHIVE_PSEUDONYM_KEY, for commands that run outside Dagster.

    Raises:
        SettingsError: it is not set.
    """
    value = (os.environ if environment is None else environment).get("HARCHIVE_PSEUDONYM_KEY", "")
    if not value:
        raise SettingsError(
            "HARCHIVE_PSEUDONYM_KEY is not set.",
            consequence="No pseudonym can be made.",
            mend="Export it; `openssl rand -hex 32` makes one. Losing it means that no new row matches an old one.",
        )
    return value.encode()
