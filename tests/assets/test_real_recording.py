"""A real recording goes the whole way: landing to published, with its own telemetry."""

import hashlib
import json
import struct
from datetime import date
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.recording.lens import assumed_lens

SESSION = "s-gopro-walk"
FPS = Fraction(30_000, 1001)


def telemetry(path):
    """Orientation of camera and image (CORI, IORI) per frame, and specific force (ACCL).

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


def write_shaken(source, target, iori):
    """Undo the camera's own stabilisation: turn each real picture back by what the camera turned it (IORI)."""
    from scipy.spatial.transform import Rotation

    focal_px = assumed_lens(848, 480).fx_px
    K = np.array([[focal_px, 0, 424], [0, focal_px, 240], [0, 0, 1.0]])
    axes = np.diag([1.0, -1.0, -1.0])  # the telemetry's axes are x right, y up, z back
    turns = Rotation.from_quat(iori[:, [1, 3, 2, 0]]).as_matrix()
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height = 848, 480
        for index, frame in enumerate(read.decode(video=0)):
            warp = K @ axes @ turns[index] @ axes @ np.linalg.inv(K)
            picture = frame.to_ndarray(format="bgr24")
            turned = cv2.warpPerspective(picture, warp, (848, 480), borderMode=cv2.BORDER_REFLECT)
            shaken = av.VideoFrame.from_ndarray(turned, format="bgr24")
            shaken.pts, shaken.time_base = index, 1 / FPS
            written.mux(stream.encode(shaken))
        written.mux(stream.encode(None))


def write_untold(source, target):
    """The pictures as they are, without what the camera tells of their orientation."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        video = read.streams.video[0]
        stream = written.add_stream_from_template(video)
        for packet in read.demux(video):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)


def write_imu(path, motion):
    """Telemetry in our CSV: the camera's angular velocity from CORI, specific force from ACCL."""
    from scipy.spatial.transform import Rotation

    camera = Rotation.from_quat(motion["CORI"][:, [1, 3, 2, 0]])
    rates = (camera[:-1].inv() * camera[1:]).as_rotvec() * float(FPS)
    times_s = (np.arange(len(rates)) + 0.5) / float(FPS)
    grid_s = np.arange(0.0, times_s[-1], 0.005)
    accel_s = np.linspace(0, times_s[-1], len(motion["ACCL"]))
    columns = [np.interp(grid_s, accel_s, motion["ACCL"][:, axis]) for axis in range(3)]
    columns += [np.interp(grid_s, times_s, rates[:, axis]) for axis in range(3)]
    names = [f"{kind}_{axis}_{unit}" for kind, unit in (("accel", "m_s2"), ("gyro", "rad_s")) for axis in "xyz"]
    lines = [",".join(["t_device_ns", *names])]
    for t_s, *values in zip(grid_s, *columns, strict=True):
        lines.append(",".join([str(round(t_s * 1e9)), *(f"{value:.6f}" for value in values)]))
    path.write_text("\n".join(lines) + "\n")


def land(house, realdata, *, is_shaken):
    """Put the clip into the landing folder as an upload."""
    source = realdata / "gopro_max_walk.mp4"
    folder = house.landing.uploads / "2026-03-02" / "worker-01" / SESSION
    folder.mkdir(parents=True)
    motion = telemetry(source)
    if is_shaken:
        write_shaken(source, folder / "cap.mp4", motion["IORI"])
    else:
        write_untold(source, folder / "cap.mp4")
    write_imu(folder / "imu.csv", motion)
    write_consent(house.landing.uploads, "worker-01", first_day=date(2026, 3, 2))
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


@pytest.mark.realdata
def test_real_pictures_go_from_landing_to_published(house, realdata):
    land(house, realdata, is_shaken=True)
    assert house.run().success
    assert house.lake.read(ledgers.QUARANTINE).to_pylist() == []
    (session,) = house.lake.read(schemas.SESSIONS).to_pylist()
    assert (session["width_px"], session["height_px"]) == (848, 480)
    (alignment,) = house.lake.read(schemas.CLOCK_ALIGNMENTS).to_pylist()
    # The camera's orientation is locked to its frames, so the clocks are one; the pictures' times are exact to 1 ms.
    assert abs(alignment["offset_ns"]) < 3_000_000
    (video,) = house.lake.read(schemas.PUBLISHED_VIDEOS).to_pylist()
    assert (video["frame_count"], video["audit_residual_faces"]) == (session["frame_count"], 0)
    assert house.lake.read(schemas.EPISODES).num_rows >= 1
    published = house.lake.media_folder("published") / video["uri"]
    with av.open(str(published)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    tables = [path for path in (house.lake.root / "published").rglob("*") if path.is_file() and path.suffix != ".mp4"]
    content = b"".join(path.read_bytes() for path in tables)
    assert not [word for word in (b"GoPro", b"C3456789", SESSION.encode(), b"worker-01") if word in content]


@pytest.mark.realdata
def test_a_clip_stabilised_in_the_camera_that_does_not_tell_how_is_set_aside(house, realdata):
    land(house, realdata, is_shaken=False)
    assert house.run().success
    (row,) = house.lake.read(ledgers.QUARANTINE).to_pylist()
    assert (row["stage"], row["reason"]) == ("clock_alignments", "sync_unknown")
    # Its pictures were still read and rendered.
    (session,) = house.lake.read(schemas.SESSIONS).to_pylist()
    assert (session["frame_count"], session["status"]) == (315, "accepted")
    (video,) = house.lake.read(schemas.ANONYMIZED_VIDEOS).to_pylist()
    assert (video["frame_count"], video["audit_residual_faces"]) == (315, 0)
    assert house.lake.read(schemas.EPISODES).num_rows == 0
