"""A real recording goes the whole way: landing to published, with its own telemetry."""

import hashlib
import json
import shutil
import struct
from datetime import UTC, datetime

import av
import numpy as np
import pytest

from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.lake import ledgers, schemas

SESSION = "s-gopro-walk"


def telemetry(path):
    """Orientation of the image (CORI then IORI) per frame: what fits a picture that is stabilised in the camera.

    Enough of GPMF for this one file: big-endian KLV, padded to four bytes, type 0 nested; quaternions w, x, z, y.
    """
    streams: dict[str, list[np.ndarray]] = {"CORI": [], "IORI": [], "ACCL": []}

    def walk(data, scale=1.0):
        place = 0
        while place + 8 <= len(data):
            key, kind, size, repeat = data[place : place + 4], data[place + 4], data[place + 5], None
            (repeat,) = struct.unpack(">H", data[place + 6 : place + 8])
            body = data[place + 8 : place + 8 + size * repeat]
            if kind == 0:
                walk(body)
            elif key == b"SCAL":
                scale = float(np.frombuffer(body, ">i2" if chr(kind) == "s" else ">i4")[0])
            elif key.decode("latin-1") in streams:
                streams[key.decode()].append(np.frombuffer(body, ">i2").reshape(-1, size // 2) / scale)
            place += 8 + (size * repeat + 3) // 4 * 4

    with av.open(str(path)) as container:
        data_streams = [stream for stream in container.streams if stream.type == "data"]
        for packet in container.demux(data_streams):
            walk(bytes(packet))
    return {key: np.concatenate(parts) for key, parts in streams.items() if parts}


def image_rates(cori, iori, fps):
    """Angular velocity of the stabilised image, rad/s, from its orientation: the gyro that fits this picture."""
    from scipy.spatial.transform import Rotation

    camera = Rotation.from_quat(cori[:, [1, 3, 2, 0]])
    image = camera * Rotation.from_quat(iori[:, [1, 3, 2, 0]])
    return (image[:-1].inv() * image[1:]).as_rotvec() * fps


@pytest.mark.realdata
def test_a_gopro_clip_goes_from_landing_to_published(house, realdata):
    source = realdata / "gopro_max_walk.mp4"
    folder = house.landing.uploads / "2026-03-02" / "worker-01" / SESSION
    folder.mkdir(parents=True)
    shutil.copy(source, folder / "cap.mp4")
    motion = telemetry(source)
    fps = 30_000 / 1001
    rates = image_rates(motion["CORI"], motion["IORI"], fps)
    times_s = (np.arange(len(rates)) + 0.5) / fps
    grid_s = np.arange(0.0, times_s[-1], 0.005)
    gyro = np.column_stack([np.interp(grid_s, times_s, rates[:, axis]) for axis in range(3)])
    accel_s = np.linspace(0, times_s[-1], len(motion["ACCL"]))
    accel = np.column_stack([np.interp(grid_s, accel_s, motion["ACCL"][:, axis]) for axis in range(3)])
    names = [f"{kind}_{axis}_{unit}" for kind, unit in (("accel", "m_s2"), ("gyro", "rad_s")) for axis in "xyz"]
    lines = [",".join(["t_device_ns", *names])]
    lines += [
        ",".join([str(round(t * 1e9)), *(f"{v:.6f}" for v in (*a, *g))])
        for t, a, g in zip(grid_s, accel, gyro, strict=True)
    ]
    (folder / "imu.csv").write_text("\n".join(lines) + "\n")
    write_consent(house.landing.uploads, "worker-01", first_day=datetime(2026, 3, 2, tzinfo=UTC).date())
    files = [("cap.mp4", "video", None, "mp4"), ("imu.csv", "sensor", "head_imu", "csv")]
    manifest = {
        "manifest_version": 1,
        "session_id": SESSION,
        "worker_id": "worker-01",
        "collected_on": "2026-03-02",
        "started_at": "2026-03-02T10:00:00+05:30",
        "consent_id": "consent-worker-01",
        "task_id": None,
        "site": {"country": "IN", "region": "IN-KA", "environment": "street"},
        "rig": {
            "model": "cap-2",
            "camera": "GoPro MAX",
            "serial": "C3456789012345",
            "streams": [{"stream_id": "head_imu", "placement": "head", "kind": "imu", "rate_hz": 200}],
        },
        "files": [
            {
                "path": name,
                "role": role,
                "format": form,
                "bytes": (folder / name).stat().st_size,
                "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            }
            | ({"stream_id": stream} if stream else {})
            for name, role, stream, form in files
        ],
        "markers": [],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert house.run().success
    aside = house.lake.read(ledgers.QUARANTINE).to_pylist()
    assert aside == [], aside
    (session,) = house.lake.read(schemas.SESSIONS).to_pylist()
    assert (session["width_px"], session["height_px"], session["frame_count"]) == (848, 480, 315)
    (alignment,) = house.lake.read(schemas.CLOCK_ALIGNMENTS).to_pylist()
    assert alignment["correlation"] > 0.5
    # The image's orientation is frame-locked in the camera, so the two clocks are one; a frame is 33 ms.
    assert abs(alignment["offset_ns"]) < 40_000_000
    (video,) = house.lake.read(schemas.PUBLISHED_VIDEOS).to_pylist()
    assert (video["frame_count"], video["audit_residual_faces"]) == (315, 0)
    assert house.lake.read(schemas.EPISODES).num_rows >= 1
    published = house.lake.media_folder("published") / video["uri"]
    with av.open(str(published)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    content = b"".join(
        p.read_bytes() for p in (house.lake.root / "published").rglob("*") if p.suffix != ".mp4" and p.is_file()
    )
    assert not [word for word in (b"GoPro", b"C3456789", SESSION.encode(), b"worker-01") if word in content]
