"""An object store behind one URL: names, stamps and bytes, and one kind of error. Knows nothing of sessions.

obstore rather than fsspec: against one local S3 on two busy cores it listed 20,000 keys in 3.9 s (s3fs 6.1 s), fetched
100 MB in 0.27 s (s3fs 0.67 s), and reads S3, Google and Azure with one set of calls; `benchmarks/object_storage.py`
repeats it. Credentials, region and endpoint come from the environment as obstore reads them.
See https://developmentseed.org/obstore/latest/
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, TypeVar

from harchive_dagster.errors import StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend

_T = TypeVar("_T")

SCHEMES = ("s3", "gs", "az")

_PIECE_BYTES = 32 * 2**20
"""Fetched per request: what a broken connection costs again, and the memory that a fetch takes."""
_READERS = 64
"""Requests at the same time for small objects: of a store that answers each in 40 ms, 1,600 objects a second."""
_RETRIES = {"max_retries": 5, "retry_timeout": timedelta(seconds=30)}
"""Well inside the 60 s that a sensor tick has."""
_REQUEST_TIMEOUT = timedelta(minutes=5)  # a piece at 1 Mbit/s; obstore's own 30 s would need ten times that
_CONNECT_TIMEOUT = timedelta(seconds=5)
_SHOWN_CHARACTERS = 300


class UnlistableError(StoreError):
    """A key beneath a prefix is no path (an empty part, `..`, a control character), so that nothing there is listed."""


@dataclass(frozen=True)
class Stored:
    """One object as a listing describes it; `stamp` changes when its content is replaced."""

    size_bytes: int
    stamp: str


@dataclass(frozen=True)
class ObjectStore:
    """A prefix of a bucket. Keys are relative to it, with '/' between their parts.

    Attributes:
        url: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    """

    url: str

    def folders(self, prefix: str = "") -> list[str]:
        """Names directly beneath a prefix that have something beneath themselves.

        Raises:
            StoreError: the store does not answer; `UnlistableError` where a key there is no path.
        """
        import obstore

        with self._answering(prefix):
            found = obstore.list_with_delimiter(self._backend, prefix or None)
        return [path.rpartition("/")[2] for path in found["common_prefixes"]]

    def objects(self, prefix: str) -> Iterator[tuple[str, Stored]]:
        """Everything beneath a prefix, however deep, in no order.

        Raises:
            StoreError: see `folders`.
        """
        import obstore

        with self._answering(prefix):
            for batch in obstore.list(self._backend, prefix, chunk_size=1000):
                for meta in batch:
                    yield meta["path"], _stored(meta)

    def stat(self, key: str) -> Stored | None:
        """One object's size and stamp; None where there is none.

        Raises:
            StoreError: the store does not answer.
        """
        import obstore

        try:
            with self._answering(key):
                return _stored(obstore.head(self._backend, key))
        except FileNotFoundError:
            return None

    def read_small(self, keys: Sequence[str], *, max_bytes: int, keep: Callable[[bytes, int], _T]) -> list[_T | None]:
        """Read small objects, many at the same time.

        Args:
            keys: which.
            max_bytes: of a larger one no byte is read.
            keep: makes of one's bytes and size what is kept of it, so that not all of them lie in memory at once;
                gets no bytes of one that is too large.

        Returns:
            What was kept for each key; None where there is no object.

        Raises:
            StoreError: the store does not answer.
        """

        def read(key: str) -> _T | None:
            found = self._read(key, max_bytes)
            return keep(*found) if found else None

        if len(keys) <= 1:  # starting threads takes longer
            return [read(key) for key in keys]
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(read, keys))

    def fetch(self, key: str, stored: Stored, into: IO[bytes]) -> str:
        """Copy one object as it was listed, and no more bytes than were listed; returns its SHA-256 as hex.

        Raises:
            StoreError: the store does not answer, or the object is gone or was replaced meanwhile.
        """
        import obstore

        digest = hashlib.sha256()
        try:
            for start in range(0, stored.size_bytes, _PIECE_BYTES):
                end = min(start + _PIECE_BYTES, stored.size_bytes)
                with self._answering(key):
                    piece = obstore.get(
                        self._backend, key, options={"range": (start, end), "if_match": _entity_tag(stored)}
                    ).bytes()
                digest.update(piece)
                into.write(piece)
        except FileNotFoundError:
            raise self._error(key, "it was there a moment ago and is gone") from None
        return digest.hexdigest()

    def _read(self, key: str, max_bytes: int) -> tuple[bytes, int] | None:
        import obstore

        try:
            with self._answering(key):
                result = obstore.get(self._backend, key)
                size_bytes = result.meta["size"]
                return (bytes(result.bytes()) if size_bytes <= max_bytes else b"", size_bytes)
        except FileNotFoundError:
            return None

    @cached_property
    def _backend(self) -> "Backend":
        from obstore.store import from_url

        options: Any = {"timeout": _REQUEST_TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT}
        # Plain HTTP only towards an endpoint that somebody wrote down as such: a MinIO on the same network.
        if any(os.environ.get(f"AWS_ENDPOINT_URL{of}", "").startswith("http://") for of in ("", "_S3")):
            options["allow_http"] = True
        retries: Any = _RETRIES
        with self._answering(""):
            return from_url(self.url, client_options=options, retry_config=retries)

    @contextmanager
    def _answering(self, key: str) -> Iterator[None]:
        """Turn whatever the library raises into one line; FileNotFoundError is an answer and passes."""
        from obstore.exceptions import BaseError, InvalidPathError

        try:
            yield
        except FileNotFoundError:
            raise
        except InvalidPathError as error:
            raise UnlistableError(
                f"Beneath {self.url}/{key} lies an object whose key is no path ({_one_line(error)}).",
                consequence="Nothing beneath it can be listed.",
                mend="Remove or rename that object; uploaders must write plain keys with one '/' between names.",
            ) from None
        except (BaseError, OSError, ValueError) as error:
            raise self._error(key, _one_line(error)) from None

    def _error(self, key: str, what: str) -> StoreError:
        return StoreError(
            f"{self.url}/{key} cannot be read: {what}.",
            consequence="That is no upload's fault: no session was set aside for it, and what was written stays.",
            mend="See that the store answers and the credentials hold; the nightly sweep asks again by itself.",
        )


def _stored(meta: Any) -> Stored:
    return Stored(meta["size"], meta["e_tag"] or meta["last_modified"].isoformat())


def _entity_tag(stored: Stored) -> str | None:
    """The stamp where it is an entity tag, which is quoted; a store without them cannot be asked for one version."""
    return stored.stamp if stored.stamp.startswith('"') else None


def _one_line(error: Exception) -> str:
    """The library's first line, without query strings: Azure's carry signatures."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return ascii(re.sub(r"\?[^\s<]*", "", first))[1:-1][:_SHOWN_CHARACTERS].rstrip(". ")
