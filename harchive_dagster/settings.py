"""Every setting, read from the environment in one place and checked at once. Secrets are not here but in resources."""

import math
import os
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from harchive_dagster.errors import SettingsError


@dataclass(frozen=True)
class Settings:
    """Where things lie and when they run.

    Attributes:
        landing: folder that uploads arrive in (HARCHIVE_LANDING).
        annotations: folder that annotators' files arrive in, one folder per session pseudonym (HARCHIVE_ANNOTATIONS).
        lake: folder of the Delta tables and media (HARCHIVE_LAKE).
        sync_search_s: how far from where a device clock is expected its offset is searched (HARCHIVE_SYNC_SEARCH_S).
        first_day: first day that is still worked on in Dagster; tables keep older rows for ever (HARCHIVE_FIRST_DAY).
        nightly_at: cron expression of the nightly sweep (HARCHIVE_NIGHTLY_AT).
        timezone: zone that expression is meant in (HARCHIVE_TIMEZONE).
    """

    landing: Path
    annotations: Path
    lake: Path
    sync_search_s: float
    first_day: date
    nightly_at: str
    timezone: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read and check all settings.

        Raises:
            SettingsError: a value cannot be used.
        """
        read = os.environ if environment is None else environment
        return cls(
            landing=_folder(read.get("HARCHIVE_LANDING", "var/landing")),
            annotations=_folder(read.get("HARCHIVE_ANNOTATIONS", "var/annotations")),
            lake=_folder(read.get("HARCHIVE_LAKE", "var/lake")),
            sync_search_s=_search_s("HARCHIVE_SYNC_SEARCH_S", read.get("HARCHIVE_SYNC_SEARCH_S", "10")),
            first_day=_day("HARCHIVE_FIRST_DAY", read.get("HARCHIVE_FIRST_DAY", "2026-01-01")),
            nightly_at=_cron("HARCHIVE_NIGHTLY_AT", read.get("HARCHIVE_NIGHTLY_AT", "0 2 * * *")),
            timezone=_timezone("HARCHIVE_TIMEZONE", read.get("HARCHIVE_TIMEZONE", "Asia/Kolkata")),
        )


def _folder(value: str) -> Path:
    return Path(value).expanduser().absolute()


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
    if len(value.split()) != 5:
        raise SettingsError(
            f"{name}={value!r} is not a cron expression.",
            consequence="The nightly sweep has no time to run at.",
            mend="Write five fields, for example '0 2 * * *'.",
        )
    return value


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
