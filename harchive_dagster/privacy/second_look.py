"""Faces as large as the picture, which the usual look sees badly: they are looked for once more in a smaller picture.

Which model answers, and at which size the usual look asks it, is `centerface`'s business.
"""

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.centerface import HINT_SCORE, CenterFaceDetector
from harchive_dagster.privacy.detection import Box, Detector, intersection_over_union

_INPUT_PX = (320, 192)
"""A seventh of the usual look's cost. Of planted faces of 300 to 1600 px, cut off, hidden in part, dim, turned or
blurred, it finds more than 480x288."""

_LARGE_PX = 51.2
"""In the small picture, the longest side from which on a face is of ordinary size there: a sixth of a 16:9 picture, a
fifth of one of 4:3. With a sixth of every picture's longer side, 12 of 121 large weak finds of planted faces in
pictures of 4:3 and 1:1 became hints, ten of them smaller than this."""

_UNCONFIRMED_PX = 60.0
"""There, the longest side from which on a weak find is only a hint if nothing confirms it. Three weak finds of planted
faces went unconfirmed at 0.05, of 52 to 57 px; of 16 false ones one is smaller than this."""

_LEAST_LONG_PX = 960
"""Pictures narrower than the usual look's input are not enlarged for it, so that nothing is too large for it either."""

_SUSPECT_SCORE = 0.03
"""Large finds from here on ask for a second look. So do 352 of the 444 of these faces that only the second look covers,
and up to half of all looks; from 0.07 on it would be 215."""

_SURE_SCORE = 0.5
"""No second look for anything from here on. Nothing large that was nobody got above 0.43."""

_CONFIRMING_SCORE = 0.12
"""Of whatever the second look sees in the same place: as much for 271 of 280 large weak finds of planted faces, and for
one of 61 false ones. From 0.05 on it would be 279; but with that, and with 0.4 for sure, ten looks in a minute made one
picture on a wall a face that hid a fifth of the clip."""

_CLEAR_SCORE = 0.2
"""From here on a large face counts that only the second look sees, as in any other look. Of 574 planted ones that the
usual look missed it sees 184, from 0.3 on 171. Where nobody was, nothing large got above 0.13."""

_SAME_IOU = 0.6
"""Looser boxes of one face are both kept: where the looks disagree, the second one's is the better."""


@dataclass(frozen=True)
class SecondLook:
    """A face detector that looks again, at a smaller picture, where its first look has doubts about something large.

    A weak find that is larger still is only a hint if the second look sees nothing at all in its place. Of what the
    second look sees it adds what is large and clear.

    Attributes:
        usual: gives hints from `_SUSPECT_SCORE` on.
        smaller: gives boxes from `_CONFIRMING_SCORE` on.
        hint_score: weaker boxes of the usual look are not given away.
    """

    usual: Detector
    smaller: Detector
    hint_score: float = HINT_SCORE

    @classmethod
    def for_picture(cls, width_px: int, height_px: int) -> "SecondLook":
        """CenterFace for a video of this size, with hints, as `look` makes use of it."""
        width, height = _INPUT_PX
        return cls(
            CenterFaceDetector.for_picture(width_px, height_px, hint_score=_SUSPECT_SCORE),
            CenterFaceDetector(input_width_px=width, input_height_px=height, score_threshold=_CONFIRMING_SCORE),
        )

    @property
    def name(self) -> str:
        """Of the usual look's model."""
        return self.usual.name

    @property
    def version(self) -> str:
        """Of the weights, and that they were asked twice."""
        return f"{self.usual.version}+second-look"

    def detect(self, rgb: NDArray[np.uint8]) -> list[Box]:
        """Boxes in one RGB picture of shape [H, W, 3], best score first.

        Raises:
            SettingsError: the model gives no usable answer.
        """
        px = _px_of_small(*rgb.shape[:2])
        large_px, unconfirmed_px = _LARGE_PX * px, _UNCONFIRMED_PX * px
        found = self.usual.detect(rgb)
        seen: list[Box] = []
        if any(_is_doubtful(box, large_px) for box in found):
            seen = self.smaller.detect(rgb)
            found = [_unless_confirmed(box, seen) if _is_doubtful(box, unconfirmed_px) else box for box in found]
        sure = [box for box in found if not box.is_hint]
        added = (box for box in seen if box.score >= _CLEAR_SCORE and _is_large(box, large_px))
        told = chain(
            (box for box in found if box.score >= self.hint_score),
            (box for box in added if all(intersection_over_union(box, one) <= _SAME_IOU for one in sure)),
        )
        return sorted((replace(box, model_version=self.version) for box in told), key=lambda box: -box.score)


def _px_of_small(height_px: int, width_px: int) -> float:
    """Pixels of a picture of this size for one of the small picture."""
    input_long, input_short = _INPUT_PX
    short, long = sorted((height_px, width_px))
    return max(max(long, _LEAST_LONG_PX) / input_long, short / input_short)


def _is_large(box: Box, large_px: float) -> bool:
    return max(box.w, box.h) >= large_px


def _is_doubtful(box: Box, large_px: float) -> bool:
    return box.score < _SURE_SCORE and _is_large(box, large_px)


def _unless_confirmed(box: Box, seen: list[Box]) -> Box:
    """A hint where nothing was seen; hints stay what they are."""
    return box if any(intersection_over_union(box, one) > 0 for one in seen) else replace(box, is_hint=True)
