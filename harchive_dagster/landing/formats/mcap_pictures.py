"""Pictures in MCAP messages: taken out of their encoding, and depth pictures as figures. Video is in `mcap_video`.

Read are sensor_msgs/Image, sensor_msgs/CompressedImage, and Foxglove's CompressedImage and CompressedVideo, in CDR;
Foxglove's two in JSON; CompressedVideo in Protocol Buffers. Schemas: https://docs.foxglove.dev/docs/sdk/schemas.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.depth_counts import MILLIMETRE_M, decoded_png, figures, png_size
from harchive_dagster.landing.formats.json_messages import parsed
from harchive_dagster.landing.formats.mcap_container import Topic
from harchive_dagster.landing.formats.mcap_records import ContentError
from harchive_dagster.landing.formats.mcap_samples import STAMP, Samples, nanoseconds
from harchive_dagster.landing.formats.ros_messages import decoded, plain_name

_IMAGES = frozenset({"sensor_msgs/Image", "sensor_msgs/CompressedImage", "foxglove_msgs/CompressedImage"})
_VIDEO = "foxglove_msgs/CompressedVideo"

_METRES_PER_UNIT = {"16UC1": MILLIMETRE_M, "mono16": MILLIMETRE_M, "32FC1": 1.0}
"""REP 118: depth as uint16 is in millimetres, as float32 in metres."""

_PNG_AT = (0, 12)  # compressedDepth puts 12 bytes of quantisation before the picture


@dataclass(frozen=True)
class Picture:
    """One message's picture.

    Attributes:
        stamp_ns: the message's own; -1 where it cannot be a time.
        format: what the message says about `data`.
        data: pixels or a compressed picture.
        height_px, width_px, row_bytes, is_big_endian: of pixels that are not compressed; zero for all others.
    """

    stamp_ns: int
    format: str
    data: bytes
    height_px: int = 0
    width_px: int = 0
    row_bytes: int = 0
    is_big_endian: bool = False


def may_hold_depth(topic: Topic) -> bool:
    """Whether a topic's messages are pictures; only their content tells whether they show depth."""
    return _ros_name(topic) in _IMAGES


def holds_video(topic: Topic) -> bool:
    """Whether a topic's messages are pictures of a compressed video."""
    return _ros_name(topic) == _VIDEO


def picture_of(topic: Topic, payload: bytes) -> Picture:
    """The picture in one message.

    Raises:
        ContentError: the message is not laid out as its schema's name says.
    """
    if topic.encoding == "json":
        return _json_picture(payload)
    if topic.encoding == "protobuf":
        return _protobuf_video(payload)
    name = plain_name(topic.schema_name)
    message = decoded(name, payload)
    stamp = message.timestamp if name.startswith("foxglove_msgs/") else message.header.stamp
    stamp_ns = _stamp_ns(stamp.sec, stamp.nanosec)
    if name != "sensor_msgs/Image":
        return Picture(stamp_ns, message.format, message.data)
    return Picture(
        stamp_ns,
        message.encoding,
        message.data,
        height_px=message.height,
        width_px=message.width,
        row_bytes=message.step,
        is_big_endian=bool(message.is_bigendian),
    )


def is_depth(picture: Picture) -> bool:
    """Whether a picture shows depth: pixels in one of the depth formats, or a 16-bit grey PNG."""
    return picture.format in _METRES_PER_UNIT if picture.height_px else _depth_png(picture) is not None


def depth_figures(topic: Topic, payloads: Sequence[bytes]) -> Samples:
    """Depth pictures as columns (see `mcap_samples`), decoded one at a time.

    Raises:
        ContentError: a picture cannot be decoded, shows no depth, or changes its size.
    """
    stamps, sizes, rows = [], set(), []
    for payload in payloads:
        picture = picture_of(topic, payload)
        pixels, unit_m = _pixels(picture)
        stamps.append(picture.stamp_ns)
        sizes.add(pixels.shape)
        rows.append(figures(pixels, unit_m))
    if len(sizes) > 1:
        raise ContentError(f"changes its picture size: {' and '.join(f'{w}x{h}' for h, w in sorted(sizes)[:4])}")
    ((height_px, width_px),) = sizes
    names = ("valid_fraction", "min_m", "median_m", "max_m")
    columns = dict(zip(names, np.array(rows, dtype=np.float64).T, strict=True))
    stamp_ns = {STAMP: np.array(stamps, dtype=np.int64)}
    return Samples({**columns, **stamp_ns}, {"width_px": width_px, "height_px": height_px})


