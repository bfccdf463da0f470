"""How many threads OpenCV takes while a recording is worked on. What it computes is the callers' business."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Sessions are worked on side by side, and small pictures are too little work to share: with two threads a look
    takes 3 % more processor time, and hiding half as much again.
    """
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
