"""Calling a native library on untrusted bytes in a process of its own, with bounds on memory and time.

What is read there, and what a failure means for a session, belongs to the reader that calls.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "HOME", "LANG", "TMPDIR")
"""Of the environment: the pseudonym key and a store's credentials are nothing for a parser of untrusted bytes."""

_ARRAYS = "arrays.npz"
_PROBLEM = "problem.json"
_SECONDS_TO_END = 5
"""Between the processor time at which the child is told to end and that at which it is killed."""


class IsolatedCallError(Exception):
    """A call in a child process gave nothing; the message continues a sentence begun with the file's name.

    Args:
        problem: what went wrong.
        error_name: the class of the exception that the function raised; empty where the process itself ended.
    """

    def __init__(self, problem: str, *, error_name: str = "") -> None:
        super().__init__(problem)
        self.error_name = error_name


def call_isolated(
    function: Callable[..., Arrays], *arguments: str, memory_bytes: int, seconds: int
) -> dict[str, NDArray[Any]]:
    """Call a module-level function in a child process and bring back the arrays it gives.

    The arrays come back as .npz without pickles, so that a child that was taken over can only send numbers. What the
    child writes to its standard streams is thrown away: native libraries log there without being asked. Starting the
    child costs about a third of a second.

    Args:
        function: is imported again in the child, by its module and name.
        arguments: its arguments.
        memory_bytes: of address space that the child may take on top of what it has after importing.
        seconds: of wall time, after which it is killed; processor time is bounded by the same, so that a child whose
            parent died ends too.

    Raises:
        IsolatedCallError: the function raised, its process crashed, or it went beyond a bound.
    """
    with tempfile.TemporaryDirectory(prefix="harchive-isolated-") as folder:
        call = {
            "module": function.__module__,
            "name": function.__name__,
            "arguments": arguments,
            "memory_bytes": memory_bytes,
            "seconds": seconds,
            "folder": folder,
        }
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-m", __name__],
                input=json.dumps(call),
                text=True,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise IsolatedCallError(f"kept its reader busy for more than {seconds} s") from None
        return _outcome(Path(folder), child.returncode)


def _outcome(folder: Path, code: int) -> dict[str, NDArray[Any]]:
    if code < 0:
        known = {number.value: number.name for number in signal.Signals}
        raise IsolatedCallError(f"crashed its reader ({known.get(-code, -code)})")
    try:
        if (folder / _PROBLEM).is_file():
            problem = json.loads((folder / _PROBLEM).read_text())
            raise IsolatedCallError(str(problem["text"]), error_name=str(problem["error_name"]))
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            return dict(arrays)
    except IsolatedCallError:
        raise
    except Exception as error:  # whatever a child that was taken over may have left there
        raise IsolatedCallError(f"left its reader without a result (exit code {code})") from error


def _limit(memory_bytes: int, seconds: int) -> None:
    if sys.platform == "linux":  # other kernels do not bound address space
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _bound(resource.RLIMIT_AS, used + memory_bytes, used + memory_bytes)
    _bound(resource.RLIMIT_CPU, seconds, seconds + _SECONDS_TO_END)
    _bound(resource.RLIMIT_CORE, 0, 0)


def _bound(what: int, soft: int, hard: int) -> None:
    """A batch system's own bound may be lower already, and cannot be raised."""
    given = resource.getrlimit(what)[1]
    ceiling = hard if given == resource.RLIM_INFINITY else min(hard, given)
    resource.setrlimit(what, (min(soft, ceiling), ceiling))


def _serve() -> None:
    """The child's side: one call as JSON on standard input, files in its folder as the answer."""
    call = json.load(sys.stdin)
    folder = Path(call["folder"])
    try:
        function = getattr(importlib.import_module(call["module"]), call["name"])
        _limit(call["memory_bytes"], call["seconds"])
        arrays = function(*call["arguments"])
        np.savez(folder / _ARRAYS, **arrays)
    except Exception as error:  # of a native library: nobody lists what it can raise
        if isinstance(error, MemoryError):
            text = "makes its reader ask for more memory than it may take"
        else:
            text = f"cannot be read: {str(error)[:200]!a}"
        (folder / _PROBLEM).write_text(json.dumps({"text": text, "error_name": type(error).__name__}))


if __name__ == "__main__":
    _serve()