def _pixels(picture: Picture) -> tuple[NDArray[Any], float]:
    """Depths [height, width] as they lie there, and what one unit is in metres."""
    if not is_depth(picture):
        raise ContentError(f"has pictures that show no depth: format {picture.format[:40]!a}")
    if not picture.height_px:
        return _decoded_png(picture), MILLIMETRE_M
    order = ">" if picture.is_big_endian else "<"
    dtype = np.dtype(f"{order}f4" if picture.format == "32FC1" else f"{order}u2")
    height, width, row_bytes = picture.height_px, picture.width_px, picture.row_bytes
    if not 0 < width * dtype.itemsize <= row_bytes or len(picture.data) != height * row_bytes:
        raise ContentError(f"has a picture of {width}x{height} px in {len(picture.data)} bytes, {row_bytes} a row")
    pixels: NDArray[Any] = np.ndarray((height, width), dtype, picture.data, strides=(row_bytes, dtype.itemsize))
    return pixels, _METRES_PER_UNIT[picture.format]


def _depth_png(picture: Picture) -> bytes | None:
    """The PNG in a picture, if it is one of 16-bit grey that does not hold quantised inverse depth."""
    if picture.format.startswith("32FC1"):
        return None
    for at in _PNG_AT:
        png = picture.data[at:]
        if png_size(png) != (0, 0):
            return png
    return None


def _decoded_png(picture: Picture) -> NDArray[np.uint16]:
    png = _depth_png(picture)
    assert png is not None, "asked for by is_depth"
    pixels = decoded_png(png)
    if pixels is None:
        height, width = png_size(png)
        raise ContentError(f"has a PNG picture of {width}x{height} px that cannot be decoded, or is too large")
    return pixels


def _ros_name(topic: Topic) -> str | None:
    """The ROS 2 name of the schema of a picture that can be read in the topic's encoding; None for all others."""
    name = plain_name(topic.schema_name)
    if topic.encoding == "cdr":
        return name if name in _IMAGES or name == _VIDEO else None
    readable = {"json": ("CompressedImage", "CompressedVideo"), "protobuf": ("CompressedVideo",)}
    package, _, message = name.partition(".")
    is_readable = package == "foxglove" and message in readable.get(topic.encoding, ())
    return f"foxglove_msgs/{message}" if is_readable else None


def _stamp_ns(seconds: object, fraction_ns: object) -> int:
    """As `nanoseconds`, for numbers that may be anything."""
    if not (isinstance(seconds, int) and isinstance(fraction_ns, int) and max(abs(seconds), abs(fraction_ns)) < 2**62):
        return -1
    return int(nanoseconds(np.array([seconds]), np.array([fraction_ns]))[0])


def _json_picture(payload: bytes) -> Picture:
    message = parsed(payload)
    stamp, encoded, kind = (message.get(key) for key in ("timestamp", "data", "format"))
    if not (isinstance(stamp, dict) and isinstance(encoded, str) and isinstance(kind, str)):
        raise ContentError("has a JSON picture without timestamp, data and format")
    stamp_ns = _stamp_ns(stamp.get("sec"), stamp.get("nsec"))
    try:
        data = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise ContentError("has a JSON picture whose data are no base64") from None
    return Picture(stamp_ns, kind, data)


def _protobuf_video(payload: bytes) -> Picture:
    # CompressedVideo: timestamp 1, frame_id 2, data 3, format 4; google.protobuf.Timestamp: seconds 1, nanos 2.
    fields = dict(_protobuf_fields(payload))
    stamp = fields.get(1, b"")
    data, kind = fields.get(3, b""), fields.get(4, b"")
    if not (isinstance(stamp, bytes) and isinstance(data, bytes) and isinstance(kind, bytes)):
        raise ContentError("has a message that is not laid out as foxglove.CompressedVideo")
    times: Mapping[int, int | bytes] = dict(_protobuf_fields(stamp))
    return Picture(_stamp_ns(times.get(1, 0), times.get(2, 0)), kind.decode("utf-8", "replace"), data)


def _protobuf_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values: https://protobuf.dev/programming-guides/encoding/."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire_type = key & 7
        if wire_type == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size, at = _varint(message, at) if wire_type == 2 else ({1: 8, 5: 4}.get(wire_type, -1), at)
        if not 0 <= size <= len(message) - at:
            raise ContentError("has a message that is no Protocol Buffer")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits, and where the next byte is."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ContentError("has a message that is no Protocol Buffer")
