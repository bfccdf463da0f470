"""Files reach the landing whole or stay invisible, wherever a process dies."""

import fcntl
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.placing import Placed, SourceFile, place_upload

MANIFEST = b'{"manifest_version": 1}'
CONTENTS = {"cap.mp4": b"pictures" * 300_000, "imu.csv": b"t_device_ns\n1\n2\n"}
FILE_ACTIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.truncate"}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Where the files come from."""
    folder = tmp_path / "card"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where they belong; nothing of it is there yet."""
    return tmp_path / "landing" / "2026-03-02" / "worker-01" / "ses-001"


def place(card: Path, folder: Path, *, is_move: bool = False, manifest: bytes = MANIFEST) -> Placed:
    sources = [SourceFile.of(card / name) for name in CONTENTS]
    return place_upload(folder, sources, manifest, is_move=is_move)


def is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() and (folder / name).read_bytes() == CONTENTS[name] for name in CONTENTS)


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def killed_at(action: int, work: Callable[[], object]) -> bool:
    """Run work in a process of its own that dies just before its n-th file action; whether it came that far."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(event: str, _: object) -> None:
            nonlocal seen
            if event in FILE_ACTIONS:
                seen += 1
                if seen == action:
                    os.kill(os.getpid(), 9)

        try:
            sys.addaudithook(count)
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("is_move", [False, True])
def test_killed_before_any_file_action_there_is_never_a_manifest_without_its_files(tmp_path, card, is_move):
    sources = [SourceFile.of(card / name) for name in CONTENTS]
    action = 0
    while True:
        action += 1
        folder = tmp_path / f"landing-{action}" / "2026-03-02" / "worker-01" / "ses-001"
        if not killed_at(action, lambda folder=folder: place_upload(folder, sources, MANIFEST, is_move=is_move)):
            break
        if (folder / "manifest.json").exists():
            assert is_whole(folder)
        for name in CONTENTS:  # a source goes only when the upload has it
            assert (card / name).exists() or is_whole(folder)
        if not is_whole(folder) or all((card / name).exists() for name in CONTENTS):
            place(card, folder)
            assert is_whole(folder)
            assert visible(folder) == {*CONTENTS, "manifest.json"}
            assert (folder / "manifest.json").read_bytes() == MANIFEST
        for name, content in CONTENTS.items():
            (card / name).write_bytes(content)
            os.utime(card / name, ns=(0, next(one.modified_ns for one in sources if one.name == name)))
    assert action > 10
    assert is_whole(folder)


def test_what_is_in_place_is_not_brought_again(card, folder):
    folder.mkdir(parents=True)
    (folder / "cap.mp4").write_bytes(CONTENTS["cap.mp4"])
    before = (folder / "cap.mp4").stat()
    assert place(card, folder) == Placed(brought=("imu.csv",), kept=("cap.mp4",), is_new=True)
    after = (folder / "cap.mp4").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_placing_twice_changes_nothing(card, folder):
    place(card, folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert place(card, folder) == Placed(brought=(), kept=tuple(CONTENTS), is_new=False)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_half_a_copy_of_an_earlier_try_is_replaced(card, folder):
    folder.mkdir(parents=True)
    digest = hashlib.sha256(CONTENTS["cap.mp4"]).hexdigest()
    (folder / f".partial-{digest[:32]}").write_bytes(b"pict")
    place(card, folder)
    assert is_whole(folder)
    assert visible(folder) == {*CONTENTS, "manifest.json"}


def _other_file(folder):
    (folder / "cap.mp4").write_bytes(b"another recording")


def _same_size(folder):
    (folder / "cap.mp4").write_bytes(CONTENTS["cap.mp4"][::-1])


def _link(folder):
    (folder.parent / "elsewhere").write_bytes(CONTENTS["cap.mp4"])
    (folder / "cap.mp4").symlink_to(folder.parent / "elsewhere")


def _other_manifest(folder):
    (folder / "manifest.json").write_bytes(b"{}")


def _dangling_manifest(folder):
    (folder / "manifest.json").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_other_file, "'ses-001' holds another file 'cap.mp4' already"),
        (_same_size, "'ses-001' holds another file 'cap.mp4' already"),
        (_link, "'ses-001' holds another file 'cap.mp4' already"),
        (_other_manifest, "'ses-001' was packed before, and its manifest says something else"),
        (_dangling_manifest, "'ses-001' was packed before, and its manifest says something else"),
    ],
)
def test_a_session_that_holds_something_else_is_left_alone(card, folder, spoil, message):
    folder.mkdir(parents=True)
    spoil(folder)
    before = {path.name: path.lstat() for path in folder.iterdir()}
    with pytest.raises(SettingsError, match=message):
        place(card, folder, is_move=True)
    assert {path.name: path.lstat() for path in folder.iterdir()} == before
    assert visible(card) == set(CONTENTS)


def test_a_linked_folder_is_not_written_into(tmp_path, card, folder):
    (tmp_path / "somebody").mkdir()
    folder.parent.parent.mkdir(parents=True)
    folder.parent.symlink_to(tmp_path / "somebody")
    with pytest.raises(SettingsError, match="'worker-01' in the landing folder is a link"):
        place(card, folder)


def test_two_at_once_do_not_meet(card, folder):
    folder.mkdir(parents=True)
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(SettingsError, match="being packed by another process"):
            place(card, folder)
    finally:
        os.close(handle)
    place(card, folder)
    assert is_whole(folder)


@pytest.mark.parametrize("is_move", [False, True])
def test_a_source_that_changes_meanwhile_is_refused(card, folder, is_move):
    sources = [SourceFile.of(card / name) for name in CONTENTS]
    (card / "cap.mp4").write_bytes(b"still recording")
    with pytest.raises(SettingsError, match=r"'cap\.mp4' changed while it was being packed"):
        place_upload(folder, sources, MANIFEST, is_move=is_move)
    assert visible(folder) == set()


def test_moving_takes_the_sources_away_and_copies_nothing(card, folder):
    numbers = {name: (card / name).stat().st_ino for name in CONTENTS}
    place(card, folder, is_move=True)
    assert visible(card) == set()
    assert is_whole(folder)
    assert {name: (folder / name).stat().st_ino for name in CONTENTS} == numbers


def test_moving_to_another_file_system_copies(card, folder, monkeypatch):
    def refuse(self, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    place(card, folder, is_move=True)
    assert visible(card) == set()
    assert is_whole(folder)


def test_files_that_lie_where_they_belong_are_not_removed(card, folder):
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    place(folder, folder, is_move=True)
    assert is_whole(folder)


def test_a_full_disk_is_one_sentence_and_leaves_no_manifest(card, folder, monkeypatch):
    def refuse(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SettingsError, match=r"No space left on device.*stays invisible.*run the same command again"):
        place(card, folder)
    monkeypatch.undo()
    assert not (folder / "manifest.json").exists()
    place(card, folder)
    assert is_whole(folder)


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "cap.mp4")
    with pytest.raises(OSError, match="not a regular file"):
        SourceFile.of(tmp_path / "cap.mp4")
