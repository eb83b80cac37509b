"""A scheduler that dies under a run: told at once, nothing lost, and the command to go on is printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emreel.model import Model
from emreel.result import open_result, read_ledger, verify_result

pytestmark = pytest.mark.timeout(3600)


@contextmanager
def scheduler_and_worker(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler of its own with two workers, on loopback; its address and process."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [
            *[sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"],
            *["--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)],
        ],
        **quiet,
    )
    workers = []
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.1)
        address = str(json.loads(file.read_text())["address"])
        workers.append(
            subprocess.Popen(
                [
                    *[sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", "2"],
                    *["--nthreads", "1", "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"],
                    *["--no-dashboard", "--death-timeout", "60", "--local-directory", str(folder)],
                ],
                **quiet,
            )
        )
        yield address, scheduler
    finally:
        for process in (*workers, scheduler):
            process.terminate()
        for process in (*workers, scheduler):
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_records(ledger: Path, n: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not ledger.exists() or ledger.read_bytes().count(b"\n") < n):
        time.sleep(0.02)


def test_a_lost_scheduler_is_told_at_once_and_the_run_can_go_on(
    small_frames: np.ndarray, small_model: Model, times: Callable[[int], int], tmp_path: Path
) -> None:
    np.save(tmp_path / "long.npy", np.concatenate([small_frames] * 60))
    small_model = replace(small_model, steady=None, survey=False)  # labels of each frame alone, to compare with
    small_model.save(tmp_path / "m.zarr")
    for number in range(times(20)):
        place = f"r{number}"
        command = [sys.executable, "-m", "emreel", "label", "long.npy", "--model", "m.zarr", "-o", place]
        with scheduler_and_worker(tmp_path) as (address, scheduler):
            run = subprocess.Popen(
                [*command, "--scheduler", address], cwd=tmp_path, stderr=subprocess.PIPE, env=os.environ
            )
            wait_for_records(tmp_path / place / "ledger.jsonl", 4)
            scheduler.send_signal(signal.SIGKILL)
            started = time.monotonic()
            _, err = run.communicate(timeout=120)
            took_s = time.monotonic() - started
        text = " ".join(err.decode().split())
        assert run.returncode == 1, text
        assert took_s < 15
        assert "emreel: error: the connection to" in text and "is gone" in text
        assert f"emreel: to go on: emreel label long.npy --model m.zarr -o {place} --scheduler {address}" in text
        assert "Traceback" not in text, err.decode()
        done = read_ledger(tmp_path / place).done
        assert done and verify_result(tmp_path / place) == []
        assert not (tmp_path / place / "lock").exists()
    again = subprocess.run([*command, "--workers", "2"], cwd=tmp_path, capture_output=True, check=True)
    assert b"going on after" in again.stderr
    label = open_result(tmp_path / place).label.values
    wanted = np.stack([small_model.label(frame) for frame in small_frames[:6]])
    np.testing.assert_array_equal(label, np.concatenate([wanted] * 300))


def test_no_scheduler_at_an_address_is_one_line(tmp_path: Path, small_model: Model) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2, 64, 64), np.uint8))
    small_model.save(tmp_path / "m.zarr")
    command = [sys.executable, "-m", "emreel", "label", "m.npy", "--model", "m.zarr", "-o", "r"]
    run = subprocess.run([*command, "--scheduler", "tcp://127.0.0.1:9"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    assert "emreel: error: no scheduler can be reached at tcp://127.0.0.1:9" in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "r").exists()
