"""A landing in an object store: what is listed and fetched, what never leaves the spool, what an outage does."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.errors import LandingError, SettingsError, StoreError
from harchive_dagster.landing import mirror
from harchive_dagster.landing.arrivals import arrival_of, list_arrivals
from harchive_dagster.landing.integrity import verify_files
from harchive_dagster.landing.layout import list_sessions
from harchive_dagster.landing.listing import LocalUploads
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.landing.object_store import ObjectStore, UnlistableError
from harchive_dagster.landing.storage import Landing
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 14), "worker-7")
SESSION = "2026-03-14/worker-7/ses-001"
NOW = datetime(2026, 4, 1, tzinfo=UTC)


def upload(bucket: Any, folder: Path, prefix: str = "in") -> None:
    """Copy a local landing into the bucket."""
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put_object(Key=f"{prefix}/{path.relative_to(folder).as_posix()}", Body=path.read_bytes())


@pytest.fixture
def local(session_folder: Path) -> Path:
    """A local landing with one whole upload and the consent it names."""
    landing = session_folder.parents[2]
    write_consent(landing, "worker-7", first_day=date(2026, 3, 1), consent_id="consent-7")
    return landing


@pytest.fixture
def remote(bucket: Any, local: Path, tmp_path_factory: pytest.TempPathFactory) -> Landing:
    """The same landing in an object store."""
    upload(bucket, local)
    return at(bucket, tmp_path_factory.mktemp("spool"))


def at(bucket: Any, spool: Path) -> Landing:
    return Landing.at(f"s3://{bucket.name}/in", spool, 10**9, spool=spool)


def bring(landing: Landing) -> Path:
    landing.bring_worker_day(DAY, now=NOW)
    return landing.uploads / SESSION


def files_in(landing: Landing) -> set[str]:
    found = (path.relative_to(landing.uploads) for path in landing.uploads.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if not path.parts[0].startswith(".")}


def rewrite_manifest(bucket: Any, document: dict[str, Any], session: str = SESSION) -> None:
    bucket.put_object(Key=f"in/{session}/manifest.json", Body=json.dumps(document).encode())


def test_a_remote_landing_lists_the_arrivals_of_the_local_one_it_is_a_copy_of(remote: Landing, local: Path) -> None:
    assert list_arrivals(remote.listing) == list_arrivals(LocalUploads(local)) != []


def test_listing_brings_nothing_here(remote: Landing) -> None:
    list_arrivals(remote.listing)
    assert not remote.uploads.exists()


def test_a_worker_day_that_was_brought_here_is_the_one_that_lies_there(remote: Landing, local: Path) -> None:
    folder = bring(remote)
    assert arrival_of(remote.uploads, DAY) == arrival_of(local, DAY)
    assert verify_files(folder, read_manifest(folder)) is None
    assert files_in(remote) == {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()}
    assert remote.session_folder(DAY, "ses-001") == folder


def test_files_are_hashed_as_they_arrive(remote: Landing) -> None:
    folder = bring(remote)
    assert remote.fetched_digest(folder / "cap.mp4") == hashlib.sha256((folder / "cap.mp4").read_bytes()).hexdigest()
    (folder / "cap.mp4").write_bytes(b"changed here since")
    assert remote.fetched_digest(folder / "cap.mp4") is None
    assert remote.fetched_digest(folder / "manifest.json") is None


def test_what_was_fetched_is_not_fetched_again(remote: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(remote)
    monkeypatch.setattr(ObjectStore, "fetch", lambda *_: pytest.fail("fetched twice"))
    bring(remote)
    remote.session_folder(DAY, "ses-001")


@pytest.mark.parametrize("is_intake", [True, False])
def test_a_file_that_changed_here_is_fetched_again(remote: Landing, is_intake: bool) -> None:
    folder = bring(remote)
    (folder / "cap.mp4").write_bytes(b"shorter")
    if is_intake:
        bring(remote)
    else:
        remote.session_folder(DAY, "ses-001")
    assert verify_files(folder, read_manifest(folder)) is None


def test_a_file_that_was_replaced_is_fetched_again(remote: Landing, bucket: Any) -> None:
    folder = bring(remote)
    replaced = b"NOT really a video"
    bucket.put_object(Key=f"in/{SESSION}/cap.mp4", Body=replaced)
    assert (bring(remote) / "cap.mp4").read_bytes() == replaced
    with pytest.raises(LandingError, match="SHA-256"):
        verify_files(folder, read_manifest(folder))


def test_pieces_add_up_to_the_file(remote: Landing, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harchive_dagster.landing.object_store._PIECE_BYTES", 7)
    folder = bring(remote)
    assert verify_files(folder, read_manifest(folder)) is None


def test_sessions_that_are_gone_there_go_here_too(remote: Landing, bucket: Any) -> None:
    bring(remote)
    bucket.objects.filter(Prefix=f"in/{SESSION}/").delete()
    bring(remote)
    assert list_sessions(remote.uploads, DAY).complete == ()
    assert arrival_of(remote.uploads, DAY).digest == ""


def test_a_session_without_its_manifest_is_waiting(remote: Landing, bucket: Any) -> None:
    bucket.put_object(Key="in/2026-03-14/worker-7/ses-002/cap.mp4", Body=b"first half")
    bring(remote)
    assert [folder.name for folder in list_sessions(remote.uploads, DAY).waiting] == ["ses-002"]
    assert list_arrivals(remote.listing) == [arrival_of(remote.uploads, DAY)]
    bucket.Object(f"in/{SESSION}/manifest.json").delete()
    bring(remote)
    assert [folder.name for folder in list_sessions(remote.uploads, DAY).waiting] == ["ses-001", "ses-002"]


@pytest.mark.parametrize("change", ["withdrawn", "gone"])
def test_what_no_consent_covers_is_not_even_fetched(remote: Landing, bucket: Any, change: str) -> None:
    consent = bucket.Object("in/consents/consent-7.json")
    if change == "gone":
        consent.delete()
    else:
        record = json.loads(consent.get()["Body"].read())
        consent.put(Body=json.dumps(record | {"withdrawn_at": NOW.isoformat()}).encode())
    bring(remote)
    assert not {name for name in files_in(remote) if name.startswith(SESSION)} - {f"{SESSION}/manifest.json"}
    assert list_arrivals(remote.listing) == [arrival_of(remote.uploads, DAY)]


def test_a_consent_that_was_taken_away_is_not_read_from_an_older_copy(remote: Landing, bucket: Any) -> None:
    bring(remote)
    bucket.Object("in/consents/consent-7.json").delete()
    bring(remote)
    assert not (remote.uploads / "consents" / "consent-7.json").exists()
    bucket.put_object(Key="in/consents/consent-8.json", Body=b"{}")
    remote.bring_consents()
    assert [path.name for path in remote.uploads.glob("consents/*")] == ["consent-8.json"]


def test_a_file_that_is_missing_there_is_missing_here(remote: Landing, bucket: Any) -> None:
    bucket.Object(f"in/{SESSION}/imu.csv").delete()
    folder = bring(remote)
    with pytest.raises(LandingError, match=r"file 'imu.csv' was declared but is not there"):
        verify_files(folder, read_manifest(folder))


def test_a_file_of_another_size_is_refused_by_its_size_and_not_fetched(
    remote: Landing, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_object(Key=f"in/{SESSION}/cap.mp4", Body=b"x" * 10_000)
    monkeypatch.setattr(ObjectStore, "fetch", _only("imu.csv"))
    folder = bring(remote)
    with pytest.raises(LandingError, match="has 10000 bytes, declared 18"):
        verify_files(folder, read_manifest(folder))


def _only(name: str) -> Callable[..., str]:
    real = ObjectStore.fetch

    def fetch(self: ObjectStore, key: str, *rest: Any) -> str:
        assert key.endswith(name)
        return real(self, key, *rest)

    return fetch


def test_a_session_over_the_limit_is_not_fetched(bucket: Any, local: Path, tmp_path_factory: Any) -> None:
    upload(bucket, local)
    spool = tmp_path_factory.mktemp("spool")
    small = Landing.at(f"s3://{bucket.name}/in", spool, 5, spool=spool)
    small.bring_worker_day(DAY, now=NOW)
    assert f"{SESSION}/cap.mp4" not in files_in(small)


def test_a_manifest_too_large_to_read_is_refused_alike(
    remote: Landing, bucket: Any, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("listing", "mirror", "manifest"):
        monkeypatch.setattr(f"harchive_dagster.landing.{module}.MAX_MANIFEST_BYTES", 100)
    folder = bring(remote)
    with pytest.raises(LandingError, match="at most 100 are read"):
        read_manifest(folder)
    assert list_arrivals(remote.listing) == [arrival_of(remote.uploads, DAY)] == list_arrivals(LocalUploads(local))


@pytest.mark.parametrize(
    "path",
    [
        "../../../../evil.csv",
        "/etc/evil.csv",
        "a/../../evil.csv",
        "a\\evil.csv",
        "a//evil.csv",
        "x" * 300,
        "./evil.csv",
        "",
    ],
)
def test_a_path_that_is_none_brings_nothing(
    remote: Landing, bucket: Any, manifest_json: Callable[..., dict[str, Any]], path: str
) -> None:
    document = manifest_json()
    document["files"][1]["path"] = path
    rewrite_manifest(bucket, document)
    with pytest.raises(LandingError, match=r"path|link"):
        read_manifest(bring(remote))
    assert files_in(remote) == {f"{SESSION}/manifest.json", "consents/consent-7.json"}


def test_two_files_of_which_one_would_be_the_others_folder_leave_one_missing(
    remote: Landing, bucket: Any, manifest_json: Callable[..., dict[str, Any]]
) -> None:
    document = manifest_json()
    document["files"][1]["path"] = "cap.mp4/imu.csv"
    bucket.put_object(Key=f"in/{SESSION}/cap.mp4/imu.csv", Body=b"t_device_ns\n")
    rewrite_manifest(bucket, document)
    folder = bring(remote)
    with pytest.raises(LandingError, match="was declared but is not there"):
        verify_files(folder, read_manifest(folder))


@pytest.mark.parametrize(
    "key",
    [
        "2026-03-14/worker-8/s-bad/../../x",
        "2026-03-14/worker-8/s-bad//x",
        "2026-03-14/worker-8/s-bad/a\x01b",
        "2026-03-14/worker-8/s-bad/./x",
    ],
)
def test_a_key_that_is_no_path_hides_no_session(remote: Landing, bucket: Any, key: str) -> None:
    bucket.put_object(Key=f"in/{key}", Body=b"x")
    bucket.put_object(Key="in/2026-03-14/worker-8/s-bad/manifest.json", Body=b"{}")
    found = {(arrival.worker_day.worker_id, arrival.complete_count) for arrival in list_arrivals(remote.listing)}
    assert found == {("worker-7", 1), ("worker-8", 1)}
    bring(remote)
    remote.bring_worker_day(WorkerDay(DAY.collected_on, "worker-8"), now=NOW)
    assert {name.split("/")[0] for name in files_in(remote)} == {"2026-03-14", "consents"}


def test_keys_that_are_neither_days_nor_workers_nor_sessions_are_passed_over(remote: Landing, bucket: Any) -> None:
    before = list_arrivals(remote.listing)
    for key in ("notes.txt", "20260314/w-1/s-1/manifest.json", "2026-03-14/Worker 1/s-1/manifest.json", "2026-03-14/x"):
        bucket.put_object(Key=f"in/{key}", Body=b"{}")
    assert list_arrivals(remote.listing) == before


def test_a_key_with_an_empty_part_above_the_sessions_is_named(remote: Landing, bucket: Any) -> None:
    bucket.put_object(Key="in/2026-03-14//x", Body=b"x")
    with pytest.raises(UnlistableError, match=r"2026-03-14 lies an object whose key is no path.*Remove or rename"):
        list_arrivals(remote.listing)


def test_what_is_through_leaves_nothing_but_consents_here(remote: Landing) -> None:
    bring(remote)
    remote.let_go(DAY)
    assert files_in(remote) == {"consents/consent-7.json"}
    assert not list(remote.uploads.glob(".state/*/*/*"))


def test_a_stage_that_runs_again_alone_fetches_what_was_let_go(remote: Landing) -> None:
    bring(remote)
    remote.let_go(DAY)
    folder = remote.session_folder(DAY, "ses-001")
    assert verify_files(folder, read_manifest(folder)) is None


@pytest.mark.parametrize("content", [None, b"longer than before", b"t_device_ms\n"])
def test_a_file_that_changed_after_intake_stops_the_stage(remote: Landing, bucket: Any, content: bytes | None) -> None:
    bring(remote)
    remote.let_go(DAY)
    if content is None:
        bucket.Object(f"in/{SESSION}/imu.csv").delete()
    else:
        bucket.put_object(Key=f"in/{SESSION}/imu.csv", Body=content)
    with pytest.raises(StoreError, match=r"'imu.csv' of ses-001 is no longer in the landing as it was taken in"):
        remote.session_folder(DAY, "ses-001")


_OCCUPY = """
import sys
from pathlib import Path
from harchive_dagster.landing.occupancy import occupy
occupy(Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


def test_files_another_run_is_at_work_on_are_not_removed(remote: Landing) -> None:
    bring(remote)
    state = remote.uploads / ".state" / "2026-03-14" / "worker-7"
    with subprocess.Popen(
        [sys.executable, "-c", _OCCUPY, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        remote.let_go(DAY)
        assert f"{SESSION}/cap.mp4" in files_in(remote)
    remote.let_go(DAY)
    assert f"{SESSION}/cap.mp4" not in files_in(remote)


def test_worker_days_of_failed_runs_are_removed_after_a_week(remote: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(remote)
    remote.bring_worker_day(WorkerDay(DAY.collected_on, "worker-8"), now=NOW)
    assert f"{SESSION}/cap.mp4" in files_in(remote)
    monkeypatch.setattr(mirror.time, "time", lambda real=mirror.time.time: real() + 7 * 24 * 3600 + 60)
    remote.bring_worker_day(WorkerDay(DAY.collected_on, "worker-8"), now=NOW)
    assert f"{SESSION}/cap.mp4" not in files_in(remote)


def test_what_a_killed_process_left_half_fetched_is_removed_after_a_week(remote: Landing) -> None:
    bring(remote)
    (remote.uploads / ".partial" / "old").write_bytes(b"half")
    os.utime(remote.uploads / ".partial" / "old", (0, 0))
    (remote.uploads / ".partial" / "growing").write_bytes(b"half")
    bring(remote)
    assert [path.name for path in remote.uploads.glob(".partial/*")] == ["growing"]


def test_a_prefix_without_anything_is_no_landing_that_lost_everything(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"Nothing lies beneath s3://landing-.*/in\. .*Set HARCHIVE_LANDING"):
        list_arrivals(at(bucket, tmp_path).listing)


def test_two_landings_share_a_spool_without_sharing_files(bucket: Any, local: Path, tmp_path_factory: Any) -> None:
    spool = tmp_path_factory.mktemp("spool")
    upload(bucket, local, "in")
    places = [Landing.at(f"s3://{bucket.name}/{prefix}", spool, 10**9, spool=spool) for prefix in ("in", "out")]
    assert [bool(list_sessions(place.uploads, DAY).complete) for place in places if bring(place)] == [True, False]


def test_a_full_disk_is_one_line_and_no_sessions_fault(remote: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_SPARE_BYTES", 2**60)
    with pytest.raises(SettingsError, match=r"HARCHIVE_SPOOL has .* GB free, and 'cap.mp4' takes"):
        bring(remote)


def test_a_spool_that_cannot_be_written_is_one_line(bucket: Any, local: Path, tmp_path_factory: Any) -> None:
    upload(bucket, local)
    file = tmp_path_factory.mktemp("spool") / "file"
    file.write_text("")
    with pytest.raises(SettingsError, match="HARCHIVE_SPOOL cannot be used"):
        bring(at(bucket, file))


def test_a_fetch_that_breaks_off_leaves_no_file(remote: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(self: ObjectStore, key: str, stored: Any, into: Any) -> str:
        into.write(b"half")
        raise StoreError("It broke off.", consequence="-", mend="-")

    monkeypatch.setattr(ObjectStore, "fetch", break_off)
    with pytest.raises(StoreError):
        bring(remote)
    assert not {name for name in files_in(remote) if name.endswith((".mp4", ".csv"))}
    assert not list(remote.uploads.glob(".partial/*"))


def test_a_store_that_does_not_answer_is_one_line_without_secrets(
    remote: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setattr("harchive_dagster.landing.object_store._RETRIES", {"max_retries": 1})
    assert remote.mirror
    down = Landing.at(remote.mirror.store.url, remote.annotations, 10**9, spool=remote.annotations)
    for attempt in (lambda: list_arrivals(down.listing), lambda: bring(down), down.bring_consents):
        with pytest.raises(StoreError, match=r"cannot be read: .*no upload's fault.*nightly sweep") as caught:
            attempt()
        assert len(str(caught.value).splitlines()) == 1
        assert "the-secret" not in str(caught.value)
        assert "?" not in str(caught.value)  # a query string, which on Azure is signed


def test_a_bucket_that_does_not_exist_is_no_empty_landing(bucket: Any, tmp_path: Path) -> None:
    landing = Landing.at(f"s3://{bucket.name}-not/in", tmp_path, 10**9, spool=tmp_path)
    with pytest.raises(StoreError, match=r"NoSuchBucket|404"):
        list_arrivals(landing.listing)


def test_plain_http_needs_an_endpoint_that_says_so(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(f"s3://{bucket.name}")
    assert store.folders() == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"].replace("http://", "https://"))
    monkeypatch.setattr("harchive_dagster.landing.object_store._RETRIES", {"max_retries": 0})
    with pytest.raises(StoreError):
        ObjectStore(f"s3://{bucket.name}").folders()


@pytest.mark.parametrize("url", ["gs://bucket/prefix", "az://container/prefix"])
def test_other_clouds_are_refused_in_one_line_without_their_credentials(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("GOOGLE", "AZURE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("harchive_dagster.landing.object_store._RETRIES", {"max_retries": 0})
    with pytest.raises(StoreError) as caught:
        ObjectStore(url).folders()
    assert len(str(caught.value).splitlines()) == 1
