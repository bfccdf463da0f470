"""Feeds damaged files to a reader, in a process of its own: what it must survive without another exception, a hang,
a crash of the interpreter or more memory than it may take. Started by the `survive_mutations` fixture.
"""

import faulthandler
import importlib.util
import json
import random
import resource
import signal
import sys
import traceback
from pathlib import Path

from harchive_dagster.errors import SessionRejectedError

MEMORY_HEADROOM = 2 * 2**30
SECONDS_PER_INPUT = 20
INTERESTING = (b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\x00\x00\x00", b"-", b"\n", b"9" * 20)


def mutate(seeds: list[bytes], number: int) -> bytes:
    """One damaged file; the same number gives the same damage."""
    dice = random.Random(number)
    raw = bytearray(dice.choice(seeds))
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        at = dice.randrange(len(raw)) if raw else 0
        size = dice.choice((1, 2, 4, 8, 64, 512))
        kind = dice.randrange(7)
        if kind == 0 and raw:
            raw[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            junk = dice.choice(INTERESTING)
            raw[at : at + len(junk)] = junk
        elif kind == 2:
            raw[at : at + size] = dice.randbytes(size)
        elif kind == 3:
            del raw[at:]
        elif kind == 4:
            del raw[at : at + size]
        elif kind == 5:
            raw[at:at] = raw[at : at + size]
        else:
            other = dice.choice(seeds)
            start = dice.randrange(len(other)) if other else 0
            raw[at : at + size] = other[start : start + size]
    return bytes(raw)


def load(source: str, name: str):
    spec = importlib.util.spec_from_file_location("exercised", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_HEADROOM, resource.RLIM_INFINITY))


def main() -> None:
    task = json.load(sys.stdin)
    faulthandler.enable()
    exercise = load(task["source"], task["name"])
    folder = Path(task["folder"])
    seeds = [Path(path).read_bytes() for path in task["seeds"]]
    for path in task["seeds"]:
        exercise(Path(path))  # undamaged: everything heavy is loaded before the memory is limited
    limit_memory()
    faulthandler.register(signal.SIGALRM, chain=True)
    path = folder / f"damaged{task['suffix']}"
    outcomes = {"read": 0, "refused": 0}
    for number in range(task["first"], task["first"] + task["count"]):
        (folder / "current").write_text(str(number))
        path.write_bytes(mutate(seeds, number))
        signal.alarm(SECONDS_PER_INPUT)
        try:
            exercise(path)
            outcomes["read"] += 1
        except SessionRejectedError:
            outcomes["refused"] += 1
        except BaseException:
            traceback.print_exc()
            sys.exit(1)
        signal.alarm(0)
    sys.stdout.write(json.dumps(outcomes) + "\n")


if __name__ == "__main__":
    main()
