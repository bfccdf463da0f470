"""GPMF's key-length-value bytes: items, devices, sensors, numbers. No containers, no times, no meaning of a key beyond
its place in the structure.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_MAX_PAYLOAD_BYTES = 4 * 2**20
"""A Fusion fills 24 kB a second. Bytes become Python objects one by one, so their number must have an end."""

_HEADER_BYTES = 8
_NESTED = "\0"
_END_KEY = b"\0\0\0\0"
_LONGEST_LAYOUT = 255
"""An item's size is one byte, so its TYPE cannot name more numbers than that."""

_NUMBERS: Mapping[str, str] = {
    "b": "i1", "B": "u1", "s": ">i2", "S": ">u2", "l": ">i4", "L": ">u4", "j": ">i8", "J": ">u8",
    "f": ">f4", "d": ">f8", "q": ">i4", "Q": ">i8",
}  # fmt: skip
"""GPMF's type characters, as NumPy says them; big-endian throughout."""

_FIXED_POINT: Mapping[str, float] = {"q": 2.0**16, "Q": 2.0**32}
"""Q15.16 and Q31.32: integers in the file, divided by these."""

_PROPERTIES = frozenset({
    "EMPT", "GPSA", "GPSF", "GPSP", "GPSU", "MTRX", "ORIN", "ORIO", "RMRK", "SCAL", "SIUN", "STMP", "STNM", "TICK",
    "TIMO", "TMPC", "TOCK", "TSMP", "TYPE", "UNIT", "VPTS",
})  # fmt: skip
"""Keys that describe samples and are none: a sensor that is switched off has nothing else."""

_COMPLEX_FIELD = re.compile(r"([A-Za-z])(?:\[(\d{1,3})\])?")


class GpmfError(ValueError):
    """Telemetry that is not what it must be; the message continues a sentence begun with the file's name."""


@dataclass(frozen=True, slots=True)
class Item:
    """One key-length-value item.

    Attributes:
        key: four characters.
        kind: GPMF's type character; NUL where the data are items themselves.
        size_bytes: of one repeat.
        repeat: how many there are.
        data: size_bytes * repeat bytes.
    """

    key: str
    kind: str
    size_bytes: int
    repeat: int
    data: bytes


