"""The records of an MCAP file, out of its chunks and bounded in memory. What they say is for `mcap_container`.

Layout: the MCAP specification, https://mcap.dev/spec. The readers of the `mcap` package are not used, because they hand
a chunk's declared size to the decompressor unchecked, and load attachments whole.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from harchive_dagster.landing.formats.protocol import MAX_SAMPLES, MAX_UNPACKED_BYTES

MAGIC = b"\x89MCAP0\r\n"

MAX_RECORD_BYTES = 256 * 2**20
"""One chunk, unpacked, or one message. Writers fill chunks to about 1 MiB and then finish the message at hand; the
largest pictures are tens of MB."""

FOOTER_BYTES = 9 + 20
_HEAD = struct.Struct("<BQ")
MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQII")

# Sensor data packs to a half or a third; more than this is a file that was made to cost time. Time, not memory: chunks
# are unpacked one at a time, so that a large upload may unpack to a lot.
_MAX_UNPACKING_RATIO = 20
_MAX_RECORDS = 4 * MAX_SAMPLES  # of all topics together, in a file that may be full of empty records

_SKIP_BYTES = 2**20


class Opcode:
    """Record types."""

    FOOTER = 0x02
    SCHEMA = 0x03
    CHANNEL = 0x04
    MESSAGE = 0x05
    CHUNK = 0x06
    STATISTICS = 0x0B
    DATA_END = 0x0F


_DATA = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE)


class ContentError(ValueError):
    """Bytes that are not what they must be; the message continues a sentence begun with the file's name."""


def words(error: Exception) -> str:
    """An error's own words, without the path that operating-system errors add to them."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def footer_of(file: BinaryIO) -> tuple[int, int, int]:
    """Where the summary begins (0: nowhere) and ends, and its checksum (0: none). Refuses a file that was cut off."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(MAGIC) - FOOTER_BYTES))
    tail = file.read()
    if not tail.endswith(MAGIC) or size < 2 * len(MAGIC) + FOOTER_BYTES:
        raise ContentError("was cut off: it does not end as MCAP does, so its upload is not whole")
    if _HEAD.unpack_from(tail) != (Opcode.FOOTER, 20):
        raise ContentError("has no footer before its end")
    summary_start, _, crc = struct.unpack_from("<QQI", tail, _HEAD.size)
    return summary_start, size - len(tail), crc


def records_of(file: BinaryIO) -> Iterator[tuple[int, bytes, int, int]]:
    """Schemas, channels and messages of the data section, in order: opcode, buffer, and where in it the record lies.

    Raises:
        ContentError: the file is damaged, or made to cost more than it may.
        OSError: it cannot be read.
    """
    _, data_limit, _ = footer_of(file)
    unpacked = count = 0
    unpacked_limit = max(MAX_UNPACKED_BYTES, _MAX_UNPACKING_RATIO * data_limit)
    for opcode, body in _outer_records(file, data_limit):
        count += 1
        if opcode in _DATA:
            yield opcode, body, 0, len(body)
        elif opcode == Opcode.CHUNK:
            chunk = _unpacked(body)
            unpacked += len(chunk)
            if unpacked > unpacked_limit:
                raise ContentError(f"unpacks to more than {unpacked_limit} bytes")
            for opcode, start, end in framed(chunk):
                count += 1
                if opcode in _DATA:
                    yield opcode, chunk, start, end
        if count > _MAX_RECORDS:
            raise ContentError(f"has more than {_MAX_RECORDS} records")


def _outer_records(file: BinaryIO, data_limit: int) -> Iterator[tuple[int, bytes]]:
    """All records up to the end of the data, those without messages empty; checks the data's checksum."""
    file.seek(len(MAGIC))
    crc = zlib.crc32(MAGIC)
    while file.tell() + _HEAD.size <= data_limit:
        head = exactly(file, _HEAD.size)
        opcode, length = _HEAD.unpack(head)
        if length > data_limit - file.tell():
            raise ContentError(f"has a record of {length} bytes where {data_limit - file.tell()} are left")
        if opcode == Opcode.DATA_END:
            expected = int.from_bytes(exactly(file, min(length, 4)), "little")
            if expected not in (0, crc):
                raise ContentError("has data whose checksum is wrong")
            return
        crc = zlib.crc32(head, crc)
        if opcode not in _DATA and opcode != Opcode.CHUNK:
            crc = _skipped(file, length, crc)
            yield opcode, b""
            continue
        if length > MAX_RECORD_BYTES:
            raise ContentError(f"has a record of {length} bytes, at most {MAX_RECORD_BYTES} are read")
        body = exactly(file, length)
        crc = zlib.crc32(body, crc)
        yield opcode, body
    raise ContentError("has no end of its data")


def exactly(file: BinaryIO, length: int) -> bytes:
    """As many bytes as were asked for."""
    piece = file.read(length)
    if len(piece) < length:
        raise ContentError("became shorter while it was read")
    return piece


def _skipped(file: BinaryIO, length: int, crc: int) -> int:
    """Passes over attachments, metadata and indexes; gives the checksum up to their end."""
    while length > 0:
        piece = exactly(file, min(length, _SKIP_BYTES))
        crc = zlib.crc32(piece, crc)
        length -= len(piece)
    return crc


def framed(buffer: bytes) -> Iterator[tuple[int, int, int]]:
    """The records in a buffer: opcode, start and end of the body."""
    at, size = 0, len(buffer)
    while at < size:
        if at + _HEAD.size > size:
            raise ContentError("has a chunk or summary that ends inside a record")
        opcode, length = _HEAD.unpack_from(buffer, at)
        at += _HEAD.size
        if length > size - at:
            raise ContentError("has a chunk or summary that ends inside a record")
        yield opcode, at, at + length
        at += length


def _unpacked(body: bytes) -> bytes:
    """A chunk's records, exactly as many bytes as it claims."""
    import pyarrow as pa

    try:
        _, _, size, crc, name_length = _CHUNK_HEAD.unpack_from(body)
        at = _CHUNK_HEAD.size + name_length
        compression = body[_CHUNK_HEAD.size : at]
        (packed_length,) = struct.unpack_from("<Q", body, at)
    except struct.error:
        raise ContentError("has a chunk that is too short") from None
    packed = body[at + 8 : at + 8 + packed_length]
    if size > MAX_RECORD_BYTES:
        raise ContentError(f"has a chunk that claims to unpack to {size} bytes, at most {MAX_RECORD_BYTES} are read")
    if compression in (b"zstd", b"lz4"):
        try:
            with pa.CompressedInputStream(pa.BufferReader(packed), compression.decode()) as stream:
                packed = stream.read(size + 1)  # one more, to notice more than was claimed
        except (OSError, pa.ArrowException) as error:
            raise ContentError(f"has a chunk that cannot be unpacked: {str(error)[:100]!a}") from None
    elif compression:
        raise ContentError(f"is compressed with {compression[:40]!a}, known are lz4 and zstd")
    if len(packed) != size:
        raise ContentError(f"has a chunk that does not unpack to the {size} bytes that it claims")
    if crc and zlib.crc32(packed) != crc:
        raise ContentError("has a chunk whose checksum is wrong")
    return packed


def message_head(buffer: bytes, start: int, end: int) -> tuple[int, int, int, int]:
    """Channel, sequence number, log time and publish time."""
    if end - start < MESSAGE_HEAD.size:
        raise ContentError("has a message that is too short")
    head: tuple[int, int, int, int] = MESSAGE_HEAD.unpack_from(buffer, start)
    return head
