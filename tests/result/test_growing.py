"""A result that grows: whole frames only, in any order, resumable, and the same to every reader."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from emreel import result
from emreel.result import GrowingStore, LayoutError, ResultError

SHAPE = (20, 30)
IDENTITY = {"model": "m", "source": "s"}


def make_frame(layout: result.Layout, index: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(index)
    return {name: rng.integers(1, 4, (1, *spec.shape[1:]), np.uint8) for name, spec in layout.arrays().items()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    result.create_store(
        tmp_path / "r",
        result.plan_growing_layout(SHAPE, 4, 3),
        identity=IDENTITY,
        label_names=["a", "b", "c"],
        label_colors=[(1, 1, 1), (2, 2, 2), (3, 3, 3)],
        times_s=[0.0],
        pixel_size_nm=0.1,
    )
    return tmp_path / "r"


def add(place: Path, store: GrowingStore, ledger: result.Ledger, index: int) -> None:
    checksums = store.write_frame(index, **make_frame(store.layout, index))
    ledger.grow(index + 1)
    ledger.append(result.Record(block=store.block(index), checksums=checksums, rows=[{"frame": index}]))


def test_frames_in_any_order_are_shown_when_told(place: Path) -> None:
    store = GrowingStore(place)
    with result.acquire_lock(place) as lock:
        ledger = result.open_ledger(place, lock, identity=IDENTITY)
        for index in (2, 0, 5):
            add(place, store, ledger, index)
        assert result.open_result(place).label.shape == (1, *SHAPE)
        store.show(6, 0.5 * np.arange(6), {"finished": False})
        opened = result.open_result(place)
    np.testing.assert_array_equal(opened.label.time, 0.5 * np.arange(6))
    for index in range(6):
        wanted = make_frame(store.layout, index)["label"][0] if index in (0, 2, 5) else 0
        np.testing.assert_array_equal(opened.label[index], np.broadcast_to(wanted, SHAPE))
    assert opened.missing_blocks == (1, 3, 4)
    assert opened.facts["stream"] == {"finished": False}
    assert result.verify_result(place) == []
    array = zarr.open_array(place / "movie.zarr" / "labels/segments/label")
    assert array.shards is None and array.chunks == (1, *SHAPE)


def test_xarray_and_ome_see_one_length(place: Path) -> None:
    from ome_zarr_models import open_ome_zarr

    store = GrowingStore(place)
    store.show(1500, 0.5 * np.arange(1500), {})
    for group, name in ((None, "preview"), ("labels/segments", "label"), ("membership", "membership")):
        with xr.open_zarr(place / "movie.zarr", group=group) as opened:
            assert opened[name].sizes["time"] == opened.sizes["time"] == 1500
            np.testing.assert_array_equal(opened.time, 0.5 * np.arange(1500))
    assert open_ome_zarr(zarr.open_group(place / "movie.zarr", mode="r")) is not None


def test_what_the_ledger_knows_is_found_again(place: Path) -> None:
    store = GrowingStore(place)
    with result.acquire_lock(place) as lock:
        ledger = result.open_ledger(place, lock, identity=IDENTITY)
        for index in (0, 1, 3):
            add(place, store, ledger, index)
    assert result.verify_result(place) == []  # not shown yet, and not damaged
    with result.acquire_lock(place) as lock:
        again = result.open_ledger(place, lock, identity=IDENTITY)
        assert sorted(again.done) == [0, 1, 3]
        assert [block.index for block in again.missing] == [2]
        add(place, GrowingStore(place), again, 2)
        assert again.missing == []


def test_readers_beside_the_writer_see_whole_frames_only(place: Path) -> None:
    store = GrowingStore(place)
    seen: list[int] = []
    wrong: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            with xr.open_zarr(place / "movie.zarr", group="labels/segments", chunks=None) as opened:
                label = opened["label"]
                seen.append(label.sizes["time"])
                if opened["time"].size != label.sizes["time"]:
                    wrong.append("lengths differ")
                last = label[-1].values
                if last.any() and not np.array_equal(last, make_frame(store.layout, len(label) - 1)["label"][0]):
                    wrong.append(f"frame {len(label) - 1} is torn")

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for index in range(120):
            store.write_frame(index, **make_frame(store.layout, index))
            store.show(index + 1, 0.1 * np.arange(index + 1), {})
    finally:
        done.set()
        reader.join()
    assert wrong == []
    assert seen == sorted(seen) and len(set(seen)) > 5


def test_chunks_damaged_are_named(place: Path) -> None:
    store = GrowingStore(place)
    with result.acquire_lock(place) as lock:
        ledger = result.open_ledger(place, lock, identity=IDENTITY)
        for index in range(4):
            add(place, store, ledger, index)
    store.show(4, np.arange(4.0), {})
    file = place / "movie.zarr/labels/segments/label/c/2/0/0"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    assert [damage.block for damage in result.verify_result(place)] == [2]


def test_what_does_not_fit_is_refused(place: Path, tmp_path: Path, bench: Any) -> None:
    store = GrowingStore(place)
    frame = make_frame(store.layout, 0)
    with pytest.raises(LayoutError, match="wanted uint8"):
        store.write_frame(0, **(frame | {"label": frame["label"][:, 1:]}))
    with pytest.raises(LayoutError, match="wanted .*membership"):
        store.write_frame(0, label=frame["label"], preview=frame["preview"], membership=None)
    with pytest.raises(LayoutError, match="2 frame times for 3 frames"):
        store.show(3, np.arange(2.0), {})
    with pytest.raises(LayoutError, match="got no times"):
        store.show(3, None, {})
    bench.run(tmp_path / "fixed", 1)
    with pytest.raises(ResultError, match="fixed number of frames"):
        GrowingStore(tmp_path / "fixed")
    (place / "movie.zarr" / "zarr.json").write_text("{")
    with pytest.raises(ResultError, match="damaged"):
        GrowingStore(place)


def test_the_layout_survives_json() -> None:
    layout = result.plan_growing_layout((2048, 1500), 4, 3).grown(7)
    assert result.Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout
    assert layout.shape_tyx == (7, 2048, 1500)
    assert layout.arrays()["label"].chunks == (1, 2048, 1500)
    with pytest.raises(LayoutError, match="does not grow"):
        result.plan_layout((3, 20, 20), 4, 2, frames_per_block=1).grown(4)
    with pytest.raises(LayoutError, match="one whole frame a chunk"):
        result.Layout.from_dict(layout.to_dict() | {"chunk_yx": [1024, 1500]})
    with pytest.raises(LayoutError, match="positive"):
        result.plan_growing_layout((0, 5), 4, 2)


def test_chunks_are_encoded_as_zarr_does() -> None:
    from zarr.storage import MemoryStore

    from emreel.result import ome
    from emreel.result.growing import decode_chunk, encode_chunk

    rng = np.random.default_rng(0)
    for values in (rng.integers(0, 4, (1, 70, 51), np.uint8), np.arange(1024.0), np.zeros((1, 9), np.uint8)):
        files: dict[str, Any] = {}
        array = zarr.create_array(
            MemoryStore(files),
            shape=values.shape,
            chunks=values.shape,
            dtype=values.dtype,
            compressors=ome.COMPRESSORS,
            config={"write_empty_chunks": True},
        )
        array[...] = values
        assert files[array.metadata.encode_chunk_key((0,) * values.ndim)].to_bytes() == encode_chunk(values)
    encoded = encode_chunk(rng.integers(0, 4, (5, 7), np.uint8))
    assert decode_chunk(encoded, (5, 7)).shape == (5, 7)
    for place in range(len(encoded)):
        with pytest.raises(ValueError, match="checksum"):
            decode_chunk(encoded[:place] + bytes([encoded[place] ^ 1]) + encoded[place + 1 :], (5, 7))
