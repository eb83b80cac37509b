"""Labelling: batch equals stream, tiles equal the whole, a killed run goes on, damage is mended."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from emreel import engine
from emreel.label import blocks as label_blocks
from emreel.label import label_movie, label_stream, repair_result
from emreel.label import layout as label_layout
from emreel.model import INVALID, UNKNOWN, Model, ModelError
from emreel.movie import make_movie
from emreel.progress import StepsDone
from emreel.result import LockError, ResultError, acquire_lock, open_result, verify_result


def bytes_of(result: Path) -> dict[str, str]:
    """sha256 of every file of a result that must not depend on how it was made."""
    return {
        str(file.relative_to(result)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(result.rglob("*"))
        if file.is_file() and file.name not in ("ledger.jsonl", "lock")
    }


@pytest.fixture(scope="module")
def labelled(front_movie: xr.DataArray, front_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return label_movie(front_movie, front_model, tmp_path_factory.mktemp("label") / "result")


def test_stream_equals_batch_to_the_bit(front_movie: xr.DataArray, front_model: Model, labelled: Any) -> None:
    streamed = list(label_stream(front_movie.values, front_model))
    np.testing.assert_array_equal(labelled.label.values, [labels.label for labels in streamed])
    stored = np.rint(labelled.membership.values * 255).astype(np.uint8)
    np.testing.assert_array_equal(stored, [labels.membership for labels in streamed])


def test_membership_is_highest_for_the_label(front_movie: xr.DataArray, front_model: Model) -> None:
    soft = front_model.membership(front_movie[4].values)
    np.testing.assert_allclose(soft.sum(axis=0), 1, atol=1e-5)
    label = front_model.label(front_movie[4].values)[:: front_model.stride, :: front_model.stride]
    known = label != UNKNOWN
    np.testing.assert_array_equal(soft.argmax(axis=0)[known] + 1, label[known])


def test_permuted_frames_give_permuted_labels(front_movie: xr.DataArray, front_model: Model, tmp_path: Path) -> None:
    alone = replace(front_model, steady=None)  # else frames depend on those around them
    order = np.random.default_rng(0).permutation(front_movie.sizes["time"])
    shuffled = label_movie(make_movie(front_movie.values[order]), alone, tmp_path / "shuffled")
    in_order = label_movie(front_movie, alone, tmp_path / "in_order")
    np.testing.assert_array_equal(shuffled.label.values, in_order.label.values[order])


@pytest.mark.parametrize("scheduler", ["4 threads", "2 processes"])
def test_any_scheduler_and_chunking_writes_the_same_bytes(
    scheduler: str, front_movie: xr.DataArray, front_model: Model, labelled: Any, tmp_path: Path
) -> None:
    movie = front_movie.copy(data=da.from_array(front_movie.values, chunks=(3, 100, 50)))
    context = engine.local_threads(4) if scheduler == "4 threads" else engine.local_workers(2)
    with context:
        label_movie(movie, front_model, tmp_path / "result")
    assert bytes_of(tmp_path / "result") == bytes_of(labelled.path)


def test_frames_in_tiles_equal_whole_frames(
    front_movie: xr.DataArray, front_model: Model, labelled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_layout, "BYTES_PER_PIXEL", 2**50)
    monkeypatch.setattr(label_layout, "TILE_PX", 64)
    tiled = label_movie(front_movie, front_model, tmp_path / "tiled")
    assert tiled.layout.tiles_yx == (2, 3)
    np.testing.assert_array_equal(tiled.label.values, labelled.label.values)
    np.testing.assert_array_equal(tiled.membership.values, labelled.membership.values)
    np.testing.assert_array_equal(tiled.preview.values, labelled.preview.values)
    for name in ("quality", "class_fraction"):
        assert tiled.table(name).equals(labelled.table(name))


def test_tables_tell_what_the_labels_show(labelled: Any, front_movie: xr.DataArray) -> None:
    fractions = labelled.table("class_fraction")
    label = labelled.label.values
    for row in fractions.itertuples():
        assert row.area_px2 == np.sum(label[row.frame] == row.label)
    quality = labelled.table("quality")
    assert list(quality["status"]) == ["good"] * 10
    means = front_movie.values.mean(axis=(1, 2))
    np.testing.assert_allclose(quality["gain"], means / np.median(means), rtol=0.02)


def test_unknown_is_rare_where_nothing_is_new(labelled: Any) -> None:
    assert np.mean(labelled.label.values == UNKNOWN) < 1e-3


def test_blank_and_repeated_frames_are_named(front_movie: xr.DataArray, front_model: Model, tmp_path: Path) -> None:
    frames = front_movie.values.copy()
    frames[2] = np.random.default_rng(0).poisson(0.05, frames[2].shape)
    frames[7] = frames[6]
    result = label_movie(make_movie(frames), front_model, tmp_path / "r")
    quality = result.table("quality")
    assert list(quality["status"]) == ["good"] * 2 + ["blank"] + ["good"] * 4 + ["duplicate"] + ["good"] * 2
    assert np.all(result.label.values[2] == INVALID)
    alone = label_movie(make_movie(frames), replace(front_model, steady=None), tmp_path / "alone")
    np.testing.assert_array_equal(alone.label.values[7], alone.label.values[6])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_dead_data_change_nothing_beyond_their_reach(
    value: float, front_movie: xr.DataArray, front_model: Model
) -> None:
    frame = np.tile(front_movie[5].values.astype(np.float32), (3, 2))
    dead = frame.copy()
    dead[20:24, 30:33] = value
    report = front_model.report(frame)
    expected = front_model.label_frame(frame, report)
    found = front_model.label_frame(dead, report)
    reach = front_model.descriptor.halo + front_model.stride
    far = np.ones(frame.shape, bool)
    far[: 24 + reach, : 33 + reach] = False
    assert far.any()
    np.testing.assert_array_equal(found.label[far], expected.label[far])
    assert np.mean(found.label == expected.label) > 0.98
    np.testing.assert_array_equal(dead[20:24, 30:33], np.full((4, 3), value, np.float32))


def test_a_dead_region_is_invalid_inside(front_movie: xr.DataArray, front_model: Model) -> None:
    frame = np.tile(front_movie[5].values.astype(np.float32), (2, 2))
    frame[:, 150:] = np.nan
    label = front_model.label(frame)
    assert np.all(label[:, 200:] == INVALID)
    assert not np.any(label[:, :150] == INVALID)


@pytest.mark.parametrize("dtype", [">u2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dtype_byte_order_and_layout_do_not_matter(
    dtype: str, order: Any, front_movie: xr.DataArray, front_model: Model
) -> None:
    frame = np.asarray(front_movie[3].values, dtype=dtype, order=order)
    frame.setflags(write=False)
    np.testing.assert_array_equal(front_model.label(frame), front_model.label(front_movie[3].values))


# ------------------------------------------------------------------------------- killed and started again

KILLED_RUN = """
import sys, time
import numpy as np
from emreel.label import layout as label_layout
from emreel.label import blocks as label_blocks
from emreel.label import label_movie
from emreel.model import Model
from emreel.movie import make_movie

