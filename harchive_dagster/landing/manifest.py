"""What an upload says about itself, read and checked at once. Whether the files are as declared is for `integrity`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path, PurePosixPath

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.fields import INT64_MAX, Fields, Findings, read_json_object
from harchive_dagster.landing.layout import MANIFEST_NAME, MAX_MANIFEST_BYTES
from harchive_dagster.landing.manifest_checks import contradictions, repeated
from harchive_dagster.reasons import Reason

ENVIRONMENTS = frozenset({"home", "kitchen", "workshop", "shop", "street", "field", "other"})
STREAM_KINDS = frozenset({"imu", "depth", "tactile", "gps", "audio", "pose"})
FILE_ROLES = frozenset({"video", "sensor", "calibration", "annotation"})
MARKER_KINDS = frozenset({"task_start", "task_end", "step", "mistake", "private_start", "private_end"})

# A closed list, because placements are published: free text could carry a serial number.
PLACEMENTS = frozenset(
    {"head", "chest", "waist", "back", "other"}
    | {f"{side}_{part}" for side in ("left", "right") for part in ("wrist", "hand", "arm", "ankle")}
)

_PRIVATE_KEYS = frozenset(
    {"site", "rig", "serial", "markers", "note"}
    | {"worker_attributes", "handedness", "height_cm", "age_band", "experience"}
)
"""What names a device or a place, was said, or is about a person, and whatever holds such things."""

_MANIFEST_VERSION = 1
_MAX_FILE_BYTES = 2**50  # a petabyte: no recording, and sums of many stay inside 64 bits
_MAX_RATE_HZ = 100_000.0  # above any audio or inertial stream
_MAX_READOUT_MS = 200.0  # a frame at 5 fps, the slowest that is taken
_MAX_NAME_BYTES = 255  # what file systems give a name, Linux' and most others
_SHOWN_PROBLEMS = 5
_KEPT_PROBLEMS = 200


@dataclass(frozen=True)
class Site:
    """Where a recording was made, no finer than a region."""

    country: str
    region: str | None
    environment: str


@dataclass(frozen=True)
class StreamSpec:
    """One sensor stream as the rig declares it.

    Streams that name the same `clock` are timed by the same hardware clock.
    """

    stream_id: str
    placement: str
    kind: str
    rate_hz: float
    clock: str | None = None


@dataclass(frozen=True)
class Rig:
    """The camera cap and the sensors worn with it.

    `readout_ms` is how long the camera's rolling shutter takes from the first row of a picture to its last.
    """

    model: str
    camera: str
    serial: str
    streams: tuple[StreamSpec, ...]
    readout_ms: float | None = None


@dataclass(frozen=True)
class ManifestFile:
    """One declared file; `path` is relative to the session's folder.

    A file that holds several streams, or a video with telemetry in it, is declared once for each; `channel` says
    which of its streams is meant, and is empty where there is only one to mean.
    """

    path: str
    role: str
    stream_id: str | None
    format: str
    bytes: int
    sha256: str
    channel: str = ""


@dataclass(frozen=True)
class Marker:
    """One press of the worker's button, in session time."""

    at_ns: int
    kind: str
    note: str | None = None


@dataclass(frozen=True)
class WorkerAttributes:
    """What the worker agreed to tell, for diversity figures; None where nothing was told."""

    handedness: str | None = None
    height_cm: float | None = None
    age_band: str | None = None
    experience: str | None = None


