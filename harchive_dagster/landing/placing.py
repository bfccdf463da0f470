"""Puts an upload's files into the landing folder so that it is invisible until it is whole, whatever happens meanwhile.

What the files are and what the manifest says is for `packing`.
"""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.hashing import sha256_of
from harchive_dagster.landing.layout import MANIFEST_NAME

_CHUNK_BYTES = 2**20
_CANNOT_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})
"""Two file systems, one without hard links, or a kernel that guards other people's files: copying still works."""


@dataclass(frozen=True)
class SourceFile:
    """A file to be packed, as it was when its digest was taken.

    Attributes:
        name: in the session's folder.
        sha256: hex.
        modified_ns: the file system's time stamp; tells whether a file is still the one that was hashed.
    """

    path: Path
    name: str
    bytes: int
    sha256: str
    modified_ns: int

    @property
    def proof(self) -> dict[str, str | int]:
        """What a manifest says to prove its bytes."""
        return {"path": self.name, "bytes": self.bytes, "sha256": self.sha256}

    @classmethod
    def of(cls, path: Path) -> "SourceFile":
        """Hash a file, in pieces.

        Raises:
            OSError: it cannot be read, or is no regular file.
        """
        status = path.stat()
        # Asked before opening: a pipe would be waited for without end.
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        return cls(path, path.name, status.st_size, sha256_of(path), status.st_mtime_ns)


@dataclass(frozen=True)
class Placed:
    """What placing did: names of files that were brought in, and of those that an earlier try had left in place."""

    brought: tuple[str, ...]
    kept: tuple[str, ...]
    is_new: bool


def place_upload(folder: Path, sources: Sequence[SourceFile], manifest: bytes, *, is_move: bool = False) -> Placed:
    """Bring files into a session's folder, and its manifest last.

    Every file comes under a temporary name, is flushed to disk and renamed; so does the manifest when all files are
    there. Killed at any moment, it leaves a folder without manifest, which the pipeline takes for an upload that is
    still arriving; the same call then goes on where it stopped.

    Args:
        folder: `<landing>/<day>/<worker>/<session>`; made if it is not there.
        sources: names must differ.
        manifest: its bytes.
        is_move: remove the sources when the manifest is in place. On one file system nothing is copied.

    Raises:
        SettingsError: the session's folder holds something else, is being packed by somebody else, a source changed,
            or the disk refuses.
    """
    try:
        _make_folder(folder)
        with _alone_in(folder):
            is_new = not _has_same_manifest(folder, manifest)
            kept = [source.name for source in sources if _is_in_place(folder, source)]
            brought = [source for source in sources if source.name not in kept]
            for source in brought:
                _bring(folder, source, is_move=is_move)
            _flush(folder)
            if is_new:
                _write_whole(folder / MANIFEST_NAME, manifest)
    except OSError as error:
        raise SettingsError(
            f"{str(error.filename or folder)!a} cannot be read or written: {error.strerror}.",
            consequence="An upload without its manifest stays invisible to the pipeline.",
            mend="Mend that, and run the same command again; what is in place is not brought again.",
        ) from None
    if is_move:
        _remove_sources(folder, sources)
    return Placed(tuple(source.name for source in brought), tuple(kept), is_new)


def _make_folder(folder: Path) -> None:
    """The folder and those above it, each one on disk before anything is put into it."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        _flush(place.parent)
    for place in (folder, *folder.parents[:2]):
        if place.is_symlink() or not place.is_dir():
            raise _refused(f"{place.name!a} in the landing folder is a link or a file.", "Remove it.")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Holds a lock that ends with the process, so that a killed one leaves nothing to clean up."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refused(f"session {folder.name!r} is being packed by another process.", "Wait for it.") from None
        yield
    finally:
        os.close(handle)


def _has_same_manifest(folder: Path, manifest: bytes) -> bool:
    path = folder / MANIFEST_NAME
    if not os.path.lexists(path):
        return False
    if path.is_symlink() or not path.is_file() or path.read_bytes() != manifest:
        raise _refused(
            f"session {folder.name!r} was packed before, and its manifest says something else.",
            "Give this recording another --session, or remove the earlier upload's folder first.",
        )
    return True


def _is_in_place(folder: Path, source: SourceFile) -> bool:
    target = folder / source.name
    if not os.path.lexists(target):
        return False
    is_file = target.is_file() and not target.is_symlink()
    if is_file and target.stat().st_size == source.bytes and sha256_of(target) == source.sha256:
        return True
    raise _refused(
        f"session {folder.name!r} holds another file {source.name!a} already.",
        "Give this recording another --session, or remove the earlier upload's folder first.",
    )


def _bring(folder: Path, source: SourceFile, *, is_move: bool) -> None:
    target = folder / source.name
    # Not made of the name, which may be as long as a name can be. Hidden: nobody takes it for a file of the upload.
    partial = folder / f".partial-{source.sha256[:32]}"
    partial.unlink(missing_ok=True)
    if not (is_move and _link(source.path, partial)):
        _copy(source, partial)
    status = source.path.stat()
    if (status.st_size, status.st_mtime_ns) != (source.bytes, source.modified_ns):
        partial.unlink()
        raise _changed(source)
    _flush(partial)
    partial.replace(target)


def _link(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source.resolve())
    except OSError as error:
        if error.errno in _CANNOT_LINK:
            return False
        raise
    return True


def _copy(source: SourceFile, target: Path) -> None:
    digest = hashlib.sha256()
    with source.path.open("rb") as read, target.open("xb") as written:
        while chunk := read.read(_CHUNK_BYTES):
            digest.update(chunk)
            written.write(chunk)
    if digest.hexdigest() != source.sha256:
        target.unlink()
        raise _changed(source)


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_name(f".partial-{path.name}")
    partial.write_bytes(content)
    _flush(partial)
    partial.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    """Everything written so far is on disk; of a folder, its names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_sources(folder: Path, sources: Sequence[SourceFile]) -> None:
    for source in sources:
        # A file that was packed from where it belongs must stay there.
        if source.path.resolve() != (folder / source.name).resolve():
            try:
                source.path.unlink(missing_ok=True)
            except OSError as error:
                raise SettingsError(
                    f"{str(source.path)!a} cannot be removed: {error.strerror}.",
                    consequence="The upload is whole; its source is still there.",
                    mend="Remove it by hand.",
                ) from None


def _changed(source: SourceFile) -> SettingsError:
    return _refused(f"file {source.name!a} changed while it was being packed.", "Wait until its device has finished.")


def _refused(culprit: str, mend: str) -> SettingsError:
    return SettingsError(culprit, consequence="The upload was not put in place.", mend=mend)
