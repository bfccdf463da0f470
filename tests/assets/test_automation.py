"""The sensor and the sweep on real folders: what arrives is requested once, what is left is requested again."""

import json
import shutil
from datetime import UTC, date, datetime

import dagster as dg
import pyarrow as pa
import pytest

from harchive_dagster.definitions import build_defs
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.lake.arrivals import EMPTY_ARRIVAL
from harchive_dagster.lake.tables import worker_day_key
from harchive_dagster.landing.arrivals import Arrival, list_arrivals
from harchive_dagster.landing.watch import LOOKS_PER_ROUND
from harchive_dagster.sensors import arrivals
from harchive_dagster.worker_day import WorkerDay


def arrive(house, session_id="s-one", worker_id="worker-01", day="2026-03-02", manifest="{}"):
    folder = house.landing.uploads / day / worker_id / session_id
    folder.mkdir(parents=True, exist_ok=True)
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    return folder


def tick(house, cursor=None):
    context = dg.build_sensor_context(instance=house.instance, cursor=cursor)
    return arrivals(context, landing=house.landing, lake=house.lake)


def requested(result):
    return [request.partition_key for request in result.run_requests or []]


def sweep(house):
    schedule = build_defs(**house.resources).resolve_schedule_def("nightly_sweep")
    context = dg.build_schedule_context(
        instance=house.instance, scheduled_execution_time=datetime(2026, 3, 3, 20, 30, tzinfo=UTC)
    )
    return schedule(context, landing=house.landing, lake=house.lake)


def finish(house, arrival):
    row = {
        "collected_on": arrival.worker_day.collected_on,
        "worker_id": arrival.worker_day.worker_id,
        "arrival_digest": arrival.digest,
        "published_sessions": 1,
        "published_episodes": 1,
        "published_ns": 1,
        "quarantined_sessions": 0,
    }
    table = ledgers.WORKER_DAYS.conform([row])
    house.lake.replace(ledgers.WORKER_DAYS, worker_day_key(arrival.worker_day), table, run_id="r")


def write_session(house, worker_day, columns):
    """A row of `sessions` as intake writes it; what a test does not care about is empty or nought."""
    blank = {pa.types.is_string: "-", pa.types.is_integer: 0, pa.types.is_floating: 0.0}
    row = {
        field.name: next((value for is_kind, value in blank.items() if is_kind(field.type)), datetime.now(UTC))
        for field in schemas.SESSIONS.schema
    }
    table = schemas.SESSIONS.conform([row | columns])
    house.lake.replace(schemas.SESSIONS, worker_day_key(worker_day), table, run_id="r")


def test_an_arriving_worker_day_is_registered_and_requested_whole(house):
    arrive(house)
    result = tick(house)
    (request,) = result.run_requests
    assert request.partition_key == "2026-03-02|worker-01"
    assert request.asset_selection is None
    (registration,) = result.dynamic_partitions_requests
    assert registration.partition_keys == ["worker-01"]


def test_the_same_upload_is_not_requested_twice(house):
    arrive(house)
    first = tick(house)
    assert requested(tick(house, first.cursor)) == []


def test_a_lost_cursor_asks_under_the_same_run_key_so_that_dagster_drops_it(house):
    arrive(house)
    assert tick(house).run_requests[0].run_key == tick(house).run_requests[0].run_key


@pytest.mark.parametrize(
    "change", [{"manifest": '{"corrected": 1}'}, {"session_id": "s-late"}], ids=["corrected", "late"]
)
def test_a_changed_worker_day_is_requested_under_a_new_key(house, change):
    arrive(house)
    first = tick(house)
    arrive(house, **change)
    second = tick(house, first.cursor)
    assert second.run_requests[0].run_key != first.run_requests[0].run_key


def test_an_upload_without_manifest_is_reported_as_waiting(house):
    arrive(house, manifest=None)
    skip = tick(house)
    assert requested(skip) == []
    assert "1 sessions still arriving" in skip.skip_reason.skip_message


def test_a_missing_landing_folder_is_one_line_and_no_traceback(house):
    shutil.rmtree(house.landing.uploads)
    skip = tick(house)
    assert isinstance(skip, dg.SkipReason)
    assert "landing folder" in skip.skip_message


def test_days_before_the_window_are_left_alone(house):
    arrive(house, day="2025-12-31")
    assert requested(tick(house)) == []


def test_only_what_changed_is_requested(house):
    arrive(house)
    arrive(house, session_id="s-two", worker_id="worker-02")
    first = tick(house)
    finish(house, list_arrivals(house.landing.listing)[0])
    arrive(house, session_id="s-two", worker_id="worker-02", manifest='{"corrected": 1}')
    assert requested(tick(house, first.cursor)) == ["2026-03-02|worker-02"]


