"""Movies that break under a run, clocks that jump, names that lead elsewhere, objects that are no movies."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from emreel import engine
from emreel.fit import fit_model
from emreel.io import open_movie
from emreel.label import label_movie
from emreel.model import Model, ModelError
from emreel.movie import EmreelError, MovieError, make_movie
from emreel.result import ResultError, is_result, open_result, verify_result


def write_mrc(path: Path, frames: np.ndarray) -> None:
    header = struct.pack("<4i", frames.shape[2], frames.shape[1], len(frames), 6).ljust(1024, b"\0")
    path.write_bytes(header + frames.astype("<u2").tobytes())


@pytest.mark.parametrize("keep", [0.98, 0.5, 0.1])
def test_a_movie_that_is_cut_while_it_is_labelled_loses_its_tail_only(
    keep: float,
    small_frames: np.ndarray,
    small_model: Model,
    tmp_path: Path,
    one_frame_a_block: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_mrc(tmp_path / "m.mrc", small_frames)
    movie = open_movie(tmp_path / "m.mrc")
    monkeypatch.setattr("emreel.label.batch.movie_digest", lambda _: "digest")
    os.truncate(tmp_path / "m.mrc", int((tmp_path / "m.mrc").stat().st_size * keep))
    with engine.local_threads(2):
        result = label_movie(movie, small_model, tmp_path / "r")
    n_left = int(((tmp_path / "m.mrc").stat().st_size - 1024) // (2 * small_frames[0].size))
    assert result.missing_blocks == tuple(range(n_left, 30))
    wanted = label_movie(make_movie(small_frames[:n_left]), small_model, tmp_path / "left").label
    np.testing.assert_array_equal(result.label[:n_left], wanted)
    quality = result.table("quality").set_index("frame")
    assert set(quality["status"][n_left:]) == {"quarantined"}
    assert "ends inside frame" in quality.loc[29, "reason"]


def test_a_movie_without_one_frame_left_stops_the_run(
    small_frames: np.ndarray, small_model: Model, tmp_path: Path, one_frame_a_block: None
) -> None:
    write_mrc(tmp_path / "m.mrc", small_frames)
    movie = open_movie(tmp_path / "m.mrc")
    os.truncate(tmp_path / "m.mrc", 1024)
    with pytest.raises(OSError, match="ends inside frame"):
        label_movie(movie, small_model, tmp_path / "r")


def test_a_movie_that_changed_is_refused_on_resume(
    small_frames: np.ndarray, small_model: Model, tmp_path: Path, one_frame_a_block: None
) -> None:
    np.save(tmp_path / "m.npy", small_frames)
    label_movie(open_movie(tmp_path / "m.npy"), small_model, tmp_path / "r")
    for changed in (small_frames[::-1], small_frames[:-1], small_frames.astype(np.uint16)):
        np.save(tmp_path / "m.npy", changed)
        with pytest.raises(ResultError, match="movie"):
            label_movie(open_movie(tmp_path / "m.npy"), small_model, tmp_path / "r")


@pytest.mark.parametrize("full", [False, True], ids=["quota", "file too large"])
def test_a_full_disk_stops_cleanly(
    full: bool,
    small_frames: np.ndarray,
    small_model: Model,
    tmp_path: Path,
    one_frame_a_block: None,
    monkeypatch: pytest.MonkeyPatch,
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    import errno

    from emreel.result import StorageError, files

    movie = make_movie(small_frames)
    label_movie(movie, small_model, tmp_path / "whole" / "r")
    real, left = os.write, [60_000]

    def write(descriptor: int, data: Any) -> int:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.EFBIG if full else errno.EDQUOT, "no room")
        return real(descriptor, data)

    with engine.local_threads(1), monkeypatch.context() as patched:
        patched.setattr(files.os, "write", write)
        with pytest.raises(StorageError, match="no space left"):
            label_movie(movie, small_model, tmp_path / "r")
    if is_result(tmp_path / "r"):
        assert verify_result(tmp_path / "r") == []
    label_movie(movie, small_model, tmp_path / "r")
    assert files_of(tmp_path / "r") == files_of(tmp_path / "whole" / "r")


def test_a_clock_that_jumps_changes_nothing(
    small_frames: np.ndarray,
    small_model: Model,
    tmp_path: Path,
    one_frame_a_block: None,
    monkeypatch: pytest.MonkeyPatch,
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    movie = make_movie(small_frames)
    label_movie(movie, small_model, tmp_path / "whole" / "r")
    jumps = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: 1e9 * (next(jumps) % 3))
    label_movie(movie, small_model, tmp_path / "r")
    assert files_of(tmp_path / "r") == files_of(tmp_path / "whole" / "r")


# -------------------------------------------------------------------------------- names that lead elsewhere


@pytest.mark.parametrize("name", ["../lattice", "/etc/passwd", "os:system", "emreel.io:open_movie", "..", "lattice\0"])
def test_a_descriptor_name_in_a_model_is_a_registered_name_only(name: str, small_model: Model, tmp_path: Path) -> None:
    small_model.save(tmp_path / "m.zarr")
    node = json.loads((tmp_path / "m.zarr" / "zarr.json").read_text())
    node["attributes"]["emreel_model"]["descriptor"]["name"] = name
    node.pop("consolidated_metadata", None)
    (tmp_path / "m.zarr" / "zarr.json").write_text(json.dumps(node))
    with pytest.raises(ModelError, match="unknown descriptor|damaged"):
        Model.load(tmp_path / "m.zarr")


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "a/b", "", "x" * 80, "Upper", "t\0"])
def test_table_names_stay_in_the_result(
    name: str, small_frames: np.ndarray, small_model: Model, tmp_path: Path
) -> None:
    import pandas as pd

    from emreel.result import write_table

    with pytest.raises(ResultError, match="wanted lower-case letters"):
        write_table(tmp_path, name, pd.DataFrame({"a": [1]}))
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_names_files_outside_writes_nothing(tmp_path: Path) -> None:
    import io
    import zipfile

    buffer = io.BytesIO()
    np.save(buffer, np.ones((3, 8, 8), np.uint8))
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "m.npz", "w") as archive:
        for name in ("../outside.npy", "/tmp/emreel-outside.npy", "..\\outside.npy"):
            archive.writestr(name, buffer.getvalue())
    with contextlib.suppress(EmreelError):
        open_movie(tmp_path / "in" / "m.npz")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "m.npz"]
    assert not Path("/tmp/emreel-outside.npy").exists()


def test_a_ledger_cannot_name_files(small_frames: np.ndarray, small_model: Model, tmp_path: Path) -> None:
    """Shards are found by numbers alone; a record of a block that the layout does not have is not trusted."""
    from emreel.result import read_ledger
    from emreel.result.lines import encode_line

    label_movie(make_movie(small_frames[:3]), small_model, tmp_path / "r")
    path = tmp_path / "r" / "ledger.jsonl"
    header = path.read_bytes().split(b"\n")[0] + b"\n"
    record = {"block": "../../x", "frames": [0, 3], "tile": [0, 128, 0, 144], "checksums": {}, "rows": []}
    path.write_bytes(header + encode_line(1, record))
    assert read_ledger(tmp_path / "r").done == {}


# ------------------------------------------------------------------------------------------ what is no movie


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ("a string", "does not exist"),
        (7, "got int, wanted a movie"),
        (None, "wanted a movie"),
        ({"frames": 3}, "got dict, wanted a movie"),
        (np.zeros((2, 3, 4, 5)), "4 dimensions, wanted 3"),
        (np.zeros(5), "1 dimensions|1 dimension"),
        (np.zeros((3, 8, 8), complex), "complex"),
        (np.zeros((3, 8, 8), bool), "boolean"),
        (np.empty((3, 8, 8), object), "Python objects"),
        (xr.DataArray(np.zeros((3, 8, 8)), dims=("t", "a", "b")), "dims .* wanted"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:12],
)
def test_what_is_no_movie_is_told_got_wanted_and_what_to_do(thing: Any, message: str) -> None:
    with pytest.raises(EmreelError, match=message) as told:
        open_movie(thing)
    assert str(told.value).endswith((".", ")", "'")), "a sentence that says what to do"


@pytest.mark.parametrize(
    ("times", "message"),
    [([0.0, 1.0], "2 frame times for 3 frames"), ([0, 2, 1], "increase"), ([0, np.nan, 1], "finite")],
)
def test_times_that_do_not_fit(times: list[float], message: str) -> None:
    with pytest.raises(MovieError, match=message):
        open_movie(np.ones((3, 8, 8)), frame_times_s=times)


def test_one_frame_and_one_phase_are_valid(small_frames: np.ndarray, tmp_path: Path) -> None:
    model = fit_model(make_movie(small_frames[:1]), n_clusters=1)
    result = label_movie(make_movie(small_frames[:1]), model, tmp_path / "r")
    assert set(np.unique(result.label.values)) <= {1, 255}


@pytest.mark.parametrize("value", [1e30, -1e30, np.inf])
def test_frames_of_absurd_values_are_invalid(
    value: float, small_frames: np.ndarray, small_model: Model, tmp_path: Path
) -> None:
    frames = small_frames[:4].astype(np.float32)
    frames[2] = value
    result = label_movie(make_movie(frames), small_model, tmp_path / "r")
    label = np.asarray(result.label)
    assert np.all(label[2] == 254)
    assert list(result.table("quality")["status"]) == ["good", "good", "invalid", "good"]


def test_a_symlinked_shard_is_replaced_and_not_followed(
    small_frames: np.ndarray, small_model: Model, tmp_path: Path
) -> None:
    """A shard that is a link to somewhere else: writing puts a file in its place and leaves the other file alone."""
    from emreel.label import repair_result

    movie = make_movie(small_frames[:3])
    label_movie(movie, small_model, tmp_path / "r")
    victim = tmp_path / "precious.txt"
    victim.write_text("keep me")
    shard = tmp_path / "r/movie.zarr/labels/segments/label/c/0/0/0"
    before = shard.read_bytes()
    shard.unlink()
    shard.symlink_to(victim)
    assert repair_result(tmp_path / "r", movie) == 1
    assert victim.read_text() == "keep me"
    assert not shard.is_symlink() and shard.read_bytes() == before


def test_a_copied_result_opens_elsewhere(small_frames: np.ndarray, small_model: Model, tmp_path: Path) -> None:
    label_movie(make_movie(small_frames[:3]), small_model, tmp_path / "r")
    shutil.copytree(tmp_path / "r", tmp_path / "elsewhere" / "r")
    assert open_result(tmp_path / "elsewhere" / "r").is_complete
    assert zarr.open_group(tmp_path / "elsewhere" / "r" / "movie.zarr", mode="r").attrs["emreel"]["version"] == 1
