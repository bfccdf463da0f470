"""The ways to hide something. How each is carried out is in `redaction`."""

from enum import StrEnum


class Hiding(StrEnum):
    """What is put in the place of what is hidden."""

    MOSAIC = "mosaic"
    """A smooth surface through at most four cells, in an ellipse: the colours stay, and no edge draws the eye."""

    FILL = "fill"
    """Mid grey over the box around that ellipse: not even complexion and hair are left. A plain box on shoulders looks
    more like a face to detectors than the mosaic does (up to 0.51), so the audit may hold a session back for it."""