@dataclass(frozen=True)
class Sensor:
    """What one payload says of one sensor: a STRM.

    Attributes:
        key: of the samples, such as GYRO.
        samples: items with that key; as a rule one.
        properties: the items that say how to read them; by key, the last wins.
    """

    key: str
    samples: tuple[Item, ...]
    properties: Mapping[str, Item] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many samples there are."""
        return sum(1 if item.kind == _NESTED else item.repeat for item in self.samples)


@dataclass(frozen=True)
class Device:
    """What one payload says of one device: a DEVC."""

    identifier: str
    sensors: tuple[Sensor, ...]


def items(level: bytes) -> Iterator[Item]:
    """The items of one level, in order; nested ones are not opened.

    Raises:
        GpmfError: an item claims more bytes than its level has.
    """
    at = 0
    while at + _HEADER_BYTES <= len(level):
        key = level[at : at + 4]
        if key == _END_KEY:  # writers fill a payload up with zeros
            return
        kind, size_bytes = chr(level[at + 4]), level[at + 5]
        repeat = int.from_bytes(level[at + 6 : at + 8], "big")
        start, length = at + _HEADER_BYTES, size_bytes * repeat
        if start + length > len(level):
            missing = start + length - len(level)
            raise GpmfError(f"has telemetry whose item {key!r} claims {missing} bytes more than there are")
        yield Item(key.decode("latin-1"), kind, size_bytes, repeat, level[start : start + length])
        at = start + -(-length // 4) * 4


def devices(payload: bytes) -> tuple[Device, ...]:
    """The devices of one payload. Depth is fixed (DEVC, STRM, samples), so nothing recurses.

    Raises:
        GpmfError: the structure is broken, or larger than any camera's.
    """
    if len(payload) > _MAX_PAYLOAD_BYTES:
        raise GpmfError(f"has a payload of {len(payload)} bytes, at most {_MAX_PAYLOAD_BYTES} are read")
    return tuple(_device(item) for item in items(payload) if item.key == "DEVC" and item.kind == _NESTED)


def numbers(item: Item, layout: str = "") -> NDArray[np.float64]:
    """An item's raw numbers, float64 [repeat, elements].

    Args:
        item: of one of the numeric types, or complex ("?").
        layout: what a TYPE property says of a complex item, such as "Lffff" or "f[8]L".

    Raises:
        GpmfError: no numbers, or a size that does not fit the type.
    """
    if item.kind == "?":
        return _complex_numbers(item, layout)
    code = _NUMBERS.get(item.kind)
    if code is None:
        raise GpmfError(f"has {item.key!a} of type {item.kind!a}, expected numbers")
    number = np.dtype(code)
    if not item.size_bytes or item.size_bytes % number.itemsize:
        raise GpmfError(f"has {item.key!a} of {item.size_bytes} bytes in type {item.kind!a}")
    columns = item.size_bytes // number.itemsize
    with np.errstate(invalid="ignore"):  # not-a-numbers of the kind that traps
        raw = np.frombuffer(item.data, number).reshape(item.repeat, columns).astype(np.float64)
    return raw / _FIXED_POINT.get(item.kind, 1.0)


def scaled(sensor: Sensor, columns: int) -> NDArray[np.float64]:
    """A sensor's samples in the units its SIUN names, float64 [count, columns]: raw numbers over SCAL.

    Raises:
        GpmfError: samples are of another size, or numbers, TYPE or SCAL cannot be used.
    """
    layout = text(sensor.properties["TYPE"]) if "TYPE" in sensor.properties else ""
    blocks = [numbers(item, layout) for item in sensor.samples if item.repeat]
    for block in blocks:
        if block.shape[1] != columns:
            raise GpmfError(f"has {sensor.key!a} samples of {block.shape[1]} numbers, expected {columns}")
    raw = np.concatenate([np.empty((0, columns)), *blocks])
    if "SCAL" not in sensor.properties:
        return raw
    scale = numbers(sensor.properties["SCAL"]).ravel()
    if len(scale) not in (1, columns):
        raise GpmfError(f"has {len(scale)} scales for {sensor.key!a} samples of {columns} numbers")
    if not (np.isfinite(scale) & (scale != 0)).all():
        raise GpmfError(f"has {sensor.key!a} with scale {scale.tolist()}")
    return raw / scale


def number(item: Item) -> float:
    """The single number of an item.

    Raises:
        GpmfError: it holds none, or one that is not finite.
    """
    found = numbers(item).ravel()
    if not len(found) or not np.isfinite(found[0]):
        raise GpmfError(f"has {item.key!a} without a value")
    return float(found[0])


def whole_number(item: Item) -> int:
    """The single unsigned integer of an item, exact up to 64 bits.

    Raises:
        GpmfError: it holds none.
    """
    code = _NUMBERS.get(item.kind) if item.kind in "BSLJ" else None
    size_bytes = np.dtype(code).itemsize if code else 0
    if not size_bytes or len(item.data) < size_bytes:
        raise GpmfError(f"has {item.key!a} of type {item.kind!a}, expected a whole number")
    return int.from_bytes(item.data[:size_bytes], "big")


def text(item: Item) -> str:
    """The text of an item, without what fills it up."""
    return item.data.decode("latin-1").rstrip("\0 ")


def _device(item: Item) -> Device:
    identifier, sensors = "", []
    for part in items(item.data):
        if part.key == "DVID":
            identifier = text(part)[:4] if part.kind in "cF" else str(int.from_bytes(part.data[:4], "big"))
        elif part.key == "STRM" and part.kind == _NESTED:
            sensor = _sensor(part)
            if sensor is not None:
                sensors.append(sensor)
    return Device(identifier, tuple(sensors))


def _sensor(item: Item) -> Sensor | None:
    """The last key is the samples' (GPMF's rule); None where a sensor has no samples at all."""
    parts = list(items(item.data))
    if not parts or parts[-1].key in _PROPERTIES:
        return None
    key = parts[-1].key
    properties = {part.key: part for part in parts if part.key in _PROPERTIES}
    return Sensor(key, tuple(part for part in parts if part.key == key), properties)


def _complex_numbers(item: Item, layout: str) -> NDArray[np.float64]:
    fields = _COMPLEX_FIELD.findall(layout[: _LONGEST_LAYOUT + 1])
    if (
        len(layout) > _LONGEST_LAYOUT
        or "".join(kind + (f"[{times}]" if times else "") for kind, times in fields) != layout
    ):
        raise GpmfError(f"has complex {item.key!a} with TYPE {layout[:40]!a}")
    kinds = [kind for kind, times in fields for _ in range(int(times or 1))]
    if not kinds or not set(kinds) <= set(_NUMBERS):
        raise GpmfError(f"has complex {item.key!a} with TYPE {layout[:40]!a}, expected numbers")
    row = np.dtype([(f"f{place}", _NUMBERS[kind]) for place, kind in enumerate(kinds)])
    if row.itemsize != item.size_bytes:
        raise GpmfError(f"has {item.key!a} of {item.size_bytes} bytes, its TYPE says {row.itemsize}")
    rows = np.frombuffer(item.data, row)
    return np.column_stack(
        [
            rows[name].astype(np.float64) / _FIXED_POINT.get(kind, 1.0)
            for name, kind in zip(row.names or (), kinds, strict=True)
        ]
    )
