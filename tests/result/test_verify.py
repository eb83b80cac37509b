"""Every damage to what was written is found and named, and mended by computing the block again."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emreel import result
from emreel.result import Damage, ResultError, StorageError

NAMES = ["label", "preview", "membership"]


def flip(content: bytes, place: int, bit: int = 3) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "flipped": lambda content: flip(content, len(content) // 3),
    "cut": lambda content: content[: len(content) // 2],
    "cut by one": lambda content: content[:-1],
    "empty": lambda content: b"",
    "zeroed": lambda content: bytes(len(content)),
    "missing": lambda content: None,
    "grown": lambda content: content + b"\0",
    "text": lambda content: b"404 not found",
}


def assert_mended(path: Path, bench: Any, damages: list[Damage], whole: dict[str, bytes], read_files: Any) -> None:
    with result.acquire_lock(path) as lock:
        blocks = {damage.block for damage in damages if damage.block is not None}
        assert result.forget_blocks(path, blocks, lock) == len(blocks)
    assert set(bench.run(path)) == blocks
    assert result.verify_result(path) == []
    now = read_files(path)
    assert {k: v for k, v in now.items() if k != "ledger.jsonl"} == {
        k: v for k, v in whole.items() if k != "ledger.jsonl"
    }
    assert len(now["ledger.jsonl"]) == len(whole["ledger.jsonl"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", DAMAGES)
def test_each_damage_is_found_and_mended(tmp_path: Path, bench: Any, read_files: Any, name: str, kind: str) -> None:
    bench.run(tmp_path)
    whole = read_files(tmp_path)
    file = result.shard_paths(tmp_path, bench.layout, bench.layout.block(2))[name]
    damaged = DAMAGES[kind](file.read_bytes())
    if damaged is None:
        file.unlink()
    else:
        file.write_bytes(damaged)
    [damage] = result.verify_result(tmp_path)
    assert (damage.block, damage.array) == (2, name)
    assert str(damage).startswith(f"block 2, {name}: its ") and len(damage.reason) > 10
    assert_mended(tmp_path, bench, [damage], whole, read_files)


@pytest.mark.parametrize("name", NAMES)
def test_a_flip_of_any_byte_is_found(tmp_path: Path, make_bench: Any, name: str) -> None:
    bench = make_bench((2, 12, 12))
    bench.create(tmp_path)
    record = bench.write(tmp_path, bench.layout.block(0))
    file = result.shard_paths(tmp_path, bench.layout, record.block)[name]
    content = file.read_bytes()
    rng = random.Random(1)
    for place in range(len(content)):
        file.write_bytes(flip(content, place, rng.randrange(8)))
        found = result.verify_block(tmp_path, bench.layout, record)
        assert [damage.array for damage in found] == [name], place
    file.write_bytes(content)
    assert result.verify_block(tmp_path, bench.layout, record) == []


def test_whole_data_that_are_not_those_of_the_ledger_are_found(tmp_path: Path, bench: Any, read_files: Any) -> None:
    bench.run(tmp_path)
    whole = read_files(tmp_path)
    bench.write(tmp_path, bench.layout.block(1), seed=9)
    found = result.verify_result(tmp_path)
    assert [(damage.block, damage.array) for damage in found] == [(1, name) for name in bench.layout.arrays()]
    assert all("not those that were written" in damage.reason for damage in found)
    assert_mended(tmp_path, bench, found, whole, read_files)


def test_shards_in_each_others_place_are_found(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path)
    first, second = (result.shard_paths(tmp_path, bench.layout, bench.layout.block(n))["label"] for n in (0, 1))
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert [damage.block for damage in result.verify_result(tmp_path)] == [0, 1]


def test_blocks_that_are_not_done_are_no_damage(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path, 2)
    bench.write(tmp_path, bench.layout.block(3))
    assert result.verify_result(tmp_path) == []


@pytest.mark.parametrize("change", [lambda text: None, lambda text: text[:50], lambda text: text.replace("20", "21")])
def test_a_damaged_description_is_told_apart(tmp_path: Path, bench: Any, change: Callable[[str], str | None]) -> None:
    bench.run(tmp_path)
    file = tmp_path / "movie.zarr" / "labels" / "segments" / "label" / "zarr.json"
    changed = change(file.read_text())
    file.unlink()
    if changed is not None:
        file.write_text(changed)
    [damage] = result.verify_result(tmp_path)
    assert (damage.block, damage.array) == (None, "label")
    assert str(damage).startswith("all blocks, label: its zarr.json")


def test_what_may_not_be_read_is_no_damage(tmp_path: Path, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run(tmp_path)
    real = Path.open

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        if "/c/" in str(self):
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        result.verify_result(tmp_path)


def test_there_must_be_a_result(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="is not a result"):
        result.verify_result(tmp_path)
