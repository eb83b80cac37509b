"""Looking at communities: over the frame, in the distribution of similarities, and as a graph.

The three pictures of Ter-Petrosyan et al. (arXiv:2311.08585, fig. 2 and 3). ``draw_*`` makes a figure of its own;
``show_*`` draws into axes that are given, to lay several side by side.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import sparse

from emreel.cluster.sampling import hash_indices
from emreel.cluster.similarity import Similarities, ThresholdName
from emreel.descriptors.geometry import upsample_nearest
from emreel.view.errors import ViewError
from emreel.view.figures import FONT_PT, add_scale_bar, fit_inches, new_figure, show_picture, stripe_px, web_color
from emreel.view.marks import scale_bar
from emreel.view.overlay import OPACITY, Bytes, Color, overlay_rgb

Labels = npt.NDArray[np.integer]

#: Colours of the three thresholds, as in the paper.
THRESHOLD_COLORS: dict[ThresholdName, str] = {"mean": "#c00000", "median": "#2e8b57", "mode": "#1f4fbf"}
#: Nodes and edges that a drawing can show before it is a blot.
MOST_NODES, MOST_EDGES = 400, 6000
#: Communities that are named in a legend; smaller ones are only coloured.
MOST_NAMED = 12
_MASKED = "#9a9a9a"
_GOLDEN = 0.6180339887498949
_PICTURE_IN = 4.5


def community_colors(n: int) -> tuple[Color, ...]:
    """RGB, 0 to 255, of the communities 0..n-1: hues a golden section of the circle apart, in three tones."""
    tones = ((0.75, 0.95), (0.95, 0.65), (0.45, 1.0))
    rgb = [colorsys.hsv_to_rgb((0.58 + k * _GOLDEN) % 1.0, *tones[k // 5 % 3]) for k in range(n)]
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in rgb)


def community_map(labels: Labels, stride: int, shape_yx: tuple[int, int]) -> Bytes:
    """Communities of the chips of one frame as pixel labels: each pixel has its nearest chip's.

    labels : shape (y_grid, x_grid), 0..K-1, -1 where masked (`CommunityClusters.labels_`). Returns shape (y, x), uint8:
    1..K, 0 where masked. Numbers are names: they are never averaged between chips.

    Raises
    ------
    ViewError : labels below -1 or above 252, or not of two dimensions.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.size == 0 or labels.min() < -1 or labels.max() > 252:
        raise ViewError(f"got labels of shape {labels.shape}, wanted (y_grid, x_grid), -1 (masked) to 252.")
    return upsample_nearest((labels + 1).astype(np.uint8), stride, shape_yx)


def draw_communities(
    frame_gray: Bytes, label: Bytes, *, pixel_size_nm: float | None = None, opacity: float = OPACITY
) -> Figure:
    """A frame tinted by its communities, with a legend that tells each one's share of the area.

    Parameters
    ----------
    frame_gray : shape (y, x), uint8. label : shape (y, x), uint8, 0 masked (left grey), 1..K (`community_map`).

    Raises
    ------
    ViewError : shapes or dtypes that do not fit, or an opacity outside 0 to 1.
    """
    width, height = fit_inches((label.shape[0], label.shape[1]), (_PICTURE_IN, _PICTURE_IN))
    figure = new_figure()
    handles = _legend(label)
    n_rows = -(-len(handles) // 4)
    figure.set_size_inches(max(width, 3.0) + 0.2, height + 0.25 * n_rows + 0.2)
    total_width, total_height = figure.get_size_inches()
    left = (total_width - width) / 2 / total_width
    axes = figure.add_axes((left, 1 - (0.1 + height) / total_height, width / total_width, height / total_height))
    show_communities(axes, frame_gray, label, pixel_size_nm=pixel_size_nm, opacity=opacity, width_in=width)
    figure.legend(handles=handles, ncols=4, loc="lower center", frameon=False, fontsize=FONT_PT)
    return figure


def show_communities(
    axes: Axes,
    frame_gray: Bytes,
    label: Bytes,
    *,
    pixel_size_nm: float | None = None,
    opacity: float = OPACITY,
    width_in: float = _PICTURE_IN,
) -> None:
    """The same into given axes of that width, inches, without the legend."""
    colors = community_colors(int(label.max(initial=0)))
    rgb = overlay_rgb(frame_gray, label, colors, opacity, stripe_px=stripe_px(frame_gray, width_in))
    show_picture(axes, rgb, (label.shape[0], label.shape[1]))
    axes.set_aspect("equal")
    add_scale_bar(axes, scale_bar(label.shape[1], pixel_size_nm), width_in)


def draw_similarities(similarities: Similarities, threshold: float | None = None) -> Figure:
    """The distribution of the similarities of all pairs, with mean, median and mode, and the threshold used."""
    figure = new_figure()
    figure.set_size_inches(4.5, 3.0)
    axes = figure.add_axes((0.14, 0.16, 0.83, 0.8))
    show_similarities(axes, similarities, threshold)
    return figure


def show_similarities(axes: Axes, similarities: Similarities, threshold: float | None = None) -> None:
    """The same into given axes."""
    axes.stairs(similarities.counts, similarities.edges, fill=True, color="#c8c8c8")
    for name, color in THRESHOLD_COLORS.items():
        value = similarities.threshold(name)
        axes.axvline(value, color=color, linewidth=1.2, label=f"{name} {value:.3f}")
    if threshold is not None:
        axes.axvline(threshold, color="black", linewidth=1.6, linestyle=":", label=f"threshold {threshold:.3f}")
        axes.axvspan(threshold, float(similarities.edges[-1]), color="black", alpha=0.06, linewidth=0)
    axes.set_xlim(float(similarities.edges[0]), float(similarities.edges[-1]))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"similarity ({similarities.kind})", fontsize=FONT_PT)
    axes.set_ylabel("pairs", fontsize=FONT_PT)
    axes.tick_params(labelsize=FONT_PT - 1)
    axes.legend(fontsize=FONT_PT - 1, loc="upper left", frameon=False)


