"""Looking at results: overlay pictures, the overview, and copies for other tools.

Nothing here draws on a screen: figures are `matplotlib.figure.Figure` objects of their own, so notebooks show them
and scripts save them, and no state of pyplot is touched. Names are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "ExportError": "emreel.view.errors",
    "ViewError": "emreel.view.errors",
    "draw_communities": "emreel.view.communities",
    "draw_grain_sizes": "emreel.view.grains",
    "draw_grains": "emreel.view.grains",
    "draw_graph": "emreel.view.communities",
    "draw_similarities": "emreel.view.communities",
    "compare_labels": "emreel.view.confusion",
    "draw_against": "emreel.view.tracks",
    "draw_confusion": "emreel.view.confusion",
    "draw_fronts": "emreel.view.tracks",
    "draw_orientation": "emreel.view.orientation",
    "draw_overlay": "emreel.view.figures",
    "draw_overview": "emreel.view.overview",
    "draw_region_orientations": "emreel.view.tracks",
    "draw_regions": "emreel.view.tracks",
    "draw_twins": "emreel.view.tracks",
    "export_result": "emreel.view.export",
    "overlay_rgb": "emreel.view.overlay",
    "save_overview": "emreel.view.overview",
}

if TYPE_CHECKING:
    from emreel.view.communities import draw_communities as draw_communities
    from emreel.view.communities import draw_graph as draw_graph
    from emreel.view.communities import draw_similarities as draw_similarities
    from emreel.view.confusion import compare_labels as compare_labels
    from emreel.view.confusion import draw_confusion as draw_confusion
    from emreel.view.errors import ExportError as ExportError
    from emreel.view.errors import ViewError as ViewError
    from emreel.view.export import export_result as export_result
    from emreel.view.figures import draw_overlay as draw_overlay
    from emreel.view.grains import draw_grain_sizes as draw_grain_sizes
    from emreel.view.grains import draw_grains as draw_grains
    from emreel.view.orientation import draw_orientation as draw_orientation
    from emreel.view.overlay import overlay_rgb as overlay_rgb
    from emreel.view.overview import draw_overview as draw_overview
    from emreel.view.overview import save_overview as save_overview
    from emreel.view.tracks import draw_against as draw_against
    from emreel.view.tracks import draw_fronts as draw_fronts
    from emreel.view.tracks import draw_region_orientations as draw_region_orientations
    from emreel.view.tracks import draw_regions as draw_regions
    from emreel.view.tracks import draw_twins as draw_twins

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'emreel.view' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
