"""The ledger trusts exactly what was written, whatever happens to its bytes."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel import result
from emreel.result import LedgerError, LockError, Record, ResultError, StorageError
from emreel.result.lines import decode_line, encode_line, encode_lines, plain_json, trusted_lines

IDENTITY = {"model": "sha256:aa", "movie": "sha256:bb", "recipe": {"cluster": {"n_clusters": 3}}}
LINES = [{"text": "a\nb", "rows": [{"gain": 1.5 * n, "label_px": {"1": n}} for n in range(3)]} for _ in range(4)]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.text().filter(lambda key: key not in ("n", "crc")), values), max_size=3))
@settings(max_examples=60, deadline=None)
def test_lines_come_back_equal_and_are_plain_json(lines: list[dict[str, Any]]) -> None:
    content = encode_lines(lines)
    assert trusted_lines(content) == lines
    assert content.count(b"\n") == len(lines)
    for number, line in enumerate(content.splitlines()):
        parsed = json.loads(line)
        assert parsed["n"] == number
        body = line[line.index(b",") + 1 :]
        assert parsed["crc"] == f"{google_crc32c.value(body):08x}"


def test_every_cut_leaves_the_lines_that_are_whole() -> None:
    content = encode_lines(LINES)
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    assert len(ends) == len(LINES)
    for cut in range(len(content) + 1):
        assert trusted_lines(content[:cut]) == LINES[: sum(end <= cut for end in ends)]


def test_every_flipped_bit_ends_the_trust_at_its_line() -> None:
    content = encode_lines(LINES[:2])
    first = content.index(b"\n") + 1
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            assert trusted_lines(bytes(flipped)) == LINES[: 0 if place < first else 1]


def test_random_damage_never_makes_a_record(times: Callable[[int], int]) -> None:
    rng = random.Random(5)
    content = encode_lines([{"block": n, "text": "x" * rng.randrange(60)} for n in range(12)])
    whole = trusted_lines(content)
    assert len(whole) == 12
    for _ in range(times(5000)):
        damaged = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        start = next((i for i, (a, b) in enumerate(zip(content, damaged, strict=True)) if a != b), len(content))
        assert trusted_lines(bytes(damaged)) == whole[: content[:start].count(b"\n") if start < len(content) else 12]


def test_lines_that_are_lost_doubled_or_swapped_end_the_trust() -> None:
    lines = encode_lines(LINES).splitlines(keepends=True)
    assert len(trusted_lines(b"".join([lines[0], lines[2], lines[3]]))) == 1
    assert len(trusted_lines(b"".join([lines[0], lines[0], lines[1]]))) == 1
    assert len(trusted_lines(b"".join([lines[1], lines[0]]))) == 0
    assert trusted_lines(b"") == []


def test_a_checksum_in_other_letters_is_not_trusted() -> None:
    line = next(line for n in range(99) if (line := encode_line(0, {"v": n}))[8:16].upper() != line[8:16])
    assert decode_line(0, line) is not None
    assert decode_line(0, line[:8] + line[8:16].upper() + line[16:]) is None
    assert decode_line(0, line[:-1]) is None and decode_line(1, line) is None


def test_numpy_numbers_and_what_is_not_finite_become_plain() -> None:
    got = plain_json({1: np.float32(0.5), "a": (np.int64(3), float("nan"), np.inf), "b": np.arange(2)})
    assert got == {"1": 0.5, "a": [3, None, None], "b": [0, 1]}
    assert [type(value) for value in got["a"]] == [int, type(None), type(None)]


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, bench: Any, read_files: Any) -> None:
    assert bench.run(tmp_path / "parts", 1) == [0]
    assert bench.run(tmp_path / "parts", 2) == [1, 2]
    assert bench.run(tmp_path / "parts") == [3]
    assert bench.run(tmp_path / "parts") == []
    bench.run(tmp_path / "whole")
    parts, whole = read_files(tmp_path / "parts"), read_files(tmp_path / "whole")
    assert {k for k in parts if parts[k] != whole[k]} <= {"movie.zarr/zarr.json"}, "only the folder's name differs"
    assert result.read_ledger(tmp_path / "parts").missing == []


def test_records_come_back_equal(tmp_path: Path, bench: Any) -> None:
    bench.create(tmp_path)
    block = bench.layout.block(1)
    rows = [{"frame": np.int64(2), "gain": float("nan"), "label_px": {1: 5}}, {"frame": 3, "status": "blank"}]
    record = Record(block=block, checksums={"label": 1, "preview": 2, "membership": 2**32 - 1}, rows=rows)
    with result.acquire_lock(tmp_path) as lock:
        ledger = result.open_ledger(tmp_path, lock, identity=IDENTITY)
        ledger.append(record)
        assert ledger.missing == [b for b in bench.layout.blocks() if b.index != 1]
    read = result.read_ledger(tmp_path).done
    assert read == ledger.done and list(read) == [1]
    assert read[1].block == block and read[1].checksums == record.checksums
    assert read[1].rows == ({"frame": 2, "gain": None, "label_px": {"1": 5}}, {"frame": 3, "status": "blank"})


def test_a_block_counts_once(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path)
    size = (tmp_path / "ledger.jsonl").stat().st_size
    with result.acquire_lock(tmp_path) as lock:
        ledger = result.open_ledger(tmp_path, lock, identity=IDENTITY)
        first = ledger.done[0]
        ledger.append(Record(block=first.block, checksums=dict.fromkeys(first.checksums, 0)))
        assert ledger.done[0] == first
    assert (tmp_path / "ledger.jsonl").stat().st_size == size
    # and a second line for a block, however it came there, does not replace the first
    lines = trusted_lines((tmp_path / "ledger.jsonl").read_bytes())
    doubled = [*lines, lines[1] | {"checksums": dict.fromkeys(first.checksums, 0)}]
    (tmp_path / "ledger.jsonl").write_bytes(encode_lines(doubled))
    assert result.read_ledger(tmp_path).done[0] == first
    assert len(result.read_ledger(tmp_path).done) == bench.layout.n_blocks


def test_every_cut_of_a_ledger_keeps_a_prefix_and_can_go_on(tmp_path: Path, make_bench: Any) -> None:
    bench = make_bench((3, 4, 4), frames=1, with_membership=False)
    bench.run(tmp_path)
    file, content = tmp_path / "ledger.jsonl", (tmp_path / "ledger.jsonl").read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    cuts = {place + near for place in [*ends, *range(0, len(content), 15)] for near in (-1, 0, 1)}
    for cut in sorted(cuts & set(range(len(content) + 1))):
        file.write_bytes(content[:cut])
        wanted = list(range(max(0, sum(end <= cut for end in ends) - 1)))
        assert list(result.read_ledger(tmp_path).done) == wanted
        assert file.read_bytes() == content[:cut], "reading changes nothing"
        if cut % 15 == 0:
            with result.acquire_lock(tmp_path) as lock:
                ledger = result.open_ledger(tmp_path, lock, identity=IDENTITY)
                assert list(ledger.done) == wanted
                for block in ledger.missing:
                    ledger.append(bench.write(tmp_path, block))
            assert file.read_bytes() == content


def test_rows_that_do_not_fit_the_layout_end_the_trust(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path)
    lines = trusted_lines((tmp_path / "ledger.jsonl").read_bytes())
    for change in (
        {"block": 77},
        {"block": "1"},
        {"frames": [0, 3]},
        {"tile": [0, 4, 0, 30]},
        {"checksums": {"label": 1}},
        {"rows": None},
        {"tile": 3},
    ):
        wrong = [*lines[:2], lines[2] | change, *lines[3:]]
        (tmp_path / "ledger.jsonl").write_bytes(encode_lines(wrong))
        assert list(result.read_ledger(tmp_path).done) == [0], change
    (tmp_path / "ledger.jsonl").write_bytes(encode_lines([*lines[:2], {"block": 1}]))
    assert list(result.read_ledger(tmp_path).done) == [0]


def test_a_ledger_of_another_result_is_refused(tmp_path: Path, bench: Any, make_bench: Any) -> None:
    bench.run(tmp_path / "a")
    make_bench(frames=3).run(tmp_path / "b")
    (tmp_path / "a" / "ledger.jsonl").write_bytes((tmp_path / "b" / "ledger.jsonl").read_bytes())
    with pytest.raises(LedgerError, match="belongs to another result"):
        result.read_ledger(tmp_path / "a")


def test_a_lost_ledger_means_nothing_is_done(tmp_path: Path, bench: Any, read_files: Any) -> None:
    bench.run(tmp_path)
    before = read_files(tmp_path)
    (tmp_path / "ledger.jsonl").unlink()
    assert result.read_ledger(tmp_path).done == {}
    assert bench.run(tmp_path) == [0, 1, 2, 3]
    assert read_files(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "sha256:cc"}, "model: result has sha256:aa, got sha256:cc"),
        ({"movie": "sha256:cc"}, "movie: result has sha256:bb, got sha256:cc"),
        ({"recipe": {"cluster": {"n_clusters": 4}}}, r"recipe\.cluster\.n_clusters: result has 3, got 4"),
        ({"recipe": {}}, r"recipe\.cluster\.n_clusters: result has 3, got -"),
        ({"roi": [1, 2]}, r"roi: result has -, got \[1, 2\]"),
    ],
)
def test_another_model_movie_or_recipe_is_refused_and_shown(
    tmp_path: Path, bench: Any, read_files: Any, change: dict[str, Any], message: str
) -> None:
    bench.run(tmp_path, 2)
    before = read_files(tmp_path)
    with result.acquire_lock(tmp_path) as lock, pytest.raises(ResultError, match=message) as caught:
        result.open_ledger(tmp_path, lock, identity=IDENTITY | change)
    assert "Choose another folder" in str(caught.value)
    assert read_files(tmp_path) == before


def test_only_the_holder_of_this_lock_appends(tmp_path: Path, bench: Any) -> None:
    bench.run(tmp_path / "a", 1)
    bench.run(tmp_path / "b", 1)
    record = bench.write(tmp_path / "a", bench.layout.block(1))
    with pytest.raises(LedgerError, match="opened for reading"):
        result.read_ledger(tmp_path / "a").append(record)
    with result.acquire_lock(tmp_path / "b") as lock, pytest.raises(LedgerError, match="wanted that of"):
        result.open_ledger(tmp_path / "a", lock, identity=IDENTITY)
    with result.acquire_lock(tmp_path / "a") as lock:
        ledger = result.open_ledger(tmp_path / "a", lock, identity=IDENTITY)
        with pytest.raises(LedgerError, match="not a block of this result"):
            ledger.append(Record(block=record.block, checksums={}))
        (tmp_path / "a" / "lock").unlink()
        with pytest.raises(LockError, match="was lost"):
            ledger.append(record)
    assert list(result.read_ledger(tmp_path / "a").done) == [0]


@pytest.mark.parametrize("call", ["write", "fsync", "open", "lseek"])
def test_a_failed_append_counts_nothing_and_can_go_on(
    tmp_path: Path, bench: Any, monkeypatch: pytest.MonkeyPatch, read_files: Any, call: str
) -> None:
    bench.run(tmp_path, 1)
    before = read_files(tmp_path)["ledger.jsonl"]
    real = os.write

    def fail(*args: Any, **kwargs: Any) -> int:
        if call == "write" and len(args[1]) > 5:
            return real(args[0], args[1][:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with result.acquire_lock(tmp_path) as lock:
        ledger = result.open_ledger(tmp_path, lock, identity=IDENTITY)
        record = bench.write(tmp_path, bench.layout.block(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(StorageError, match="no space left"):
                ledger.append(record)
        assert 1 not in ledger.done
        with pytest.raises(LedgerError, match="earlier append"):
            ledger.append(record)
    assert read_files(tmp_path)["ledger.jsonl"] == before
    assert bench.run(tmp_path) == [1, 2, 3]


def test_forgetting_takes_out_just_these_blocks(tmp_path: Path, bench: Any, read_files: Any) -> None:
    bench.run(tmp_path)
    before = read_files(tmp_path)
    with result.acquire_lock(tmp_path) as lock:
        assert result.forget_blocks(tmp_path, [2, 0, 99], lock) == 2
    assert list(result.read_ledger(tmp_path).done) == [1, 3]
    assert {k: v for k, v in read_files(tmp_path).items() if k != "ledger.jsonl"} == {
        k: v for k, v in before.items() if k != "ledger.jsonl"
    }
    assert bench.run(tmp_path) == [0, 2]
    assert result.verify_result(tmp_path) == []
