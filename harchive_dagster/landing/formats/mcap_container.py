"""The topics of an MCAP file, and the messages of one of them in bounded batches. How records lie is in `mcap_records`.

What a message's bytes mean is in `ros_messages`, `json_messages` and `mcap_pictures`.
"""

import io
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.mcap_records import (
    FOOTER_BYTES,
    MAGIC,
    MAX_RECORD_BYTES,
    MESSAGE_HEAD,
    ContentError,
    Opcode,
    exactly,
    footer_of,
    framed,
    message_head,
    records_of,
)
from harchive_dagster.landing.formats.protocol import MAX_SAMPLES

if TYPE_CHECKING:
    from mcap.records import Channel, Schema

_BATCH_MESSAGES = 20_000
_BATCH_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Topic:
    """One topic, with everything that is published on it.

    Attributes:
        name: of the topic.
        encoding: of its messages (cdr, json, protobuf, ...).
        schema_name: such as sensor_msgs/msg/Imu; empty where it has no schema.
        channel_ids: several where several publishers share the topic.
        message_count: as the file's statistics say, or as counted; None where neither is known.
        rate_hz: messages over the whole file's span; None where that is not known.
    """

    name: str
    encoding: str
    schema_name: str
    channel_ids: frozenset[int]
    message_count: int | None = None
    rate_hz: float | None = None


@dataclass(frozen=True)
class Batch:
    """Some messages of one topic, in the file's order.

    Attributes:
        log_time_ns, publish_time_ns: uint64 [N], of the recorder's and the publisher's clock.
        payloads: N times the message itself.
    """

    log_time_ns: NDArray[np.uint64]
    publish_time_ns: NDArray[np.uint64]
    payloads: list[bytes]


def is_mcap(path: Path) -> bool:
    """Whether a file begins as MCAP does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def topics_of(path: Path) -> tuple[Topic, ...]:
    """All topics, sorted by name, from the summary; a file without one is walked through once.

    Topics whose publishers disagree about encoding or schema are left out: nothing could read them as one.

    Raises:
        ContentError: the file is cut off, or damaged where this looks.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        index = _summary(file) or _walked(file)
    by_name: dict[str, list[Channel]] = {}
    for channel in index.channels.values():
        if channel.schema_id and channel.schema_id not in index.schemas:
            raise ContentError(f"has topic {channel.topic[:80]!a} with schema {channel.schema_id}, which is missing")
        by_name.setdefault(channel.topic, []).append(channel)
    found = []
    for name, channels in sorted(by_name.items()):
        kinds = {(one.message_encoding, index.schema_name(one)) for one in channels}
        if len(kinds) == 1:
            encoding, schema_name = kinds.pop()
            ids = frozenset(channel.id for channel in channels)
            count = None if index.counts is None else sum(index.counts.get(one, 0) for one in ids)
            found.append(Topic(name, encoding, schema_name, ids, count, index.rate_hz(count)))
    return tuple(found)


def first_payloads(path: Path, topics: Collection[Topic]) -> dict[str, bytes]:
    """The first message of each topic that has any, by the topic's name; reads no further than it must.

    Raises:
        ContentError, OSError: as `topics_of`.
    """
    sought = {one: topic.name for topic in topics if topic.message_count != 0 for one in topic.channel_ids}
    missing = set(sought.values())
    found: dict[str, bytes] = {}
    if not missing:
        return found
    with path.open("rb") as file:
        for opcode, buffer, start, end in records_of(file):
            if opcode == Opcode.MESSAGE:
                name = sought.get(message_head(buffer, start, end)[0])
                if name in missing:
                    found[name] = buffer[start + MESSAGE_HEAD.size : end]
                    missing.remove(name)
                    if not missing:
                        break
    return found


