"""The sensor and the sweep on real folders: what arrives is requested once, what is left is requested again."""

import shutil
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from harchive_dagster.definitions import build_defs
from harchive_dagster.lake import ledgers
from harchive_dagster.lake.tables import worker_day_key
from harchive_dagster.landing.arrivals import list_arrivals
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
    assert isinstance(tick(house, first.cursor), dg.SkipReason)


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
    assert isinstance(skip, dg.SkipReason)
    assert "1 sessions still arriving" in skip.skip_message


def test_a_missing_landing_folder_is_one_line_and_no_traceback(house):
    shutil.rmtree(house.landing.uploads)
    skip = tick(house)
    assert isinstance(skip, dg.SkipReason)
    assert "landing folder" in skip.skip_message


def test_days_before_the_window_are_left_alone(house):
    arrive(house, day="2025-12-31")
    assert isinstance(tick(house), dg.SkipReason)


def test_only_what_changed_is_requested(house):
    arrive(house)
    arrive(house, session_id="s-two", worker_id="worker-02")
    first = tick(house)
    arrive(house, session_id="s-two", worker_id="worker-02", manifest='{"corrected": 1}')
    assert [request.partition_key for request in tick(house, first.cursor).run_requests] == ["2026-03-02|worker-02"]


def test_what_went_through_already_is_not_requested_on_a_first_tick(house):
    arrive(house)
    arrive(house, session_id="s-two", worker_id="worker-02")
    finish(house, list_arrivals(house.landing.uploads)[0])
    assert [request.partition_key for request in tick(house).run_requests] == ["2026-03-02|worker-02"]


def test_the_sweep_requests_what_did_not_go_through(house):
    arrive(house)
    arrive(house, session_id="s-two", worker_id="worker-02")
    done, left = list_arrivals(house.landing.uploads)
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
    finish(house, list_arrivals(house.landing.uploads)[0])
    (consents / "consent-one.json").write_text('{"withdrawn_at": "2026-03-05T00:00:00Z"}')
    assert len(tick(house, first.cursor).run_requests) == 1
    assert len(sweep(house)) == 1


def test_uploads_that_were_deleted_are_swept_so_that_nothing_of_them_stays_published(house):
    folder = arrive(house)
    finish(house, list_arrivals(house.landing.uploads)[0])
    shutil.rmtree(folder.parent)
    (request,) = sweep(house)
    assert request.partition_key == "2026-03-02|worker-01"


def test_a_cap_with_a_wrong_clock_does_not_stop_the_others(house):
    arrive(house)
    arrive(house, session_id="s-future", worker_id="worker-02", day="2099-01-01")
    assert [request.partition_key for request in tick(house).run_requests] == ["2026-03-02|worker-01"]
    assert [request.partition_key for request in sweep(house)] == ["2026-03-02|worker-01"]


def test_the_sweep_has_nothing_to_do_when_all_went_through(house):
    arrive(house)
    finish(house, list_arrivals(house.landing.uploads)[0])
    assert isinstance(sweep(house), dg.SkipReason)


def test_a_correction_after_the_end_is_swept_up(house):
    arrive(house)
    finish(house, list_arrivals(house.landing.uploads)[0])
    arrive(house, manifest='{"corrected": 1}')
    assert len(sweep(house)) == 1


def test_arrivals_carry_their_worker_day(house):
    arrive(house)
    assert [a.worker_day for a in list_arrivals(house.landing.uploads)] == [WorkerDay(date(2026, 3, 2), "worker-01")]
