"""Zip archives read member by member, without unpacking anything to disk, and what makes one unsafe to read.

What the members mean is for the format readers.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats.protocol import MAX_UNPACKED_BYTES, damaged
from harchive_dagster.reasons import Reason

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_MEMBERS = 200_000
"""Nearly two hours of single pictures at 30 a second."""

_MAX_DIRECTORY_BYTES = 32 * 2**20
"""160 bytes for each member. The list of members is held in memory whole, so it is refused before it is parsed."""

_MAX_RATIO = 250
_RATIO_MATTERS_FROM_BYTES = 2**20
"""Rows of a device at rest deflate to an eighth, as their times differ; the zeros of a bomb to a thousandth."""

_LOCAL_HEADER_BYTES = 30
"""What stands before a member's data, besides its name (PKWARE's APPNOTE, 4.3.7)."""

_ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000
"""Plain and strong encryption, and a directory with masked values (APPNOTE, 4.4.4)."""

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""The others of `zipfile` (bzip2, LZMA) hand out all of a block that they unpack, however large."""

_ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lz4"})

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,  # versions and methods that `zipfile` does not know
    ValueError,  # names that are not UTF-8, offsets below zero
    OverflowError,  # offsets beyond 63 bits
    struct.error,
    zlib.error,
    EOFError,
    OSError,
)


class Archive:
    """The members of one open archive that was found safe.

    Attributes:
        path: of the archive.
        sizes: unpacked bytes of every member that is a file, by name.
    """

    def __init__(self, path: Path, unpacker: zipfile.ZipFile) -> None:
        self.path = path
        self._unpacker = unpacker
        self._members = {info.filename: info for info in unpacker.infolist() if not info.is_dir()}
        self.sizes: Mapping[str, int] = MappingProxyType({n: info.file_size for n, info in self._members.items()})

    def find(self, file_name: str) -> str | None:
        """The member of that file name, case ignored, at the top or in a folder there: people pack folders too."""
        wanted = file_name.lower()
        found = [name for name in self.sizes if name.count("/") < 2 and name.lower().rpartition("/")[2] == wanted]
        return min(found, key=lambda name: name.count("/"), default=None)

    def open(self, name: str) -> IO[bytes]:
        """A member's bytes as a stream; at its end, length and checksum have been compared.

        Raises:
            LandingError: SENSOR_UNREADABLE, here or while reading: the member is damaged.
        """
        info = self._members[name]
        try:
            packed = self._unpacker.open(info)
        except _ZIP_ERRORS as error:
            raise _broken(self.path, name, error) from None
        return io.BufferedReader(_Member(self.path, name, packed, info.file_size), 2**16)

    def read(self, name: str, *, at_most_bytes: int) -> bytes:
        """A small member whole.

        Raises:
            LandingError: ARCHIVE_UNSAFE when it is larger than that; SENSOR_UNREADABLE when it is damaged.
        """
        if self.sizes[name] > at_most_bytes:
            problem = f"holds {name[:80]!a} of {self.sizes[name]} bytes, {at_most_bytes} are plenty for such a file"
            raise _unsafe(self.path, problem)
        with self.open(name) as member:
            return member.read()


