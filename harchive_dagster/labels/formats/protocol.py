"""What every annotation format offers, and what goes in and out of it. How a file is laid out is for its own module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from harchive_dagster.labels.class_mapping import ClassMapping
from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError
from harchive_dagster.labels.formats.proxy import Proxy, video_named_in

UNNAMED = "unnamed"
"""Who drew what neither a file nor its name ascribes to anybody."""


@dataclass(frozen=True)
class Box:
    """Where a thing is in one frame of the proxy; between two boxes it moves in a straight line.

    Attributes:
        frame_index: from 0.
        x_px, y_px, w_px, h_px: left, top, width and height in the proxy's pixels.
        is_visible: False from the first frame on in which the thing is no longer seen.
        rotation_deg: clockwise about the tool's own pivot.
    """

    frame_index: int
    x_px: float
    y_px: float
    w_px: float
    h_px: float
    is_visible: bool = True
    rotation_deg: float = 0.0


@dataclass(frozen=True)
class Drawn:
    """One label as a file has it, words as written.

    Attributes:
        annotation_id: the tool's; unique for an annotator.
        annotator: the name in the file, to be pseudonymised; empty for what nobody drew, our proposals.
        start_ns, end_ns: half-open, session time.
        verb, noun, text: empty where not given.
        verb_meant, noun_meant: our word, where a class in the file stands for it; else empty: the taxonomy decides.
        resolution_ns: how far the format's own rounding may have moved an end.
        proxy: whose frame table the times were converted with; None where the format holds times.
        place: where in the file it stands, for messages.
    """

    annotation_id: str
    annotator: str
    layer: str
    start_ns: int
    end_ns: int
    verb: str = ""
    noun: str = ""
    text: str = ""
    verb_meant: str = ""
    noun_meant: str = ""
    tool: str = ""
    tool_version: str = ""
    created_at_utc: datetime | None = None
    boxes: tuple[Box, ...] = ()
    resolution_ns: int = 0
    proxy: Proxy | None = None
    place: str = ""


@dataclass(frozen=True)
class Source:
    """What a reader is told about where a file lies.

    Attributes:
        session_pseudonym: whose labels are wanted; those of others are passed over.
        proxies: those that jobs of this session were exported with.
        annotator: who drew what a format keeps no name for: the file's name up to the first dot.
        classes: which words of ours the classes of the file stand for, if somebody said so.
    """

    session_pseudonym: str
    proxies: Sequence[Proxy] = ()
    annotator: str = ""
    classes: ClassMapping | None = None

    def proxy_named(self, *texts: str) -> Proxy | None:
        """The proxy that a file names by its video, else the only one; None where no job was exported.

        Raises:
            FileProblemError: it names a video that is no proxy of this session, or does not tell which of several.
        """
        named = next(filter(None, map(video_named_in, texts)), None)
        if named is not None:
            pseudonym, digest = named
            self.require_own(pseudonym)
            found = next((proxy for proxy in self.proxies if proxy.sha256.startswith(digest)), None)
            if found is None:
                known = ", ".join(proxy.sha256[:16] for proxy in self.proxies) or "none"
                raise FileProblemError(
                    f"it was drawn on the video with digest {digest}…, the proxies known are {known}"
                )
            return found
        if len({proxy.table_digest for proxy in self.proxies}) > 1:
            raise FileProblemError("it does not name its video, and jobs with different frame times were exported")
        return self.proxies[0] if self.proxies else None

    def require_own(self, pseudonym: str) -> None:
        """Refuse what was drawn on the video of another session.

        Raises:
            FileProblemError: it was.
        """
        if pseudonym != self.session_pseudonym:
            raise FileProblemError(f"it labels {pseudonym!a}, another session")

    def frames_of(self, *texts: str) -> Proxy:
        """The proxy whose frames a file counts.

        Raises:
            FileProblemError: as `proxy_named`, or there is none: frame numbers mean nothing then.
        """
        proxy = self.proxy_named(*texts)
        if proxy is None:
            raise FileProblemError(
                "it counts frames, and no proxy says when they are: no job of this session was exported"
            )
        return proxy


@dataclass(frozen=True)
class Reading:
    """What a file gave: its labels, and everything that is wrong with some of them, each with its place."""

    labels: tuple[Drawn, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One session to be annotated.

    Attributes:
        proxy: of the anonymized video; has the session's pseudonym, the only name that annotators see.
        video_uri: where the tool finds that video.
        instruction: of the task, in English; empty for a recording without one.
        labels: drawn before, or proposed; the latter without annotator.
        verbs, nouns: the taxonomy's words.
        made_at: goes into formats that need a date.
        classes: whose numbers to write where a format has numbers; ours if None.
    """

    proxy: Proxy
    video_uri: str
    instruction: str
    labels: tuple[Drawn, ...]
    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    made_at: datetime
    classes: ClassMapping | None = None

    @property
    def name(self) -> str:
        """Session and start of the video's digest: what readers recognise the video by."""
        return self.proxy.name

    @property
    def offered_verbs(self) -> tuple[str, ...]:
        """The taxonomy's verbs, then those that labels have beside them."""
        return tuple(dict.fromkeys([*self.verbs, *sorted(label.verb for label in self.labels if label.verb)]))

    @property
    def offered_nouns(self) -> tuple[str, ...]:
        """The taxonomy's nouns, then those that labels have beside them."""
        return tuple(dict.fromkeys([*self.nouns, *sorted(label.noun for label in self.labels if label.noun)]))


class AnnotationFormat(Protocol):
    """One file format. Which one a file has is told by its content, never by its name."""

    @property
    def name(self) -> str:
        """What `--tool` says."""
        ...

    def is_mine(self, file: AnnotationFile) -> bool:
        """Whether a file is of this format. Looks at its outermost shape only.

        Raises:
            FileProblemError: it cannot be parsed at all.
        """
        ...

    def read(self, file: AnnotationFile, source: Source) -> Reading:
        """The labels of one session in a file.

        Raises:
            FileProblemError: the file as a whole cannot be used. Nothing else, whatever the bytes are.
        """
        ...

    def write(self, job: Job) -> Mapping[str, bytes]:
        """The files of a job that is ready to be imported, by name."""
        ...
