"""ROS 2 messages in CDR, as arrays: whole batches at once. Pictures are in `mcap_pictures`.

The standard messages are laid out as ROS 2 defines them, whatever schema the file carries: a decoder that follows a
schema can be made to run for ever by one of nested fixed-size arrays. Layout: OMG Common Data Representation (plain
CDR, version 1), where a value is aligned to its own size, counted from behind the four bytes of encapsulation.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.mcap_records import ContentError
from harchive_dagster.landing.formats.mcap_samples import STAMP, Samples, nanoseconds

_FRAME_ID_AT = 16  # 4 bytes of encapsulation, a stamp of 8, the length of frame_id in 4
_MAX_PADDING = 3  # some middleware fills a message up to a multiple of 4

_HEADER = """
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
"""

DEFINITIONS: Mapping[str, str] = {
    "std_msgs/Float32MultiArray": """std_msgs/MultiArrayLayout layout
float32[] data
================================================================================
MSG: std_msgs/MultiArrayLayout
std_msgs/MultiArrayDimension[] dim
uint32 data_offset
================================================================================
MSG: std_msgs/MultiArrayDimension
string label
uint32 size
uint32 stride
""",
    "sensor_msgs/Image": f"""std_msgs/Header header
uint32 height
uint32 width
string encoding
uint8 is_bigendian
uint32 step
uint8[] data{_HEADER}""",
    "sensor_msgs/CompressedImage": f"""std_msgs/Header header
string format
uint8[] data{_HEADER}""",
    "foxglove_msgs/CompressedImage": """builtin_interfaces/Time timestamp
string frame_id
uint8[] data
string format
""",
    "foxglove_msgs/CompressedVideo": """builtin_interfaces/Time timestamp
string frame_id
uint8[] data
string format
""",
}
"""Messages whose layout is not fixed, as `decoded` takes them: https://github.com/ros2/common_interfaces and
https://docs.foxglove.dev/docs/sdk/schemas."""


def plain_name(schema_name: str) -> str:
    """package/Type, without the `msg` in between that ROS 2 adds."""
    return schema_name.replace("/msg/", "/", 1)


@cache
def _decoder(name: str) -> Callable[[bytes], Any]:
    from mcap.records import Schema
    from mcap_ros2.decoder import DecoderFactory

    schema = Schema(id=1, name=name, encoding="ros2msg", data=DEFINITIONS[name].encode())
    decoder = DecoderFactory().decoder_for("cdr", schema)
    assert decoder is not None, name
    return decoder


def decoded(name: str, payload: bytes) -> Any:
    """One message of `DEFINITIONS` as an object with its fields.

    Raises:
        ContentError: it is not laid out so.
    """
    if payload[:1] != b"\0" or payload[1:2] not in (b"\0", b"\1"):
        raise _unknown_representation(payload[:2])
    try:
        return _decoder(name)(payload)
    except (struct.error, UnicodeDecodeError, ValueError, IndexError):
        raise _not_laid_out(name, len(payload)) from None


@dataclass(frozen=True)
class _Group:
    """Messages of one length, byte order and length of frame_id, so that every field is at the same place."""

    name: str
    index: NDArray[np.int64]
    rows: NDArray[np.uint8]
    order: str
    body_at: int

    def values(self, at: int, dtype: str, count: int) -> NDArray[Any]:
        """[messages, count] of the values at a byte."""
        if at + count * np.dtype(dtype).itemsize > self.rows.shape[1]:
            raise _not_laid_out(self.name, self.rows.shape[1])
        piece = np.ascontiguousarray(self.rows[:, at : at + count * np.dtype(dtype).itemsize])
        return piece.view(self.order + dtype).astype(np.dtype(dtype).newbyteorder("="))

    def stamp_ns(self) -> NDArray[np.int64]:
        return nanoseconds(self.values(4, "i4", 1)[:, 0], self.values(8, "u4", 1)[:, 0])

    def require_end(self, at: int) -> None:
        """Refuse messages that do not end here, but for padding."""
        if not 0 <= self.rows.shape[1] - at <= _MAX_PADDING:
            raise _not_laid_out(self.name, self.rows.shape[1])


def aligned(at: int, size: int) -> int:
    """Where a value of `size` bytes lies that comes next after byte `at`."""
    return at + (4 - at) % size


def _groups(name: str, payloads: Sequence[bytes]) -> Iterator[_Group]:
    lengths = np.fromiter(map(len, payloads), dtype=np.int64, count=len(payloads))
    for length in np.unique(lengths):
        if length < _FRAME_ID_AT:
            raise _not_laid_out(name, int(length))
        index = np.flatnonzero(lengths == length)
        rows = np.frombuffer(b"".join([payloads[i] for i in index.tolist()]), dtype=np.uint8).reshape(-1, int(length))
        is_known = (rows[:, 0] == 0) & (rows[:, 1] <= 1)
        if not is_known.all():
            raise _unknown_representation(rows[np.argmin(is_known), :2].tobytes())
        for code, order in enumerate("><"):
            chosen = rows[:, 1] == code
            text_lengths = np.ascontiguousarray(rows[chosen, 12:16]).view(f"{order}u4")[:, 0]
            for text_length in np.unique(text_lengths):
                if text_length > length:
                    raise _not_laid_out(name, int(length))
                same = np.flatnonzero(chosen)[text_lengths == text_length]
                yield _Group(name, index[same], rows[same], order, _FRAME_ID_AT + int(text_length))