def looks_like_zip(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    try:
        with path.open("rb") as file:
            return file.read(4) in {b"PK\x03\x04", b"PK\x05\x06"}
    except OSError:
        return False


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip archive, having refused everything that makes one unsafe to read.

    Raises:
        LandingError: ARCHIVE_UNSAFE for names that lead elsewhere or repeat, links, encryption, archives inside,
            members that share bytes, unknown packing, too many members or too much to unpack; SENSOR_UNREADABLE for
            what is not there or no whole zip archive.
    """
    try:
        file = _Guarded(path)
    except OSError as error:
        raise damaged(path, f"cannot be opened ({error.strerror})") from None
    with file:
        try:
            unpacker = zipfile.ZipFile(file)
        except _ZIP_ERRORS as error:
            raise damaged(path, f"is not a whole zip archive ({_words(error)})") from None
        with unpacker:
            _refuse_unsafe(path, unpacker.infolist(), directory_at=unpacker.start_dir)
            yield Archive(path, unpacker)


class _Guarded(io.BufferedReader):
    """The archive's file. `zipfile` reads the whole directory at once, of whatever size the archive says it is."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._path = path

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_DIRECTORY_BYTES:
            raise _unsafe(self._path, f"has a list of members of {size} bytes, at most {_MAX_DIRECTORY_BYTES} are read")
        return super().read(size)


class _Member(io.RawIOBase):
    """A member's bytes; whatever is wrong with them comes out as a LandingError."""

    def __init__(self, path: Path, name: str, packed: IO[bytes], size: int) -> None:
        self._path = path
        self._name = name
        self._packed = packed
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            piece = self._packed.read(len(view))
        except _ZIP_ERRORS as error:
            raise _broken(self._path, self._name, error) from None
        self._left -= len(piece)
        if not piece and self._left:
            raise damaged(self._path, f"holds {self._name[:80]!a}, which ends {self._left} bytes early")
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._packed.close()
        super().close()


def _refuse_unsafe(path: Path, members: Sequence[zipfile.ZipInfo], *, directory_at: int) -> None:
    if len(members) > MAX_MEMBERS:
        raise _unsafe(path, f"has {len(members)} members, at most {MAX_MEMBERS} are read")
    seen: set[str] = set()
    for member in members:
        problem = _problem(member) or ("is there twice" if member.filename in seen else None)
        if problem:
            raise _unsafe(path, f"holds {member.orig_filename[:80]!a}, which {problem}")
        seen.add(member.filename)
    total = sum(member.file_size for member in members)
    if total > MAX_UNPACKED_BYTES:
        raise _unsafe(path, f"unpacks to {total} bytes, at most {MAX_UNPACKED_BYTES} are read")
    _refuse_shared_bytes(path, members, directory_at)


def _problem(member: zipfile.ZipInfo) -> str | None:
    """What is unsafe about a member by itself; continues a sentence that names it."""
    name = member.orig_filename  # `filename` ends at a NUL
    parts = name.replace("\\", "/").split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)  # of Unix; other systems leave it 0
    is_elsewhere = not parts[0] or parts[0][1:2] == ":" or ".." in parts or min(name) < " "
    is_large = member.file_size >= _RATIO_MATTERS_FROM_BYTES
    checks = (
        (is_elsewhere, "does not name a file below the archive's own folder"),
        (kind not in {0, stat.S_IFREG, stat.S_IFDIR}, "is a link or a device"),
        (member.flag_bits & _ENCRYPTED_FLAGS, "is encrypted"),
        (member.compress_type not in _METHODS, f"is packed by method {member.compress_type}, known are 0 and 8"),
        (Path(parts[-1]).suffix.lower() in _ARCHIVE_SUFFIXES, "is an archive itself"),
        (
            is_large and member.file_size > _MAX_RATIO * member.compress_size,
            f"claims to unpack from {member.compress_size} to {member.file_size} bytes",
        ),
    )
    return next((problem for is_bad, problem in checks if is_bad), None)


def _refuse_shared_bytes(path: Path, members: Sequence[zipfile.ZipInfo], directory_at: int) -> None:
    """Members that lie over one another let a small file unpack to any size (D. Fifield, A better zip bomb, 2019)."""
    in_place = sorted(members, key=lambda member: member.header_offset)
    starts = [member.header_offset for member in in_place]
    for member, next_start in zip(in_place, [*starts, directory_at][1:], strict=True):
        name_bytes = len(member.orig_filename)  # at least: a character outside ASCII takes more in UTF-8
        end = member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + member.compress_size
        if member.header_offset < 0 or end > next_start:
            raise _unsafe(path, f"holds {member.orig_filename[:80]!a}, which lies over another member")


def _unsafe(path: Path, problem: str) -> LandingError:
    return LandingError(
        Reason.ARCHIVE_UNSAFE,
        f"archive {path.name!a} {problem}.",
        mend="Export it again from the app, or pack the files again with plain zip.",
        evidence={"file": path.name},
    )


def _broken(path: Path, name: str, error: Exception) -> LandingError:
    return damaged(path, f"holds {name[:80]!a}, which is damaged ({_words(error)})")


def _words(error: Exception) -> str:
    # An error of the system would name the machine's folders.
    words = error.strerror if isinstance(error, OSError) else str(error)
    return ascii((words or type(error).__name__)[:120])
