"""UTC as clocks count it: nanoseconds since 1970, and which clocks do. What such a clock is worth is for `sync`."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FIRST_SET_NS = 978_307_200 * 10**9
"""2001: before it a clock counts from its device's start, or was never set and shows 1980 or 2000."""


def counts_from_1970(t_ns: int) -> bool:
    """Whether a time is UTC. Any other counts from the device's start and says nothing of the recording's."""
    return t_ns >= _FIRST_SET_NS


def utc_ns(moment: datetime) -> int:
    """Of an aware moment. Whole microseconds, as a float of seconds since 1970 is off by 200 ns."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def utc_moment(t_ns: int) -> datetime:
    """The inverse of `utc_ns`, down to the microsecond."""
    return _EPOCH + timedelta(microseconds=t_ns // 1000)
