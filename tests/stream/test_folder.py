"""A folder of frames: whole files only, by the number in their names, whenever they come."""

from __future__ import annotations

import io
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from emreel.stream import FolderSource, StreamError

FRAME = np.arange(48, dtype=np.uint16).reshape(6, 8)


def poll_for(source: FolderSource, seconds: float = 0.2) -> dict[int, str]:
    """Places and faults of all that arrives."""
    found: dict[int, str] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found |= {arrival.index: arrival.fault for arrival in source.poll()}
        time.sleep(0.005)
    return found


def content(number: int) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, FRAME + number)
    return buffer.getvalue()


def test_natural_order_gaps_and_late_frames(tmp_path: Path, write_frame: Any) -> None:
    source = FolderSource(tmp_path / "f" if (tmp_path / "f").exists() else tmp_path, still_s=0.01)
    for number in (2, 10, 1):
        write_frame(tmp_path, number, FRAME + number)
    assert sorted(poll_for(source)) == [0, 1, 9]
    np.testing.assert_array_equal(source.read(9), FRAME + 10)
    write_frame(tmp_path, 5, FRAME)
    write_frame(tmp_path, 0, FRAME)
    assert list(poll_for(source)) == [4]
    assert source.n_before == 1
    assert poll_for(source) == {}


def test_a_file_written_in_place_counts_when_it_is_whole(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, still_s=0.01)
    whole = content(3)
    path = tmp_path / "a_000.tif"
    for end in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert poll_for(source, 0.1) == {}, f"taken with {end} of {len(whole)} bytes"
    path.write_bytes(whole)
    assert poll_for(source) == {0: ""}
    np.testing.assert_array_equal(source.read(0), FRAME + 3)


def test_a_growing_file_is_left_alone_while_it_changes(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, still_s=0.05)
    (tmp_path / "a_0.tif").write_bytes(content(0))
    source.poll()
    for _ in range(6):
        time.sleep(0.03)
        (tmp_path / "a_0.tif").write_bytes(content(0))
        assert source.poll() == []


def test_what_never_becomes_a_frame_is_told_as_faulty(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, still_s=0.01, patience_s=0.15)
    (tmp_path / "a_0.tif").write_bytes(content(0))
    (tmp_path / "a_1.tif").write_bytes(content(1)[:30])
    (tmp_path / "a_2.tif").touch()
    found = poll_for(source, 0.5)
    assert found[0] == ""
    assert "a_1.tif cannot be read" in found[1]
    assert "stays empty" in found[2]


def test_other_files_are_left_out(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, still_s=0.01)
    (tmp_path / "a_0.tif").write_bytes(content(0))
    for name in (".a_1.tif", "a_2.tif.tmp", "notes_3.txt", "preview.tif"):
        (tmp_path / name).write_bytes(content(0))
    (tmp_path / "a_4.tif").mkdir()
    assert poll_for(source) == {0: ""}


def test_it_begins_where_it_is_told_and_goes_on_there(tmp_path: Path) -> None:
    for number in (7, 8):
        (tmp_path / f"a_{number}.tif").write_bytes(content(number))
    source = FolderSource(tmp_path, first=5, still_s=0.01)
    assert sorted(poll_for(source)) == [2, 3]
    again = FolderSource(tmp_path, still_s=0.01)
    again.resume(source.state, {2})
    assert sorted(poll_for(again)) == [3], "a frame that is done is not looked at again"
    with pytest.raises(StreamError, match="begins with frame 5"):
        FolderSource(tmp_path, first=0).resume(source.state, set())


def test_a_folder_must_be_there_and_stay(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match="not a folder"):
        FolderSource(tmp_path / "none")
    (tmp_path / "f").mkdir()
    source = FolderSource(tmp_path / "f", still_s=0.0)
    (tmp_path / "f").rmdir()
    with pytest.raises(StreamError, match="is gone"):
        source.poll()


def test_any_order_of_bytes_and_files_gives_each_frame_once(tmp_path: Path) -> None:
    """Instruments that write slowly, out of order, the same frame under two names; a tenth of a second at a time."""
    rng = random.Random(5)
    source = FolderSource(tmp_path, first=0, still_s=0.004)
    jobs = [(number, f"a_{number:0{rng.choice([1, 3])}d}.tif") for number in range(20)]
    jobs += [(number, f"b_{number}.tif") for number in rng.sample(range(20), 5)]
    rng.shuffle(jobs)
    told: list[int] = []
    open_files: list[tuple[Path, bytes]] = []
    while jobs or open_files:
        if jobs and rng.random() < 0.5:
            number, name = jobs.pop()
            open_files.append((tmp_path / name, content(number)))
        for path, rest in list(open_files):
            n = rng.randrange(1, 400)
            with path.open("ab") as file:
                file.write(rest[:n])
            open_files.remove((path, rest))
            if rest[n:]:
                open_files.append((path, rest[n:]))
        told += [arrival.index for arrival in source.poll()]
    told += list(poll_for(source, 0.3))
    assert set(told) == set(range(20))
    for number in range(20):
        np.testing.assert_array_equal(source.read(number), FRAME + number)
