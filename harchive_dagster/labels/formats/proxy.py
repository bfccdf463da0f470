"""The video that annotators saw: when each of its frames is, and how frame numbers become nanoseconds and back.

Which number a tool gives to a frame (from 0 or 1, its end inside or outside) is for the tool's own module.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError
from harchive_dagster.labels.formats.documents import FileProblemError
from harchive_dagster.landing.fields import Fields, Findings, read_json_object

PROXY_SUFFIX = ".proxy.json"

_VERSION = 1
_MAX_BYTES = 64 * 2**20  # a day at 60 frames a second is 45 MB
_LONGEST_NS = 7 * 86_400 * 10**9
_PSEUDONYM = "s-[a-z2-7]{20}"
_VIDEO = re.compile(rf"({_PSEUDONYM})-([0-9a-f]{{16}})", re.ASCII)
_SAME_FPS = 2e-4
"""Relative. 29.97 and 30 are 1e-3 apart; 29.97 is written for 30000/1001, 1e-6 from it."""


def video_named_in(text: str) -> tuple[str, str] | None:
    """Session pseudonym and start of the digest where a text holds an anonymized video's name."""
    match = _VIDEO.search(text)
    return (match[1], match[2]) if match else None


def sessions_named_in(text: str) -> set[str]:
    """Pseudonyms of all sessions whose anonymized videos a text names."""
    return {match[1] for match in _VIDEO.finditer(text)}


def is_session_pseudonym(text: str) -> bool:
    """Whether a text has the form of a session's pseudonym."""
    return re.fullmatch(_PSEUDONYM, text, re.ASCII) is not None


@dataclass(frozen=True)
class Proxy:
    """An anonymized video's frame table.

    Attributes:
        session_pseudonym: whose video it is.
        sha256: of the video file.
        pts_ns: int64 [N], session time of each frame's start, strictly increasing from 0.
        end_ns: the last frame's end.
        width_px, height_px: of the picture.
    """

    session_pseudonym: str
    sha256: str
    pts_ns: NDArray[np.int64]
    end_ns: int
    width_px: int
    height_px: int

    @property
    def name(self) -> str:
        """The video's name without its suffix, as it is published."""
        return f"{self.session_pseudonym}-{self.sha256[:16]}"

    @property
    def frame_count(self) -> int:
        """N."""
        return len(self.pts_ns)

    @cached_property
    def boundaries_ns(self) -> NDArray[np.int64]:
        """int64 [N + 1]: every frame's start, and the end of the last."""
        return np.append(self.pts_ns, np.int64(self.end_ns))

    @cached_property
    def fps(self) -> float:
        """The nominal rate: exact to 1e-9 where it is constant, the mean where it varies."""
        steps = self.frame_count - 1
        return steps * 1e9 / float(self.pts_ns[-1]) if steps else 1e9 / self.end_ns

    @cached_property
    def table_digest(self) -> str:
        """Equal for two renderings of one recording: their frames are at the same times."""
        return hashlib.sha256(self.boundaries_ns.tobytes()).hexdigest()

    def frames(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """First frame of a span and the first one after it: the boundaries nearest to its ends, at least one frame."""
        first = min(self.nearest_boundary(start_ns), self.frame_count - 1)
        return first, max(self.nearest_boundary(end_ns), first + 1)

    def span_ns(self, first: int, after: int) -> tuple[int, int]:
        """When frames [first, after) are.

        Raises:
            FileProblemError: there are no such frames, or none at all between the two.
        """
        if not 0 <= first < after <= self.frame_count:
            raise FileProblemError(
                f"frames {first} to {after} (from 0, end exclusive) are not in the proxy, which has {self.frame_count} "
                f"at {self.fps:.6g} a second: drawn at another frame rate, or on another video"
            )
        return int(self.boundaries_ns[first]), int(self.boundaries_ns[after])

    def nearest_boundary(self, t_ns: float) -> int:
        """Number of the boundary nearest to a time; the earlier one of two."""
        after = int(np.searchsorted(self.boundaries_ns, t_ns))
        if after == 0:
            return 0
        if after > self.frame_count:
            return self.frame_count
        is_before_nearer = t_ns - self.boundaries_ns[after - 1] <= self.boundaries_ns[after] - t_ns
        return after - 1 if is_before_nearer else after

    def require_fps(self, fps: float, whose: str) -> None:
        """Refuse numbers that were counted at another rate.

        Raises:
            FileProblemError: the rates differ by more than rounding.
        """
        if not abs(fps - self.fps) <= _SAME_FPS * self.fps:
            raise FileProblemError(f"{whose} is {fps:.6g} frames a second, the proxy has {self.fps:.6g}")


def write_proxy(proxy: Proxy, folder: Path) -> Path:
    """Put a proxy's table into a folder, whole or not at all; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{proxy.name}{PROXY_SUFFIX}"
    document = {
        "version": _VERSION,
        "session_pseudonym": proxy.session_pseudonym,
        "video_sha256": proxy.sha256,
        "fps": proxy.fps,
        "width_px": proxy.width_px,
        "height_px": proxy.height_px,
        "end_ns": proxy.end_ns,
        "pts_ns": proxy.pts_ns.tolist(),
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(document), encoding="utf-8")
    draft.replace(path)
    return path


def read_proxy(path: Path) -> Proxy:
    """Read a proxy's table.

    Raises:
        SettingsError: it is damaged; nobody but an export writes these.
    """
    try:
        document, _ = read_json_object(path, max_bytes=_MAX_BYTES)
        return _proxy(document)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"The proxy {path.name!a} cannot be used: {error}.",
            consequence="Labels that count its frames cannot be read.",
            mend="Remove it, and export the session's job again.",
        ) from None


def read_proxies(folder: Path) -> list[Proxy]:
    """Every proxy in a session's folder, by name.

    Raises:
        SettingsError: one is damaged.
    """
    return [read_proxy(path) for path in sorted(folder.glob(f"*{PROXY_SUFFIX}")) if not path.name.startswith(".")]


def _proxy(document: dict[str, Any]) -> Proxy:
    findings = Findings()
    fields = Fields(document, findings)
    fields.integer("version", low=_VERSION, high=_VERSION)
    proxy = Proxy(
        session_pseudonym=fields.text("session_pseudonym", pattern=r"[a-z0-9-]{1,64}"),
        sha256=fields.text("video_sha256", pattern="[0-9a-f]{64}"),
        pts_ns=_times(document.get("pts_ns")),
        end_ns=fields.integer("end_ns", low=1, high=_LONGEST_NS),
        width_px=fields.integer("width_px", low=1, high=2**15),
        height_px=fields.integer("height_px", low=1, high=2**15),
    )
    if findings.problems:
        raise ValueError("; ".join(findings.problems))
    if proxy.pts_ns[0] != 0 or (np.diff(proxy.boundaries_ns) <= 0).any():
        raise ValueError("its frames do not follow each other from 0 on")
    return proxy


def _times(values: Any) -> NDArray[np.int64]:
    if not isinstance(values, list) or not values or not all(type(value) is int for value in values):
        raise ValueError("pts_ns must be a list of whole nanoseconds")
    if not 0 <= min(values) <= max(values) <= _LONGEST_NS:
        raise ValueError(f"pts_ns must lie within 0 and {_LONGEST_NS}")
    return np.array(values, dtype=np.int64)
