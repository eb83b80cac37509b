"""emreel: unsupervised segmentation of in-situ electron-microscopy movies.

>>> import emreel as er
>>> scene = er.synthetic.AmorphousFront(shape_yx=(128, 128), n_frames=6, seed=1)
>>> movie = er.open_movie(scene)
>>> model = er.fit_model(movie, n_clusters=3)
>>> model.label(movie[0].values).shape
(128, 128)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from emreel._version import __version__

#: Public names and where they live; each is imported when it is first asked for.
_HOMES = {
    "open_movie": "emreel.io",
    "load_catalog": "emreel.io",
    "suggest_recipe": "emreel.fit",
    "fit_model": "emreel.fit",
    "Recipe": "emreel.recipe",
    "Model": "emreel.model",
    "label_movie": "emreel.label",
    "label_stream": "emreel.label",
    "open_result": "emreel.result",
    "show": "emreel.view.dashboard",
    "describe_movie": "emreel.engine",
    "Lattice": "emreel.descriptors.lattice",
    "TranslationSymmetry": "emreel.descriptors.translation",
    "PreselectedTranslations": "emreel.descriptors.translation",
    "RotationSymmetry": "emreel.descriptors.rotation",
    "ReflectionSymmetry": "emreel.descriptors.reflection",
    "GlideSymmetry": "emreel.descriptors.glide",
    "PowerSpectrum": "emreel.descriptors.spectrum",
    "RadonVariance": "emreel.descriptors.radon",
    "Chips": "emreel.descriptors.chips",
    "Intensity": "emreel.descriptors.intensity",
    "Combined": "emreel.descriptors.combined",
    "Selected": "emreel.descriptors.selected",
    "phase_field": "emreel.track.phase_field",
    "front_along_line": "emreel.track.phase_field",
    "Line": "emreel.track.line",
    "track_fronts": "emreel.track.fronts",
    "track_regions": "emreel.track.regions",
    "track_twins": "emreel.track.twins",
    "GaborBank": "emreel.descriptors.gabor",
    "EmreelError": "emreel.movie",
}
_ROOMS = ("synthetic", "testing")

if TYPE_CHECKING:
    from emreel import synthetic as synthetic
    from emreel import testing as testing
    from emreel.descriptors.chips import Chips as Chips
    from emreel.descriptors.combined import Combined as Combined
    from emreel.descriptors.gabor import GaborBank as GaborBank
    from emreel.descriptors.glide import GlideSymmetry as GlideSymmetry
    from emreel.descriptors.intensity import Intensity as Intensity
    from emreel.descriptors.lattice import Lattice as Lattice
    from emreel.descriptors.radon import RadonVariance as RadonVariance
    from emreel.descriptors.reflection import ReflectionSymmetry as ReflectionSymmetry
    from emreel.descriptors.rotation import RotationSymmetry as RotationSymmetry
    from emreel.descriptors.selected import Selected as Selected
    from emreel.descriptors.spectrum import PowerSpectrum as PowerSpectrum
    from emreel.descriptors.translation import PreselectedTranslations as PreselectedTranslations
    from emreel.descriptors.translation import TranslationSymmetry as TranslationSymmetry
    from emreel.engine import describe_movie as describe_movie
    from emreel.fit import fit_model as fit_model
    from emreel.fit import suggest_recipe as suggest_recipe
    from emreel.io import load_catalog as load_catalog
    from emreel.io import open_movie as open_movie
    from emreel.label import label_movie as label_movie
    from emreel.label import label_stream as label_stream
    from emreel.model import Model as Model
    from emreel.movie import EmreelError as EmreelError
    from emreel.recipe import Recipe as Recipe
    from emreel.result import open_result as open_result
    from emreel.track.fronts import track_fronts as track_fronts
    from emreel.track.line import Line as Line
    from emreel.track.phase_field import front_along_line as front_along_line
    from emreel.track.phase_field import phase_field as phase_field
    from emreel.track.regions import track_regions as track_regions
    from emreel.track.twins import track_twins as track_twins
    from emreel.view.dashboard import show as show

__all__ = ["__version__", *_HOMES, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"emreel.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'emreel' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    importlib.import_module("emreel.accessor")  # DataArrays have .emreel from now on
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
