"""Which worker-days a look at the landing must read, so that each look stays short however much has piled up there.

A look lists some days by name and stamp, and reads manifests only where those changed since the last look at that day.
What follows from an arrival, and when to look, is for Dagster's side.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import date

from harchive_dagster.landing.arrivals import Arrival, ArrivalReader
from harchive_dagster.landing.fields import parse_day
from harchive_dagster.landing.listing import Sessions, Uploads
from harchive_dagster.landing.object_store import UnlistableError
from harchive_dagster.worker_day import WorkerDay

RECENT_DAYS = 3
"""Listed at every look: the night's uploads, and those of devices that were offline for a day or two."""
WAITING_DAYS = 14
"""Of the days with a session that is still arriving, so many newest are listed at every look; an upload that was never
ended must not be for ever."""
LOOKS_PER_ROUND = 30
"""Every other day is listed once in so many looks: at one look a minute, a late correction waits half an hour."""
MOST_ARRIVALS = 2_000
"""After the day with which a look has found so many it ends, and the next goes on: Dagster takes in some twenty runs a
second."""

_CURSOR_VERSION = 1
_READERS = 8


@dataclass(frozen=True)
class Seen:
    """What earlier looks saw. It holds no content and no worker, and may be lost: the next looks start anew.

    Attributes:
        days: by day (ISO), a signature of its sessions' names and stamps.
        waiting: by day, how many sessions are still arriving; days without are left out.
        consents: by record id, a signature of its stamp.
        looks: how many there were; says which older days are next.
        finished_version: of the table of finished worker-days at the last look.
    """

    days: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    consents: Mapping[str, str] = field(default_factory=dict)
    looks: int = 0
    finished_version: int | None = None

    @classmethod
    def from_cursor(cls, cursor: str | None) -> "Seen":
        """Parse what `cursor` wrote; nothing seen where it is of another version or no such text."""
        try:
            document = json.loads(cursor or "{}")
            if document.pop("version") != _CURSOR_VERSION:
                return cls()
            seen = cls(**document)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return cls()
        return seen if seen._is_sound() else cls()

    def _is_sound(self) -> bool:
        """Whether every value is of its kind: one that is not would fail this look and, unreplaced, every later one."""
        maps = (self.days, self.waiting, self.consents)
        if not all(isinstance(each, dict) for each in maps):
            return False
        texts = [*self.days.values(), *self.consents.values()]
        counts = [*self.waiting.values(), self.looks, 0 if self.finished_version is None else self.finished_version]
        return all(isinstance(text, str) for text in texts) and all(map(_is_count, counts))

    def cursor(self) -> str:
        """As a text, about 40 bytes for each day and consent."""
        return json.dumps({"version": _CURSOR_VERSION, **asdict(self)}, separators=(",", ":"))


@dataclass(frozen=True)
class Look:
    """What one look found.

    Attributes:
        changed: arrivals on days and under consents that changed; their neighbours that did not are among them.
        seen: for the next look.
        unlistable: one sentence for each day that could not be listed; it counts as not looked at.
    """

    changed: tuple[Arrival, ...]
    seen: Seen
    unlistable: tuple[str, ...]


