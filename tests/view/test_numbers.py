"""The evidence for each number of phases, as a picture."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.cluster.choose_k import MEASURES, weigh_numbers
from emreel.view.errors import ViewError
from emreel.view.numbers import draw_numbers


def test_a_panel_a_measure() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(place, 1, (300, 2)) for place in (0, 9)]).astype(np.float32)
    figure = draw_numbers(weigh_numbers(rng.permutation(rows), most=4), chosen=2)
    assert len(figure.axes) == len(MEASURES)
    for axes in figure.axes:
        shaded = axes.patches[0].get_extents()
        assert axes.transData.inverted().transform(shaded.min)[0] == pytest.approx(1.6)


def test_a_polycrystal_has_no_evidence() -> None:
    with pytest.raises(ViewError, match="not counted as phases"):
        draw_numbers((), 2)
