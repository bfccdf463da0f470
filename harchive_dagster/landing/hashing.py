"""A file that is hashed while somebody else reads it, so that proving it costs no pass of its own. What the digest has
to be is `integrity`'s business.
"""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

_PIECE_BYTES = 2**20

_LARGEST_GAP_BYTES = 8 * 2**20
"""What a reader skips over (a sound track, telemetry) is fetched at once if it is small; the index of a recording that
ends with it is gigabytes ahead and waits."""


def sha256_of(path: Path) -> str:
    """The digest of a file, hex; read in pieces, so that a recording of any length takes constant memory.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class HashingFile:
    """A binary file opened for reading in any order, whose SHA-256 grows with what is read.

    Only the unbroken stretch from the file's start is hashed; `sha256` reads what the reader left out. A video
    demuxer jumps to the index and back and reads the rest in order: 1.00 to 1.01 times the file's size in all.

    Attributes:
        bytes_read: fetched from the file so far, jumps and repetitions included.

    Raises:
        OSError: the file cannot be opened or read.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._digest = hashlib.sha256()
        self._hashed_to = 0
        self.bytes_read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes from the present position; all that is left where it is negative."""
        start = self._file.tell()
        if self._hashed_to < start <= self._hashed_to + _LARGEST_GAP_BYTES:
            self._hash_until(start)
            self._file.seek(start)
        content = self._file.read(size)
        self.bytes_read += len(content)
        if start <= self._hashed_to < start + len(content):
            self._digest.update(memoryview(content)[self._hashed_to - start :])
            self._hashed_to = start + len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another position, as in every file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The present position."""
        return self._file.tell()

    def sha256(self) -> str:
        """The digest of the whole file, hex. Reads what was not read yet."""
        self._hash_until(None)
        return self._digest.hexdigest()

    def _hash_until(self, end: int | None) -> None:
        self._file.seek(self._hashed_to)
        while end is None or self._hashed_to < end:
            wanted = _PIECE_BYTES if end is None else min(_PIECE_BYTES, end - self._hashed_to)
            content = self._file.read(wanted)
            if not content:
                return
            self._digest.update(content)
            self._hashed_to += len(content)
            self.bytes_read += len(content)
