"""Whether an upload's files are the ones its manifest declares. Looks at bytes, not at what they mean."""

import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.hashing import sha256_of
from harchive_dagster.landing.layout import link_on_path
from harchive_dagster.landing.manifest import Manifest, ManifestFile
from harchive_dagster.reasons import Reason

_MEND = "Upload the session again; if it fails twice, the card or the cable is bad."


@dataclass(frozen=True)
class _Finding:
    path: str
    what: str
    declared: str | int | None = None
    found: str | int | None = None


def require_within(session_folder: Path, manifest: Manifest, max_bytes: int) -> None:
    """Refuse an upload whose files come to more than a limit, before any of them is opened.

    Raises:
        LandingError: FILE_TOO_LARGE, by what the manifest declares or by what is there, with both in the evidence.
    """
    declared = {file.path: file.bytes for file in manifest.files}
    found = {path: size for path in declared if (size := _size(session_folder / path)) is not None}
    for what, sizes in (("are declared to have", declared), ("have", found)):
        total = sum(sizes.values())
        if total > max_bytes:
            largest = max(sizes, key=lambda path: sizes[path])
            raise LandingError(
                Reason.FILE_TOO_LARGE,
                f"the session's files {what} {total} bytes, {sizes[largest]} of them in {largest!r}; "
                f"at most {max_bytes} are taken in.",
                mend="Split the recording into several sessions, or raise HARCHIVE_MAX_SESSION_GB.",
                evidence={
                    "declared_bytes": sum(declared.values()),
                    "found_bytes": sum(found.values()),
                    "limit_bytes": max_bytes,
                },
            )


def verify_files(session_folder: Path, manifest: Manifest, *, digest_of: Callable[[Path], str] = sha256_of) -> None:
    """Prove that every declared file is there, is no link, and has the declared size and SHA-256.

    Args:
        session_folder: where the files lie.
        manifest: what it says about them.
        digest_of: gives a file's SHA-256; called once for each file that is there in its declared size. Whoever has
            to read a file anyway computes it on the way.

    Raises:
        LandingError: FILE_MISSING when any file is absent, a link or unreadable; else CHECKSUM_MISMATCH when any
            size or digest differs. `evidence["files"]` names each with what was declared and found.
    """
    missing = [f for file in manifest.files if (f := _missing(session_folder, file))]
    if missing:
        raise _error(Reason.FILE_MISSING, missing)
    # A file that holds several streams is declared several times, with the same digest, and read once.
    once = {file.path: file for file in manifest.files}
    different = [f for file in once.values() if (f := _difference(session_folder, file, digest_of))]
    if different:
        raise _error(Reason.CHECKSUM_MISMATCH, different)


def _error(reason: Reason, findings: list[_Finding]) -> LandingError:
    first, more = findings[0], len(findings) - 1
    detail = f"file {first.path!r} {first.what}"
    return LandingError(
        reason,
        f"{detail}, and {more} more file(s) fail." if more else f"{detail}.",
        mend=_MEND,
        evidence={"files": [asdict(finding) for finding in findings]},
    )


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:  # `verify_files` says so
        return None


def _missing(session_folder: Path, file: ManifestFile) -> _Finding | None:
    link = link_on_path(session_folder, file.path)
    if link is not None:
        return _Finding(file.path, f"is reached through the link {link!r}, which is not followed")
    try:
        mode = (session_folder / file.path).lstat().st_mode
    except OSError as error:
        return _Finding(file.path, f"was declared but is not there ({error.strerror})")
    return None if stat.S_ISREG(mode) else _Finding(file.path, "is not a regular file")


def _difference(session_folder: Path, file: ManifestFile, digest_of: Callable[[Path], str]) -> _Finding | None:
    path = session_folder / file.path
    try:
        size = path.stat().st_size
        if size != file.bytes:
            return _Finding(file.path, f"has {size} bytes, declared {file.bytes}", file.bytes, size)
        digest = digest_of(path)
    except OSError as error:
        raise _error(Reason.FILE_MISSING, [_Finding(file.path, f"cannot be read ({error.strerror})")]) from None
    if digest != file.sha256:
        return _Finding(file.path, f"has SHA-256 {digest}, declared {file.sha256}", declared=file.sha256, found=digest)
    return None