label_layout.BLOCK_PIXELS = 128 * 144
class Slow(label_blocks.LabelBlock):
    def __call__(self, pixels, job):
        time.sleep(0.02)
        return super().__call__(pixels, job)
label_blocks.LabelBlock = Slow
movie = make_movie(np.load(sys.argv[1]))
model = Model.load(sys.argv[2])
print("ready", flush=True)
label_movie(movie, model, sys.argv[3])
"""


def finished_shards(result: Path) -> dict[str, tuple[int, int]]:
    ledger = result / "ledger.jsonl"
    if not ledger.exists():
        return {}
    done = [json.loads(line) for line in ledger.read_text().splitlines(True)[1:] if line.endswith("\n")]
    frames = {record["record"]["frames"][0] if "record" in record else record["frames"][0] for record in done}
    shards = result / "movie.zarr" / "labels" / "segments" / "label" / "c"
    return {str(t): (s.stat().st_ino, s.stat().st_mtime_ns) for t in frames for s in [shards / str(t) / "0" / "0"]}


def test_killed_at_ten_random_moments_and_started_again(
    front_movie: xr.DataArray, front_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.concatenate([front_movie.values] * 6)
    np.save(tmp_path / "movie.npy", frames)
    front_model.save(tmp_path / "model.zarr")
    monkeypatch.setattr(label_layout, "BLOCK_PIXELS", 128 * 144)
    label_movie(make_movie(frames), front_model, tmp_path / "whole" / "r")
    broken = tmp_path / "broken" / "r"
    arguments = [
        sys.executable,
        "-c",
        KILLED_RUN,
        str(tmp_path / "movie.npy"),
        str(tmp_path / "model.zarr"),
        str(broken),
    ]
    moments = random.Random(7)
    n_killed = 0
    while n_killed < 10:
        before = finished_shards(broken)
        run = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
        assert run.stdout is not None
        assert run.stdout.readline() == b"ready\n"
        time.sleep(moments.uniform(0.0, 0.5))
        if run.poll() is not None:
            break
        run.send_signal(signal.SIGKILL)
        run.communicate()
        n_killed += 1
        after = finished_shards(broken)
        assert {t: after[t] for t in before} == before, "a finished shard was written again"
    subprocess.run(arguments, check=True, capture_output=True)
    assert n_killed >= 3
    assert bytes_of(broken) == bytes_of(tmp_path / "whole" / "r")
    assert verify_result(broken) == []


def test_nothing_is_left_of_workers_that_were_killed_while_writing(
    front_movie: xr.DataArray, front_model: Model, tmp_path: Path
) -> None:
    halves = []

    def die_while_writing(event: Any) -> None:
        if isinstance(event, StepsDone) and event.name == "label" and event.n_done:
            chunk = next(file for file in (tmp_path / "r" / "movie.zarr").rglob("0") if file.is_file())
            halves.append(chunk.with_name(f".{chunk.name}.0a1b.partial"))
            halves[-1].write_bytes(b"half a chunk")

    label_movie(front_movie, front_model, tmp_path / "r", progress=die_while_writing)
    assert halves and list((tmp_path / "r").rglob("*.partial")) == []


def test_a_finished_result_is_left_as_it_is(
    front_movie: xr.DataArray, front_model: Model, labelled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a finished block was computed again")

    monkeypatch.setattr(label_blocks.LabelBlock, "__call__", refuse)
    label_movie(front_movie, front_model, labelled.path)


def test_another_movie_or_model_is_refused(front_movie: xr.DataArray, front_model: Model, labelled: Any) -> None:
    from dataclasses import replace

    before = bytes_of(labelled.path)
    changed = front_movie.values.copy()
    changed[0, 0, 0] += 1
    with pytest.raises(ResultError, match="movie"):
        label_movie(make_movie(changed), front_model, labelled.path)
    with pytest.raises(ResultError, match="model"):
        label_movie(front_movie, replace(front_model, scatter=2 * front_model.scatter), labelled.path)
    assert bytes_of(labelled.path) == before


def test_a_second_writer_is_refused(front_movie: xr.DataArray, front_model: Model, tmp_path: Path) -> None:
    with acquire_lock(tmp_path / "r"), pytest.raises(LockError, match=str(os.getpid())):
        label_movie(front_movie, front_model, tmp_path / "r")


def test_another_pixel_size_is_refused(front_movie: xr.DataArray, front_model: Model, tmp_path: Path) -> None:
    movie = make_movie(front_movie.values, pixel_size_nm=0.05)
    with pytest.raises(ModelError, match=r"0\.05 nm, the model was fitted on 0\.04 nm"):
        label_movie(movie, front_model, tmp_path / "r")
    assert not (tmp_path / "r").exists()
    label_movie(movie, front_model, tmp_path / "r", any_pixel_size=True)


def test_damaged_blocks_are_found_and_computed_again(
    front_movie: xr.DataArray, front_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_layout, "BLOCK_PIXELS", 2 * 128 * 144)
    label_movie(front_movie, front_model, tmp_path / "r")
    before = bytes_of(tmp_path / "r")
    shards = sorted((tmp_path / "r" / "movie.zarr" / "labels" / "segments" / "label" / "c").glob("*/0/0"))
    content = bytearray(shards[1].read_bytes())
    content[len(content) // 3] ^= 0x10
    shards[1].write_bytes(content)
    shards[3].write_bytes(b"")
    assert {damage.block for damage in verify_result(tmp_path / "r")} == {1, 3}
    assert repair_result(tmp_path / "r", front_movie) == 2
    assert verify_result(tmp_path / "r") == []
    assert bytes_of(tmp_path / "r") == before


def test_no_space_left_stops_cleanly_and_goes_on_after(
    front_movie: xr.DataArray, front_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from emreel.result import StorageError

    monkeypatch.setattr(label_layout, "BLOCK_PIXELS", 128 * 144)
    whole = label_movie(front_movie, front_model, tmp_path / "whole" / "r")
    real, calls = label_blocks.write_block, []

    def full_after_four(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) > 4:
            from emreel.result.errors import explain_os_error

            raise explain_os_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
        return real(*args, **kwargs)

    with monkeypatch.context() as patched, engine.local_threads(1):
        patched.setattr(label_blocks, "write_block", full_after_four)
        with pytest.raises(StorageError, match="no space left"):
            label_movie(front_movie, front_model, tmp_path / "r")
    assert len(open_result(tmp_path / "r").missing_blocks) == 6
    label_movie(front_movie, front_model, tmp_path / "r")
    assert bytes_of(tmp_path / "r") == bytes_of(whole.path)
