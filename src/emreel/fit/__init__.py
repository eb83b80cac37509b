"""Fit a model once, on a sample spread over the whole movie, or over several movies together.

`emreel.fit.plan` takes the sample and chooses the descriptor, `emreel.fit.learn` finds the classes in its rows,
`emreel.fit.polycrystal` those of a polycrystal, and `emreel.fit.suggestion` says why.
"""

from __future__ import annotations

import numpy.typing as npt

from emreel.descriptors.ring import Ring
from emreel.fit.errors import FitError
from emreel.fit.learn import learn_model
from emreel.fit.plan import SEEN, check_clusters, plan_fit
from emreel.fit.polycrystal import learn_polycrystal
from emreel.fit.suggestion import Suggestion, explain_recipe, suggest_recipe
from emreel.model import Model
from emreel.progress import Note, Progress, StageStarted, ignore
from emreel.recipe import Recipe

__all__ = ["FitError", "Suggestion", "explain_recipe", "fit_model", "suggest_recipe"]


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
    recipe = recipe or Recipe()
    recipe = check_clusters(recipe if n_clusters is None else recipe.with_clusters(n_clusters))
    plan = plan_fit(movie, recipe, progress, seek_grains=centers is None)
    if isinstance(plan.descriptor, Ring) and plan.ruler is None:
        return learn_polycrystal(plan.sample, recipe, plan.descriptor)
    evidence = plan.gather(progress)
    progress(StageStarted("cluster"))
    model = learn_model(evidence, centers, plan.ruler)
    if centers is None and evidence.wanted is None:
        kind = plan.shows(model.n_clusters)
        progress(Note(f"{model.n_clusters} phases found" if kind == "phases" else f"one phase: {SEEN[kind]}"))
    return model
