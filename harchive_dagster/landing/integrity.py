"""Whether an upload's files are the ones its manifest declares. Looks at bytes, not at what they mean."""

import hashlib
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from harchive_dagster.errors import LandingError
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


def verify_files(session_folder: Path, manifest: Manifest) -> None:
    """Prove that every declared file is there, is no link, and has the declared size and SHA-256.

    Content is read in pieces, so a recording of any length takes constant memory.

    Raises:
        LandingError: FILE_MISSING when any file is absent, a link or unreadable; else CHECKSUM_MISMATCH when any
            size or digest differs. `evidence["files"]` names each with what was declared and found.
    """
    missing = [f for file in manifest.files if (f := _missing(session_folder, file))]
    if missing:
        raise _error(Reason.FILE_MISSING, missing)
    # A file that holds several streams is declared several times, with the same digest, and read once.
    once = {file.path: file for file in manifest.files}
    different = [f for file in once.values() if (f := _difference(session_folder, file))]
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


def _missing(session_folder: Path, file: ManifestFile) -> _Finding | None:
    link = link_on_path(session_folder, file.path)
    if link is not None:
        return _Finding(file.path, f"is reached through the link {link!r}, which is not followed")
    try:
        mode = (session_folder / file.path).lstat().st_mode
    except OSError as error:
        return _Finding(file.path, f"was declared but is not there ({error.strerror})")
    return None if stat.S_ISREG(mode) else _Finding(file.path, "is not a regular file")


def _difference(session_folder: Path, file: ManifestFile) -> _Finding | None:
    path = session_folder / file.path
    try:
        size = path.stat().st_size
        if size != file.bytes:
            return _Finding(file.path, f"has {size} bytes, declared {file.bytes}", file.bytes, size)
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise _error(Reason.FILE_MISSING, [_Finding(file.path, f"cannot be read ({error.strerror})")]) from None
    if digest != file.sha256:
        return _Finding(file.path, f"has SHA-256 {digest}, declared {file.sha256}", declared=file.sha256, found=digest)
    return None
