"""Labels against a truth: the confusion matrix, accuracy and F1, and a figure of it.

A clusterer numbers its classes as it likes, so labels are first matched to the truth one to one, by the largest common
area (H. W. Kuhn, Naval Res. Logist. 2 (1955) 83). Accuracy is the share of pixels on the diagonal. The F1 of a
class is ``2 TP / (2 TP + FP + FN)``, and macro-F1 its mean over the classes of the truth.

>>> import numpy as np
>>> truth = np.array([[0, 0, 1, 1], [0, 0, 1, 2]])
>>> labels = np.array([[3, 3, 1, 1], [3, 1, 1, 2]])
>>> table = compare_labels(truth, labels)
>>> table.counts.tolist(), table.accuracy, round(table.macro_f1, 3)
([[3, 1, 0], [0, 3, 0], [0, 0, 1]], 0.875, 0.905)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from emreel.view.errors import ViewError
from emreel.view.figures import FONT_PT, new_figure

#: Labels that never match a class: not computed, invalid, unknown.
VOID = (0, 254, 255)
_CELL_IN = 0.55


@dataclass(frozen=True, kw_only=True, eq=False)
class Confusion:
    """How often each class of the truth got each label.

    truth : the classes. labels : the label matched to each, -1 for none.
    counts : shape (class, class), pixels of class i whose label is matched to class j.
    missed : shape (class,), pixels of class i that got void or a label without a class.
    """

    truth: tuple[int, ...]
    labels: tuple[int, ...]
    counts: npt.NDArray[np.int64]
    missed: npt.NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of all pixels that got their class's label."""
        return float(np.trace(self.counts) / (self.counts.sum() + self.missed.sum()))

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """F1 of every class, shape (class,)."""
        hits = np.diag(self.counts)
        there, said = self.counts.sum(axis=1) + self.missed, self.counts.sum(axis=0)
        return np.asarray(2 * hits / (there + said))

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes of the truth."""
        return float(self.f1.mean())

    @property
    def percent(self) -> npt.NDArray[np.float64]:
        """Per cent of each class's pixels, shape (class, class); rows sum to 100 less what was missed."""
        return np.asarray(100 * self.counts / (self.counts.sum(axis=1) + self.missed)[:, None])


def compare_labels(
    truth: npt.ArrayLike, labels: npt.ArrayLike, *, keep: npt.ArrayLike | None = None, void: Sequence[int] = VOID
) -> Confusion:
    """Match labels to a truth and count.

    Parameters
    ----------
    truth, labels : integers of one shape, such as (y, x) or (time, y, x).
    keep : bool, same shape; other pixels are left out altogether.
    void : labels that count as wrong and are never matched; ``()`` when 0 is a label like others.

    Raises
    ------
    ViewError : shapes that differ, or no pixel to compare.
    """
    wanted, got = np.asarray(truth), np.asarray(labels)
    if wanted.shape != got.shape:
        raise ViewError(f"got a truth of shape {wanted.shape} and labels of {got.shape}, wanted one shape.")
    chosen = np.ones(wanted.shape, bool) if keep is None else np.asarray(keep, bool)
    if chosen.shape != wanted.shape or not chosen.any():
        raise ViewError("got no pixel to compare. Give a mask of the truth's shape with at least one True.")
    classes, row = np.unique(wanted[chosen], return_inverse=True)
    names, column = np.unique(got[chosen], return_inverse=True)
    pairs = np.bincount(row.ravel() * len(names) + column.ravel(), minlength=len(classes) * len(names))
    table = pairs.reshape(len(classes), len(names)).astype(np.int64)
    usable = table[:, ~np.isin(names, void)]
    names = names[~np.isin(names, void)]
    rows, columns = linear_sum_assignment(-usable)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    matched = [-1] * len(classes)
    for i, j in zip(rows, columns, strict=True):
        counts[:, i], matched[i] = usable[:, j], int(names[j])
    return Confusion(
        truth=tuple(int(c) for c in classes),
        labels=tuple(matched),
        counts=counts,
        missed=table.sum(axis=1) - counts.sum(axis=1),
    )


def draw_confusion(confusion: Confusion, names: Sequence[str] | None = None) -> Figure:
    """The matrix in per cent of each class, with accuracy and macro-F1 above it."""
    words = [str(value) for value in confusion.truth] if names is None else list(names)
    if len(words) != len(confusion.truth):
        raise ViewError(f"got {len(words)} names for {len(confusion.truth)} classes. Give one name a class.")
    percent = confusion.percent
    side = _CELL_IN * len(words)
    figure = new_figure()
    figure.set_size_inches(side + 1.4, side + 1.3)
    axes = figure.add_axes((1.1 / (side + 1.4), 0.8 / (side + 1.3), side / (side + 1.4), side / (side + 1.3)))
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for (i, j), value in np.ndenumerate(percent):
        ink = "white" if value > 50 else "black"
        axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=FONT_PT, color=ink)
    ticks = np.arange(len(words))
    axes.set_xticks(ticks, words, fontsize=FONT_PT, rotation=45, ha="right")
    axes.set_yticks(ticks, words, fontsize=FONT_PT)
    axes.set_xlabel("label", fontsize=FONT_PT)
    axes.set_ylabel("truth", fontsize=FONT_PT)
    title = f"accuracy {100 * confusion.accuracy:.2f} %   macro-F1 {100 * confusion.macro_f1:.2f} %"
    axes.set_title(title, fontsize=FONT_PT)
    return figure
