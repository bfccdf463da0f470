import subprocess
from pathlib import Path

import pytest

from harchive_dagster.landing.isolation import IsolatedCallError, call_isolated

CALLED = """
import os, signal, sys, time
import numpy as np

def twice(number):
    print("a native library's own log"), print("and more", file=sys.stderr)
    return {"number": np.array(int(number) * 2), "text": np.array(["a", "ä"])}

def environment():
    return {"names": np.array(sorted(os.environ))}

def refuse(why):
    raise ValueError(why)

def lack():
    import a_library_that_nobody_has

def crash():
    os.abort()

def sleep():
    time.sleep(60)

def spin():
    while True:
        pass

def eat(count):
    return {"zeros": np.zeros(int(count))}

def leave_quietly():
    os._exit(0)

def send_a_pickle():
    return {"object": np.array([{"any": "object"}], dtype=object)}

def leave_junk():
    folder = next(cell for cell in sys._getframe(1).f_locals.values() if hasattr(cell, "joinpath"))
    (folder / "problem.json").write_bytes(b"\\xff{")
    os._exit(0)
"""
MIB = 2**20


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "called_in_a_child.py").write_text(CALLED)
    monkeypatch.syspath_prepend(tmp_path)
    import called_in_a_child

    return called_in_a_child


def call(function, *arguments: str, seconds: int = 30):
    return call_isolated(function, *arguments, memory_bytes=256 * MIB, seconds=seconds)


def test_arrays_come_back_and_the_child_s_chatter_does_not(called, capfd):
    arrays = call(called.twice, "21")
    assert int(arrays["number"]) == 42
    assert arrays["text"].tolist() == ["a", "ä"]
    assert capfd.readouterr() == ("", "")


def test_secrets_stay_out_of_the_child(called, monkeypatch):
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", "a secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    names = set(call(called.environment)["names"].tolist())
    assert "PATH" in names
    assert not names & {"HARCHIVE_PSEUDONYM_KEY", "AWS_SECRET_ACCESS_KEY"}


@pytest.mark.parametrize(
    ("name", "arguments", "problem", "error_name"),
    [
        ("refuse", ["it is \udcff no file"], r"cannot be read: 'it is \\udcff no file'", "ValueError"),
        ("lack", [], "cannot be read: .*a_library_that_nobody_has", "ModuleNotFoundError"),
        ("crash", [], r"crashed its reader \(SIGABRT\)", ""),
        ("eat", [str(512 * MIB)], "ask for more memory than it may take", "MemoryError"),
        ("leave_quietly", [], r"without a result \(exit code 0\)", ""),
        ("leave_junk", [], r"without a result \(exit code 0\)", ""),
        ("send_a_pickle", [], r"without a result \(exit code 0\)", ""),
    ],
)
def test_whatever_happens_in_the_child_is_one_error_here(called, name, arguments, problem, error_name):
    with pytest.raises(IsolatedCallError, match=problem) as caught:
        call(getattr(called, name), *arguments)
    assert caught.value.error_name == error_name


def test_what_takes_too_long_is_stopped(called):
    with pytest.raises(IsolatedCallError, match="busy for more than 1 s"):
        call(called.sleep, seconds=1)


def test_processor_time_is_bounded_without_the_parent_s_help(called, monkeypatch):
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: run(*arguments, **options | {"timeout": None}))
    with pytest.raises(IsolatedCallError, match=r"crashed its reader \(SIGXCPU\)"):
        call(called.spin, seconds=1)


def test_nothing_stays_behind(called, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    call(called.twice, "1")
    with pytest.raises(IsolatedCallError):
        call(called.crash)
    assert not list(tmp_path.glob("harchive-isolated-*"))
