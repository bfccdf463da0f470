"""Says every few seconds how far long work has come. Where it is said is the caller's choice."""

import time
from collections.abc import Callable

_EVERY_S = 10.0


def spoken_progress(
    say: Callable[[str], None], what: str, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[int, int], None]:
    """A callback for the frames done and of all that says so at most every ten seconds.

    Args:
        say: takes one line.
        what: its beginning, as "session ses-1: rendered".
        clock: seconds that only go forward.
    """
    said_at = clock()

    def report(done: int, total: int) -> None:
        nonlocal said_at
        if clock() - said_at >= _EVERY_S:
            said_at = clock()
            say(f"{what} {done} of {total} frames")

    return report