@dataclass(frozen=True)
class Manifest:
    """One upload's own description. `read_manifest` is the way to get a checked one.

    Attributes:
        started_at: aware; the device's wall clock at the first video frame.
        sha256: of the manifest file's bytes, hex.
    """

    session_id: str
    worker_id: str
    collected_on: date
    started_at: datetime
    consent_id: str
    task_id: str | None
    site: Site
    rig: Rig
    files: tuple[ManifestFile, ...]
    markers: tuple[Marker, ...]
    worker_attributes: WorkerAttributes
    sha256: str

    @property
    def video_file(self) -> ManifestFile:
        """The one video."""
        return next(file for file in self.files if file.role == "video")

    @property
    def sensor_files(self) -> tuple[ManifestFile, ...]:
        """The sensor files, in the manifest's order."""
        return tuple(file for file in self.files if file.role == "sensor")

    @property
    def lens_file(self) -> ManifestFile | None:
        """The camera's calibration; one that names a stream is that sensor's, and nothing reads those."""
        return next((file for file in self.files if file.role == "calibration" and not file.stream_id), None)

    @property
    def private_intervals_ns(self) -> tuple[tuple[int, int], ...]:
        """Time the worker wants cut: sorted half-open intervals in session time."""
        return marked_intervals_ns(self.markers, "private")

    @property
    def task_intervals_ns(self) -> tuple[tuple[int, int], ...]:
        """The worker's task spans: sorted half-open intervals in session time."""
        return marked_intervals_ns(self.markers, "task")

    def stream_of(self, file: ManifestFile) -> StreamSpec:
        """The rig's declaration of the stream that a sensor file carries."""
        return next(stream for stream in self.rig.streams if stream.stream_id == file.stream_id)

    def sharing_clock_with(self, stream_id: str, *, is_one_per_file: bool = True) -> tuple[str, ...]:
        """Ids of the other streams that the same hardware clock times as far as the manifest tells, sorted.

        Where both streams name a clock, the names decide; else streams in one file share one, unless files of that
        format may hold several clocks.
        """
        clocks = {stream.stream_id: stream.clock for stream in self.rig.streams}
        paths = {file.stream_id: file.path for file in self.sensor_files}

        def is_shared(other: str) -> bool:
            if clocks[stream_id] and clocks[other]:
                return clocks[stream_id] == clocks[other]
            return is_one_per_file and stream_id in paths and paths[stream_id] == paths.get(other)

        return tuple(sorted(other for other in clocks if other != stream_id and is_shared(other)))


def marked_intervals_ns(markers: Sequence[Marker], kind: str) -> tuple[tuple[int, int], ...]:
    """The half-open intervals between `<kind>_start` and `<kind>_end` markers.

    A start that is never closed lasts to the end of time: what may be private is private.
    """
    intervals: list[tuple[int, int]] = []
    opened_ns: int | None = None
    for marker in markers:
        if marker.kind == f"{kind}_start" and opened_ns is None:
            opened_ns = marker.at_ns
        elif marker.kind == f"{kind}_end" and opened_ns is not None:
            intervals.append((opened_ns, marker.at_ns))
            opened_ns = None
    if opened_ns is not None:
        intervals.append((opened_ns, INT64_MAX))
    return tuple(intervals)


