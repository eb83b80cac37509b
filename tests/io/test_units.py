"""Lengths and times in the vendors' spellings."""

from __future__ import annotations

import pytest

from emreel.io.units import even_times, second_factor, to_nm, to_seconds


@pytest.mark.parametrize(
    ("value", "unit", "nm"),
    [
        (2, "nm", 2), ("0.5", "µm", 500), (0.5, "μm", 500), (1, "\\u00B5m", 1000), (3, "Å", 0.3), (3, "A", 0.3),
        (3, "Angstrom", 0.3), (1e-9, "m", 1), (5, b"pm", 0.005), (2, "Nanometer", 2), (1, "micron", 1000),
    ],
)  # fmt: skip
def test_lengths(value: object, unit: object, nm: float) -> None:
    assert to_nm(value, unit) == pytest.approx(nm)


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (1, "1/nm"), (1, "cm"), (1, "inch"), (1, ""), (1, None), (1, "px"), (0, "nm"), (-1, "nm"), ("x", "nm"),
        (None, "nm"), (float("nan"), "nm"), (float("inf"), "nm"), (1, "s"), (1, "mrad"),
    ],
)  # fmt: skip
def test_what_is_no_length_of_the_specimen(value: object, unit: object) -> None:
    assert to_nm(value, unit) is None


def test_times() -> None:
    assert to_seconds(250, "ms") == pytest.approx(0.25)
    assert to_seconds(2, "min") == 120
    assert to_seconds(1, "nm") is None
    assert second_factor("seconds") == 1 and second_factor("frame") is None
    assert even_times(3, 0.5).tolist() == [0, 0.5, 1]
