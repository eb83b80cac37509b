"""The table of faults is whole, and every test that it names exists."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def rows() -> list:
    spec = importlib.util.spec_from_file_location("faults_table", Path(__file__).with_name("table.py"))
    assert spec is not None and spec.loader is not None
    import sys

    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return list(module.ROWS)


def test_every_row_is_there() -> None:
    assert [row.number for row in rows()] == list(range(1, 27))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.number}")
def test_every_test_is_there(row) -> None:
    assert row.tests
    for name in row.tests:
        file, _, function = name.partition("::")
        assert f"def {function}(" in (TESTS / file).read_text() if function else (TESTS / file).is_file(), name
