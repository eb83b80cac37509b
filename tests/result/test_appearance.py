"""Names and colours given afterwards: kept beside the result, refused when they make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.result import ResultError
from emreel.result.appearance import APPEARANCE, Appearance, parse_color, read_appearance, write_appearance

NAMES = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=80)
COLORS = st.tuples(*[st.integers(0, 255)] * 3)


@settings(max_examples=30)
@given(classes=st.lists(st.tuples(NAMES, COLORS), min_size=1, max_size=6))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, classes: list[tuple[str, tuple[int, int, int]]]
) -> None:
    path = tmp_path_factory.mktemp("looks")
    names, colors = zip(*classes, strict=True)
    write_appearance(path, names, colors)
    assert read_appearance(path, len(names)) == Appearance(names=names, colors=colors)


def test_nobody_changed_anything(tmp_path: Path) -> None:
    assert read_appearance(tmp_path, 3) is None


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "two\nlines"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultError, match="wanted 1 to 80 letters"):
        write_appearance(tmp_path, [name], [(0, 0, 0)])
    assert list(tmp_path.iterdir()) == []


def test_other_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="wanted red, green and blue"):
        Appearance(names=("a",), colors=((0, 0, 256),))
    with pytest.raises(ResultError, match="one of each"):
        Appearance(names=("a",), colors=())
    for wrong in ("blue", "#12345", "#1234567"):
        with pytest.raises(ResultError, match="#rrggbb"):
            parse_color(wrong)
    write_appearance(tmp_path, ["a"], [(1, 2, 3)])
    with pytest.raises(ResultError, match="names 1 classes, the result has 2"):
        read_appearance(tmp_path, 2)
    (tmp_path / APPEARANCE).write_text("{")
    with pytest.raises(ResultError, match="Delete it"):
        read_appearance(tmp_path, 1)
