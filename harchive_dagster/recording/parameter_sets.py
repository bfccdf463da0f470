"""What H.264 parameter sets say about a stream, and the record that an MP4 keeps them in.

After ITU-T H.264 (7.3.2.1, 7.3.2.2, E.1) and ISO/IEC 14496-15 (5.3.3). No slice is read here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from harchive_dagster.recording.nal_units import OWN_LENGTH_SIZE

_HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244}
"""Those whose sequence sets tell the chroma format and depth; the others are 4:2:0 with 8 bits."""

_OTHER_SHAPE = 255
_MAX_CYCLE = 255
_MAX_BUFFERS = 32
_SEQUENCE_IDS = 32


@dataclass(frozen=True)
class SequenceSet:
    """The part of a sequence parameter set that decides whether its pictures may stand beside another encoder's.

    Attributes:
        set_id: pictures' sets refer to it by this.
        chroma_format: 1 for 4:2:0.
        bit_depth: the larger one of luma's and chroma's.
        is_progressive: every picture is a whole frame.
        reorder_depth: pictures that may be decoded before one that is shown earlier; None where it is not said.
    """

    set_id: int
    chroma_format: int
    bit_depth: int
    is_progressive: bool
    reorder_depth: int | None

    @classmethod
    def parse(cls, unit: bytes) -> Self:
        """Read one.

        Raises:
            ValueError: it is cut off or impossible.
        """
        profile, bits = unit[1] if len(unit) > 1 else 0, _Bits(unit[4:])
        set_id, chroma_format, depth = bits.exp_golomb(), 1, 8
        if profile in _HIGH_PROFILES:
            chroma_format, depth = _chroma(bits)
        bits.exp_golomb()  # frame number's length
        _skip_picture_order(bits)
        bits.exp_golomb()  # reference frames
        bits.read(1)  # gaps allowed
        bits.exp_golomb()  # width
        bits.exp_golomb()  # height
        is_progressive = bool(bits.read(1))
        bits.read(1 if is_progressive else 2)  # (adaptive fields,) direct inference
        if bits.read(1):  # cropping
            bits.skip_exp_golomb(4)
        return cls(set_id, chroma_format, depth, is_progressive, _reorder_depth(bits) if bits.read(1) else None)


def picture_set_ids(unit: bytes) -> tuple[int, int]:
    """Ids of a picture parameter set and of the sequence set it refers to.

    Raises:
        ValueError: it is cut off.
    """
    bits = _Bits(unit[1:])
    return bits.exp_golomb(), bits.exp_golomb()


@dataclass(frozen=True)
class AvcRecord:
    """The `avcC` record of a track.

    Attributes:
        length_size: bytes of the length before each unit.
        sequence_sets, picture_sets: the units.
    """

    length_size: int
    sequence_sets: tuple[bytes, ...]
    picture_sets: tuple[bytes, ...]

    @classmethod
    def parse(cls, record: bytes) -> Self:
        """Read one.

        Raises:
            ValueError: it is no such record, or cut off.
        """
        if len(record) < 7 or record[0] != 1:
            raise ValueError("no avcC record")
        position, lists = 5, []
        for mask in (0x1F, 0xFF):
            found = []
            count, position = record[position : position + 1], position + 1
            if not count:
                raise ValueError("avcC record is cut off")
            for _ in range(count[0] & mask):
                start = position + 2
                position = start + int.from_bytes(record[position:start])
                if position > len(record) or position == start:
                    raise ValueError("avcC record is cut off")
                found.append(record[start:position])
            lists.append(tuple(found))
        return cls(1 + (record[4] & 3), lists[0], lists[1])

    def joined_with(self, other: Self) -> Self:
        """These sets and another encoder's behind them."""
        return type(self)(
            self.length_size, self.sequence_sets + other.sequence_sets, self.picture_sets + other.picture_sets
        )

    @property
    def free_id(self) -> int | None:
        """The lowest id above 0 that no set has yet; None where they are used up."""
        taken = {SequenceSet.parse(unit).set_id for unit in self.sequence_sets}
        taken |= {picture_set_ids(unit)[0] for unit in self.picture_sets}
        return min(set(range(1, _SEQUENCE_IDS)) - taken, default=None)

    def written(self) -> bytes:
        """The record of units with lengths in four bytes, with the highest profile and level of its sets."""
        profile = max(unit[1] for unit in self.sequence_sets)
        level = max(unit[3] for unit in self.sequence_sets)
        constraints = 0xFF
        for unit in self.sequence_sets:
            constraints &= unit[2]
        head = bytes([1, profile, constraints, level, 0xFC | (OWN_LENGTH_SIZE - 1), 0xE0 | len(self.sequence_sets)])
        record = head + _listed(self.sequence_sets) + bytes([len(self.picture_sets)]) + _listed(self.picture_sets)
        if profile not in _HIGH_PROFILES:
            return record
        best = next(SequenceSet.parse(unit) for unit in self.sequence_sets if unit[1] == profile)
        depth = 0xF8 | (best.bit_depth - 8)
        return record + bytes([0xFC | best.chroma_format, depth, depth, 0])


