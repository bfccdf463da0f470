"""The units that an H.264 packet consists of (ITU-T H.264, 7.3.1 and Annex B; ISO/IEC 14496-15, 5.3.3).

What parameter sets say is for `parameter_sets` to read; no picture is decoded here.
"""

from collections.abc import Iterator, Sequence

IDR_SLICE = 5
SEQUENCE_PARAMETERS = 7
PICTURE_PARAMETERS = 8

_CODED_SLICES = range(1, 6)
_TYPE_BITS = 0x1F

OWN_LENGTH_SIZE = 4
"""Bytes before each unit that `joined` writes: what every encoder writes, and large enough for any picture."""

_START_CODE = b"\x00\x00\x01"


def unit_type(unit: bytes) -> int:
    """What a unit holds: 1 to 5 coded slices, 6 messages, 7 and 8 parameter sets, 9 a delimiter, ..."""
    return unit[0] & _TYPE_BITS


def units(payload: bytes, length_size: int) -> Iterator[bytes]:
    """The units of one length-prefixed packet (AVCC, as MP4 and Matroska have it), in order.

    Args:
        payload: of the packet.
        length_size: bytes of each length, 1 to 4; the avcC record says it.

    Raises:
        ValueError: a length does not fit into the packet, or a unit is empty.
    """
    position = 0
    while position < len(payload):
        start = position + length_size
        stop = start + int.from_bytes(payload[position:start])
        if stop > len(payload) or stop <= start:
            raise ValueError(f"the unit at byte {position} of {len(payload)} ends at byte {stop}")
        yield payload[start:stop]
        position = stop


def slices(payload: bytes, length_size: int) -> list[bytes]:
    """The coded slices (types 1 to 5) of one length-prefixed packet, and nothing else of it.

    Two packets with equal slices decode to equal pictures under equal parameter sets and after equal pictures.

    Args:
        payload: of the packet.
        length_size: bytes of each length, 1 to 4.

    Raises:
        ValueError: a length does not fit into the packet, or a unit is empty.
    """
    return [unit for unit in units(payload, length_size) if unit_type(unit) in _CODED_SLICES]


def units_of_stream(data: bytes) -> list[bytes]:
    """The units between start codes (Annex B), as encoders hand them out."""
    # No unit ends with a zero byte: one before a start code belongs to that.
    return [unit for part in data.split(_START_CODE)[1:] if (unit := part.rstrip(b"\x00"))]


def joined(parts: Sequence[bytes]) -> bytes:
    """One packet of these units, each after its length in four bytes."""
    return b"".join(len(part).to_bytes(OWN_LENGTH_SIZE) + part for part in parts)
