"""Which folders processes are working in, known to all of one machine. A dying process leaves none occupied."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK_NAME = "lock"

_held: dict[Path, int] = {}
"""Open lock files by folder: as long as one is open, the folder is occupied."""


def occupy(folder: Path) -> None:
    """Make a folder, and keep other processes from removing it until `vacate` or the end of this process.

    Any number of processes may occupy the same folder. Its modification time says when one last did.

    Raises:
        OSError: the folder cannot be made or written.
    """
    if folder not in _held:
        _held[folder] = _locked(folder)
    os.utime(folder)


@contextmanager
def vacate(folder: Path) -> Iterator[bool]:
    """Stop occupying a folder, and remove it after the block. Yields whether nobody else is in it; else it stays.

    Raises:
        OSError: the folder cannot be made or written.
    """
    lock = _held.pop(folder, None)
    if lock is None:
        lock = _locked(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
        shutil.rmtree(folder)
    finally:
        os.close(lock)


def _locked(folder: Path) -> int:
    path = folder / _LOCK_NAME
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # removed between these lines: make it again
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if path.exists() and path.stat().st_ino == os.fstat(lock).st_ino:
                return lock
            os.close(lock)