def _listed(units: Iterable[bytes]) -> bytes:
    return b"".join(len(unit).to_bytes(2) + unit for unit in units)


class _Bits:
    """The bits of a unit without the bytes that keep start codes out of it."""

    def __init__(self, data: bytes) -> None:
        content = data.replace(b"\x00\x00\x03", b"\x00\x00")
        self._value = int.from_bytes(content)
        self._left = 8 * len(content)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("parameter set is cut off")
        return (self._value >> self._left) & ((1 << count) - 1)

    def exp_golomb(self) -> int:
        """An unsigned number; a signed one has as many bits."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

    def skip_exp_golomb(self, count: int) -> None:
        for _ in range(count):
            self.exp_golomb()

    def signed(self) -> int:
        number = self.exp_golomb()
        return (number + 1) // 2 if number % 2 else -(number // 2)


def _chroma(bits: _Bits) -> tuple[int, int]:
    chroma_format = bits.exp_golomb()
    if chroma_format == 3:
        bits.read(1)  # planes apart
    depth = 8 + max(bits.exp_golomb(), bits.exp_golomb())
    bits.read(1)  # lossless
    if bits.read(1):  # scaling lists
        for number in range(12 if chroma_format == 3 else 8):
            if bits.read(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)
    return chroma_format, depth


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _skip_picture_order(bits: _Bits) -> None:
    kind = bits.exp_golomb()
    if kind == 0:
        bits.exp_golomb()
    elif kind == 1:
        bits.read(1)
        bits.skip_exp_golomb(2)
        cycle = bits.exp_golomb()
        if cycle > _MAX_CYCLE:
            raise ValueError(f"parameter set has a picture order cycle of {cycle}")
        bits.skip_exp_golomb(cycle)


def _reorder_depth(bits: _Bits) -> int | None:
    _skip_looks(bits)
    if bits.read(1):  # chroma's place
        bits.skip_exp_golomb(2)
    if bits.read(1):  # timing
        bits.read(65)
    has_buffer_model = False
    for _ in range(2):
        if bits.read(1):
            _skip_buffer_model(bits)
            has_buffer_model = True
    if has_buffer_model:
        bits.read(1)  # low delay
    bits.read(1)  # picture structure is told
    if not bits.read(1):  # restrictions
        return None
    bits.read(1)
    bits.skip_exp_golomb(4)
    return bits.exp_golomb()


def _skip_looks(bits: _Bits) -> None:
    if bits.read(1) and bits.read(8) == _OTHER_SHAPE:
        bits.read(32)
    if bits.read(1):  # overscan
        bits.read(1)
    if bits.read(1):  # signal type
        bits.read(4)
        if bits.read(1):
            bits.read(24)


def _skip_buffer_model(bits: _Bits) -> None:
    count = 1 + bits.exp_golomb()
    if count > _MAX_BUFFERS:
        raise ValueError(f"parameter set has {count} buffer models")
    bits.read(8)
    for _ in range(count):
        bits.skip_exp_golomb(2)
        bits.read(1)
    bits.read(20)
