"""Workers that are killed, hang, or meet a frame that they cannot bear."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

from emreel import engine
from emreel.engine import WorkerKilledError, schedulers
from emreel.fit import fit_model
from emreel.label import label_movie
from emreel.model import Model
from emreel.movie import make_movie
from emreel.result import open_result, read_ledger, verify_result

pytestmark = pytest.mark.timeout(3600)


def worker_pids() -> list[int]:
    from distributed import default_client

    return [nanny.pid for nanny in default_client().cluster.workers.values() if nanny.pid]


class Killer:
    """Kills workers from a thread while something runs, at most ``most`` a run."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.kills = 0

    @contextmanager
    def at_work(self, most: int) -> Iterator[None]:
        done = threading.Event()

        def kill() -> None:
            for _ in range(most):
                if done.wait(self._rng.uniform(0.05, 0.6)):
                    return
                pids = worker_pids()
                if pids:
                    try:
                        os.kill(self._rng.choice(pids), signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                    self.kills += 1
                if done.wait(1.0):
                    return

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def test_killed_while_fitting_gives_the_same_digest(
    small_frames: np.ndarray, small_model: Model, times: Callable[[int], int]
) -> None:
    killer, wanted = Killer(1), times(100)
    with engine.local_workers(2):
        while killer.kills < wanted:
            with killer.at_work(most=2):
                model = fit_model(make_movie(small_frames[:6]), n_clusters=3)
            assert model.digest == small_model.digest


def test_killed_while_labelling_loses_nothing(
    small_frames: np.ndarray,
    small_model: Model,
    times: Callable[[int], int],
    tmp_path: Path,
    one_frame_a_block: None,
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    movie = make_movie(small_frames)
    label_movie(movie, small_model, tmp_path / "whole" / "r")
    wanted = files_of(tmp_path / "whole" / "r")
    killer, n_kills, run = Killer(2), times(200), 0
    with engine.local_workers(2):
        while killer.kills < n_kills:
            place = tmp_path / f"run{run}" / "r"
            with killer.at_work(most=3):
                result = label_movie(movie, small_model, place)
            assert result.is_complete and verify_result(place) == []
            assert files_of(place) == wanted
            run += 1


def test_workers_killed_while_they_start_are_called_back(small_frames: np.ndarray, small_model: Model) -> None:
    from distributed import default_client

    with dask.config.set({"distributed.deploy.lost-worker-timeout": "200 ms"}), engine.local_workers(2):
        cluster = default_client().cluster
        given_up = time.monotonic() + 60.0
        while cluster.workers:
            assert time.monotonic() < given_up
            for pid in worker_pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        assert fit_model(make_movie(small_frames[:6]), n_clusters=3).digest == small_model.digest


def test_a_worker_that_hangs_is_replaced(
    small_frames: np.ndarray,
    small_model: Model,
    times: Callable[[int], int],
    tmp_path: Path,
    one_frame_a_block: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedulers, "WORKER_TTL_S", 6.0)
    for number in range(times(10)):
        with engine.local_workers(2):
            (victim, *_) = worker_pids()
            os.kill(victim, signal.SIGSTOP)
            started = time.monotonic()
            result = label_movie(make_movie(small_frames), small_model, tmp_path / f"r{number}")
            assert time.monotonic() - started < 6.0 + 30.0
            assert result.is_complete


@pytest.mark.parametrize("how", ["kill", "memory", "unreadable"])
def test_a_frame_that_cannot_be_labelled_is_quarantined_and_all_others_finish(
    how: str,
    small_frames: np.ndarray,
    small_model: Model,
    tmp_path: Path,
    one_frame_a_block: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from bad_frames import make_bad_movie

    frames = small_frames[:12]
    small_model = replace(small_model, steady=None)  # labels of each frame alone, to compare with
    told: list[Any] = []
    with engine.local_workers(2):
        movie = make_bad_movie(tmp_path, frames, (5,), how)
        result = label_movie(movie, small_model, tmp_path / "r", progress=told.append)
    assert result.missing_blocks == (5,)
    wanted = [small_model.label(frame) for frame in frames]
    for index in set(range(12)) - {5}:
        np.testing.assert_array_equal(result.label.values[index], wanted[index])
    assert not result.label.values[5].any()
    (row,) = result.table("quarantine").itertuples()
    assert (row.block, row.frame_first, row.frame_last) == (5, 5, 5)
    assert {"kill": "ended the process", "memory": "200 GB", "unreadable": "sector"}[how] in row.reason
    quality = result.table("quality").set_index("frame")
    assert quality.loc[5, "status"] == "quarantined" and (quality["status"] == "good").sum() == 11
    assert any("frames 5 to 5 cannot be labelled" in getattr(event, "text", "") for event in told)
    assert len(read_ledger(tmp_path / "r").done) == 11


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("how", ["memory", "unreadable"])
def test_in_threads_as_well(
    how: str,
    threads: int,
    small_frames: np.ndarray,
    small_model: Model,
    tmp_path: Path,
    one_frame_a_block: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from bad_frames import make_bad_movie

    small_model = replace(small_model, steady=None)
    movie = make_bad_movie(tmp_path, small_frames[:12], (0, 7, 8), how)
    good = make_bad_movie(tmp_path, small_frames[:12], (), how)
    with engine.local_threads(threads):
        with pytest.raises((MemoryError, OSError)):
            label_movie(movie, small_model, tmp_path / "s", stop_on_error=True)
        # the digest of a movie looks at some frames: here those that can be read
        monkeypatch.setattr("emreel.label.batch.movie_digest", lambda _: "digest")
        assert label_movie(movie, small_model, tmp_path / "r").missing_blocks == (0, 7, 8)
        result = label_movie(good, small_model, tmp_path / "r")
    assert result.is_complete
    np.testing.assert_array_equal(result.label.values, [small_model.label(frame) for frame in small_frames[:12]])
    assert not (tmp_path / "r" / "tables" / "quarantine.parquet").exists()
    assert set(open_result(tmp_path / "r").table("quality")["status"]) == {"good"}


def test_a_fit_on_a_frame_that_kills_says_so(
    small_frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from bad_frames import make_bad_movie

    with engine.local_workers(2):
        with pytest.raises(WorkerKilledError, match="ended the process of 4 workers"):
            fit_model(make_bad_movie(tmp_path, small_frames[:6], (2,), "kill"), n_clusters=3)
