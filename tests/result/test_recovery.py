"""Stopping a run at any moment and starting it again gives the bytes of one uninterrupted run."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emreel
from emreel import result

FAILED, DIED, KILLED = 7, 9, -9


class Driver:
    """Runs a driver of ``n_frames`` frames in processes that may die."""

    def __init__(self, n_frames: int) -> None:
        env = os.environ | {"PYTHONPATH": str(Path(emreel.__file__).parents[1])}
        command = [sys.executable, str(Path(__file__).with_name("driver.py")), str(n_frames)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(self, path: Path, how: str = "call", when: float = 0) -> tuple[int, int | None]:
        """Exit status and number of calls, see driver.py."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(path), how, when]) + "\n")
        self.process.stdin.flush()
        status, calls = json.loads(self.process.stdout.readline())
        return status, calls


@pytest.fixture(scope="module")
def small() -> Iterator[Driver]:
    yield from started(2)


@pytest.fixture(scope="module")
def long() -> Iterator[Driver]:
    yield from started(30)


def started(n_frames: int) -> Iterator[Driver]:
    driver = Driver(n_frames)
    with driver.process:
        yield driver
        assert driver.process.stdin is not None
        driver.process.stdin.close()


def assert_ledger_within_data(path: Path) -> set[int]:
    """All that the ledger claims is there. Returns the blocks that it claims."""
    if not result.is_result(path):
        assert not (path / "ledger.jsonl").exists()
        return set()
    assert result.verify_result(path) == []
    return set(result.read_ledger(path).done)


def stat_of(path: Path, blocks: set[int]) -> dict[str, tuple[int, int]]:
    layout = result.read_layout(path) if blocks else None
    files = [f for n in blocks if layout for f in result.shard_paths(path, layout, layout.block(n)).values()]
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def assert_goes_on(driver: Driver, path: Path, wanted: dict[str, bytes], read_files: Any) -> None:
    done = assert_ledger_within_data(path)
    before = stat_of(path, done)
    status, _ = driver.run(path)
    assert status == 0
    assert stat_of(path, done) == before, "finished shards are left untouched"
    assert read_files(path) == wanted


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Path]:
    """Folders of one name, because a result's name is written into it."""
    return lambda run: tmp_path / run / "result"


def test_an_uninterrupted_run_holds_its_data(small: Driver, tmp_path: Path) -> None:
    status, calls = small.run(tmp_path)
    assert status == 0 and calls is not None and calls > 100
    assert assert_ledger_within_data(tmp_path) == {0, 1, 2, 3}
    assert not (tmp_path / "lock").exists()
    labels = result.open_result(tmp_path).label.values
    first = np.random.default_rng(0).integers(0, 3, (1, 40, 32), np.uint8)
    np.testing.assert_array_equal(labels[:1, :, :32], first)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", ["call", "error"])
def test_death_and_failure_at_every_operation(
    small: Driver, place: Callable[[str], Path], read_files: Any, how: str
) -> None:
    _, n_calls = small.run(place("whole"), how)
    assert n_calls is not None
    wanted = read_files(place("whole"))
    step = 1 if os.environ.get("FULL") == "1" else 10
    outcomes = set()
    for offset in range(1, n_calls + 1, step):
        path = place(f"at{offset}")
        status, _ = small.run(path, how, offset + random.Random(offset).randrange(step))
        outcomes.add(status)
        assert_goes_on(small, path, wanted, read_files)
        shutil.rmtree(path.parent)
    assert outcomes <= ({DIED, 0} if how == "call" else {FAILED, 0})
    assert (DIED if how == "call" else FAILED) in outcomes


@pytest.mark.timeout(1800)
def test_kills_at_any_moment_lose_nothing(
    long: Driver, place: Callable[[str], Path], read_files: Any, times: Callable[[int], int]
) -> None:
    rng = random.Random(11)
    started = time.monotonic()
    assert long.run(place("whole"))[0] == 0
    window_s = (time.monotonic() - started) / 3
    wanted = read_files(place("whole"))
    kills = progressed = 0
    path = place("killed")
    before: set[int] = set()
    while kills < times(200):
        status, _ = long.run(path, "time", rng.uniform(0.0, window_s))
        done = assert_ledger_within_data(path)
        assert before <= done, "finished blocks are kept"
        progressed += len(done) > len(before)
        window_s *= 1.0 if len(done) > len(before) else 1.3  # a busy machine starts more slowly
        if status == 0:
            assert read_files(path) == wanted
            shutil.rmtree(path)
            done, window_s = set(), window_s / 2
        kills += status == KILLED
        before = done
    assert progressed > kills / 10, "the kills must fall into the writing too"
    if path.exists():
        assert_goes_on(long, path, wanted, read_files)


def test_two_kills_in_a_row_are_no_worse(small: Driver, place: Callable[[str], Path], read_files: Any) -> None:
    small.run(place("whole"))
    wanted = read_files(place("whole"))
    rng = random.Random(2)
    for number in range(4):
        path = place(f"twice{number}")
        for _ in range(3):
            small.run(path, "call", rng.randrange(1, 150))
            assert_ledger_within_data(path)
        assert_goes_on(small, path, wanted, read_files)
