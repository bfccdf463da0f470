"""What a tick of the arrivals sensor costs against reading the whole landing, on disk and in a local S3 (moto).

    python benchmarks/landing_listing.py [days on disk] [days in S3]

With 250 workers and one session each: 400 days are 100,000 sessions, 80 days 20,000 keys. The sensor's own work on
tables and the run storage is not in it.
"""

import hashlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from harchive_dagster.landing.arrivals import list_arrivals
from harchive_dagster.landing.listing import LocalUploads, RemoteUploads, Uploads
from harchive_dagster.landing.object_store import ObjectStore
from harchive_dagster.landing.watch import LOOKS_PER_ROUND, Look, Seen, look

WORKERS = 250
FIRST_DAY = date(2026, 1, 1)
BUCKET = "landing"


def main() -> None:
    local_days = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    remote_days = int(sys.argv[2]) if len(sys.argv) > 2 else 80
    with tempfile.TemporaryDirectory(prefix="landing-") as folder:
        for path, content in _manifests(local_days):
            target = Path(folder) / path
            target.parent.mkdir(parents=True)
            target.write_bytes(content)
        (Path(folder) / "consents").mkdir()
        for path, content in _consents():
            (Path(folder) / path).write_bytes(content)

        def change(path: str, content: bytes) -> None:
            (Path(folder) / path).write_bytes(content)

        _measure("disk", LocalUploads(Path(folder)), local_days, change)
    _measure("S3", *_serve(remote_days))


def _manifests(day_count: int) -> "list[tuple[str, bytes]]":
    return [
        (f"{FIRST_DAY + timedelta(day)}/w-{worker:03d}/s-{day:03d}-{worker:03d}/manifest.json", _manifest(worker))
        for day in range(day_count)
        for worker in range(WORKERS)
    ]


def _manifest(worker: int) -> bytes:
    files = [{"path": f"{n}.csv", "sha256": hashlib.sha256(bytes([n])).hexdigest()} for n in range(4)]
    return json.dumps({"consent_id": f"consent-{worker:03d}", "files": files, "markers": [{"at_ns": 1}] * 20}).encode()


def _consents() -> "list[tuple[str, bytes]]":
    return [(f"consents/consent-{worker:03d}.json", b"{}") for worker in range(WORKERS)]


def _serve(day_count: int) -> tuple[Uploads, int, Callable[[str, bytes], None]]:
    import boto3
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
    # Past the server's front door: putting 20,000 keys over HTTP takes minutes and is not what is measured.
    (backend,) = [account["global"] for account in s3_backends.values()]

    def put(path: str, content: bytes) -> None:
        backend.put_object(BUCKET, f"in/{path}", content)

    for path, content in (*_manifests(day_count), *_consents()):
        put(path, content)
    return RemoteUploads(ObjectStore(f"s3://{BUCKET}/in")), day_count, put


def _measure(where: str, uploads: Uploads, day_count: int, put: Callable[[str, bytes], None]) -> None:
    days = {FIRST_DAY + timedelta(day) for day in range(day_count)}
    newest = FIRST_DAY + timedelta(day_count - 1)
    whole_s, found = _timed(lambda: list_arrivals(uploads))
    print(f"{where}: {len(found):,} sessions on {day_count} days")
    print(f"  every manifest read (the nightly sweep)     {whole_s:8.2f} s")
    catching_up_s, seen = [], Seen()
    while len(seen.days) < day_count:
        look_s, looked = _timed(lambda seen=seen: _look(uploads, seen, days))
        catching_up_s.append(look_s)
        seen = looked.seen
    print(f"  without a cursor: {len(catching_up_s)} looks, the longest    {max(catching_up_s):8.2f} s")
    put(f"{newest}/w-000/s-{day_count - 1:03d}-000/manifest.json", _manifest(1))
    quiet_s = []
    for number in range(LOOKS_PER_ROUND):
        look_s, looked = _timed(lambda seen=seen: _look(uploads, seen, days))
        seen = looked.seen
        if number == 0:
            print(f"  a tick after one correction                 {look_s:8.2f} s  1/{whole_s / look_s:,.0f}")
        else:
            quiet_s.append(look_s)
    print(f"  a tick when nothing changed, mean of a round{sum(quiet_s) / len(quiet_s):8.2f} s  ", end="")
    print(f"1/{whole_s * len(quiet_s) / sum(quiet_s):,.0f}; longest {max(quiet_s):.2f} s")
    print(f"  cursor                                      {len(seen.cursor()) / 1000:8.1f} kB")


def _look(uploads: Uploads, seen: Seen, days: set[date]) -> Look:
    ends_at = time.monotonic() + 25
    return look(uploads, seen, days, naming=lambda _: {}, has_time=lambda: time.monotonic() < ends_at)


def _timed(job: Callable[[], "object"]) -> "tuple[float, object]":
    started = time.perf_counter()
    outcome = job()
    return time.perf_counter() - started, outcome


if __name__ == "__main__":
    main()