def _imu(group: _Group) -> dict[str, NDArray[Any]]:
    at = aligned(group.body_at, 8)
    group.require_end(at + 37 * 8)
    # Orientation 4 and its covariance 9, angular velocity 3 and 9, linear acceleration 3 and 9.
    values = group.values(at, "f8", 37)
    return {
        "gyro_rad_s": values[:, 13:16],
        "accel_m_s2": values[:, 25:28],
        "has_gyro": values[:, 16] != -1,
        "has_accel": values[:, 28] != -1,
    }


def _poses(group: _Group, at: int, count: int) -> dict[str, NDArray[Any]]:
    group.require_end(at + count * 56)
    values = group.values(at, "f8", count * 7).reshape(-1, count, 7)
    return {"position_m": values[:, :, :3], "orientation_wxyz": values[:, :, [6, 3, 4, 5]]}


def _pose_stamped(group: _Group) -> dict[str, NDArray[Any]]:
    return _poses(group, aligned(group.body_at, 8), 1)


def _pose_array(group: _Group) -> dict[str, NDArray[Any]]:
    at = aligned(group.body_at, 4)
    counts = group.values(at, "u4", 1)[:, 0]
    count = int(counts[0])
    if not count or (counts != count).any():
        raise ContentError("has pose arrays of changing length, or empty ones: its joints cannot be told apart")
    return _poses(group, aligned(at + 4, 8), count)


def _nav_sat_fix(group: _Group) -> dict[str, NDArray[Any]]:
    at = aligned(aligned(group.body_at + 1, 2) + 2, 8)  # behind the status (int8) and the service (uint16)
    group.require_end(at + 12 * 8 + 1)  # position 3 and its covariance 9, the covariance's type in a byte
    values = group.values(at, "f8", 3)
    return {
        "latitude_deg": values[:, 0],
        "longitude_deg": values[:, 1],
        "altitude_m": values[:, 2],
        "has_fix": group.values(group.body_at, "i1", 1)[:, 0] >= 0,  # -1 is no fix, -2 unknown
    }


def _grouped(name: str, read: Callable[[_Group], dict[str, NDArray[Any]]], payloads: Sequence[bytes]) -> Samples:
    columns: dict[str, NDArray[Any]] = {}
    for group in _groups(name, payloads):
        for key, values in {**read(group), STAMP: group.stamp_ns()}.items():
            whole = columns.setdefault(key, np.empty((len(payloads), *values.shape[1:]), dtype=values.dtype))
            if whole.shape[1:] != values.shape[1:]:
                raise ContentError(f"changes {key!r} between its messages")
            whole[group.index] = values
    count = columns["position_m"].shape[1] if "position_m" in columns else 0
    return Samples(columns, {"joints": tuple(f"joint_{number}" for number in range(count))} if count else {})


def _multi_array(name: str, payloads: Sequence[bytes]) -> Samples:
    """Float32MultiArray: row-major cells, without a stamp and a unit."""
    first = decoded(name, payloads[0])
    count = len(first.data)
    start = len(payloads[0]) - 4 * count
    # A layout that stays the same makes the same bytes; only the values behind it differ.
    if any(len(one) != len(payloads[0]) or one[:start] != payloads[0][:start] for one in payloads):
        raise ContentError("changes its array's layout between its messages")
    order = "<" if payloads[0][1] else ">"
    if not count or payloads[0][start - 4 : start] != np.array(count, dtype=f"{order}u4").tobytes():
        raise _not_laid_out(name, len(payloads[0]))
    sizes = [dimension.size for dimension in first.layout.dim]
    width = sizes[-1] if len(sizes) > 1 else count
    if width < 1 or count % width or (sizes and int(np.prod(sizes, dtype=object)) != count):
        raise ContentError(f"has arrays of {count} values that are said to be {' x '.join(map(str, sizes[:8]))}")
    values = np.frombuffer(b"".join([one[start:] for one in payloads]), dtype=f"{order}f4")
    return Samples({"values": values.astype(np.float32).reshape(len(payloads), -1, width)}, {"unit": "raw"})


_FIXED: Mapping[str, tuple[str, Callable[[_Group], dict[str, NDArray[Any]]]]] = {
    "sensor_msgs/Imu": ("imu", _imu),
    "geometry_msgs/PoseStamped": ("pose", _pose_stamped),
    "geometry_msgs/PoseArray": ("pose", _pose_array),
    "sensor_msgs/NavSatFix": ("gps", _nav_sat_fix),
}


def kind_of(schema_name: str) -> str | None:
    """The stream kind of messages that `decode` takes; None for all others."""
    name = plain_name(schema_name)
    return "tactile" if name == "std_msgs/Float32MultiArray" else _FIXED.get(name, (None,))[0]


def decode(schema_name: str, payloads: Sequence[bytes]) -> Samples:
    """Messages of a type that `kind_of` knows, as columns (see `mcap_samples`).

    Raises:
        ContentError: some are not laid out as that type is.
    """
    name = plain_name(schema_name)
    if name in _FIXED:
        return _grouped(name, _FIXED[name][1], payloads)
    return _multi_array(name, payloads)


def _not_laid_out(name: str, length: int) -> ContentError:
    return ContentError(f"has messages of {length} bytes that are not laid out as {name}")


def _unknown_representation(code: bytes) -> ContentError:
    return ContentError(f"has messages in representation 0x{code.hex()}, only plain CDR (0x0000, 0x0001) is read")
