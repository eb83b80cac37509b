"""Fit a model once, on a sample spread over the whole movie, or over several movies together.

`emreel.fit.sample` chooses and describes the rows, `emreel.fit.learn` finds the classes in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy.typing as npt
import xarray as xr

from emreel.cluster.registry import needs_n_clusters
from emreel.descriptors.base import Descriptor
from emreel.descriptors.lattice import Lattice
from emreel.descriptors.registry import describe_descriptor
from emreel.descriptors.ring import Ring
from emreel.fit.errors import FitError
from emreel.fit.learn import learn_model
from emreel.fit.polycrystal import learn_polycrystal, seek_polycrystal
from emreel.fit.sample import Sample, take_sample
from emreel.model import PIXEL_SIZE_TOLERANCE, Model
from emreel.movie import check_movie, pixel_size_nm
from emreel.progress import Note, Progress, StageStarted, ignore
from emreel.recipe import DescriptorStep, Recipe

__all__ = ["FitError", "fit_model", "suggest_recipe"]


def fit_model(
    movie: object,
    recipe: Recipe | None = None,
    *,
    n_clusters: int | None = None,
    centers: npt.ArrayLike | None = None,
    progress: Progress = ignore,
) -> Model:
    """Fit one model on one movie, or on a list of movies together.

    Parameters
    ----------
    movie : a movie (see `emreel.open_movie`), or a list of movies of one pixel size: one model, one label meaning.
    recipe : every choice; what it leaves out is learned from the movie.
    n_clusters : number of phases; wins over the recipe.
    centers : shape (class, component), start k-means here instead of seeding it.

    Returns
    -------
    Model : its classes in canonical order, least ordered first (power of the lattice), ties by intensity.

    Raises
    ------
    FitError : every sampled frame is blank, frames smaller than the descriptor's halo, movies that do not fit together.
    emreel.cluster.ClusterError : more clusters than distinct sample points.
    """
    recipe = _with_clusters(recipe or Recipe(), n_clusters)
    movies = _parse_movies(movie)
    progress(StageStarted("measure"))
    sample = take_sample(movies, recipe)
    progress(StageStarted("suggest"))
    if centers is None and recipe.seeks_grains:
        ring = _ring_of(sample, recipe, progress)
        if ring is not None:
            _check_frame_size(movies, ring)
            return learn_polycrystal(sample, recipe, ring)
    descriptor = sample.suggest(recipe.descriptor)
    ruler = descriptor if isinstance(descriptor, Lattice) else sample.suggest(DescriptorStep())
    _check_frame_size(movies, descriptor)
    progress(StageStarted("describe"))
    rows = sample.describe(descriptor, ruler, recipe)
    progress(StageStarted("cluster"))
    return learn_model(rows, recipe, descriptor, sample, centers, ruler)


def suggest_recipe(movie: object, recipe: Recipe | None = None) -> Recipe:
    """A recipe with every field of its descriptor filled in from the movie: lattice, windows, stride.

    What the given recipe states is kept. Reads a dozen frames.
    """
    recipe = recipe or Recipe()
    sample = take_sample(_parse_movies(movie), recipe)
    ring = _ring_of(sample, recipe, ignore) if recipe.seeks_grains else None
    if ring is not None:
        fields = describe_descriptor(ring)
        return replace(recipe, descriptor=DescriptorStep(name=fields.pop("name"), fields=fields))
    fields = describe_descriptor(sample.suggest(recipe.descriptor))
    return replace(recipe, descriptor=DescriptorStep(name=fields.pop("name"), fields=fields))


def _with_clusters(recipe: Recipe, n_clusters: int | None) -> Recipe:
    if n_clusters is not None:
        recipe = recipe.with_clusters(n_clusters)
    if recipe.seeks_grains and recipe.demands_grains:
        return recipe
    if recipe.cluster.n_clusters in (None, "auto") and needs_n_clusters(recipe.clusterer):
        raise FitError("the number of phases is not given. Pass n_clusters=3, or -k 3 on the command line.")
    return recipe


def _ring_of(sample: Sample, recipe: Recipe, progress: Progress) -> Ring | None:
    """The ring of a polycrystal; None when the movie is none."""
    fields = dict(recipe.descriptor.fields) if recipe.descriptor.name == "ring" else {}
    found = seek_polycrystal(sample, fields)
    if found is not None and (recipe.demands_grains or found.is_polycrystal):
        progress(Note(f"a polycrystal: {found}; its grains are followed by names"))
        return found.ring
    if recipe.demands_grains:
        raise FitError("the movie shows no lattice, so it has no grains. Leave [grains] find and the ring out.")
    return None


def _parse_movies(movie: object) -> list[xr.DataArray]:
    movies = [check_movie(m) for m in movie] if isinstance(movie, list | tuple) else [check_movie(movie)]
    if not movies:
        raise FitError("got an empty list of movies, wanted at least one.")
    sizes = [pixel_size_nm(m) for m in movies]
    known = [size for size in sizes if size is not None]
    if known and max(known) - min(known) > PIXEL_SIZE_TOLERANCE * min(known):
        raise FitError(
            f"movies of pixel sizes {min(known):g} and {max(known):g} nm cannot share a model. Resample them first."
        )
    return movies


def _check_frame_size(movies: Sequence[xr.DataArray], descriptor: Descriptor) -> None:
    for movie in movies:
        height, width = movie.sizes["y"], movie.sizes["x"]
        smallest = getattr(descriptor, "smallest_frame_px", descriptor.halo + 1)
        if min(height, width) < smallest:
            raise FitError(
                f"frames of {height} x {width} px are smaller than '{descriptor.name}' needs ({smallest} px a side). "
                "Use larger frames, or a smaller window in the recipe's [descriptor]."
            )
