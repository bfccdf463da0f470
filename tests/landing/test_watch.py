"""Short looks at a large landing: nothing that changes there is missed, whatever the looks leave out."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.errors import StoreError
from harchive_dagster.landing import watch
from harchive_dagster.landing.arrivals import Arrival, list_arrivals
from harchive_dagster.landing.listing import Content
from harchive_dagster.landing.object_store import UnlistableError
from harchive_dagster.landing.watch import LOOKS_PER_ROUND, RECENT_DAYS, Look, Seen, look
from harchive_dagster.worker_day import WorkerDay

FIRST = date(2026, 1, 1)
WINDOW = {FIRST + timedelta(number) for number in range(100)}
CONSENT = "consent-1"


@dataclass
class Shelf:
    """A landing in memory: texts by path; a manifest's text is the consent it names, a dash and anything."""

    texts: dict[str, str] = field(default_factory=dict)
    listed: list[date] = field(default_factory=list)
    read_paths: list[str] = field(default_factory=list)
    broken: frozenset[date] = frozenset()

    def put(self, day: int, session_id: str = "s-1", text: str = f"{CONSENT} 1", worker_id: str = "w-1") -> None:
        self.texts[f"{FIRST + timedelta(day)}/{worker_id}/{session_id}"] = text

    def days(self) -> list[date]:
        return sorted({date.fromisoformat(path.split("/")[0]) for path in self.texts if path[0] == "2"})

    def sessions(self, day: date, worker_id: str | None = None) -> Mapping[tuple[str, str], str]:
        if day in self.broken:
            raise UnlistableError(f"{day} cannot be listed.", consequence="-", mend="-")
        self.listed.append(day)
        found = ((path.split("/"), text) for path, text in self.texts.items() if path.startswith(f"{day}/"))
        return {(worker, session): text for (_, worker, session), text in found if worker_id in (None, worker)}

    def consents(self) -> Mapping[str, str]:
        return {path.split("/")[1]: text for path, text in self.texts.items() if path.startswith("consents/")}

    def read(self, paths: Sequence[str]) -> list[Content]:
        self.read_paths += paths
        texts = [self.texts.get(path.removesuffix("/manifest.json").removesuffix(".json"), "") for path in paths]
        return [
            Content(hashlib.sha256(text.encode()).hexdigest() if text else "", text.split(" ")[0]) for text in texts
        ]


def nobody(consent_ids: Collection[str]) -> Mapping[str, Collection[WorkerDay]]:
    return {consent_id: [] for consent_id in consent_ids}


def looked(shelf: Shelf, seen: Seen, *, naming: Callable[..., Mapping[str, Collection[WorkerDay]]] = nobody) -> Look:
    return look(shelf, seen, WINDOW, naming=naming, has_time=lambda: True)


def round_of_looks(shelf: Shelf, seen: Seen) -> dict[WorkerDay, Arrival]:
    """What the looks of one round find, the last word on each worker-day."""
    found = {}
    for _ in range(LOOKS_PER_ROUND):
        result = looked(shelf, seen)
        found |= {arrival.worker_day: arrival for arrival in result.changed}
        seen = Seen.from_cursor(result.seen.cursor())
    return found


PUTS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["s-1", "s-2"]), st.sampled_from(["", "- 1", "- 2", "- 3"])),
    max_size=12,
)


@given(first=PUTS, second=PUTS)
def test_whatever_changes_is_found_within_a_round(first: list, second: list) -> None:
    shelf, seen = Shelf(), Seen()
    for put in first:
        shelf.put(*put)
    before = {arrival.worker_day: arrival for arrival in list_arrivals(shelf)}
    result = looked(shelf, seen)
    assert {arrival.worker_day: arrival for arrival in result.changed} == before
    for put in second:
        shelf.put(*put)
    after = {arrival.worker_day: arrival for arrival in list_arrivals(shelf)}
    found = round_of_looks(shelf, result.seen)
    assert before | found == after


