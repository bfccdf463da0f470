"""The ways in which a synthetic upload can be broken, and the reason each one has to be quarantined for."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from harchive_dagster.reasons import Reason

_KEPT_SHARE = 0.6
_DAMAGE_AT_SHARE = 0.7
_STEP_BACK_NS = 40_000_000


class Breakage(StrEnum):
    """What is wrong with an upload."""

    TRUNCATED_VIDEO = "truncated_video"
    WRONG_CHECKSUM = "wrong_checksum"
    MISSING_CONSENT = "missing_consent"
    TIME_GOES_BACK = "time_goes_back"
    COVERED_LENS = "covered_lens"
    FOREIGN_IMU = "foreign_imu"


EXPECTED_REASON: Mapping[Breakage, Reason] = MappingProxyType(
    {
        Breakage.TRUNCATED_VIDEO: Reason.VIDEO_TRUNCATED,
        Breakage.WRONG_CHECKSUM: Reason.CHECKSUM_MISMATCH,
        Breakage.MISSING_CONSENT: Reason.CONSENT_MISSING,
        Breakage.TIME_GOES_BACK: Reason.SENSOR_NOT_MONOTONIC,
        Breakage.COVERED_LENS: Reason.LENS_COVERED,
        Breakage.FOREIGN_IMU: Reason.SYNC_UNKNOWN,
    }
)


def cut_short(video: Path) -> None:
    """Drops the end of a file; with the index first, the container still opens and promises every frame."""
    with video.open("r+b") as file:
        file.truncate(int(video.stat().st_size * _KEPT_SHARE))


def damage_byte(file_path: Path) -> None:
    """Changes one byte without changing the size, as a bad disk does: only the checksum tells."""
    with file_path.open("r+b") as file:
        file.seek(int(file_path.stat().st_size * _DAMAGE_AT_SHARE))
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0xFF]))


def turn_time_back(imu_csv: Path) -> None:
    """Makes the device clock jump back once, halfway through a CSV."""
    lines = imu_csv.read_text().splitlines()
    row = len(lines) // 2
    t_device_ns, rest = lines[row].split(",", maxsplit=1)
    lines[row] = f"{int(t_device_ns) - _STEP_BACK_NS},{rest}"
    imu_csv.write_text("\n".join(lines) + "\n")