def draw_graph(graph: sparse.csr_array, labels: Labels, *, seed: int = 0) -> Figure:
    """The similarity graph, laid out by springs, its nodes in the colours of their communities.

    Parameters
    ----------
    graph : symmetric, shape (n, n). labels : shape (n,), 0..K-1, -1 where masked (grey). Beyond 400 nodes a fair sample
        of them is drawn, and of their edges at most 6000.
    seed : of the layout and the samples.

    Raises
    ------
    ViewError : not one label a node.
    """
    figure = new_figure()
    figure.set_size_inches(4.5, 4.5)
    show_graph(figure.add_axes((0.02, 0.02, 0.96, 0.92)), graph, labels, seed=seed)
    return figure


def show_graph(axes: Axes, graph: sparse.csr_array, labels: Labels, *, seed: int = 0) -> None:
    """The same into given axes."""
    import networkx as nx

    labels = np.asarray(labels)
    if labels.shape != (graph.shape[0],) or labels.size == 0:
        raise ViewError(f"got labels of shape {labels.shape} for a graph of {graph.shape[0]} nodes, wanted one a node.")
    nodes = _sample(graph.shape[0], MOST_NODES, seed)
    part = sparse.csr_array(graph[nodes][:, nodes])
    place = nx.spring_layout(nx.from_scipy_sparse_array(part), seed=seed, iterations=60, k=2.0 / np.sqrt(len(nodes)))
    xy = np.array([place[i] for i in range(len(nodes))])
    upper = sparse.triu(part, 1).tocoo()
    edges = _sample(upper.nnz, MOST_EDGES, seed)
    lines = np.stack([xy[upper.row[edges]], xy[upper.col[edges]]], axis=1)
    axes.add_collection(LineCollection(list(lines), colors="#00000018", linewidths=0.4, zorder=1))
    colors = [web_color(color) for color in community_colors(int(labels.max(initial=0)) + 1)]
    shown = [_MASKED if k < 0 else colors[k] for k in labels[nodes]]
    axes.scatter(xy[:, 0], xy[:, 1], c=shown, s=9, edgecolors="black", linewidths=0.2, zorder=2)
    axes.set_title(f"{len(nodes)} of {graph.shape[0]} chips", fontsize=FONT_PT)
    axes.set_axis_off()


def _sample(n: int, wanted: int, seed: int) -> npt.NDArray[np.int64]:
    """At most ``wanted`` of n indices, ascending: those of the lowest hashes."""
    if n <= wanted:
        return np.arange(n)
    return np.sort(np.argsort(hash_indices(np.arange(n), seed), kind="stable")[:wanted])


def _legend(label: Bytes) -> Sequence[Patch]:
    areas = np.bincount(label.ravel(), minlength=1) / label.size
    colors = community_colors(len(areas) - 1)
    handles = [
        Patch(facecolor=web_color(color), edgecolor="black", linewidth=0.4, label=f"{k} ({areas[k]:.0%})")
        for k, color in enumerate(colors[:MOST_NAMED], start=1)
    ]
    if areas[0]:
        handles.append(Patch(facecolor=_MASKED, edgecolor="black", linewidth=0.4, label=f"masked ({areas[0]:.0%})"))
    return handles
