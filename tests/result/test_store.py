"""The zarr: created whole or not at all, written by whole shards, the same bytes for the same data."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emreel
from emreel import result
from emreel.result import LayoutError, ResultError, StorageError


def assert_holds(path: Path, bench: Any, blocks: Any) -> None:
    blocks = list(blocks)
    for name, spec in bench.layout.arrays().items():
        array = zarr.open_array(path / "movie.zarr" / spec.path, mode="r")
        assert array.shape == spec.shape and array.dtype == np.uint8
        wanted = np.zeros(spec.shape, np.uint8)
        for block in blocks:
            wanted[bench.layout.region(name, block)] = bench.data(block)[name]
        np.testing.assert_array_equal(array[:], wanted)


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 80), st.integers(1, 80)),
    stride=st.integers(1, 9),
    frames=st.integers(1, 4),
    wanted_tile=st.none() | st.tuples(st.integers(1, 90), st.integers(1, 90)),
    with_membership=st.booleans(),
    shuffle=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_in_any_order_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory,
    make_bench: Any,
    read_files: Any,
    shape: tuple[int, int, int],
    stride: int,
    frames: int,
    wanted_tile: tuple[int, int] | None,
    with_membership: bool,
    shuffle: random.Random,
) -> None:
    tile = None if wanted_tile is None else result.fit_tile(shape[1:], stride, wanted_tile)
    bench = make_bench(shape, stride, frames, tile_yx=tile, with_membership=with_membership)
    paths = [tmp_path_factory.mktemp("order") / "run" for _ in range(2)]
    blocks = list(bench.layout.blocks())
    for path in paths:
        bench.create(path)
        empty = read_files(path)
        shuffle.shuffle(blocks)
        for block in blocks:
            bench.write(path, block)
        assert_holds(path, bench, blocks)
        added = set(read_files(path)) - set(empty)
        assert len(added) == len(blocks) * len(bench.layout.arrays())
        assert {name: data for name, data in read_files(path).items() if name in empty} == empty
    assert read_files(paths[0]) == read_files(paths[1])


def test_many_writers_at_once_do_not_disturb_one_another(tmp_path: Path, make_bench: Any, read_files: Any) -> None:
    bench = make_bench((12, 96, 96), 4, 2, tile_yx=(32, 64))
    for name in ("together", "alone"):
        bench.create(tmp_path / name)
    blocks = list(bench.layout.blocks())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda block: bench.write(tmp_path / "together", block), blocks * 3))
    for block in blocks:
        bench.write(tmp_path / "alone", block)
    assert_holds(tmp_path / "together", bench, blocks)
    written = [
        {name: data for name, data in read_files(tmp_path / run).items() if "/c/" in name}
        for run in ("together", "alone")
    ]
    assert written[0] == written[1]


def test_two_writers_of_one_block_leave_it_whole_at_every_moment(tmp_path: Path, make_bench: Any) -> None:
    bench = make_bench((2, 64, 64))
    path, block = tmp_path / "run", bench.layout.block(0)
    bench.create(path)
    record = bench.write(path, block)
    stop = threading.Event()

    def read() -> int:
        seen = 0
        while not stop.is_set():
            assert result.verify_block(path, bench.layout, record) == []
            seen += 1
        return seen

    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read)
        list(pool.map(lambda _: bench.write(path, block), range(40)))
        stop.set()
    assert reader.result() > 3


def test_a_block_of_zeros_is_written_too(tmp_path: Path, bench: Any) -> None:
    bench.create(tmp_path / "run")
    block = bench.layout.block(0)
    zeros = {name: np.zeros_like(values) for name, values in bench.data(block).items()}
    checksums = result.write_block(tmp_path / "run", bench.layout, block, **zeros)
    record = result.Record(block=block, checksums=checksums)
    assert all(file.stat().st_size for file in result.shard_paths(tmp_path / "run", bench.layout, block).values())
    assert result.verify_block(tmp_path / "run", bench.layout, record) == []


@pytest.mark.parametrize("damage", [b"", b"\0" * 400, b"rubbish", None])
def test_a_damaged_shard_is_replaced_not_merged(tmp_path: Path, bench: Any, damage: bytes | None) -> None:
    bench.create(tmp_path / "run")
    for block in bench.layout.blocks():  # the last block has fewer frames than a shard
        record = bench.write(tmp_path / "run", block)
        for file in result.shard_paths(tmp_path / "run", bench.layout, block).values():
            before = file.read_bytes()
            file.write_bytes(before[:-9] if damage is None else damage)
        assert len(result.verify_block(tmp_path / "run", bench.layout, record)) == 3
        bench.write(tmp_path / "run", block)
        assert result.verify_block(tmp_path / "run", bench.layout, record) == []
        assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["label", "preview", "membership"])
@pytest.mark.parametrize(
    "change",
    [
        lambda values: values[:1],
        lambda values: values[..., :-1],
        lambda values: values.astype(np.int16),
        lambda values: values.tolist(),
        lambda values: values[None],
    ],
)
def test_data_that_do_not_fit_the_block_are_refused(
    tmp_path: Path, bench: Any, read_files: Any, name: str, change: Callable[[Any], Any]
) -> None:
    path, block = tmp_path / "run", bench.layout.block(1)
    bench.create(path)
    before = read_files(path)
    data = bench.data(block)
    with pytest.raises(LayoutError, match=f"block 1: got {name} as .*, wanted uint8"):
        result.write_block(path, bench.layout, block, **data | {name: change(data[name])})
    assert read_files(path) == before


def test_data_in_any_memory_order_are_the_same_block(tmp_path: Path, bench: Any) -> None:
    path, block = tmp_path / "run", bench.layout.block(0)
    bench.create(path)
    data = bench.data(block)
    wanted = result.write_block(path, bench.layout, block, **data)
    bytes_wanted = {name: file.read_bytes() for name, file in result.shard_paths(path, bench.layout, block).items()}
    odd = {name: np.asfortranarray(values) for name, values in data.items()}
    for values in odd.values():
        values.flags.writeable = False
    assert result.write_block(path, bench.layout, block, **odd) == wanted
    files = result.shard_paths(path, bench.layout, block)
    assert {name: file.read_bytes() for name, file in files.items()} == bytes_wanted


def test_blocks_of_another_layout_are_refused(tmp_path: Path, bench: Any, make_bench: Any) -> None:
    path = tmp_path / "run"
    bench.create(path)
    data = bench.data(bench.layout.block(0))
    other = make_bench(frames=3)
    with pytest.raises(LayoutError, match="another layout"):
        result.write_block(path, bench.layout, other.layout.block(0), **data)
    with pytest.raises(LayoutError, match="Use the layout of the result"):
        result.write_block(path, other.layout, other.layout.block(0), **other.data(other.layout.block(0)))
    with pytest.raises(LayoutError, match="got the arrays"):
        result.write_block(path, bench.layout, bench.layout.block(0), label=data["label"], preview=data["preview"])
    with pytest.raises(ResultError, match="moved"):
        result.write_block(tmp_path / "gone", bench.layout, bench.layout.block(0), **data)


def test_a_store_is_never_written_over(tmp_path: Path, bench: Any, read_files: Any) -> None:
    bench.run(tmp_path / "run")
    before = read_files(tmp_path / "run")
    with pytest.raises(ResultError, match="already holds a result"):
        bench.create(tmp_path / "run")
    assert read_files(tmp_path / "run") == before


@pytest.mark.parametrize("names", [["notes.txt"], ["a", "b", "c", "d"], ["movie.zarr.txt"], [".git"]])
def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, bench: Any, read_files: Any, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"precious")
    before = read_files(tmp_path)
    for act in (bench.create, bench.run):
        with pytest.raises(ResultError, match="not a result: it holds") as caught:
            act(tmp_path)
        assert "Nothing was touched" in str(caught.value)
    assert read_files(tmp_path) == before


def test_a_zarr_of_another_program_is_left_alone(tmp_path: Path, bench: Any, read_files: Any) -> None:
    zarr.create_group(tmp_path / "movie.zarr", zarr_format=3)
    before = read_files(tmp_path)
    with pytest.raises(ResultError):
        bench.run(tmp_path)
    assert read_files(tmp_path) == before


def test_a_file_in_the_way_is_named(tmp_path: Path, bench: Any) -> None:
    (tmp_path / "run").write_bytes(b"precious")
    with pytest.raises(ResultError, match="is a file, wanted a folder"):
        bench.run(tmp_path / "run")
    with pytest.raises(StorageError, match="could not write"):
        bench.run(tmp_path / "run" / "deeper")
    assert (tmp_path / "run").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("code", "message"),
    [(errno.EACCES, "may not write"), (errno.EROFS, "may not write"), (errno.EIO, "Check the disk")],
)
def test_a_place_that_refuses_is_named(
    tmp_path: Path, bench: Any, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StorageError, match=message) as caught:
        bench.run(tmp_path / "run")
    assert str(tmp_path / "run") in str(caught.value)


def test_an_empty_folder_is_taken(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path)
    assert result.verify_result(tmp_path) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"label_names": ["one"]}, "1 names and 3 colours for 3 classes"),
        ({"label_colors": [(0, 0, 0)] * 2}, "3 names and 2 colours"),
        ({"label_colors": [(0, 0, 300)] * 3}, "from 0 to 255"),
        ({"label_colors": [(0, 0)] * 3}, "RGB or RGBA"),
        ({"times_s": [0.0, 1.0]}, "2 frame times for 7 frames"),
        ({"pixel_size_nm": 0.0}, "positive number or none"),
        ({"pixel_size_nm": float("nan")}, "positive number or none"),
    ],
)
def test_descriptions_that_do_not_fit_leave_nothing(
    tmp_path: Path, bench: Any, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(LayoutError, match=message):
        bench.run(tmp_path / "run", **more)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_a_block_and_leaves_nothing_half(
    tmp_path: Path, bench: Any, monkeypatch: pytest.MonkeyPatch, read_files: Any
) -> None:
    path = tmp_path / "run"
    bench.run(path, 2)
    before = read_files(path)
    real, room = os.write, [60]

    def write(descriptor: int, data: Any) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= (n := min(room[0], len(data)))
        return real(descriptor, data[:n])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(StorageError, match=r"no space left .* Make space and run the same command again"):
            bench.write(path, bench.layout.block(2))
    assert read_files(path) == before
    assert bench.run(path) == [2, 3]
    assert_holds(path, bench, bench.layout.blocks())


LIMITED = """
import resource, sys
from pathlib import Path
from emreel import result
path = Path(sys.argv[1])
layout = result.read_layout(path)
block = layout.block(0)
import numpy as np
data = {n: np.random.default_rng(0).integers(0, 9, [p.stop - p.start for p in layout.region(n, block)], np.uint8)
        for n in layout.arrays()}
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    result.write_block(path, layout, block, **data)
except result.StorageError as error:
    print(error)
