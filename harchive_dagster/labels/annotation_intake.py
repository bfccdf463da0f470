"""Files what annotators sent under the sessions that it labels, once it can be read. Reading: `annotation_files`."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.annotation_files import read_annotations
from harchive_dagster.labels.formats.documents import FileProblemError, read_annotation_file
from harchive_dagster.labels.formats.proxy import read_proxies, sessions_named_in
from harchive_dagster.labels.formats.registry import SUFFIXES
from harchive_dagster.reasons import Reason

_NAME = re.compile(r"[^.\x00-\x1f/\\]{1,100}")


@dataclass(frozen=True)
class Filed:
    """Where a file went."""

    path: Path
    label_count: int
    is_unchanged: bool


def file_annotations(
    path: Path,
    annotations: Path,
    session_pseudonym: str | None,
    annotator: str | None,
    *,
    is_replacing: bool = False,
) -> list[Filed]:
    """Check a file, and put it into the folder of every session that it labels; all of them, or none.

    Args:
        path: as the tool wrote it.
        annotations: the folder of all sessions' annotations.
        session_pseudonym: whose labels they are; None where the file names its videos.
        annotator: who drew it, where the format keeps no name; goes before the first dot of the file's name.
        is_replacing: another file of that name may be there.

    Raises:
        LabelError: it cannot be used, or not beside what was filed before; nothing was filed.
    """
    try:
        raw = read_annotation_file(path).raw
    except FileProblemError as error:
        raise _refused(path, str(error)) from None
    if path.suffix.lower() not in SUFFIXES:
        raise _refused(path, f"its name ends in {path.suffix!a}, expected one of {', '.join(SUFFIXES)}")
    if annotator is not None and not _NAME.fullmatch(annotator):
        raise _refused(path, f"annotator {annotator!a} cannot be part of a file's name: no dots or slashes")
    named = sessions_named_in(f"{path.name} {raw.decode('utf-8', 'replace')}")
    sessions = {session_pseudonym} if session_pseudonym else named
    if not sessions:
        raise _refused(path, "it names no video of ours, so that its session must be given")
    name = path.name if annotator is None else f"{annotator}.{path.name}"
    targets = {session: annotations / session / name for session in sorted(sessions)}
    for target in targets.values():
        if target.exists() and not is_replacing and target.read_bytes() != raw:
            raise _refused(path, f"another file {target.name!a} was filed before; replace it, or name the annotator")
    counts = {session: _label_count(path, session, target) for session, target in targets.items()}
    return [_filed(raw, target, counts[session]) for session, target in targets.items()]


def _label_count(path: Path, session: str, target: Path) -> int:
    ends_ns = [proxy.end_ns for proxy in read_proxies(target.parent)]
    labels = read_annotations(
        target.parents[1],
        session_pseudonym=session,
        duration_ns=max(ends_ns, default=None),
        instead=(target, path),
    )
    digest = read_annotation_file(path).sha256
    return sum(label.source_file_sha256 == digest for label in labels)


def _filed(raw: bytes, target: Path, label_count: int) -> Filed:
    before = target.read_bytes() if target.is_file() else None
    if before != raw:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        draft.write_bytes(raw)
        draft.replace(target)
    return Filed(target, label_count, is_unchanged=before == raw)


def _refused(path: Path, problem: str) -> LabelError:
    return LabelError(
        Reason.ANNOTATION_INVALID,
        f"file {path.name!a} cannot be taken in: {problem}.",
        mend="Correct it, and import it again.",
        evidence={"problems": [problem]},
    )
