"""How fast candidates list and fetch from an S3 that runs on this machine (moto); fsspec only where s3fs is installed.

    python benchmarks/object_storage.py [keys] [megabytes]

The server is Python and shares the cores, so only the ratio between candidates means something.
"""

import hashlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

BUCKET = "landing"
_RANGE_BYTES = 16 * 2**20


def main() -> None:
    key_count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    endpoint = _serve()
    _fill(endpoint, key_count, megabytes)
    jobs: dict[str, Callable[[], object]] = {
        "obstore list, dicts": lambda: sum(1 for _ in _obstore_list(arrow=False)),
        "obstore list, Arrow": lambda: sum(batch.num_rows for batch in _obstore_list(arrow=True)),
        "obstore fetch, one stream": _obstore_stream,
        "obstore fetch, ranges ahead": _obstore_ranges,
    }
    if importlib.util.find_spec("s3fs"):
        jobs["fsspec list"] = lambda: len(_filesystem(endpoint).find(f"{BUCKET}/many"))
        jobs["fsspec fetch"] = lambda: _fsspec_fetch(endpoint)
    for name, job in jobs.items():
        times_s = []
        for _ in range(3):
            started = time.perf_counter()
            outcome = job()
            times_s.append(time.perf_counter() - started)
        print(f"{name:30} {min(times_s):7.2f} s  {outcome}")


def _serve() -> str:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint,
        AWS_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="any",
        AWS_SECRET_ACCESS_KEY="any",
    )
    return endpoint


def _fill(endpoint: str, key_count: int, megabytes: int) -> None:
    import boto3
    from moto.s3.models import s3_backends

    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
    # Past the server's front door: putting 20,000 keys over HTTP takes minutes and is not what is measured.
    (backend,) = [account["global"] for account in s3_backends.values()]
    for number in range(key_count):
        backend.put_object(
            BUCKET, f"many/2026-03-{number % 28 + 1:02d}/w-{number % 250:03d}/s-{number:06d}/m.json", b"{}"
        )
    backend.put_object(BUCKET, "one/video.mp4", os.urandom(megabytes * 2**20))


def _store() -> object:
    from obstore.store import from_url

    return from_url(f"s3://{BUCKET}", client_options={"timeout": "10min", "allow_http": True})


def _obstore_list(*, arrow: bool):
    import obstore

    for batch in obstore.list(_store(), "many", chunk_size=1000, return_arrow=arrow):
        yield from [batch] if arrow else batch


def _obstore_stream() -> str:
    import obstore

    digest = hashlib.sha256()
    for piece in obstore.get(_store(), "one/video.mp4").stream(min_chunk_size=_RANGE_BYTES):
        digest.update(piece)
    return digest.hexdigest()[:8]


def _obstore_ranges() -> str:
    import obstore

    store, digest = _store(), hashlib.sha256()
    size = obstore.head(store, "one/video.mp4")["size"]

    def fetch(start: int) -> object:
        return obstore.get_range(store, "one/video.mp4", start=start, length=min(_RANGE_BYTES, size - start))

    with ThreadPoolExecutor(4) as pool:
        for piece in pool.map(fetch, range(0, size, _RANGE_BYTES)):
            digest.update(piece)
    return digest.hexdigest()[:8]


def _filesystem(endpoint: str):
    import s3fs

    return s3fs.S3FileSystem(
        client_kwargs={"endpoint_url": endpoint}, skip_instance_cache=True, use_listings_cache=False
    )


def _fsspec_fetch(endpoint: str) -> str:
    digest = hashlib.sha256()
    with _filesystem(endpoint).open(f"{BUCKET}/one/video.mp4", "rb", block_size=_RANGE_BYTES) as file:
        while piece := file.read(_RANGE_BYTES):
            digest.update(piece)
    return digest.hexdigest()[:8]


if __name__ == "__main__":
    main()