"""


def test_a_real_limit_of_the_system_is_told_and_leaves_nothing_half(
    tmp_path: Path, make_bench: Any, read_files: Any
) -> None:
    bench = make_bench((2, 64, 64))
    bench.create(tmp_path / "run")
    before = read_files(tmp_path / "run")
    command = [sys.executable, "-c", LIMITED, tmp_path / "run"]
    env = os.environ | {"PYTHONPATH": str(Path(emreel.__file__).parents[1])}
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert "no space left to write" in told.stdout, told.stderr
    assert read_files(tmp_path / "run") == before


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path, bench: Any, read_files: Any) -> None:
    path = tmp_path / "run"
    bench.run(path)
    before = read_files(path)
    (path / ".movie.zarr.12.partial" / "c").mkdir(parents=True)
    (path / ".movie.zarr.12.partial" / "c" / "0").write_bytes(b"half")
    (path / "movie.zarr" / "preview" / "c" / ".0.ab.partial").write_bytes(b"half")
    assert result.remove_partials(path) == 2
    assert read_files(path) == before


def test_facts_are_kept(tmp_path: Path, bench: Any) -> None:
    bench.create(tmp_path / "run", provenance={"emreel": "0.1", "count": np.int64(3)}, pixel_size_nm=0.02)
    facts = result.read_facts(tmp_path / "run")
    assert facts["provenance"] == {"emreel": "0.1", "count": 3}
    assert facts["identity"]["recipe"] == {"cluster": {"n_clusters": 3}}
    assert facts["pixel_size_nm"] == 0.02
    assert result.read_layout(tmp_path / "run") == bench.layout
    assert result.is_result(tmp_path / "run") and not result.is_result(tmp_path)


def test_what_is_no_result_is_named(tmp_path: Path, bench: Any) -> None:
    with pytest.raises(ResultError, match="is not a result"):
        result.read_facts(tmp_path)
    bench.create(tmp_path / "run")
    group = zarr.open_group(tmp_path / "run" / "movie.zarr", mode="r+")
    group.attrs["emreel"] = {**result.read_facts(tmp_path / "run"), "version": 99}
    with pytest.raises(ResultError, match="version 99, wanted 1"):
        result.read_facts(tmp_path / "run")


def test_chunks_inside_a_shard_change_no_value(tmp_path: Path, make_bench: Any) -> None:
    bench = make_bench((3, 48, 70))
    bench = replace(bench, layout=replace(bench.layout, chunk_yx=(16, 32)))
    bench.run(tmp_path / "run")
    assert_holds(tmp_path / "run", bench, bench.layout.blocks())