def read_manifest(session_folder: Path) -> Manifest:
    """Read and check a session's manifest against itself and against the folders it lies in.

    Unknown keys are refused: a misspelt `markers` would lose the worker's private time without a trace.

    Args:
        session_folder: `<landing>/<YYYY-MM-DD>/<worker_id>/<session_id>`.

    Raises:
        LandingError: MANIFEST_INVALID, with everything that is wrong in `evidence["problems"]`.
    """
    folder = session_folder.absolute()
    try:
        document, sha256 = read_json_object(folder / MANIFEST_NAME, max_bytes=MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise _invalid(folder, [f"there is no {MANIFEST_NAME}: the upload is not whole yet"]) from None
    except ValueError as error:
        raise _invalid(folder, [str(error)]) from None
    findings = Findings()
    manifest = _parse(Fields(document, findings, private=_PRIVATE_KEYS), sha256)
    problems = [*findings.problems, *contradictions(manifest, folder)]
    if problems:
        raise _invalid(folder, problems)
    return manifest


def _invalid(folder: Path, problems: list[str]) -> LandingError:
    shown = "; ".join(problems[:_SHOWN_PROBLEMS])
    more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
    return LandingError(
        Reason.MANIFEST_INVALID,
        f"manifest of session {folder.name!a} has {len(problems)} problem(s): {shown}{more}.",
        mend="Correct the uploader, and upload the session again with its manifest last.",
        evidence={"problems": problems[:_KEPT_PROBLEMS], "count": len(problems)},
    )


def _parse(root: Fields, sha256: str) -> Manifest:
    root.integer("manifest_version", low=_MANIFEST_VERSION, high=_MANIFEST_VERSION)
    manifest = Manifest(
        session_id=root.identifier("session_id"),
        worker_id=root.identifier("worker_id"),
        collected_on=root.day("collected_on"),
        started_at=root.moment("started_at"),
        consent_id=root.identifier("consent_id"),
        task_id=root.optional("task_id", root.identifier),
        site=_site(root.mapping("site")),
        rig=_rig(root.mapping("rig")),
        files=tuple(_file(fields) for fields in root.mappings("files", min_count=1)),
        markers=tuple(_marker(fields) for fields in root.mappings("markers")),
        worker_attributes=root.optional("worker_attributes", lambda key: _attributes(root.mapping(key)))
        or WorkerAttributes(),
        sha256=sha256,
    )
    root.refuse_unknown()
    return manifest


def _site(fields: Fields) -> Site:
    site = Site(
        country=fields.text("country", pattern=r"[A-Z]{2}"),
        region=fields.optional("region", lambda key: fields.text(key, pattern=r"[A-Z]{2}-[A-Z0-9]{1,3}")),
        environment=fields.text("environment", choices=ENVIRONMENTS),
    )
    if site.region and site.country and not site.region.startswith(f"{site.country}-"):
        fields.note("region", f"is {site.region!r}, which is not in country {site.country!r}")
    fields.refuse_unknown()
    return site


def _rig(fields: Fields) -> Rig:
    rig = Rig(
        model=fields.text("model", max_length=200),
        camera=fields.text("camera", max_length=200),
        serial=fields.text("serial", max_length=200),
        streams=tuple(_stream(stream) for stream in fields.mappings("streams")),
        readout_ms=fields.optional("readout_ms", lambda key: fields.number(key, low=0.0, high=_MAX_READOUT_MS)),
    )
    for stream_id in repeated([stream.stream_id for stream in rig.streams]):
        fields.note("streams", f"declares stream {stream_id!r} more than once")
    fields.refuse_unknown()
    return rig


def _stream(fields: Fields) -> StreamSpec:
    stream = StreamSpec(
        stream_id=fields.identifier("stream_id"),
        placement=fields.text("placement", choices=PLACEMENTS),
        kind=fields.text("kind", choices=STREAM_KINDS),
        # The least positive rate: one sample in a quarter of an hour.
        rate_hz=fields.number("rate_hz", low=0.001, high=_MAX_RATE_HZ),
        clock=fields.optional("clock", fields.identifier),
    )
    fields.refuse_unknown()
    return stream


def _file(fields: Fields) -> ManifestFile:
    file = ManifestFile(
        path=_relative_path(fields),
        role=fields.text("role", choices=FILE_ROLES),
        stream_id=fields.optional("stream_id", fields.identifier),
        format=fields.text("format", pattern=r"[a-z0-9][a-z0-9_.-]{0,31}"),
        bytes=fields.integer("bytes", high=_MAX_FILE_BYTES),
        sha256=fields.text("sha256", pattern=r"[0-9a-f]{64}"),
        channel=fields.optional("channel", lambda key: fields.text(key, max_length=200)) or "",
    )
    if file.role == "sensor" and not fields.is_given("stream_id"):
        fields.note("stream_id", "is missing, a sensor file must name its stream")
    fields.refuse_unknown()
    return file


def _relative_path(fields: Fields) -> str:
    path = fields.text("path", max_length=500)
    if not path:
        return ""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        fields.note("path", f"is {path!r}, which leads out of the session's folder")
    elif pure.as_posix() != path or "\\" in path or any(ord(character) < 32 for character in path):
        fields.note("path", f"is {path!r}, expected a plain relative path with '/' between its parts")
    elif (longest := max((len(part.encode()) for part in pure.parts), default=0)) > _MAX_NAME_BYTES:
        fields.note("path", f"has a name of {longest} bytes, at most {_MAX_NAME_BYTES} can be stored")
    elif path in {MANIFEST_NAME, "."}:
        fields.note("path", f"is {path!r}, which cannot be one of the declared files")
    else:
        return path
    return ""


def _marker(fields: Fields) -> Marker:
    marker = Marker(
        at_ns=fields.integer("at_ns"),
        kind=fields.text("kind", choices=MARKER_KINDS),
        note=fields.optional("note", fields.text),
    )
    fields.refuse_unknown()
    return marker


def _attributes(fields: Fields) -> WorkerAttributes:
    attributes = WorkerAttributes(
        handedness=fields.optional(
            "handedness", lambda key: fields.text(key, choices={"left", "right", "ambidextrous"})
        ),
        height_cm=fields.optional("height_cm", lambda key: fields.number(key, low=50, high=260)),
        age_band=fields.optional("age_band", lambda key: fields.text(key, max_length=32)),
        experience=fields.optional("experience", lambda key: fields.text(key, max_length=200)),
    )
    fields.refuse_unknown()
    return attributes
