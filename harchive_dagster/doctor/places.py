"""Checks of the places that uploads come from and tables go to, of the key and the clock."""

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from harchive_dagster.doctor.findings import Finding, doubtful, fine
from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.storage import Landing
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.settings import Settings, pseudonym_key

_DEMO = Path("var")
"""What the Makefile keeps the demo's state under, its key included."""
_DEMO_KEY = _DEMO / "demo" / "pseudonym.key"

_SPARE_GB = 20
"""About four hours of full-HD recordings, rendered."""
_NIGHTS = 14
"""The busiest of so many days is what a night may bring."""


def pseudonym_key_is_fit(settings: Settings) -> Finding:
    """A key of some length, and not the one that the demo left in a file."""
    key = pseudonym_key()
    Pseudonymiser(key)
    try:
        is_demo = _DEMO_KEY.read_bytes().strip() == key.strip()
    except OSError:
        is_demo = False
    if not is_demo:
        return fine(f"{len(key)} bytes")
    if settings.lake.resolve().is_relative_to(_DEMO.resolve()):
        return fine(f"the demo's throw-away key, for a lake beneath {_DEMO}/")
    raise SettingsError(
        f"HARCHIVE_PSEUDONYM_KEY is the demo's throw-away key, but the lake is {settings.lake}.",
        consequence=f"Whoever reads {_DEMO_KEY} can tell which worker is behind a pseudonym.",
        mend="Set HARCHIVE_PSEUDONYM_KEY to the output of: openssl rand -hex 32",
    )


def landing_is_readable(settings: Settings) -> Finding:
    """Uploads can be listed, wherever they arrive."""
    landing = Landing.at(
        settings.landing_place, settings.annotations, settings.max_session_gb * 10**9, spool=settings.spool
    )
    days, consents = landing.listing.days(), landing.listing.consents()
    newest = f", the newest {days[-1]}" if days else ""
    if days and not consents:
        return doubtful(
            f"{settings.landing_place} has {len(days)} days with uploads and no consent record.",
            consequence="Every session will be set aside.",
            mend="File records as consents/<id>.json.",
        )
    return fine(f"{settings.landing_place}: {len(days)} days with uploads{newest}; {len(consents)} consents")


def spool_is_writable(settings: Settings) -> Finding:
    """What is fetched of a remote landing has a place to lie."""
    if "://" not in settings.landing_place:
        return fine("not needed for a landing on disk")
    return fine(_try_writing(settings.spool, "HARCHIVE_SPOOL", "Nothing of the landing can be worked on."))


def annotations_are_there(settings: Settings) -> Finding:
    """Annotators' files have a folder to arrive in."""
    if settings.annotations.is_dir():
        return fine(str(settings.annotations))
    return doubtful(
        f"There is no folder {settings.annotations}.",
        consequence="No annotator's label can arrive; segments are proposed from motion alone.",
        mend="Make it, or set HARCHIVE_ANNOTATIONS.",
    )


def lake_is_writable(settings: Settings) -> Finding:
    """A file can be written where the tables are, read again and removed."""
    return fine(_try_writing(settings.lake, "HARCHIVE_LAKE", "No table can be written."))


def disk_has_room(settings: Settings) -> Finding:
    """The lake's disk has room for a night like the busiest of late."""
    free_gb = shutil.disk_usage(_nearest_existing(settings.lake)).free / 1e9
    night_gb = _busiest_night_bytes(settings) / 1e9
    # Recordings are encoded anew at about their size; the published copy is a link to the same file.
    wanted_gb = max(_SPARE_GB, 2 * night_gb)
    if free_gb < wanted_gb:
        return doubtful(
            f"{free_gb:.1f} GB are free for {settings.lake}; the busiest of the last days brought {night_gb:.1f} GB.",
            consequence=f"Less than {wanted_gb:.0f} GB may not last the night.",
            mend="Make room, or move HARCHIVE_LAKE to a larger disk.",
        )
    return fine(f"{free_gb:.0f} GB free; the busiest of the last days brought {night_gb:.1f} GB")


def clock_is_sane(settings: Settings, now: datetime) -> Finding:
    """The clock is neither before the window nor before what the lake already holds."""
    local = now.astimezone(ZoneInfo(settings.timezone))
    if local.date() < settings.first_day:
        raise SettingsError(
            f"HARCHIVE_FIRST_DAY={settings.first_day} lies ahead: this machine's clock says {local:%Y-%m-%d %H:%M}.",
            consequence="No worker-day is worked on.",
            mend="Set the clock, or move HARCHIVE_FIRST_DAY back.",
        )
    newest = _newest_intake(settings)
    if newest and newest > now + timedelta(minutes=5):  # machines that share a lake differ by less
        raise SettingsError(
            f"This machine's clock says {now:%Y-%m-%d %H:%M} UTC, but the lake took something in at {newest:%H:%M} on "
            f"{newest:%Y-%m-%d}.",
            consequence="Consents may be held against the wrong time.",
            mend="Set the clock; see that a time service keeps it.",
        )
    return fine(f"{local:%Y-%m-%d %H:%M} in {settings.timezone}, worked on from {settings.first_day}")


def _try_writing(folder: Path, setting: str, consequence: str) -> str:
    there = _nearest_existing(folder)
    probe = b"harchive doctor"
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".harchive-doctor-") as file:
            file.write(probe)
            file.flush()
            is_same = Path(file.name).read_bytes() == probe
    except OSError as error:
        raise SettingsError(
            f"{setting}={str(folder)!a} cannot be written: {error.strerror}.",
            consequence=consequence,
            mend="Give this user the right to write there, or set another folder.",
        ) from None
    if not is_same:
        raise SettingsError(
            f"{setting}={str(folder)!a} gave back other bytes than were written.",
            consequence=consequence,
            mend="Have the disk or the file server looked at.",
        )
    return str(folder) if there == folder else f"{folder} is not there yet and can be made"


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _busiest_night_bytes(settings: Settings) -> int:
    from harchive_dagster.lake import schemas
    from harchive_dagster.lake.tables import Lake

    sessions = Lake(settings.lake).read_columns(schemas.SESSIONS, ["collected_on", "bytes"])
    by_day = sessions.group_by("collected_on").aggregate([("bytes", "sum")]).sort_by([("collected_on", "descending")])
    return max(by_day.column("bytes_sum").to_pylist()[:_NIGHTS], default=0)


def _newest_intake(settings: Settings) -> datetime | None:
    import pyarrow.compute as pc

    from harchive_dagster.lake import schemas
    from harchive_dagster.lake.tables import Lake

    sessions = Lake(settings.lake).read_columns(schemas.SESSIONS, ["ingested_at_utc"])
    newest: datetime | None = pc.max(sessions.column("ingested_at_utc")).as_py()
    return newest
