"""Compacting: the bytes of a batch result, at once, whenever it is killed; repairing what was watched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from emreel.label import frames_per_block, label_movie
from emreel.model import Model
from emreel.result import (
    LockError,
    RegionWriter,
    ResultError,
    acquire_lock,
    compact_result,
    has_regions,
    open_result,
    read_ledger,
    verify_result,
)
from emreel.stream import FolderSource, Policy, Replay, Watching, watch
from emreel.stream.repair import repair_watched
from emreel.track.regions import track_regions

ALL_AT_ONCE = float("inf")


def watch_all(movie: xr.DataArray, model: Model, path: Path, policy: str = "newest") -> Any:
    return watch(Replay(movie, speed=ALL_AT_ONCE), model, path, how=Watching(policy=Policy.parse(policy)))


def arrays_of(path: Path) -> dict[str, bytes]:
    """The files of a result's zarr that do not tell where it comes from."""
    store = path / "movie.zarr"
    files = (file for file in store.rglob("*") if file.is_file())
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in files
        if "provenance" not in file.read_text("latin1")
    }


def test_a_compacted_result_has_the_bytes_of_a_batch(
    front_movie: xr.DataArray, quick_model: Model, tmp_path: Path
) -> None:
    watched = watch_all(front_movie, quick_model, tmp_path / "a" / "r")
    label_movie(front_movie, quick_model, tmp_path / "b" / "r")
    quality = watched.table("quality")
    assert compact_result(tmp_path / "a" / "r", frames_per_block)
    assert arrays_of(tmp_path / "a" / "r") == arrays_of(tmp_path / "b" / "r")
    result = open_result(tmp_path / "a" / "r")
    assert result.is_complete and verify_result(result.path) == []
    assert result.facts["stream"]["finished"]
    assert result.table("quality").equals(quality)
    array = zarr.open_array(tmp_path / "a" / "r" / "movie.zarr" / "labels/segments/label")
    assert array.shards == (10, 128, 144)
    assert {entry.name for entry in (tmp_path / "a" / "r").iterdir()} == {
        "movie.zarr",
        "model.zarr",
        "tables",
        "ledger.jsonl",
    }
    assert not compact_result(tmp_path / "a" / "r", frames_per_block), "nothing is left to do"
    with pytest.raises(ResultError, match="fixed number of frames"):
        watch_all(front_movie, quick_model, tmp_path / "a" / "r")


def test_frames_that_never_came_stay_not_computed(
    front_movie: xr.DataArray, quick_model: Model, tmp_path: Path
) -> None:
    before = watch_all(front_movie, quick_model, tmp_path / "r", "every:4").label.values
    assert [bool(frame.any()) for frame in before[:6]] == [True, False, False, False, True, False]
    compact_result(tmp_path / "r", lambda _: 4)
    np.testing.assert_array_equal(open_result(tmp_path / "r").label.values, before)
    assert verify_result(tmp_path / "r") == []


def test_it_is_refused_while_the_movie_is_watched_or_damaged(
    front_movie: xr.DataArray, quick_model: Model, tmp_path: Path
) -> None:
    watch_all(front_movie, quick_model, tmp_path / "r")
    with acquire_lock(tmp_path / "r"), pytest.raises(ResultError, match="is being written"):
        compact_result(tmp_path / "r", frames_per_block)
    (tmp_path / "r/movie.zarr/preview/c/3/0/0").write_bytes(b"")
    with pytest.raises(ResultError, match="block 3, preview: its file is empty"):
        compact_result(tmp_path / "r", frames_per_block)
    assert open_result(tmp_path / "r").layout.grows


class Stops(Replay):
    """A replay that is over after four frames."""

    def poll(self) -> list[Any]:
        return [arrival for arrival in super().poll() if arrival.index < 4]


def test_regions_of_a_watched_result(front_movie: xr.DataArray, instant_model: Model, tmp_path: Path) -> None:
    """Tracked after it was watched, after it went on, and kept when it is compacted."""
    path = tmp_path / "r"
    batch = label_movie(front_movie, instant_model, tmp_path / "batch")
    table = track_regions(batch)
    wanted = open_result(batch.path).region.to_numpy()
    watch(Stops(front_movie, speed=ALL_AT_ONCE), instant_model, path, how=Watching(idle_s=0.2))
    with acquire_lock(path), pytest.raises(LockError, match="is being written"):
        track_regions(open_result(path))
    track_regions(open_result(path))
    np.testing.assert_array_equal(open_result(path).region, wanted[:4])
    result = watch_all(front_movie, instant_model, path)
    assert result.label.shape == result.region.shape == (10, 128, 144)
    np.testing.assert_array_equal(result.region[:4], wanted[:4])
    assert not result.region[4:].any(), "frames that were not tracked have no regions"
    assert track_regions(result).equals(table)
    np.testing.assert_array_equal(open_result(path).region, wanted)
    assert zarr.open_array(path / "movie.zarr/labels/regions/region").chunks == (1, 128, 144)
    assert verify_result(path) == []
    compact_result(path, lambda _: 4)
    np.testing.assert_array_equal(open_result(path).region, wanted)
    assert zarr.open_array(path / "movie.zarr/labels/regions/region").shards == (4, 128, 144)
    assert verify_result(path) == []


