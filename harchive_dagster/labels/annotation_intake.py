"""Files what annotators sent under the sessions that it labels, once it can be read. Reading: `annotation_files`."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harchive_dagster.errors import AnnotationFileError, LabelError, LakeError, SettingsError
from harchive_dagster.labels.annotation_files import is_label_file, read_annotations
from harchive_dagster.labels.class_mapping import class_mapping_beside
from harchive_dagster.labels.formats.documents import FileProblemError, read_annotation_file
from harchive_dagster.labels.formats.proxy import read_proxies, sessions_named_in
from harchive_dagster.labels.formats.registry import SUFFIXES

_NAME = re.compile(r"[^.\x00-\x1f/\\]{1,100}")
_MOST_NAME_BYTES = 200  # file systems take 255, of which drafts and class mappings need some


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
    require_session: Callable[[str], object],
    class_mapping: Path | None = None,
    is_replacing: bool = False,
) -> list[Filed]:
    """Check a file, and put it into the folder of every session that it labels; all of them, or none.

    Args:
        path: as the tool wrote it.
        annotations: the folder of all sessions' annotations.
        session_pseudonym: whose labels they are; None where the file names its videos.
        annotator: who drew it, where the format keeps no name; goes before the first dot of the file's name.
        require_session: raises LakeError for a pseudonym that no session has; its labels would wait for ever.
        class_mapping: by which the file's classes become our words; filed beside it. One that was filed before stays.
        is_replacing: another file of that name may be there, or another class mapping beside it.

    Raises:
        AnnotationFileError: it cannot be used, or not beside what was filed before; nothing was filed.
        SettingsError: the folder cannot be written to.
    """
    raw = _content(path)
    if not is_label_file(path.name):
        raise _refused(path, f"its name is none of a label file: they end in {', '.join(SUFFIXES)}")
    if annotator is not None and not _NAME.fullmatch(annotator):
        raise _refused(path, f"annotator {annotator!a} cannot be part of a file's name: no dots or slashes")
    named = sessions_named_in(f"{path.name} {raw.decode('utf-8', 'replace')}")
    sessions = {session_pseudonym} if session_pseudonym else named
    if not sessions:
        raise _refused(path, "it names no video of ours, so that its session must be given")
    try:
        for pseudonym in sorted(sessions):
            require_session(pseudonym)
    except LakeError as error:
        raise AnnotationFileError(
            f"{path.name!a} cannot be taken in. {error.culprit}",
            consequence="It was not filed.",
            mend="See that the id is right, and have a run take the recording in first.",
        ) from None
    name = path.name if annotator is None else f"{annotator}.{path.name}"
    if (length := len(os.fsencode(name))) > _MOST_NAME_BYTES:
        raise _refused(path, f"its name would have {length} bytes, at most {_MOST_NAME_BYTES} are taken")
    filings = [_Filing(annotations / session / name, path, class_mapping) for session in sorted(sessions)]
    try:
        return _all_filed(filings, is_replacing=is_replacing)
    except LabelError as error:
        raise AnnotationFileError(
            error.detail,
            consequence=f"{path.name!a} was not filed.",
            mend=f"{error.mend} A newer export takes an older one's place under the older one's name, with --replace.",
        ) from None
    except OSError as error:
        raise SettingsError(
            f"HARCHIVE_ANNOTATIONS cannot be written to: {error.strerror}.",
            consequence=f"{path.name!a} was not filed.",
            mend="Let it name a folder that you may write to, on a disk with space.",
        ) from None


def _all_filed(filings: "Sequence[_Filing]", *, is_replacing: bool) -> list[Filed]:
    for filing in filings:
        filing.require_free(is_replacing=is_replacing)
    counts = [filing.label_count() for filing in filings]
    return [filing.filed(count) for filing, count in zip(filings, counts, strict=True)]


class _Filing:
    """One session's copy of a file, and of the class mapping that it is read by."""

    def __init__(self, target: Path, path: Path, class_mapping: Path | None) -> None:
        self._target = target
        self._path = path
        # The mapping is put there first: a run that starts in between must not read classes without it.
        self._sources = {class_mapping_beside(target): class_mapping} if class_mapping else {}
        self._sources[target] = path

    def require_free(self, *, is_replacing: bool) -> None:
        for place, source in self._sources.items():
            if place.exists() and not is_replacing and place.read_bytes() != _content(source):
                raise _refused(
                    source, f"another file {place.name!a} was filed before; replace it, or name the annotator"
                )

    def label_count(self) -> int:
        folder = self._target.parent
        labels = read_annotations(
            folder.parent,
            session_pseudonym=folder.name,
            duration_ns=max((proxy.end_ns for proxy in read_proxies(folder)), default=None),
            instead=self._sources,
        )
        digest = read_annotation_file(self._path).sha256
        return sum(label.source_file_sha256 == digest for label in labels)

    def filed(self, label_count: int) -> Filed:
        is_new = [_put(_content(source), place) for place, source in self._sources.items()]
        return Filed(self._target, label_count, is_unchanged=not any(is_new))


def _content(path: Path) -> bytes:
    try:
        return read_annotation_file(path).raw
    except FileProblemError as error:
        raise _refused(path, str(error)) from None


def _put(raw: bytes, target: Path) -> bool:
    """Whether a file was not there as it is."""
    if target.is_file() and target.read_bytes() == raw:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_bytes(raw)
    draft.replace(target)
    return True


def _refused(path: Path, problem: str) -> AnnotationFileError:
    return AnnotationFileError(
        f"{path.name!a} cannot be taken in: {problem}.",
        consequence="It was not filed.",
        mend="Correct it, and import it again.",
    )
