"""The ablation runs from end to end on one small movie, and claims nothing that lies within its spread."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ablation import STEPS, front_of, main, print_kind, summarise


def test_it_runs_on_a_small_movie(capsys: pytest.CaptureFixture[str]) -> None:
    rows = main(["ordering", "--seeds", "1", "--side-px", "96", "--frames", "2"])["ordering"]
    assert [row["without"] for row in rows] == ["", *STEPS]
    assert all(0.5 <= row["accuracy"] <= 1 for row in rows)
    assert "within its spread" in capsys.readouterr().out  # one movie has no spread, so nothing can be claimed


def test_an_effect_within_its_spread_is_not_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *others = STEPS
    rows = []
    for seed, noise in enumerate((0.001, -0.001, 0.002)):
        row = {"seed": seed, "right_where_08": 0.8}
        rows.append({**row, "without": "", "accuracy": 0.9})
        rows.append({**row, "without": first, "accuracy": 0.8 + noise})
        rows.append({**row, "without": second, "accuracy": 0.9 + noise})
        rows += [{**row, "without": other, "accuracy": 0.9} for other in others]
    summary = summarise(rows, "accuracy")
    effects = np.array([0.099, 0.101, 0.098])
    assert summary[first] == pytest.approx((effects.mean(), effects.std(ddof=1) / np.sqrt(3)))
    print_kind("three movies", rows)
    lines = capsys.readouterr().out.splitlines()
    assert not next(line for line in lines if first in line).endswith("(within its spread)")
    assert next(line for line in lines if second in line).endswith("(within its spread)")


def test_the_front_is_where_classes_part_best() -> None:
    classes = np.array([[0, 1, 2, 0], [1, 1, 2, 1], [2, 0, 3, 1], [3, 2, 3, 2], [2, 2, 2, 3]])
    assert front_of(classes).tolist() == [2, 3, 0, 3]
