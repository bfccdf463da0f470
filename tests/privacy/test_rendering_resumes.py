"""Rendering in pieces: by several processes, after an interruption or a correction. The bytes are always the same."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time

import pytest

from harchive_dagster.errors import PrivacyError, RecordingError, SettingsError
from harchive_dagster.privacy import encoding_processes, rendering
from harchive_dagster.privacy.parts import earlier_file, keys_path, parts_folder
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import render_anonymized
from harchive_dagster.recording.decoding import iterate_frames

FRAMES = 120
OPTIONS = {"preset": "ultrafast", "x264-params": "keyint=20:min-keyint=20:scenecut=0"}


def hidden_in(frames, x=60.0):
    return [Redaction(frame, 1, "face", x, 40.0, 90.0, 110.0, "detected", 0.9) for frame in frames]


MANY = hidden_in([5, 25, 45, 65, 105])


@pytest.fixture
def clip(tmp_path, write_clip, face_at):
    source = tmp_path / "in.mp4"
    write_clip(source, [face_at(x=58 + place % 7) for place in range(FRAMES)], options=OPTIONS)
    return source


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(rendering, "_PART_FRAMES", 15)


@pytest.fixture
def encoded_frames(monkeypatch):
    """Numbers of frames that were really encoded, by each call."""
    counts = []

    def counted(parts, processes):
        counts.append(sum(group.frame_count for task, _ in parts for group in task.groups))
        return encoding_processes.encode_parts(parts, processes)

    monkeypatch.setattr(rendering, "encode_parts", counted)
    return counts


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_processes_write_the_bytes_of_one_and_tell_how_far_they_are(tmp_path, clip):
    told = []
    alone = render_anonymized(clip, tmp_path / "one.mp4", MANY, processes=1)
    two = render_anonymized(
        clip, tmp_path / "two.mp4", MANY, processes=2, on_progress=lambda done, total: told.append((done, total))
    )
    assert two == alone
    assert [done for done, _ in told] == [45, 60, 75, 90, 105, 120]
    assert {total for _, total in told} == {FRAMES}
    assert names_in(tmp_path) == ["in.mp4", "one.groups", "one.mp4", "two.groups", "two.mp4"]


def test_after_a_correction_only_the_groups_it_touches_are_encoded_again(tmp_path, clip, encoded_frames):
    before, after, fresh = (tmp_path / name for name in ("ses-1-00aa.mp4", "after.mp4", "fresh.mp4"))
    render_anonymized(clip, before, MANY, processes=1)
    corrected = [*hidden_in([5, 25, 65, 105]), *hidden_in([45], x=80.0), *hidden_in([85])]
    report = render_anonymized(clip, after, corrected, earlier=earlier_file(tmp_path, "ses-1"), processes=1)
    assert report == render_anonymized(clip, fresh, corrected, processes=1)
    assert after.read_bytes() == fresh.read_bytes()
    assert encoded_frames == [75, 30, 90]


def test_what_is_no_longer_hidden_is_copied_again(tmp_path, clip):
    before, after = tmp_path / "before.mp4", tmp_path / "after.mp4"
    render_anonymized(clip, before, MANY, processes=1)
    report = render_anonymized(clip, after, [], earlier=before, processes=1)
    assert report.copied_fraction == 1.0


@pytest.mark.parametrize("damage", ["video", "keys", "no keys", "other form"])
def test_an_earlier_file_that_is_not_what_was_written_is_left_aside(tmp_path, clip, encoded_frames, damage):
    before, after = tmp_path / "before.mp4", tmp_path / "after.mp4"
    render_anonymized(clip, before, MANY, processes=1)
    if damage == "video":
        before.write_bytes(before.read_bytes()[:-1] + b"?")
    elif damage == "no keys":
        keys_path(before).unlink()
    else:
        keys_path(before).write_text("{" if damage == "keys" else '{"sha256": 1, "groups": [3]}')
    render_anonymized(clip, after, MANY, earlier=before, processes=1)
    assert encoded_frames == [75, 75]


def test_an_earlier_file_is_found_by_its_session_and_no_other(tmp_path):
    assert earlier_file(tmp_path, "ses-1") is None
    for name in ("ses-1-2-0a", "ses-1-0b", "ses-12-0c"):
        (tmp_path / f"{name}.groups").touch()
    assert earlier_file(tmp_path, "ses-1") == tmp_path / "ses-1-0b.mp4"


def interrupting(after_frames, error):
    def report(done, _total):
        if done >= after_frames:
            raise error

    return report


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_rendering_leaves_finished_parts_and_the_next_one_uses_them(
    tmp_path, clip, encoded_frames, processes
):
    target, fresh = tmp_path / "out.mp4", tmp_path / "fresh.mp4"
    target.write_bytes(b"the last good one")
    stop = interrupting(80, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        render_anonymized(clip, target, MANY, processes=processes, on_progress=stop)
    assert target.read_bytes() == b"the last good one"
    assert names_in(tmp_path) == [".out.mp4.parts", "in.mp4", "out.mp4"]
    assert {path.suffix for path in parts_folder(target).iterdir()} == {".part"}
    render_anonymized(clip, target, MANY, processes=processes)
    render_anonymized(clip, fresh, MANY, processes=1)
    assert target.read_bytes() == fresh.read_bytes()
    assert encoded_frames[0] == encoded_frames[2] == 75 > encoded_frames[1]
    assert not parts_folder(target).exists()


def test_a_rejected_recording_leaves_no_parts(tmp_path, clip):
    target = tmp_path / "out.mp4"
    stop = interrupting(80, rendering.not_anonymizable(clip, "has gone wrong"))
    with pytest.raises(PrivacyError, match="gone wrong"):
        render_anonymized(clip, target, MANY, processes=1, on_progress=stop)
    assert names_in(tmp_path) == ["in.mp4"]


def test_damage_that_another_process_finds_is_the_recordings_error(tmp_path, clip):
    content = bytearray(clip.read_bytes())
    start = content.index(b"mdat") + len(content) // 3
    content[start : start + 2000] = os.urandom(2000)
    clip.write_bytes(content)
    with pytest.raises(RecordingError, match=r"'in\.mp4' (is damaged|declares)") as caught:
        render_anonymized(clip, tmp_path / "out.mp4", hidden_in(range(FRAMES)), processes=2)
    assert caught.value.evidence["file"] == "in.mp4"
    assert names_in(tmp_path) == ["in.mp4"]


@pytest.mark.parametrize(
    ("number", "error", "complaint"),
    [(signal.SIGKILL, SettingsError, "ended with code -9"), (signal.SIGSEGV, RecordingError, "crashes its decoder")],
)
def test_a_process_that_is_killed_ends_the_rendering_with_an_error(
    tmp_path, clip, monkeypatch, number, error, complaint
):
    started = subprocess.Popen

    def doomed(*arguments, **options):
        process = started(*arguments, **options)
        process.send_signal(number)
        return process

    monkeypatch.setattr(encoding_processes.subprocess, "Popen", doomed)
    with pytest.raises(error, match=complaint):
        render_anonymized(clip, tmp_path / "out.mp4", MANY, processes=2)
    assert not (tmp_path / "out.mp4").exists()


# Where tests run in the background, SIGINT is ignored, Dagster makes SIGTERM the same, and both would be inherited.
PROGRAM = """
import signal
import sys
import time
from pathlib import Path
from harchive_dagster.privacy import rendering
from harchive_dagster.privacy.redaction import Redaction

