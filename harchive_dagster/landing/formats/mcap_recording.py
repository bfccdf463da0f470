"""MCAP recordings: which topics are sensor streams, and one of them read. Records are `mcap_container`'s business.

A channel is a topic. What is read, by its messages:

- imu: sensor_msgs/Imu in CDR, or JSON;
- pose: geometry_msgs/PoseStamped and PoseArray in CDR, or JSON;
- tactile: std_msgs/Float32MultiArray in CDR (without a unit, so "raw"), or JSON;
- depth: pictures, see `mcap_pictures`;
- gps: sensor_msgs/NavSatFix in CDR, or JSON; the speed is that from one position to the next.

JSON layouts are in `json_messages`. Samples are in the order of their log times. Their time is the message's own stamp,
or else the publish time, or else the log time: the first that is set in every message and always increases. What was
passed over for that is in `dropped`, what was taken in `time_source`. Flat JSON messages have a time column, which is
their stamp, and no other time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harchive_dagster.landing.formats import json_messages, mcap_pictures, ros_messages
from harchive_dagster.landing.formats.mcap_container import Topic, batches_of, first_payloads, is_mcap, topics_of
from harchive_dagster.landing.formats.mcap_records import ContentError, words
from harchive_dagster.landing.formats.mcap_samples import joined, reading_of, with_record_times
from harchive_dagster.landing.formats.protocol import Channel, Reading, TimeSource, choose_channel, damaged, unreadable
from harchive_dagster.landing.formats.tabular_kinds import KINDS, ColumnError, check_width
from harchive_dagster.landing.manifest import StreamSpec


@dataclass(frozen=True)
class _Found:
    """A topic that is a stream. `first` is its first message, looked at where the schema does not tell the kind."""

    topic: Topic
    kind: str
    first: bytes = b""


class McapReader:
    """MCAP, https://mcap.dev."""

    name = "mcap"

    def probe(self, path: Path) -> tuple[Channel, ...]:
        """One channel per topic that is a stream; its rate is the number of its messages over the whole file's span.

        Reads the summary, and the first message of those topics whose schema's name does not tell their kind.
        """
        if not is_mcap(path):
            return ()
        try:
            return tuple(_channel(found) for found in _streams(path))
        except (ContentError, OSError, MemoryError) as error:
            raise damaged(path, words(error)) from None

    def read(self, path: Path, stream: StreamSpec, channel: str = "") -> Reading:
        """All messages of one topic."""
        if not path.is_file():
            raise unreadable(path, stream, "is not there")
        if not is_mcap(path):
            raise unreadable(path, stream, "does not begin as MCAP does")
        try:
            streams = {found.topic.name: found for found in _streams(path)}
            channels = tuple(_channel(found) for found in streams.values())
            chosen = choose_channel(path, stream, channel, channels)
            return _reading(path, streams[chosen.name], stream)
        except (ContentError, ColumnError, OSError, MemoryError) as error:
            raise unreadable(path, stream, words(error)) from None


def _channel(found: _Found) -> Channel:
    return Channel(found.topic.name, found.kind, found.topic.rate_hz)


def _streams(path: Path) -> Iterator[_Found]:
    topics = [topic for topic in topics_of(path) if topic.message_count != 0]
    unsure = [topic for topic in topics if topic.encoding == "json" or mcap_pictures.may_hold_depth(topic)]
    firsts = first_payloads(path, unsure)
    for topic in topics:
        first = firsts.get(topic.name, b"")
        kind = _kind_of(topic, first)
        if kind:
            yield _Found(topic, kind, first)


def _kind_of(topic: Topic, first: bytes) -> str | None:
    try:
        if mcap_pictures.may_hold_depth(topic):
            return "depth" if first and mcap_pictures.is_depth(mcap_pictures.picture_of(topic, first)) else None
        if topic.encoding == "json":
            return json_messages.kind_of(json_messages.parsed(first)) if first else None
    except ContentError:
        return None  # somebody's own messages on a topic of theirs do not spoil the other topics
    return ros_messages.kind_of(topic.schema_name) if topic.encoding == "cdr" else None


def _reading(path: Path, found: _Found, stream: StreamSpec) -> Reading:
    if found.topic.encoding == "json" and found.kind != "depth":
        first = json_messages.parsed(found.first)
        if json_messages.flat_kind_of(first):
            return _flat_reading(path, found, list(first), stream)
        decode = partial(json_messages.decode, found.kind, first)
    elif found.kind == "depth":
        decode = partial(mcap_pictures.depth_figures, found.topic)
    else:
        decode = partial(ros_messages.decode, found.topic.schema_name)
    parts = [with_record_times(decode(batch.payloads), batch) for batch in batches_of(path, found.topic)]
    if not parts:
        raise ContentError(f"has no messages on topic {found.topic.name[:80]!a}")
    return reading_of(joined(parts), stream)


def _flat_reading(path: Path, found: _Found, names: list[str], stream: StreamSpec) -> Reading:
    import pyarrow as pa

    check_width(len(names))
    tables = [json_messages.flat_table(found.kind, names, batch.payloads) for batch in batches_of(path, found.topic)]
    return Reading(KINDS[found.kind].build(pa.concat_tables(tables), stream), time_source=TimeSource.STAMP)


MCAP = McapReader()