@given(cuts=st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_looks_that_run_out_of_time_go_on_where_they_stopped(cuts: list[int]) -> None:
    shelf, seen = Shelf(), Seen()
    for day in range(8):
        shelf.put(day)
    found: list[date] = []
    for cut in [*cuts, *[0] * 5]:
        left = iter(range(cut))
        result = look(shelf, seen, WINDOW, naming=nobody, has_time=lambda left=left: next(left, None) is not None)
        found += [arrival.worker_day.collected_on for arrival in result.changed]
        seen = result.seen
    assert sorted(set(found)) == shelf.days()


def test_a_quiet_look_lists_the_recent_days_and_a_slice_and_reads_nothing() -> None:
    shelf = Shelf()
    for day in range(90):
        shelf.put(day)
    seen = looked(shelf, Seen()).seen
    shelf.listed.clear()
    shelf.read_paths.clear()
    result = looked(shelf, seen)
    assert result.changed == ()
    assert RECENT_DAYS < len(set(shelf.listed)) <= RECENT_DAYS + 90 / LOOKS_PER_ROUND + 1
    assert shelf.read_paths == []


def test_a_consent_that_changes_is_followed_to_the_sessions_that_name_it() -> None:
    shelf = Shelf({f"consents/{CONSENT}": "given", "consents/consent-2": "given"})
    for day in range(10):
        shelf.put(day)
    first = looked(shelf, Seen())
    shelf.texts[f"consents/{CONSENT}"] = "withdrawn"
    asked: list[Collection[str]] = []

    def naming(consent_ids: Collection[str]) -> Mapping[str, Collection[WorkerDay]]:
        asked.append(list(consent_ids))
        return {CONSENT: [WorkerDay(FIRST, "w-1"), WorkerDay(FIRST, "w-gone")]}

    second = looked(shelf, first.seen, naming=naming)
    assert asked == [[CONSENT]]
    assert FIRST in {arrival.worker_day.collected_on for arrival in second.changed}
    assert len(second.changed) == 1 + RECENT_DAYS
    before = {arrival.worker_day: arrival.digest for arrival in first.changed}
    assert all(before[arrival.worker_day] != arrival.digest for arrival in second.changed)


@pytest.mark.parametrize("change", ["withdrawn", "deleted"])
def test_a_consent_that_a_look_had_no_time_for_is_followed_by_the_next(change: str) -> None:
    shelf = Shelf({f"consents/{CONSENT}": "given"})
    for day in range(10):
        shelf.put(day)
    seen = looked(shelf, Seen()).seen
    if change == "deleted":
        del shelf.texts[f"consents/{CONSENT}"]
    else:
        shelf.texts[f"consents/{CONSENT}"] = change

    def naming(consent_ids: Collection[str]) -> Mapping[str, Collection[WorkerDay]]:
        return {consent_id: [WorkerDay(FIRST, "w-1")] for consent_id in consent_ids}

    late = look(shelf, seen, WINDOW, naming=naming, has_time=lambda: False)
    assert WorkerDay(FIRST, "w-1") not in {one.worker_day for one in late.changed}
    followed = looked(shelf, late.seen, naming=naming)
    assert WorkerDay(FIRST, "w-1") in {one.worker_day for one in followed.changed}
    assert looked(shelf, followed.seen, naming=naming).changed == ()


def test_a_day_that_cannot_be_listed_is_named_and_hides_no_other() -> None:
    shelf = Shelf(broken=frozenset({FIRST + timedelta(1)}))
    for day in range(3):
        shelf.put(day)
    result = looked(shelf, Seen())
    assert [arrival.worker_day.collected_on for arrival in result.changed] == [FIRST, FIRST + timedelta(2)]
    assert result.unlistable == ("2026-01-02 cannot be listed. - -",)
    shelf.broken = frozenset()
    assert [one.worker_day.collected_on for one in looked(shelf, result.seen).changed] == [FIRST + timedelta(1)]


def test_a_store_that_does_not_answer_ends_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> None:
        raise StoreError("It does not answer.", consequence="-", mend="-")

    shelf = Shelf()
    shelf.put(0)
    monkeypatch.setattr(Shelf, "sessions", silent)
    with pytest.raises(StoreError):
        looked(shelf, Seen())


def test_a_look_that_finds_very_much_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_ARRIVALS", 4)
    shelf, seen, sizes = Shelf(), Seen(), []
    for day in range(9):
        for worker in ("w-1", "w-2"):
            shelf.put(day, worker_id=worker)
    while len(seen.days) < 9:
        result = looked(shelf, seen)
        sizes.append(len(result.changed))
        seen = result.seen
    assert sum(sizes) == 18
    assert max(sizes) == 2 * (RECENT_DAYS + 1)


def test_days_outside_the_window_take_no_place_among_the_recent_ones() -> None:
    shelf = Shelf()
    for day in (1, 2, 3, 4, 200, 201, 202):
        shelf.put(day)
    seen = looked(shelf, Seen()).seen
    shelf.put(2, text="- corrected")
    assert [one.worker_day.collected_on for one in looked(shelf, seen).changed] == [FIRST + timedelta(2)]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**45), 10**45), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=5,
)
A_DAY = st.sampled_from([FIRST.isoformat(), "2026-01-02", CONSENT, "no day"])
FIELDS = st.fixed_dictionaries(
    {"version": st.just(1)},
    optional={
        "days": st.one_of(JSON, st.dictionaries(A_DAY, st.one_of(JSON, st.just("0" * 16)))),
        "waiting": st.one_of(JSON, st.dictionaries(A_DAY, JSON)),
        "consents": st.one_of(JSON, st.dictionaries(A_DAY, JSON)),
        "looks": JSON,
        "finished_version": JSON,
    },
)


@given(document=st.one_of(JSON, FIELDS))
def test_no_cursor_whatever_it_holds_stops_a_look(document: object) -> None:
    shelf = Shelf({f"consents/{CONSENT}": "given"})
    for day in range(5):
        shelf.put(day)
    seen = Seen.from_cursor(json.dumps(document))
    assert seen.finished_version is None or seen.finished_version in range(2**63)
    after = looked(shelf, seen).seen
    assert sum(after.waiting.values()) == 0
    assert Seen.from_cursor(after.cursor()) == after


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"version":1,"days":' + '{"a":' * 5_000 + "1" + "}" * 5_001])
def test_a_cursor_that_is_nested_without_end_is_as_good_as_none(deep: str) -> None:
    assert Seen.from_cursor(deep) == Seen()


@pytest.mark.parametrize("version", ["x", 5.5, [], -7, int("1" * 40), True])
def test_a_cursor_with_a_version_that_no_table_has_is_as_good_as_none(version: object) -> None:
    cursor = json.dumps({"version": 1, "looks": 3, "finished_version": version})
    assert Seen.from_cursor(cursor) == Seen()


def test_the_cursor_is_small() -> None:
    shelf = Shelf({f"consents/consent-{worker:03d}": "given" for worker in range(250)})
    for day in range(100):
        shelf.put(day)
    seen = looked(shelf, Seen()).seen
    assert Seen.from_cursor(seen.cursor()) == seen
    assert len(seen.cursor()) < 45 * 350
