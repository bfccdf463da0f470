"""The streams that files hold, as a manifest's rig declares them: ids, places on the body, rates. No manifest here."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harchive_dagster.errors import SessionRejectedError
from harchive_dagster.landing.fields import is_identifier
from harchive_dagster.landing.formats.protocol import Channel
from harchive_dagster.landing.inspection import InspectedFile, measured_rate_hz
from harchive_dagster.landing.manifest import PLACEMENTS, StreamSpec


@dataclass(frozen=True)
class DraftedStream:
    """One stream, and where it is to be found."""

    file: InspectedFile
    channel: Channel
    spec: StreamSpec

    @property
    def entry(self) -> dict[str, Any]:
        """What the manifest's rig says of it."""
        return {name: value for name, value in asdict(self.spec).items() if value is not None}


def draft_streams(
    files: Sequence[InspectedFile],
    problems: list[str],
    *,
    placements: Sequence[str],
    without: Sequence[str],
    clocks: Sequence[str],
) -> list[DraftedStream]:
    """Name every stream and measure its rate; sorted by id.

    Args:
        files: what was found in them.
        problems: gets a sentence for everything that is wrong.
        placements: of the form stream=placement.
        without: ids of streams to leave out.
        clocks: of the form stream=clock; streams of the same clock are timed by the same hardware.
    """
    # A file that was refused may be the one that holds it.
    is_inertial_sought = not problems
    found = _named(files)
    worn_at = _by_stream("--placement", "placement", placements, problems)
    timed_by = _by_stream("--clock", "clock", clocks, problems)
    for stream_id in sorted({*worn_at, *timed_by, *without} - set(found)):
        names = ", ".join(sorted(found)) or "none"
        problems.append(f"there is no stream {stream_id!a}; the files hold {names}")
    drafted, nowhere = [], []
    for stream_id in sorted(set(found) - set(without)):
        file, channel = found[stream_id]
        # What is recorded inside the video's own file is worn where the camera is: on the cap.
        placement = worn_at.get(stream_id) or channel.placement or ("head" if file.video else "")
        if not placement:
            nowhere.append(stream_id)
            continue
        spec = StreamSpec(stream_id, placement, channel.kind, rate_hz=1.0, clock=timed_by.get(stream_id))
        try:
            rate_hz = measured_rate_hz(file, spec, channel)
        except SessionRejectedError as error:
            problems.append(error.detail.rstrip("."))
            continue
        # A manifest is read by people: a thousandth of a hertz is finer than any clock keeps.
        drafted.append(DraftedStream(file, channel, replace(spec, rate_hz=round(rate_hz, 3))))
    if nowhere:
        options = " ".join(f"--placement {stream_id}=…" for stream_id in nowhere)
        problems.append(
            f"where {', '.join(nowhere)} is worn is not known: add {options} ({', '.join(sorted(PLACEMENTS))})"
        )
    if is_inertial_sought and not any(found[name][1].kind == "imu" for name in set(found) - set(without)):
        problems.append("there is no inertial stream, and nothing else could put sensors on the camera's clock")
    problems += _doubles([stream.spec for stream in drafted])
    return drafted


def _doubles(specs: Sequence[StreamSpec]) -> Iterator[str]:
    """Which streams the manifest's own check will refuse, by the names that an option takes."""
    worn: dict[tuple[str, str], list[str]] = {}
    for spec in specs:
        if spec.kind == "gps":  # positions are not published, so nobody has to tell them apart
            continue
        worn.setdefault((spec.kind, spec.placement), []).append(spec.stream_id)
    for (kind, placement), names in worn.items():
        if len(names) > 1:
            yield f"{', '.join(names)} are {kind} at {placement!r}: leave some out by --without, or correct --placement"


def _named(files: Sequence[InspectedFile]) -> dict[str, tuple[InspectedFile, Channel]]:
    """Every stream under an id: its channel's name, with the file's where several have the same; else the file's."""
    entries = [(file, channel) for file in files for channel in file.channels]
    short = [_slug(channel.name or _stem(file)) for file, channel in entries]
    named: dict[str, tuple[InspectedFile, Channel]] = {}
    for name, (file, channel) in zip(short, entries, strict=True):
        if channel.name and short.count(name) > 1:
            name = _slug(f"{_stem(file)}_{channel.name}")
        elif not channel.name and len(file.channels) > 1:
            name = _slug(f"{_stem(file)}_{channel.kind}")
        first, number = name, 2
        while name in named:
            name, number = f"{first[:58]}_{number}", number + 1
        named[name] = (file, channel)
    return named


def _stem(file: InspectedFile) -> str:
    return Path(file.source.name).stem


def _slug(text: str) -> str:
    """The text as an identifier."""
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:64]
    return slug if is_identifier(slug) else f"stream_{slug}".rstrip("_")


def _by_stream(option: str, what: str, texts: Sequence[str], problems: list[str]) -> dict[str, str]:
    problems += [f"{option} {text!a} is not of the form stream={what}" for text in texts if "=" not in text]
    pairs = [text.partition("=") for text in texts]
    return {stream_id: value for stream_id, sign, value in pairs if sign}
