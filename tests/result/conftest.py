"""Small results with data that are a function of the block alone, so that any run of them gives the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emreel import result
from emreel.result import Block, Layout

IDENTITY = {"model": "sha256:aa", "movie": "sha256:bb", "recipe": {"cluster": {"n_clusters": 3}}}
COLORS = [(230, 159, 0), (86, 180, 233), (0, 158, 115)]


@dataclass(frozen=True)
class Bench:
    """Makes and fills results of three classes."""

    layout: Layout

    def data(self, block: Block, seed: int = 0) -> dict[str, np.ndarray]:
        """What a task would have computed: every array of a block."""
        arrays = {}
        for name in self.layout.arrays():
            shape = tuple(part.stop - part.start for part in self.layout.region(name, block))
            rng = np.random.default_rng([seed, block.index, len(name)])
            arrays[name] = rng.integers(0 if name != "label" else 1, 4, shape, np.uint8)
        return arrays

    def create(self, path: Path, **more: Any) -> None:
        more = {"label_names": ["vacuum", "film 1", "substrate"], "label_colors": COLORS} | more
        result.create_store(path, self.layout, identity=IDENTITY, **more)

    def write(self, path: Path, block: Block, seed: int = 0) -> result.Record:
        data = self.data(block, seed)
        checksums = result.write_block(path, self.layout, block, **data)
        counts = result.count_labels(data["label"])
        rows = [
            {"frame": t, "status": "good", "label_px": px} for t, px in zip(range(*block.frames), counts, strict=True)
        ]
        return result.Record(block=block, checksums=checksums, rows=rows)

    def run(self, path: Path, n_blocks: int | None = None, **more: Any) -> list[int]:
        """What a driver does, from wherever the result stands. Returns the blocks that it wrote."""
        written = []
        with result.acquire_lock(path) as lock:
            if not result.is_result(path):
                self.create(path, **more)
            ledger = result.open_ledger(path, lock, identity=IDENTITY)
            for block in ledger.missing[:n_blocks]:
                ledger.append(self.write(path, block))
                written.append(block.index)
        return written


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    def make(shape_tyx: tuple[int, int, int] = (7, 20, 30), stride: int = 4, frames: int = 2, **more: Any) -> Bench:
        return Bench(result.plan_layout(shape_tyx, stride, 3, frames_per_block=frames, **more))

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


@pytest.fixture
def read_files() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a folder, by its path in it."""

    def read(path: Path) -> dict[str, bytes]:
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}

    return read


@pytest.fixture
def times(record_property: Callable[[str, object], None]) -> Callable[[int], int]:
    """How often to try: a tenth of the count, or all of it with FULL=1; told to `make faults`."""

    def count(n: int) -> int:
        tries = n if os.environ.get("FULL") == "1" else max(1, n // 10)
        record_property("tries", tries)
        return tries

    return count