def test_killed_while_regions_are_put_in_place_it_can_be_read(
    front_movie: xr.DataArray, instant_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file that is written and every rename is the last one, once."""
    watched = watch(Stops(front_movie, speed=ALL_AT_ONCE), instant_model, tmp_path / "r", how=Watching(idle_s=0.2))
    label, fatal = watched.label.to_numpy(), 0
    for fatal in range(100):
        path = shutil.copytree(watched.path, tmp_path / f"r{fatal}")
        n_before = 0

        def counted(real: Callable[..., Any], fatal: int = fatal) -> Callable[..., Any]:
            def call(*args: Any, **options: Any) -> Any:
                nonlocal n_before
                n_before += 1
                if n_before > fatal:
                    raise Killed
                return real(*args, **options)

            return call

        with monkeypatch.context() as patch:
            for name in ("rename", "replace"):
                patch.setattr(os, name, counted(getattr(os, name)))
            writer = RegionWriter(path)
            try:
                with writer:
                    for _ in range(4):
                        writer.append(np.ones((128, 144), np.uint32))
            except Killed:
                pass
            else:
                break
        result = open_result(path)
        np.testing.assert_array_equal(result.label, label)
        if has_regions(path):
            assert result.region.to_numpy().min() == 1
        if (path / "movie.zarr/labels/regions").exists():
            assert watch_all(front_movie, instant_model, path).label.shape[0] == 10
    assert fatal > 4


class Killed(BaseException):
    """The process ends here."""


DIES = """
import json, os, sys
import emreel.label
from emreel.result import compact_result
count = 0
def wrap(real):
    def call(*args, **kwargs):
        global count
        count += 1
        if count == fatal:
            os._exit(9)
        return real(*args, **kwargs)
    return call
for line in sys.stdin:
    path, fatal = json.loads(line)
    child = os.fork()
    if child == 0:
        for name in ("rename", "replace", "mkdir", "link", "unlink", "fsync", "rmdir"):
            setattr(os, name, wrap(getattr(os, name)))
        compact_result(path, lambda shape: 2)
        os.write(1, (str(count) + "\\n").encode())
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        os.write(1, b"died\\n")
"""


@pytest.fixture
def compacts() -> Iterator[Callable[[Path, int], str]]:
    """Compact in a process that dies at its n-th operation on files; "died", or how many operations there were."""
    with subprocess.Popen(
        [sys.executable, "-c", DIES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def compact(path: Path, fatal: int) -> str:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps([str(path), fatal]) + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield compact


def label_of(path: Path) -> np.ndarray | None:
    """None where the result says how to finish what was begun."""
    try:
        return open_result(path).label.values
    except ResultError as error:
        if "Finish it: emreel compact" in str(error):
            return None
        raise


def test_killed_at_any_step_it_is_old_or_new_and_finishes(
    front_movie: xr.DataArray, quick_model: Model, tmp_path: Path, compacts: Callable[[Path, int], str]
) -> None:
    wanted = watch_all(front_movie[:4], quick_model, tmp_path / "whole").label.values
    shutil.copytree(tmp_path / "whole", tmp_path / "r")
    n_calls = int(compacts(tmp_path / "r", 0))
    step = 1 if os.environ.get("FULL") == "1" else 20
    for fatal in sorted({*range(1, n_calls, step), *range(n_calls - 8, n_calls + 1)}):
        shutil.rmtree(tmp_path / "r")
        shutil.copytree(tmp_path / "whole", tmp_path / "r")
        assert compacts(tmp_path / "r", fatal) == "died"
        left = label_of(tmp_path / "r")
        assert left is None or np.array_equal(left, wanted)
        compact_result(tmp_path / "r", lambda _: 4)
        result = open_result(tmp_path / "r")
        assert not result.layout.grows and verify_result(result.path) == []
        np.testing.assert_array_equal(result.label.values, wanted)
        assert not list((tmp_path / "r").glob(".*.partial"))


def test_damaged_frames_are_labelled_again(
    frames: np.ndarray, quick_model: Model, tmp_path: Path, write_frame: Any
) -> None:
    for number, frame in enumerate(frames):
        write_frame(tmp_path / "f", number, frame)
    source = FolderSource(tmp_path / "f", frame_time_s=0.5)
    wanted = watch(source, quick_model, tmp_path / "r", how=Watching(idle_s=0.3)).label.values
    for index in (2, 5):
        file = tmp_path / f"r/movie.zarr/labels/segments/label/c/{index}/0/0"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    again = FolderSource(tmp_path / "f", frame_time_s=0.5)
    assert repair_watched(again, tmp_path / "r", how=Watching(idle_s=0.3)) == 2
    assert verify_result(tmp_path / "r") == []
    np.testing.assert_array_equal(open_result(tmp_path / "r").label.values, wanted)
    assert len(read_ledger(tmp_path / "r").done) == 10
    compact_result(tmp_path / "r", frames_per_block)
    with pytest.raises(ResultError, match="was compacted"):
        repair_watched(FolderSource(tmp_path / "f"), tmp_path / "r")