def test_a_neighbour_that_is_under_way_is_asked_for_under_its_old_key_so_that_dagster_drops_it(house):
    arrive(house)
    first = tick(house)
    arrive(house, session_id="s-two", worker_id="worker-02")
    again = {request.partition_key: request.run_key for request in tick(house, first.cursor).run_requests}
    assert again["2026-03-02|worker-01"] == first.run_requests[0].run_key


@pytest.mark.parametrize(
    "cursor",
    [
        "2026-03-02|worker-01 abcdef",
        "[]",
        "[" * 100_000,
        '{"version": 0}',
        '{"version": 1, "days": 3}',
        '{"version": 1, "what": {}}',
        '{"version": 1, "waiting": {"2026-03-02": "x"}}',
        '{"version": 1, "finished_version": "x"}',
        '{"version": 1, "finished_version": -7}',
    ],
)
def test_a_cursor_that_cannot_be_read_is_as_good_as_none(house, cursor):
    arrive(house)
    arrive(house, session_id="s-done", day="2026-03-01")
    finish(house, list_arrivals(house.landing.listing)[0])
    assert tick(house, cursor).run_requests[0].run_key == tick(house).run_requests[0].run_key


def days_of_march(house, count):
    for day in range(1, count + 1):
        arrive(house, session_id=f"s-{day:02d}", day=f"2026-03-{day:02d}")


def test_a_correction_of_an_old_day_is_seen_within_one_round(house):
    days_of_march(house, 5)
    cursor = tick(house).cursor
    arrive(house, session_id="s-01", day="2026-03-01", manifest='{"corrected": 1}')
    found = []
    for _ in range(LOOKS_PER_ROUND):
        result = tick(house, cursor)
        cursor = result.cursor
        found += requested(result)
    assert found == ["2026-03-01|worker-01"]


def test_an_old_day_with_a_session_that_is_still_arriving_is_listed_at_every_tick(house):
    days_of_march(house, 5)
    arrive(house, session_id="s-late", day="2026-03-01", manifest=None)
    cursor = tick(house).cursor
    arrive(house, session_id="s-late", day="2026-03-01")
    assert "2026-03-01|worker-01" in requested(tick(house, cursor))


def test_an_old_day_that_was_never_there_before_is_seen_at_once(house):
    days_of_march(house, 5)
    cursor = tick(house).cursor
    arrive(house, session_id="s-late", day="2026-02-01")
    assert requested(tick(house, cursor)) == ["2026-02-01|worker-01"]


def test_a_withdrawal_reaches_old_days_through_the_sessions_that_name_the_consent(house):
    consent = house.landing.uploads / "consents" / "consent-one.json"
    consent.parent.mkdir()
    consent.write_text("{}")
    days_of_march(house, 5)
    arrive(house, session_id="s-01", day="2026-03-01", manifest='{"consent_id": "consent-one"}')
    cursor = tick(house).cursor
    for arrival in list_arrivals(house.landing.listing):
        finish(house, arrival)
    taken_in = {"collected_on": date(2026, 3, 1), "worker_id": "worker-01", "consent_id": "consent-one"}
    write_session(house, WorkerDay(date(2026, 3, 1), "worker-01"), taken_in)
    consent.write_text('{"withdrawn_at": "2026-03-20T00:00:00Z"}')
    (request,) = tick(house, cursor).run_requests
    assert request.partition_key == "2026-03-01|worker-01"


def test_a_worker_day_that_is_taken_off_the_finished_ones_is_requested_again_under_a_key_of_its_own(house):
    days_of_march(house, 5)
    first = tick(house)
    for arrival in list_arrivals(house.landing.listing):
        finish(house, arrival)
    second = tick(house, first.cursor)
    key = worker_day_key(WorkerDay(date(2026, 3, 1), "worker-01"))
    house.lake.replace(ledgers.WORKER_DAYS, key, ledgers.WORKER_DAYS.empty(), run_id="r")
    (request,) = tick(house, second.cursor).run_requests
    assert request.partition_key == "2026-03-01|worker-01"
    assert request.run_key not in {one.run_key for one in first.run_requests}


def test_what_went_through_already_is_not_requested_on_a_first_tick(house):
    arrive(house)
    arrive(house, session_id="s-two", worker_id="worker-02")
    finish(house, list_arrivals(house.landing.listing)[0])
    assert requested(tick(house)) == ["2026-03-02|worker-02"]


def test_the_sweep_requests_what_did_not_go_through(house):
    arrive(house)
    arrive(house, session_id="s-two", worker_id="worker-02")
    done, left = list_arrivals(house.landing.listing)
    finish(house, done)
    (request,) = sweep(house)
    assert request.partition_key == f"2026-03-02|{left.worker_day.worker_id}"
    assert house.instance.get_dynamic_partitions("worker") == ["worker-02"]


def test_the_sweep_asks_under_another_key_than_the_sensor_so_that_a_failed_run_is_tried_again(house):
    arrive(house)
    assert sweep(house)[0].run_key != tick(house).run_requests[0].run_key


