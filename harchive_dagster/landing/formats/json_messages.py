"""JSON messages, as arrays: the layouts that are read. Other encodings are in `ros_messages` and `mcap_pictures`.

One message is one sample, an object; its keys say what it is, and keys that are not named here are passed over.

- flat: the columns of `tabular_kinds` as keys, with `t_device_ns`, for every kind that has columns there.
- imu: `angular_velocity` and `linear_acceleration` as `{"x": , "y": , "z": }`, rad/s and m/s²; with
  `angular_velocity_covariance` or `linear_acceleration_covariance` lists, -1 as their first number means "not there".
- pose: `pose` as `{"position": {x, y, z}, "orientation": {x, y, z, w}}`; or `joints`, a list of J names, with
  `position_m` (J x 3), `orientation_wxyz` (J x 4), or both, and `confidence` (J) if there is one. null: not tracked.
- tactile: `values`, row by row, with `rows`, `columns` and `unit`.
- gps: `latitude` and `longitude` in degrees, `altitude` in metres, and `status` as in sensor_msgs/NavSatFix.

The time of all but the flat ones is `t_device_ns`, or `header.stamp` as `{"sec": , "nanosec": }`, or `timestamp` as
`{"sec": , "nsec": }`.

`json` of the standard library parses them. pyarrow's JSON reader would be about three times as fast, but a message
`null` ends the whole process in it (26.0.1), and uploads come from outside.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.mcap_records import ContentError
from harchive_dagster.landing.formats.mcap_samples import STAMP, Samples, nanoseconds
from harchive_dagster.landing.formats.tabular_kinds import KINDS, TIME_COLUMN, WHOLE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_VECTOR = ("x", "y", "z")
_QUATERNION = ("w", "x", "y", "z")
_COVARIANCES = {"has_gyro": "angular_velocity_covariance", "has_accel": "linear_acceleration_covariance"}
_POSE_LISTS = {"position_m": 3, "orientation_wxyz": 4}
_FRACTIONS = ("nanosec", "nsec")

_MAX_CELLS = 10_000  # in a row or a column: far beyond any array


def parsed(payload: bytes) -> dict[str, Any]:
    """One message.

    Raises:
        ContentError: it is no JSON object.
    """
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ContentError(f"has a message that is no JSON: {str(error)[:80]!a}") from None
    if not isinstance(message, dict):
        raise ContentError("has a JSON message that is no object")
    return message


def kind_of(message: Mapping[str, Any]) -> str | None:
    """The stream kind of messages like this one; None for all others."""
    if (flat := flat_kind_of(message)) is not None:
        return flat
    marks = {
        "imu": "angular_velocity" in message and "linear_acceleration" in message,
        "pose": isinstance(message.get("pose"), dict) or isinstance(message.get("joints"), list),
        "tactile": isinstance(message.get("values"), list) and "rows" in message,
        "gps": "latitude" in message and "longitude" in message,
    }
    return next((kind for kind, is_it in marks.items() if is_it), None)


def flat_kind_of(message: Mapping[str, Any]) -> str | None:
    """The stream kind of a message in the layout of our own tables; None where it is in none."""
    names = frozenset(message)
    if TIME_COLUMN not in names:
        return None
    return next((kind for kind, layout in KINDS.items() if layout.is_marked_by(names)), None)


def flat_table(kind: str, names: Sequence[str], payloads: Sequence[bytes]) -> "pa.Table":
    """Flat messages as a table of those names that belong to the kind.

    Raises:
        ContentError: a value is of another type than its column.
    """
    import pyarrow as pa

    mine = [name for name in names if KINDS[kind].is_mine(name)]
    fields = [(name, pa.int64() if name in WHOLE_COLUMNS else pa.float64()) for name in mine]
    rows = _rows(pa.struct(fields), [parsed(payload) for payload in payloads])
    return pa.Table.from_arrays(rows.flatten(), names=mine)


def decode(kind: str, first: dict[str, Any], payloads: Sequence[bytes]) -> Samples:
    """Messages of a kind, in any layout but the flat one, as columns (see `mcap_samples`).

    Args:
        kind: one that `kind_of` gave for the first message.
        first: the topic's first message; what it has of the optional fields, all must have.
        payloads: any messages of the topic.

    Raises:
        ContentError: some are not laid out as the first, or as their kind is.
    """
    messages = [parsed(payload) for payload in payloads]
    decoder = {"imu": _imu, "pose": _pose, "tactile": _tactile, "gps": _location}[kind]
    return decoder(first, messages)


def _imu(first: dict[str, Any], messages: list[dict[str, Any]]) -> Samples:
    import pyarrow as pa

    vector = _numbers_type(_VECTOR)
    given = {flag: key for flag, key in _COVARIANCES.items() if isinstance(first.get(key), list)}
    fields = {"angular_velocity": vector, "linear_acceleration": vector}
    rows = _table(first, messages, fields | {key: pa.list_(pa.float64()) for key in given.values()})
    columns = {
        "gyro_rad_s": _vectors(rows["angular_velocity"], _VECTOR),
        "accel_m_s2": _vectors(rows["linear_acceleration"], _VECTOR),
    }
    flags = {flag: _lists(rows, key, 9)[:, 0] != -1 for flag, key in given.items()}
    return Samples({**columns, **flags, **_stamps(rows)}, {})


def _pose(first: dict[str, Any], messages: list[dict[str, Any]]) -> Samples:
    import pyarrow as pa

    if isinstance(first.get("joints"), list):
        return _joints(first, messages)
    rows = _table(
        first,
        messages,
        {"pose": pa.struct([("position", _numbers_type(_VECTOR)), ("orientation", _numbers_type(_QUATERNION))])},
    )
    columns = {
        "position_m": _vectors(rows["pose"].field("position"), _VECTOR)[:, None],
        "orientation_wxyz": _vectors(rows["pose"].field("orientation"), _QUATERNION)[:, None],
    }
    return Samples({**columns, **_stamps(rows)}, {"joints": ("joint_0",)})


def _joints(first: dict[str, Any], messages: list[dict[str, Any]]) -> Samples:
    import pyarrow as pa

    names = first["joints"]
    if not names or not all(isinstance(name, str) for name in names):
        raise ContentError("has joints without a name")
    if any(message.get("joints") != names for message in messages):
        raise ContentError("changes 'joints' between its messages")
    numbers = pa.list_(pa.float64())
    given = {key: width for key, width in _POSE_LISTS.items() if key in first}
    fields = {key: pa.list_(numbers) for key in given}
    has_confidence = "confidence" in first
    rows = _table(first, messages, fields | ({"confidence": numbers} if has_confidence else {}))
    columns = {key: _lists(rows, key, len(names), width) for key, width in given.items()}
    if has_confidence:
        columns["confidence"] = _lists(rows, "confidence", len(names))
    return Samples({**columns, **_stamps(rows)}, {"joints": tuple(names)})


def _tactile(first: dict[str, Any], messages: list[dict[str, Any]]) -> Samples:
    import pyarrow as pa

    facts: dict[str, Any] = {key: first.get(key) for key in ("rows", "columns", "unit")}
    for key, fact in facts.items():
        if any(message.get(key) != fact for message in messages):
            raise ContentError(f"changes {key!r} between its messages")
    height, width, unit = facts.values()
    is_grid = type(height) is type(width) is int and 0 < min(height, width) <= max(height, width) <= _MAX_CELLS
    if not is_grid or not isinstance(unit, str):
        raise ContentError(f"has tactile messages without rows and columns from 1 to {_MAX_CELLS} and a unit")
    rows = _table(first, messages, {"values": pa.list_(pa.float64())})
    cells = _lists(rows, "values", height * width)
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which the stream refuses
        values = cells.reshape(-1, height, width).astype(np.float32)
    return Samples({"values": values, **_stamps(rows)}, {"unit": unit})


def _location(first: dict[str, Any], messages: list[dict[str, Any]]) -> Samples:
    import pyarrow as pa

    names = ("latitude", "longitude", "altitude")
    has_status = isinstance(first.get("status"), dict)
    status = {"status": _numbers_type(("status",))} if has_status else {}
    rows = _table(first, messages, {name: pa.float64() for name in names} | status)
    columns = {
        "latitude_deg": _numbers(rows["latitude"]),
        "longitude_deg": _numbers(rows["longitude"]),
        "altitude_m": _numbers(rows["altitude"]),
        "has_fix": np.ones(len(messages), dtype=bool),
    }
    if has_status:
        columns["has_fix"] = _numbers(rows["status"].field("status")) >= 0
    return Samples({**columns, **_stamps(rows)}, {})


def _table(first: dict[str, Any], messages: list[dict[str, Any]], fields: dict[str, Any]) -> "dict[str, pa.Array]":
    """The fields of all messages, and of their stamp, found where the first message has it."""
    import pyarrow as pa

    fields = dict(fields)
    stamp = pa.struct([("sec", pa.int64()), *((name, pa.int64()) for name in _FRACTIONS)])
    if TIME_COLUMN in first:
        fields[TIME_COLUMN] = pa.int64()
    elif isinstance(first.get("header"), dict) and isinstance(first["header"].get("stamp"), dict):
        fields["header"] = pa.struct([("stamp", stamp)])
    elif isinstance(first.get("timestamp"), dict):
        fields["timestamp"] = stamp
    rows = _rows(pa.struct(list(fields.items())), messages)
    return {name: rows.field(name) for name in fields}


def _rows(kind: Any, messages: list[dict[str, Any]]) -> "pa.StructArray":
    import pyarrow as pa

    try:
        return pa.array(messages, type=kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ContentError(f"has a message with a value that does not fit: {str(error)[:120]!a}") from None


def _stamps(rows: "dict[str, pa.Array]") -> dict[str, NDArray[np.int64]]:
    import pyarrow.compute as pc

    if TIME_COLUMN in rows:
        return {STAMP: rows[TIME_COLUMN].fill_null(-1).to_numpy()}
    stamp = rows["header"].field("stamp") if "header" in rows else rows.get("timestamp")
    if stamp is None:
        return {}
    seconds = pc.struct_field(stamp, "sec").fill_null(-1)
    fraction = pc.coalesce(*(pc.struct_field(stamp, name) for name in _FRACTIONS)).fill_null(-1)
    return {STAMP: nanoseconds(seconds.to_numpy(), fraction.to_numpy())}


def _numbers_type(names: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.struct([(name, pa.float64()) for name in names])


def _numbers(values: "pa.Array") -> NDArray[np.float64]:
    """NaN where there is none."""
    array: NDArray[np.float64] = values.to_numpy(zero_copy_only=False)
    return array


def _vectors(values: "pa.StructArray", names: Sequence[str]) -> NDArray[np.float64]:
    import pyarrow.compute as pc

    return np.column_stack([_numbers(pc.struct_field(values, name)) for name in names])


def _lists(rows: "dict[str, pa.Array]", key: str, *shape: int) -> NDArray[np.float64]:
    """float64 [N, *shape] of lists of exactly that shape."""
    import pyarrow.compute as pc

    values, count = rows[key], len(rows[key])
    for size in shape:
        if values.null_count or (pc.list_value_length(values).to_numpy() != size).any():
            raise ContentError(f"has messages whose {key!r} is not of shape {' x '.join(map(str, shape))}")
        values = values.flatten()
    return _numbers(values).reshape(count, *shape)