def look(
    uploads: Uploads,
    seen: Seen,
    days: Collection[date],
    *,
    naming: Callable[[Collection[str]], Mapping[str, Collection[WorkerDay]]],
    has_time: Callable[[], bool],
) -> Look:
    """Look at the days that are due.

    Args:
        uploads: the landing.
        seen: what the look before returned.
        days: which days matter at all.
        naming: the worker-days whose sessions name a consent, as far as they were taken in.
        has_time: asked before every day but the recent ones and one more, and before every consent; what is left out
            is due again at the next look.

    Raises:
        SettingsError, StoreError: the landing cannot be read.
    """
    stamps = uploads.consents()
    consents = {consent_id: _signature([stamp]) for consent_id, stamp in stamps.items()}
    there = [day for day in uploads.days() if day in days]
    recent = set(there[-RECENT_DAYS:])
    found: dict[WorkerDay, Arrival] = {}
    reader = ArrivalReader(uploads)
    known = {day.isoformat() for day in there}
    signatures = {day: signature for day, signature in seen.days.items() if day in known}
    waiting = {day: count for day, count in seen.waiting.items() if day in known}
    unlistable = []
    for number, day in enumerate(_due(there, recent, seen)):
        # One day beyond the recent ones at least, or a slow landing would never be seen whole.
        if number > len(recent) and (len(found) >= MOST_ARRIVALS or not has_time()):
            break
        try:
            sessions = uploads.sessions(day)
        except UnlistableError as error:
            unlistable.append(str(error))
            continue
        # A consent may arrive while its session's run is under way, before any table names it.
        signature = _signature(_lines(sessions), _lines(consents) if day in recent else ())
        if signatures.get(day.isoformat()) != signature:
            found |= {arrival.worker_day: arrival for arrival in reader.read(day, sessions)}
            signatures[day.isoformat()] = signature
            waiting[day.isoformat()] = sum(not stamp for stamp in sessions.values())
    settled = _follow_consents(uploads, reader, seen, consents, found, naming, has_time)
    waiting = {day: count for day, count in waiting.items() if count}
    return Look(
        changed=tuple(found[worker_day] for worker_day in sorted(found) if worker_day.collected_on in days),
        seen=Seen(signatures, waiting, settled, seen.looks + 1, seen.finished_version),
        unlistable=tuple(unlistable),
    )


def read_arrivals(uploads: Uploads, worker_days: Iterable[WorkerDay]) -> list[Arrival]:
    """The present arrivals of single worker-days; none for one that is no longer there.

    Raises:
        SettingsError, StoreError: the landing cannot be read.
    """
    return list(_arrivals(uploads, ArrivalReader(uploads), list(worker_days)))


def _due(there: list[date], recent: Collection[date], seen: Seen) -> Iterator[date]:
    """Recent days, those that were never seen, this look's slice, those that wait; each group newest first."""
    newest_first = there[::-1]
    waiting = sorted(day for day in map(parse_day, seen.waiting) if day)[-WAITING_DAYS:]
    groups = (
        [day for day in newest_first if day in recent],
        [day for day in newest_first if day.isoformat() not in seen.days],
        [day for day in newest_first if day.toordinal() % LOOKS_PER_ROUND == seen.looks % LOOKS_PER_ROUND],
        [day for day in newest_first if day in waiting],
    )
    yield from dict.fromkeys(itertools.chain(*groups))


def _follow_consents(
    uploads: Uploads,
    reader: ArrivalReader,
    seen: Seen,
    consents: Mapping[str, str],
    found: dict[WorkerDay, Arrival],
    naming: Callable[[Collection[str]], Mapping[str, Collection[WorkerDay]]],
    has_time: Callable[[], bool],
) -> dict[str, str]:
    """Add to `found` where changed consents are named; returns the signatures of those that were followed up."""
    if not seen.days:  # everything is being read anyway
        return dict(consents)
    settled = dict(seen.consents)
    ids = consents.keys() | settled.keys()
    changed = sorted(id_ for id_ in ids if consents.get(id_) != settled.get(id_))
    for consent_id, worker_days in naming(changed).items():
        if not has_time():
            break
        rest = [worker_day for worker_day in worker_days if worker_day not in found]
        found |= {arrival.worker_day: arrival for arrival in _arrivals(uploads, reader, rest)}
        if consent_id in consents:
            settled[consent_id] = consents[consent_id]
        else:
            del settled[consent_id]
    return settled


def _arrivals(uploads: Uploads, reader: ArrivalReader, worker_days: list[WorkerDay]) -> Iterator[Arrival]:
    with ThreadPoolExecutor(_READERS) as pool:
        listed = pool.map(lambda one: uploads.sessions(one.collected_on, one.worker_id), worker_days)
        for worker_day, sessions in zip(worker_days, listed, strict=True):
            yield from reader.read(worker_day.collected_on, sessions)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63  # as far as versions of a Delta table go


def _lines(stamps: Sessions | Mapping[str, str]) -> list[str]:
    return sorted(f"{key}\0{stamp}" for key, stamp in stamps.items())


def _signature(*groups: Iterable[str]) -> str:
    """64 bits: two states of one day that pass for the same would be met once in 10^19."""
    text = "\n\n".join("\n".join(group) for group in groups)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
