"""A driver that dies: it labels a small result with data known beforehand, in a process forked for each try.

Reads jobs from stdin, one JSON list a line: [path, how, when]. ``how`` "time": SIGKILL after ``when`` seconds;
"call": the process dies at its ``when``-th call of an operation on files; "error": that call fails with ENOSPC.
Answers with one JSON line: the exit status and, for "call" and "error", how many calls were made.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from emreel import result

CALLS = ("open", "write", "fsync", "replace", "rename", "link", "unlink", "mkdir", "ftruncate", "close")
IDENTITY = {"model": "m", "movie": "v", "recipe": {}}
FAILED, DIED = 7, 9


def make_layout(n_frames: int) -> result.Layout:
    return result.plan_layout((n_frames, 40, 44), 4, 2, frames_per_block=1, tile_yx=(40, 32))


def make_data(layout: result.Layout, block: result.Block) -> dict[str, np.ndarray]:
    return {
        name: np.random.default_rng(block.index).integers(
            0, 3, [part.stop - part.start for part in layout.region(name, block)], np.uint8
        )
        for name in layout.arrays()
    }


def run(path: Path, n_frames: int) -> None:
    layout = make_layout(n_frames)
    with result.acquire_lock(path) as lock:
        if not result.is_result(path):
            result.create_store(
                path, layout, identity=IDENTITY, label_names=["a", "b"], label_colors=[(9, 9, 9), (99, 99, 99)]
            )
        ledger = result.open_ledger(path, lock, identity=IDENTITY)
        for block in ledger.missing:
            checksums = result.write_block(path, layout, block, **make_data(layout, block))
            ledger.append(result.Record(block=block, checksums=checksums, rows=[{"frame": block.frames[0]}]))


def count_calls(how: str, fatal: int) -> list[int]:
    """Count the calls of file operations below a result; at the ``fatal``-th, die or fail."""
    counted = [0]

    def wrap(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            counted[0] += 1
            if counted[0] == fatal:
                if how == "call":
                    os._exit(DIED)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))
    return counted


def run_and_say(path: Path, n_frames: int, how: str, when: float, answer: int) -> None:
    counted = [0] if how == "time" else count_calls(how, int(when))
    status = 0
    try:
        run(path, n_frames)
    except result.StorageError:
        status = FAILED
    real_calls = counted[0]
    counted[0] = -(10**9)  # what follows is not counted
    os.write(answer, json.dumps(real_calls).encode())
    os._exit(status)


def main() -> None:
    n_frames = int(sys.argv[1])
    for line in sys.stdin:
        path, how, when = json.loads(line)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            run_and_say(Path(path), n_frames, how, when, write_end)
        os.close(write_end)
        if how == "time":
            time.sleep(when)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        said = os.read(read_end, 99)
        os.close(read_end)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps([code, json.loads(said) if said else None]), flush=True)


if __name__ == "__main__":
    main()