def batches_of(path: Path, topic: Topic) -> Iterator[Batch]:
    """All messages of one topic, in the file's order, few enough at a time to be held in memory.

    Raises:
        ContentError: the file is damaged, its data do not fit its summary, or it has more than MAX_SAMPLES messages.
        OSError: it cannot be read.
    """
    log: list[int] = []
    publish: list[int] = []
    payloads: list[bytes] = []
    held_bytes = count = 0
    with path.open("rb") as file:
        for opcode, buffer, start, end in records_of(file):
            if opcode == Opcode.CHANNEL:
                _refuse_contradiction(_parsed("Channel", buffer[start:end]), topic)
            if opcode != Opcode.MESSAGE:
                continue
            channel_id, _, log_ns, publish_ns = message_head(buffer, start, end)
            if channel_id not in topic.channel_ids:
                continue
            log.append(log_ns)
            publish.append(publish_ns)
            payloads.append(buffer[start + MESSAGE_HEAD.size : end])
            held_bytes += end - start
            if len(log) >= _BATCH_MESSAGES or held_bytes >= _BATCH_BYTES:
                count += len(log)
                yield Batch(np.array(log, np.uint64), np.array(publish, np.uint64), payloads)
                log, publish, payloads, held_bytes = [], [], [], 0
                if count > MAX_SAMPLES:
                    raise ContentError(f"has more than {MAX_SAMPLES} messages on topic {topic.name[:80]!a}")
    count += len(log)
    if topic.message_count is not None and count != topic.message_count:
        raise ContentError(f"has {count} messages on topic {topic.name[:80]!a}, its summary says {topic.message_count}")
    if log:
        yield Batch(np.array(log, np.uint64), np.array(publish, np.uint64), payloads)


@dataclass
class _Index:
    channels: "dict[int, Channel]"
    schemas: "dict[int, Schema]"
    counts: dict[int, int] | None = None
    span_ns: int = 0

    def schema_name(self, channel: "Channel") -> str:
        return self.schemas[channel.schema_id].name if channel.schema_id else ""

    def rate_hz(self, count: int | None) -> float | None:
        return (count - 1) * 1e9 / self.span_ns if count and count > 1 and self.span_ns > 0 else None

    def take(self, opcode: int, body: bytes) -> None:
        if opcode == Opcode.SCHEMA:
            schema = _parsed("Schema", body)
            self.schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = _parsed("Channel", body)
            self.channels[channel.id] = channel
        elif opcode == Opcode.STATISTICS:
            statistics = _parsed("Statistics", body)
            if statistics.channel_message_counts or not statistics.message_count:  # else not counted by channel
                self.counts = statistics.channel_message_counts
            self.span_ns = statistics.message_end_time - statistics.message_start_time


def _summary(file: BinaryIO) -> _Index | None:
    """What the summary says; None where there is none, or it does not repeat the channels."""
    start, end, crc = footer_of(file)
    if start == 0:
        return None
    if not len(MAGIC) <= start <= end:
        raise ContentError(f"has its summary at byte {start} of {end}")
    if end - start > MAX_RECORD_BYTES:
        raise ContentError(f"has a summary of {end - start} bytes, at most {MAX_RECORD_BYTES} are read")
    file.seek(start)
    section = exactly(file, end + FOOTER_BYTES - start)
    if crc and zlib.crc32(section[:-4]) != crc:  # its last four bytes are the checksum itself
        raise ContentError("has a summary whose checksum is wrong")
    index = _Index({}, {})
    for opcode, body_start, body_end in framed(section[: end - start]):
        index.take(opcode, section[body_start:body_end])
    return index if index.channels else None


def _walked(file: BinaryIO) -> _Index:
    index = _Index({}, {}, counts={})
    counts: dict[int, int] = {}
    first_ns, last_ns = 2**64, 0
    for opcode, buffer, start, end in records_of(file):
        if opcode == Opcode.MESSAGE:
            channel_id, _, log_ns, _ = message_head(buffer, start, end)
            counts[channel_id] = counts.get(channel_id, 0) + 1
            first_ns, last_ns = min(first_ns, log_ns), max(last_ns, log_ns)
        else:
            index.take(opcode, buffer[start:end])
    index.counts, index.span_ns = counts, last_ns - first_ns
    return index


def _parsed(kind: str, body: bytes) -> Any:
    """A record of one of the classes in `mcap.records`."""
    from mcap import records
    from mcap.data_stream import ReadDataStream
    from mcap.exceptions import McapError

    try:
        return getattr(records, kind).read(ReadDataStream(io.BytesIO(body)))
    except (McapError, struct.error, UnicodeDecodeError):
        raise ContentError(f"has a {kind.lower()} record that cannot be read") from None


def _refuse_contradiction(channel: "Channel", topic: Topic) -> None:
    is_ours = channel.id in topic.channel_ids
    if is_ours != (channel.topic == topic.name) or (is_ours and channel.message_encoding != topic.encoding):
        raise ContentError(f"has a summary that does not fit its data: channel {channel.id} differs")
