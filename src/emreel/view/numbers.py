"""The evidence for each number of phases: a panel a measure, its vote ringed, the chosen number shaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emreel.cluster.choose_k import MEASURES, STABLE, Weight, votes
from emreel.view.errors import ViewError
from emreel.view.figures import FONT_PT, new_figure

_PANEL_IN = (2.2, 1.7)
_LABELS = {
    "valley": "shallowest valley / allowed",
    "gap": "gap",
    "bic": "BIC / 1000",
    "stability": "agreement of halves",
    "gain": "gain ratio",
    "silhouette": "silhouette",
}
#: Levels that decide: below the first, above the second.
_LEVELS = {"valley": 1.0, "stability": STABLE}
_BLUE, _ORANGE = "#0072b2", "#d55e00"


def draw_numbers(weights: Sequence[Weight], chosen: int) -> Figure:
    """Six panels against the number of phases: each measure, what it speaks for (a ring), and the number chosen.

    Raises
    ------
    ViewError : no weights, as for a polycrystal.
    """
    if not weights:
        raise ViewError("there is no evidence to draw: a polycrystal's grains are not counted as phases.")
    figure, said = new_figure(), votes(weights)
    figure.set_size_inches(3 * _PANEL_IN[0], 2 * _PANEL_IN[1])
    numbers = np.array([weight.n_clusters for weight in weights])
    for place, name in enumerate(MEASURES):
        axes = figure.add_subplot(2, 3, place + 1)
        values = np.array([getattr(weight, name) for weight in weights], float) / (1000 if name == "bic" else 1)
        axes.axvspan(chosen - 0.4, chosen + 0.4, color="0.9", lw=0)
        if name in _LEVELS:
            axes.axhline(_LEVELS[name], color="0.5", lw=0.6, ls="--")
        if name == "gap":
            axes.errorbar(numbers, values, [weight.gap_sd for weight in weights], color=_BLUE, marker="o", ms=3, lw=1)
        else:
            axes.plot(numbers, values, color=_BLUE, marker="o", ms=3, lw=1)
        vote = said[name]
        if vote is not None:
            axes.plot(vote, values[vote - numbers[0]], "o", ms=8, mfc="none", mec=_ORANGE, mew=1.2)
        axes.set_title(_LABELS[name], fontsize=FONT_PT, pad=3)
        axes.tick_params(labelsize=FONT_PT - 1, length=2)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        if place >= 3:
            axes.set_xlabel("phases", fontsize=FONT_PT)
    figure.tight_layout(pad=0.6)
    return figure