signal.signal(signal.SIGTERM, signal.SIG_DFL)
rendering._PART_FRAMES = 20
hidden = [Redaction(f, 1, "face", 60.0, 40.0, 90.0, 110.0, "detected", 0.9) for f in range(0, int(sys.argv[3]), 3)]

def rest(done, of_all):
    print("a part is done", flush=True)
    time.sleep(600)

print("starts", flush=True)
on_progress = rest if sys.argv[4] == "rests" else None
rendering.render_anonymized(Path(sys.argv[1]), Path(sys.argv[2]), hidden, processes=2, on_progress=on_progress)
"""


def started_program(source, target, frame_count, after_a_part="goes on"):
    command = [sys.executable, "-c", PROGRAM, str(source), str(target), str(frame_count), after_a_part]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)
    process.stdout.readline()
    return process


def wait_for_the_end_of(group):
    while True:  # a process that was just being started ends by itself as soon as it runs
        os.killpg(group, 0)
        time.sleep(0.05)


def test_a_process_whose_caller_is_killed_while_it_hands_over_a_task_ends():
    process = subprocess.Popen(
        [sys.executable, "-m", encoding_processes.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        process.communicate(pickle.dumps(list(range(1000)))[:-100], timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1


def test_an_ended_program_takes_its_processes_and_half_done_files_with_it(tmp_path, clip):
    target = tmp_path / "out.mp4"
    process = started_program(clip, target, FRAMES, after_a_part="rests")
    assert process.stdout.readline() == b"a part is done\n"
    assert parts_folder(target).exists()
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        wait_for_the_end_of(process.pid)
    assert not [name for name in names_in(tmp_path) if name.endswith((".partial", "out.mp4"))]


@pytest.mark.slow
def test_fifty_kills_never_show_a_partial_file_and_the_bytes_are_the_same_in_the_end(tmp_path, write_clip, face_at):
    source, target, reference = tmp_path / "in.mp4", tmp_path / "out.mp4", tmp_path / "reference.mp4"
    size = {"width_px": 1280, "height_px": 720}
    write_clip(source, [face_at(x=58 + place % 5, **size) for place in range(160)], options=OPTIONS)
    begun = time.monotonic()
    assert started_program(source, reference, 160).wait() == 0
    whole_s, moments = time.monotonic() - begun, random.Random(5)
    unfinished = 0
    for _ in range(50):
        process = started_program(source, target, 160)
        time.sleep(moments.uniform(0, whole_s))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if target.exists():
            assert target.read_bytes() == reference.read_bytes()
            target.unlink()
        else:
            unfinished += 1
    assert unfinished > 10
    assert started_program(source, target, 160).wait() == 0
    assert target.read_bytes() == reference.read_bytes()
    assert names_in(tmp_path) == ["in.mp4", "out.groups", "out.mp4", "reference.groups", "reference.mp4"]
    assert sum(1 for _ in iterate_frames(target)) == 160
