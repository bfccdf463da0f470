"""Encodes parts in processes of their own, one per core, and ends them with the caller.

They are started as `python -m` of this module: multiprocessing would import the caller's main module into each, which
for Dagster's takes seconds.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy.group_encoding import EncodingTask, encoded_groups
from harchive_dagster.privacy.parts import written_part
from harchive_dagster.recording.container import unreadable
from harchive_dagster.recording.opencv_threads import one_opencv_thread

_KILLERS = {signal.SIGKILL, signal.SIGTERM}
"""Signals that come from outside: from the kernel short of memory, from an operator."""


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def encode_parts(parts: Sequence[tuple[EncodingTask, Path]], processes: int) -> Generator[int]:
    """Encode tasks into their part files.

    With one task or one process no other is started. However the iteration ends, the processes end with it; complete
    parts stay.

    Yields:
        Numbers of frames encoded since the last one.

    Raises:
        RecordingError, PrivacyError: as `encoded_groups`; also where a recording crashes the decoder.
        SettingsError: a process was killed.
        OSError: a part cannot be written.
    """
    count = min(processes, len(parts))
    if count <= 1:
        for task, path in parts:
            yield from written_part(path, encoded_groups(task))
        return
    waiting: queue.SimpleQueue[tuple[EncodingTask, Path]] = queue.SimpleQueue()
    for part in parts:
        waiting.put(part)
    news: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()
    workers: list[_Worker] = []
    try:
        for _ in range(count):
            workers.append(_Worker(waiting, news))  # noqa: PERF401 - what is started must be known when interrupted
        unfinished = count
        while unfinished:
            new = news.get()
            if new is None:
                unfinished -= 1
            elif isinstance(new, BaseException):
                raise new
            else:
                yield new
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process, and the thread that hands it one task after another and passes on what it says."""

    def __init__(self, waiting: "queue.SimpleQueue[tuple[EncodingTask, Path]]", news: "queue.SimpleQueue[Any]") -> None:
        self._waiting, self._news = waiting, news
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(BrokenPipeError):  # what it has not read is of no use any more
                    pipe.close()

    def _pass_on(self) -> None:
        try:
            while True:
                try:
                    task, path = self._waiting.get_nowait()
                except queue.Empty:
                    break
                for said in self._said_about(task, path):
                    self._news.put(said)
        except BaseException as error:
            self._news.put(error)
        self._news.put(None)

    def _said_about(self, task: EncodingTask, path: Path) -> Iterator[Any]:
        requests, answers = self._process.stdin, self._process.stdout
        if requests is None or answers is None:  # both were asked for; kept for the type
            raise ValueError("the process has no pipes")
        try:
            pickle.dump((task, path), requests)
            requests.flush()
            while (said := pickle.load(answers)) is not None:
                yield _revived(said) if isinstance(said, tuple) else said
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            yield self._death(task)

    def _death(self, task: EncodingTask) -> Exception:
        code = self._process.wait()
        first, last = task.groups[0].first_frame, task.groups[-1].frames.stop - 1
        if code < 0 and -code not in _KILLERS:
            return unreadable(
                task.source, f"crashes its decoder between the frames {first} and {last} (signal {-code})"
            )
        return SettingsError(
            f"The process that rendered frames {first} to {last} of {task.source.name!r} ended with code {code}.",
            consequence="The recording was not rendered; finished parts are kept.",
            mend="Give the machine more memory or fewer decoding runs at a time, and run the worker-day again.",
        )


def _revived(said: tuple[type[BaseException], tuple[Any, ...], dict[str, Any]]) -> BaseException:
    # Not through the constructor: this package's errors take other arguments than they keep.
    kind, arguments, attributes = said
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


@one_opencv_thread()
def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the caller ends this process
    tasks: queue.SimpleQueue[tuple[EncodingTask, Path]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, tasks), daemon=True).start()
    while True:
        task, path = tasks.get()
        try:
            for count in written_part(path, encoded_groups(task)):
                _send(answers, count)
            _send(answers, None)
        except Exception as error:
            _send(answers, (type(error), error.args, error.__dict__))


def _receive(requests: IO[bytes], tasks: "queue.SimpleQueue[Any]") -> None:
    """Ends the process, whatever it does, as soon as its caller is gone."""
    try:
        while True:
            tasks.put(pickle.load(requests))
    finally:  # also a caller that was killed while it was handing over a task: the half of one is no task
        os._exit(1)


def _send(answers: IO[bytes], message: Any) -> None:
    pickle.dump(message, answers)
    answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
