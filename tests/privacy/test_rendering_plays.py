"""A browser plays a file that is spliced of copied and encoded groups, to its end and from any place in it."""

import http.server
import json
import queue
import shutil
import subprocess
import threading

import numpy as np
import pytest

from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import render_anonymized
from harchive_dagster.recording.decoding import iterate_frames

PAGE = b"""<!doctype html><video id="v" muted></video><script>
const video = document.getElementById("v"), looked = [], canvas = document.createElement("canvas")
const tell = (what) => fetch("/told", {method: "POST", body: JSON.stringify(what)})
const shown = () => new Promise((done) => video.requestVideoFrameCallback(done))
const when = (name) => new Promise((done) => video.addEventListener(name, done, {once: true}))
video.onerror = () => tell({error: video.error.message})
async function look() {
  video.src = URL.createObjectURL(await (await fetch("/video.mp4")).blob())
  await when("loadeddata")
  canvas.width = video.videoWidth, canvas.height = video.videoHeight
  const pen = canvas.getContext("2d")
  for (const at of await (await fetch("/times")).json()) {
    const there = Promise.all([when("seeked"), shown()])  // the picture may come later than the event
    video.currentTime = at
    await there
    pen.drawImage(video, 0, 0)
    const pixels = pen.getImageData(90, 70, 40, 50).data
    const grey = Array.from({length: pixels.length / 4}, (_, i) => (pixels[4*i] + pixels[4*i+1] + pixels[4*i+2]) / 3)
    const mean = grey.reduce((a, b) => a + b) / grey.length
    looked.push(Math.sqrt(grey.reduce((a, b) => a + (b - mean) ** 2, 0) / grey.length))
  }
  video.currentTime = 0
  await when("seeked")
  const end = when("ended")
  await video.play()
  await end
  const quality = video.getVideoPlaybackQuality()
  tell({looked, played_s: video.currentTime, duration_s: video.duration, damaged: quality.corruptedVideoFrames})
}
look().catch((error) => tell({error: String(error)}))
</script>"""


@pytest.fixture
def seen_by_chromium(tmp_path):
    """What Chromium tells of a video: contrast in the middle of the face at some times, and how it played."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no Chromium here")

    def seen(video, times_s):
        told = queue.SimpleQueue()
        content = {"/": PAGE, "/video.mp4": video.read_bytes(), "/times": json.dumps(times_s).encode()}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = content.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Type", "video/mp4" if self.path.endswith("mp4") else "text/html")
                self.end_headers()
                self.wfile.write(body or b"")

            def do_POST(self):
                told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        address = f"http://127.0.0.1:{server.server_port}/"
        with subprocess.Popen(
            [browser, *flags, f"--user-data-dir={tmp_path / 'browser'}", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                return told.get(timeout=120)
            finally:
                process.terminate()
                server.shutdown()
                server.server_close()

    return seen


@pytest.mark.slow
@pytest.mark.parametrize(("b_frames", "spans"), [(0, [0, 20, 23, 40, 60, 70, 80]), (2, [0, 20, 40, 60, 70, 80])])
def test_chromium_plays_copied_and_encoded_groups_to_the_end(
    tmp_path, write_clip, face_at, seen_by_chromium, b_frames, spans
):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    options = {"preset": "ultrafast", "x264-params": f"keyint=20:min-keyint=20:scenecut=0:bframes={b_frames}"}
    write_clip(source, [face_at(x=58 + place % 5) for place in range(100)], options=options, b_frames=b_frames)
    hidden = [
        Redaction(frame, 1, "face", 60.0, 40.0, 90.0, 110.0, "detected", 0.9) for frame in (*range(23, 37), 70, 71)
    ]
    report = render_anonymized(source, target, hidden)
    assert [group.first_frame for group in report.groups] == spans
    assert [group.first_frame for group in report.groups if not group.is_copied] == [23 if 23 in spans else 20, 70]
    frames = list(iterate_frames(target))
    places = [5, 22, 23, 30, 39, 40, 55, 69, 70, 72, 85, 99, 2]
    seen = seen_by_chromium(target, [frames[place].pts_ns * 1e-9 + 0.01 for place in places])
    assert "error" not in seen, seen
    crops = [frames[place].frame.to_ndarray(format="rgb24")[70:120, 90:130].mean(axis=2) for place in places]
    assert np.abs(np.array(seen["looked"]) - [crop.std() for crop in crops]).max() < 3.0
    assert seen["played_s"] == pytest.approx(seen["duration_s"]) == pytest.approx(100 / 30, abs=0.05)
    assert seen["damaged"] == 0


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("name", ["street_one_person.mp4", "gopro_max_walk.mp4", "egocentric_two_faces.mp4"])
def test_chromium_plays_a_rendered_real_recording_to_the_end(tmp_path, realdata, seen_by_chromium, name):
    source, target = realdata / name, tmp_path / "out.mp4"
    times_s = [decoded.pts_ns * 1e-9 for decoded in iterate_frames(source)]
    third = len(times_s) // 3
    hidden = [
        Redaction(frame, 1, "face", 60.0, 40.0, 90.0, 110.0, "detected", 0.9) for frame in range(third, 2 * third)
    ]
    render_anonymized(source, target, hidden)
    crops = [
        decoded.frame.to_ndarray(format="rgb24")[70:120, 90:130].mean(axis=2) for decoded in iterate_frames(target)
    ]
    places = [1, third - 1, third, third + 1, 2 * third - 1, 2 * third, len(times_s) - 2, 2]
    seen = seen_by_chromium(target, [times_s[place] + 0.01 for place in places])
    assert "error" not in seen, seen
    assert np.abs(np.array(seen["looked"]) - [crops[place].std() for place in places]).max() < 3.0
    assert seen["played_s"] == pytest.approx(seen["duration_s"]) == pytest.approx(times_s[-1] - times_s[0], abs=0.2)
    assert seen["damaged"] == 0
