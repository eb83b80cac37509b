"""Tables: tidy, with units in their names, the same bytes for the same rows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emreel import result
from emreel.result import Record, ResultError, StorageError, class_fraction_table, count_labels, quality_table

SHAPE = (4, 30, 40)


def make_records(label: np.ndarray, layout: result.Layout) -> list[Record]:
    records = []
    for block in layout.blocks():
        counts = count_labels(label[layout.region("label", block)])
        rows = [
            {"frame": frame, "status": "good", "gain": 1.0 + frame, "reason": "", "label_px": px}
            for frame, px in zip(range(*block.frames), counts, strict=True)
        ]
        records.append(Record(block=block, checksums={}, rows=rows))
    return records


@pytest.fixture
def label() -> np.ndarray:
    values = np.random.default_rng(3).choice(np.array([1, 2, 3, 254, 255], np.uint8), SHAPE)
    values[2] = 254
    return values


@pytest.mark.parametrize("tile", [None, (32, 32), (30, 32)])
def test_fractions_are_those_of_the_labels(label: np.ndarray, tile: tuple[int, int] | None) -> None:
    layout = result.plan_layout(SHAPE, 4, 3, frames_per_block=3, tile_yx=tile)
    assert layout.n_blocks == (2 if tile is None else 4)
    records = make_records(label, layout)[::-1]
    table = class_fraction_table(
        records, np.arange(4) * 0.5, label_names=["a", "b", "c"], shape_yx=SHAPE[1:], pixel_size_nm=0.5
    )
    assert list(table.columns) == ["frame", "time_s", "label", "name", "area_px2", "area_nm2", "fraction"]
    assert list(table["frame"]) == sorted(list(range(4)) * 4)
    for row in table.itertuples():
        area = int((label[row.frame] == row.label).sum())
        valid = int((label[row.frame] != 254).sum())
        assert row.area_px2 == area and row.area_nm2 == area * 0.25 and row.time_s == row.frame * 0.5
        assert row.fraction == pytest.approx(area / valid) if valid else np.isnan(row.fraction)
    assert list(table["name"][:4]) == ["a", "b", "c", "unknown"] and list(table["label"][:4]) == [1, 2, 3, 255]
    sums = table.groupby("frame")["fraction"].sum(min_count=4)
    np.testing.assert_allclose(sums, [1, 1, np.nan, 1])


def test_without_calibration_and_times_nothing_is_invented(label: np.ndarray) -> None:
    records = make_records(label, result.plan_layout(SHAPE, 4, 3, frames_per_block=3))
    table = class_fraction_table(records, None, label_names="abc", shape_yx=SHAPE[1:], pixel_size_nm=None)
    assert table["area_nm2"].isna().all() and table["time_s"].isna().all() and (table["area_px2"] >= 0).all()
    assert quality_table(records, None)["time_s"].isna().all()


def test_frames_that_are_not_whole_have_no_fractions(label: np.ndarray) -> None:
    layout = result.plan_layout(SHAPE, 4, 3, frames_per_block=3, tile_yx=(32, 32))
    records = [record for record in make_records(label, layout) if record.block.index != 1]
    table = class_fraction_table(records, None, label_names="abc", shape_yx=SHAPE[1:], pixel_size_nm=None)
    assert set(table["frame"]) == {3}
    assert list(quality_table(records, None)["frame"]) == [0, 1, 2, 3]


def test_quality_has_a_row_a_frame_and_says_what_is_unknown(label: np.ndarray) -> None:
    layout = result.plan_layout(SHAPE, 4, 3, frames_per_block=3, tile_yx=(32, 32))
    table = quality_table(make_records(label, layout), np.arange(4) * 0.1)
    assert list(table.columns) == [
        *("frame", "time_s", "status", "blur", "gain", "drift_y_px", "drift_x_px", "invalid_fraction", "reason")
    ]
    assert list(table["frame"]) == [0, 1, 2, 3] and list(table["status"]) == ["good"] * 4
    np.testing.assert_allclose(table["gain"], [1, 2, 3, 4])
    np.testing.assert_allclose(table["invalid_fraction"], (label == 254).mean(axis=(1, 2)))
    assert table["blur"].isna().all() and table["drift_y_px"].dtype == np.float64
    bare = Record(block=layout.block(0), checksums={}, rows=[{"frame": 1, "gain": None}])
    [row] = quality_table([bare], None).to_dict("records")
    assert row["status"] == "" and row["reason"] == "" and np.isnan(row["gain"]) and np.isnan(row["invalid_fraction"])


def test_empty_results_have_empty_tables() -> None:
    assert quality_table([], None).empty
    empty = class_fraction_table([], None, label_names="abc", shape_yx=(3, 3), pixel_size_nm=None)
    assert empty.empty and empty["fraction"].dtype == np.float64


def test_a_table_comes_back_equal_and_has_the_same_bytes(tmp_path: Path, label: np.ndarray) -> None:
    records = make_records(label, result.plan_layout(SHAPE, 4, 3, frames_per_block=3))
    table = quality_table(records, np.arange(4.0))
    file = result.write_table(tmp_path, "quality", table)
    assert file == tmp_path / "tables" / "quality.parquet"
    pd.testing.assert_frame_equal(result.read_table(tmp_path, "quality"), table)
    first = file.read_bytes()
    result.write_table(tmp_path, "quality", table.copy())
    assert file.read_bytes() == first
    assert pd.read_parquet(file).shape == table.shape


@pytest.mark.parametrize("name", ["../quality", "a/b", "", "Quality", "q.parquet", "/etc/x", "a\n", "é"])
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultError, match="lower-case letters"):
        result.write_table(tmp_path, name, pd.DataFrame({"a": [1]}))
    with pytest.raises(ResultError, match="lower-case letters"):
        result.read_table(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_damaged_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"no table 'quality'\. Tables there: none"):
        result.read_table(tmp_path, "quality")
    result.write_table(tmp_path, "fronts", pd.DataFrame({"a": [1]}))
    with pytest.raises(ResultError, match="Tables there: fronts"):
        result.read_table(tmp_path, "quality")
    (tmp_path / "tables" / "fronts.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ResultError, match="is damaged"):
        result.read_table(tmp_path, "fronts")


def test_a_failed_write_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result.write_table(tmp_path, "fronts", pd.DataFrame({"a": [1]}))

    def refuse(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(StorageError, match="no space left"):
            result.write_table(tmp_path, "fronts", pd.DataFrame({"a": [2]}))
    assert list(result.read_table(tmp_path, "fronts")["a"]) == [1]
    assert [file.name for file in (tmp_path / "tables").iterdir()] == ["fronts.parquet"]


def test_a_table_written_in_parts_is_the_whole_table(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    whole = pd.DataFrame({"frame": np.arange(1000), "kind": ["a", "b"] * 500, "y_px": np.arange(1000) / 3})
    with result.TableWriter(tmp_path, "parts") as writer:
        writer.ROWS_A_GROUP = 150
        for start in range(0, 1000, 70):
            writer.append(whole.iloc[start : start + 70])
    pd.testing.assert_frame_equal(result.read_table(tmp_path, "parts"), whole)
    with pytest.raises(AttributeError), result.TableWriter(tmp_path, "parts") as writer:
        writer.append(None)  # type: ignore[arg-type]
    assert len(result.read_table(tmp_path, "parts")) == 1000
    assert [file.name for file in (tmp_path / "tables").iterdir()] == ["parts.parquet"]
