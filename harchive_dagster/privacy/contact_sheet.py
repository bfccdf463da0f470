"""One picture with many small frames of a video, for a person who wants to see that nobody can be recognised.

Meant for anonymized videos: whatever the video shows, the sheet shows.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.recording.decoding import iterate_frames

_CAPTION_PX = 18
_TEXT_BGR = (235, 235, 235)
_OUTLINE_BGR = (60, 200, 255)


def contact_sheet(
    video: Path,
    frame_indices: Sequence[int],
    *,
    columns: int = 4,
    tile_width_px: int = 240,
    redactions: Sequence[Redaction] | None = None,
) -> bytes:
    """Tiles of the given frames, in the given order, each with its frame number below.

    Args:
        video: usually an anonymized video. Display rotation is not applied.
        frame_indices: frames in presentation order, from 0; at least one, repeats allowed.
        columns: tiles in a row.
        tile_width_px: width of a tile; its height follows from the picture.
        redactions: boxes to outline in the frames they belong to.

    Returns:
        A PNG file.

    Raises:
        SettingsError: no frame, column or width is asked for, or a frame that the video does not have.
        RecordingError: the video cannot be decoded up to the last frame asked for.
    """
    import cv2

    if not frame_indices or min(frame_indices) < 0 or columns < 1 or tile_width_px < 1:
        raise _unusable(f"frames {list(frame_indices)} in {columns} columns of {tile_width_px} px")
    by_frame: dict[int, list[Redaction]] = defaultdict(list)
    for redaction in redactions or ():
        by_frame[redaction.frame_index].append(redaction)
    wanted, last = set(frame_indices), max(frame_indices)
    tiles: dict[int, NDArray[np.uint8]] = {}
    for decoded in iterate_frames(video):
        if decoded.frame_index in wanted:
            picture = np.asarray(decoded.frame.to_ndarray(format="bgr24"), np.uint8)
            boxes = by_frame.get(decoded.frame_index, [])
            tiles[decoded.frame_index] = _tile(picture, decoded.frame_index, tile_width_px, boxes)
        if decoded.frame_index == last:
            break
    if missing := sorted(wanted - tiles.keys()):
        raise _unusable(f"{video.name!r} has no frame {missing[0]}")
    _, encoded = cv2.imencode(".png", _grid([tiles[index] for index in frame_indices], columns))
    return bytes(encoded)


def _tile(picture: NDArray[np.uint8], frame_index: int, width_px: int, boxes: Sequence[Redaction]) -> NDArray[np.uint8]:
    import cv2

    scale = width_px / picture.shape[1]
    height_px = max(1, round(picture.shape[0] * scale))
    tile = np.zeros((height_px + _CAPTION_PX, width_px, 3), np.uint8)
    tile[:height_px] = cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA)
    for box in boxes:
        corners = [(box.x, box.y), (box.x + box.w, box.y + box.h)]
        start, end = [(round(x * scale), round(y * scale)) for x, y in corners]
        cv2.rectangle(tile[:height_px], start, end, _OUTLINE_BGR, 1)
    cv2.putText(tile, f"{frame_index}", (4, height_px + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _TEXT_BGR, 1)
    return tile


def _grid(tiles: list[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    empty = np.zeros_like(tiles[0])
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    width = min(columns, len(tiles))
    return np.vstack([np.hstack([*row, *[empty] * (width - len(row))]) for row in rows])


def _unusable(what: str) -> SettingsError:
    return SettingsError(
        f"No contact sheet can be made: {what}.",
        consequence="Nothing was drawn.",
        mend="Ask for frames that the video has, in at least one column of at least one pixel.",
    )
