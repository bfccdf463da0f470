"""Writes MCAP recordings of ROS messages for tests, and reads one stream of them back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcap_ros2.writer import Writer as RosWriter

from harchive_dagster.landing.formats import ros_messages
from harchive_dagster.landing.formats.mcap_recording import MCAP
from harchive_dagster.landing.formats.protocol import Reading
from harchive_dagster.landing.manifest import StreamSpec

SPECS = {kind: StreamSpec(kind, "head", kind, 100.0) for kind in ("imu", "pose", "tactile", "depth", "gps")}

START_NS = 1_700_000_000_000_000_000

STEP_NS = 10_000_000

JITTER_NS = 2_345_678  # a message is logged later than it was measured

RULE = "=" * 80

HEADER = f"{RULE}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"

POSE = f"""{RULE}\nMSG: geometry_msgs/Pose\nPoint position\nQuaternion orientation
{RULE}\nMSG: geometry_msgs/Point\nfloat64 x\nfloat64 y\nfloat64 z
{RULE}\nMSG: geometry_msgs/Quaternion\nfloat64 x 0\nfloat64 y 0\nfloat64 z 0\nfloat64 w 1
"""

DEFINITIONS = {
    "sensor_msgs/msg/Imu": f"""std_msgs/Header header
geometry_msgs/Quaternion orientation
float64[9] orientation_covariance
geometry_msgs/Vector3 angular_velocity
float64[9] angular_velocity_covariance
geometry_msgs/Vector3 linear_acceleration
float64[9] linear_acceleration_covariance
{HEADER}{POSE}{RULE}\nMSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n""",
    "geometry_msgs/msg/PoseStamped": f"std_msgs/Header header\nPose pose\n{HEADER}{POSE}",
    "geometry_msgs/msg/PoseArray": f"std_msgs/Header header\nPose[] poses\n{HEADER}{POSE}",
    "sensor_msgs/msg/NavSatFix": f"""std_msgs/Header header
NavSatStatus status
float64 latitude
float64 longitude
float64 altitude
float64[9] position_covariance
uint8 position_covariance_type
{HEADER}{RULE}\nMSG: sensor_msgs/NavSatStatus\nint8 status\nuint16 service\n""",
    **{name.replace("/", "/msg/"): text for name, text in ros_messages.DEFINITIONS.items()},
}


def stamp_of(time_ns: int) -> dict[str, int]:
    return {"sec": time_ns // 10**9, "nanosec": time_ns % 10**9}


def header(time_ns: int, frame_id: str = "imu_link") -> dict[str, Any]:
    return {"stamp": stamp_of(time_ns), "frame_id": frame_id}


def xyz(values: Sequence[float]) -> dict[str, float]:
    return dict(zip("xyz", map(float, values), strict=False))


def imu(time_ns: int, number: int, **overrides: Any) -> dict[str, Any]:
    message = {
        "header": header(time_ns),
        "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
        "orientation_covariance": [-1.0] + [0.0] * 8,
        "angular_velocity": xyz((0.001 * number, -0.5, 2.0)),
        "angular_velocity_covariance": [0.0] * 9,
        "linear_acceleration": xyz((0.1, 0.01 * number, 9.81)),
        "linear_acceleration_covariance": [0.0] * 9,
    }
    return message | overrides


def times_of(count: int) -> list[int]:
    return [START_NS + number * STEP_NS for number in range(count)]


def imus(count: int = 20, **overrides: Any) -> list[dict[str, Any]]:
    return [imu(time_ns, number, **overrides) for number, time_ns in enumerate(times_of(count))]


def write_ros(
    path: Path,
    topics: Mapping[str, tuple[str, Sequence[Any]]],
    times: Sequence[int] | None = None,
    **options: Any,
) -> Path:
    """Topics of (type, messages); each message is logged JITTER_NS after its time."""
    with path.open("wb") as file, RosWriter(file, **options) as writer:
        for topic, (kind, messages) in topics.items():
            schema = writer.register_msgdef(kind, DEFINITIONS[kind])
            for time_ns, message in zip(times or times_of(len(messages)), messages, strict=True):
                writer.write_message(topic, schema, message, log_time=time_ns + JITTER_NS)
    return path


def read(path: Path, kind: str = "imu", channel: str = "") -> Reading:
    return MCAP.read(path, SPECS[kind], channel)