def test_a_withdrawn_consent_makes_its_worker_day_new_again(house):
    arrive(house, manifest='{"consent_id": "consent-one"}')
    consents = house.landing.uploads / "consents"
    consents.mkdir()
    (consents / "consent-one.json").write_text('{"withdrawn_at": null}')
    first = tick(house)
    finish(house, list_arrivals(house.landing.listing)[0])
    (consents / "consent-one.json").write_text('{"withdrawn_at": "2026-03-05T00:00:00Z"}')
    assert len(tick(house, first.cursor).run_requests) == 1
    assert len(sweep(house)) == 1


def test_uploads_that_were_deleted_are_swept_so_that_nothing_of_them_stays_published(house):
    folder = arrive(house)
    finish(house, list_arrivals(house.landing.listing)[0])
    shutil.rmtree(folder.parent)
    (request,) = sweep(house)
    assert request.partition_key == "2026-03-02|worker-01"


def set_aside_as_duplicate(house, worker_day, session_id, evidence):
    row = {
        "collected_on": worker_day.collected_on,
        "worker_id": worker_day.worker_id,
        "session_id": session_id,
        "stage": "uploads",
        "reason": "duplicate_session",
        "detail": "-",
        "expectation": None,
        "evidence": json.dumps(evidence),
        "at_utc": datetime.now(UTC),
        "run_id": "r",
    }
    key = {**worker_day_key(worker_day), "stage": "uploads"}
    house.lake.replace(ledgers.QUARANTINE, key, ledgers.QUARANTINE.conform([row]), run_id="r")


FIRST_DAY, SECOND_DAY = (WorkerDay(date(2026, 3, day), "worker-01") for day in (2, 3))


@pytest.mark.parametrize("copy_id", ["s-one", "s-copy"], ids=["moved", "copied"])
def test_what_was_set_aside_as_a_duplicate_is_swept_up_once_its_original_is_gone(house, copy_id):
    folder = arrive(house)
    arrive(house, session_id=copy_id, day="2026-03-03")
    for arrival in list_arrivals(house.landing.listing):
        finish(house, arrival)
    taken_in = {"collected_on": FIRST_DAY.collected_on, "worker_id": "worker-01", "session_id": "s-one"}
    write_session(house, FIRST_DAY, taken_in | {"status": "accepted"})
    named = {"session_id": "s-one"} if copy_id != "s-one" else {}
    set_aside_as_duplicate(house, SECOND_DAY, copy_id, {"first_seen": str(FIRST_DAY), **named})
    assert isinstance(sweep(house), dg.SkipReason)

    shutil.rmtree(folder)
    assert [request.partition_key for request in sweep(house)] == ["2026-03-02|worker-01", "2026-03-03|worker-01"]

    # The run that emptied the first day left this behind; the second's saw it before, or failed.
    finish(house, Arrival(FIRST_DAY, EMPTY_ARRIVAL, 0, 0))
    house.lake.replace(schemas.SESSIONS, worker_day_key(FIRST_DAY), schemas.SESSIONS.empty(), run_id="r")
    assert [request.partition_key for request in sweep(house)] == ["2026-03-03|worker-01"]

    key = {**worker_day_key(SECOND_DAY), "stage": "uploads"}
    house.lake.replace(ledgers.QUARANTINE, key, ledgers.QUARANTINE.empty(), run_id="r")
    assert isinstance(sweep(house), dg.SkipReason)


def test_a_copy_of_another_session_of_its_own_worker_day_is_not_requested_every_night(house):
    arrive(house)
    finish(house, list_arrivals(house.landing.listing)[0])
    set_aside_as_duplicate(house, FIRST_DAY, "s-one", {"first_seen": str(FIRST_DAY), "session_id": "s-another"})
    assert isinstance(sweep(house), dg.SkipReason)


def test_a_cap_with_a_wrong_clock_does_not_stop_the_others(house):
    arrive(house)
    arrive(house, session_id="s-future", worker_id="worker-02", day="2099-01-01")
    assert requested(tick(house)) == ["2026-03-02|worker-01"]
    assert [request.partition_key for request in sweep(house)] == ["2026-03-02|worker-01"]


def test_the_sweep_has_nothing_to_do_when_all_went_through(house):
    arrive(house)
    finish(house, list_arrivals(house.landing.listing)[0])
    assert isinstance(sweep(house), dg.SkipReason)


def test_a_correction_after_the_end_is_swept_up(house):
    arrive(house)
    finish(house, list_arrivals(house.landing.listing)[0])
    arrive(house, manifest='{"corrected": 1}')
    assert len(sweep(house)) == 1


def test_arrivals_carry_their_worker_day(house):
    arrive(house)
    assert [a.worker_day for a in list_arrivals(house.landing.listing)] == [WorkerDay(date(2026, 3, 2), "worker-01")]
