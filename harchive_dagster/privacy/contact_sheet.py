"""The riskiest moments of an anonymized video side by side, for a person who wants to see that nobody is recognisable.

Collecting and drawing only; what is risky is said by who adds a moment. Whatever the video shows, the sheet shows.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.audit_plan import Area
from harchive_dagster.privacy.detection import Rectangle

_MOMENTS = 24
_COLUMNS = 6
_TILE_PX = 240
_CAPTION_PX = 18
_TEXT_BGR = (235, 235, 235)
_OUTLINE_BGR = (60, 200, 255)


@dataclass(frozen=True, eq=False)
class Moment:
    """One tile.

    Attributes:
        frame_index: of the rendered file.
        why: what it is shown for.
        risk: the higher, the earlier it stands.
        tile: BGR, uint8 [240, 240, 3].
    """

    frame_index: int
    why: str
    risk: float
    tile: NDArray[np.uint8]


@dataclass
class RiskiestMoments:
    """The 24 riskiest moments that are added: memory stays bounded. Of moments about the same thing (see `about`)
    one is kept, so that a lamp that is suspected for an hour takes one tile.
    """

    _by_thing: dict[str, Moment] = field(default_factory=dict)

    def is_wanted(self, about: str, risk: float) -> bool:
        """Whether a moment would be kept; cutting a tile out costs more than asking."""
        if about in self._by_thing:
            return risk > self._by_thing[about].risk
        return len(self._by_thing) < _MOMENTS or risk > self._least().risk

    def add(
        self,
        frame_index: int,
        why: str,
        risk: float,
        rgb: NDArray[np.uint8],
        at: Rectangle | None,
        *,
        is_hit: bool,
        about: str | None = None,
    ) -> None:
        """Keep what surrounds a place in a picture (or all of it), if it is risky enough; a hit is outlined.

        Moments are about the same thing if they say so, or are shown for the same reason.
        """
        about = about or why
        if not self.is_wanted(about, risk):
            return
        if about not in self._by_thing and len(self._by_thing) == _MOMENTS:
            least = self._least()
            self._by_thing = {thing: moment for thing, moment in self._by_thing.items() if moment is not least}
        self._by_thing[about] = Moment(frame_index, why, risk, _tile(rgb, at, is_hit=is_hit))

    def in_order(self) -> list[Moment]:
        """Riskiest first."""
        return sorted(self._by_thing.values(), key=lambda one: (-one.risk, one.frame_index, one.why))

    def _least(self) -> Moment:
        return self.in_order()[-1]


def contact_sheet(moments: RiskiestMoments, *, most: int = _MOMENTS) -> bytes:
    """A PNG file of the moments, each with its frame number and reason below; a black tile where there are none."""
    import cv2

    tiles = [_captioned(moment) for moment in moments.in_order()[:most]]
    tiles = tiles or [np.zeros((_TILE_PX + _CAPTION_PX, _TILE_PX, 3), np.uint8)]
    columns = min(_COLUMNS, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    _, encoded = cv2.imencode(".png", np.vstack(rows))
    return bytes(encoded)


def _tile(rgb: NDArray[np.uint8], at: Rectangle | None, *, is_hit: bool) -> NDArray[np.uint8]:
    import cv2

    height_px, width_px = rgb.shape[:2]
    area = Area(0, 0, width_px, height_px) if at is None else Area.around(at, width_px, height_px)
    scale = _TILE_PX / max(area.x1 - area.x0, area.y1 - area.y0)
    size = (max(1, round((area.x1 - area.x0) * scale)), max(1, round((area.y1 - area.y0) * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(rgb[area.y0 : area.y1, area.x0 : area.x1], size, interpolation=how)[..., ::-1].copy()
    if at is not None and is_hit:
        corners = [(at.x, at.y), (at.x + at.w, at.y + at.h)]
        start, end = [(round((x - area.x0) * scale), round((y - area.y0) * scale)) for x, y in corners]
        cv2.rectangle(small, start, end, _OUTLINE_BGR, 1)
    tile = np.zeros((_TILE_PX, _TILE_PX, 3), np.uint8)
    tile[: size[1], : size[0]] = small
    return tile


def _captioned(moment: Moment) -> NDArray[np.uint8]:
    import cv2

    strip = np.zeros((_CAPTION_PX, _TILE_PX, 3), np.uint8)
    words = f"{moment.frame_index}: {moment.why}"
    cv2.putText(strip, words, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _TEXT_BGR, 1)
    return np.vstack([moment.tile, strip])
