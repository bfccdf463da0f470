"""Writes the review page: one folder with `index.html`, the anonymized videos and small pictures of them.

What is on it is gathered in `gathering`. The page is whole without a server and without a network: its styles and its
script are in it, named by digest in its content security policy, so that nothing a label says can ever run.
"""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from harchive_dagster.delivery.publishing import publish_media
from harchive_dagster.errors import SettingsError
from harchive_dagster.review.gathering import DayView, SessionView
from harchive_dagster.review.lanes import Lane, Span, colours
from harchive_dagster.review.thumbnails import HEIGHT_PX, Thumbnail, thumbnails
from harchive_dagster.review.traces import HEIGHT, WIDTH

INDEX = "index.html"
MEDIA = "media"
"""The folder of videos and pictures, beside the page."""

_GENERATOR = "harchive review"
_COLOURS = 8
"""Of the style sheet; names written on the spans tell apart what shares one."""
_OURS = re.compile(r"\.?s-[a-z2-7]{20}-[0-9a-f]{16}(-\d+)?\.(mp4|jpg)(\.draft)?")
"""Names that only this module gives (and `media_uri`): what of them is stale, or a killed run left, may be removed."""
_HEAD_CHARACTERS = 1000


@dataclass(frozen=True)
class _Shown:
    """A session with what the template needs beside what was gathered."""

    view: SessionView
    pictures: tuple[tuple[str, Thumbnail], ...]
    listed: tuple[tuple[Lane, Span], ...]
    colours: Mapping[tuple[str, str], int]


def write_page(day: DayView, folder: Path) -> Path:
    """Write a worker-day's page, in place of an older one; the page comes last, when all it shows is there.

    Args:
        day: what is on it.
        folder: gets the page; created.

    Returns:
        The page.

    Raises:
        SettingsError: the folder holds another `index.html` or `media`, or cannot be written.
        LakeError: a video cannot be decoded.
    """
    try:
        _require_ours(folder)
        _write(day, folder)
    except OSError as error:
        raise SettingsError(
            f"{str(error.filename2 or error.filename or folder)!a} cannot be read or written: {error.strerror}.",
            consequence="What the folder of the page holds may be older than the tables.",
            mend="Mend that, or name another folder with --to.",
        ) from None
    return folder / INDEX


def _write(day: DayView, folder: Path) -> None:
    media = folder / MEDIA
    media.mkdir(parents=True, exist_ok=True)
    shown = [_shown(view, media) for view in day.sessions]
    publish_media({view.video_name: view.video for view in day.sessions}, media)
    _put(folder / INDEX, _rendered(day, shown).encode())
    kept = {view.video_name for view in day.sessions} | {name for one in shown for name, _ in one.pictures}
    for path in media.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in kept:
            path.unlink()


def _put(path: Path, content: bytes) -> None:
    """What has the name is replaced and not written into: it may be a link to something else."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.write_bytes(content)
    draft.replace(path)


def _require_ours(folder: Path) -> None:
    index, media = folder / INDEX, folder / MEDIA
    if os.path.lexists(index) and not _is_review_page(index):
        raise _not_ours(index, "no review page")
    # Behind a link could lie the lake's own media, which files are removed from below.
    if os.path.lexists(media) and (media.is_symlink() or not media.is_dir()):
        raise _not_ours(media, "no folder")


def _is_review_page(path: Path) -> bool:
    if not path.is_file():  # asked before opening: a pipe would be waited for without end
        return False
    with path.open(encoding="utf-8", errors="replace") as page:
        return f'content="{_GENERATOR}"' in page.read(_HEAD_CHARACTERS)


def _not_ours(path: Path, what: str) -> SettingsError:
    return SettingsError(
        f"{path} is there already, and is {what}.",
        consequence="Nothing was written: it would have been overwritten.",
        mend="Name another folder with --to.",
    )


def _shown(view: SessionView, media: Path) -> _Shown:
    pictures = []
    for number, thumbnail in enumerate(thumbnails(view.video, view.duration_ns)):
        name = f"{Path(view.video_name).stem}-{number}.jpg"
        _put(media / name, thumbnail.jpeg)
        pictures.append((name, thumbnail))
    labels = [(lane, span) for lane in view.lanes if lane.is_labels for span in lane.spans]
    labels.sort(key=lambda item: (item[1].start_ns, item[1].end_ns, item[0].name))
    return _Shown(view, tuple(pictures), tuple(labels), colours(view.lanes, _COLOURS))


def _rendered(day: DayView, shown: list[_Shown]) -> str:
    from jinja2 import Environment, StrictUndefined

    # Labels are whatever somebody typed into a tool: everything is escaped but what this module brings along.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"seconds": _seconds, "clock": _clock, "percent": _percent}
    style, script = _resource("page.css"), _resource("page.js")
    return environment.from_string(_resource("page.html")).render(
        day=day,
        sessions=shown,
        style=style,
        script=script,
        style_digest=_digest(style),
        script_digest=_digest(script),
        generator=_GENERATOR,
        media=MEDIA,
        picture_height_px=HEIGHT_PX,
        trace_width=WIDTH,
        trace_height=HEIGHT,
    )


def _resource(name: str) -> str:
    return files("harchive_dagster.review").joinpath(name).read_text("utf-8").strip()


def _digest(content: str) -> str:
    """As content security policies name what may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _seconds(t_ns: int) -> str:
    return f"{t_ns / 1e9:.3f}"


def _clock(t_ns: int) -> str:
    minutes, hundredths = divmod(round(t_ns / 1e7), 6000)
    hours = f"{minutes // 60}:{minutes % 60:02d}" if minutes >= 60 else f"{minutes}"
    return f"{hours}:{hundredths / 100:05.2f}"


def _percent(t_ns: int, duration_ns: int) -> str:
    """A place on the time line; five digits are finer than a pixel however far one zooms in."""
    return f"{t_ns / max(duration_ns, 1) * 100:.5f}%"
