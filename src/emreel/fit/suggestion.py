"""A recipe made from a movie, and why each choice was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from emreel.cluster.choose_k import Weight, votes
from emreel.cluster.registry import needs_n_clusters
from emreel.descriptors.chips import CELLS_A_SIDE
from emreel.descriptors.gabor import suggest_wavelengths
from emreel.descriptors.lattice import Lattice
from emreel.descriptors.peaks import learn_peaks
from emreel.descriptors.registry import describe_descriptor
from emreel.descriptors.repeat import find_repeat
from emreel.descriptors.ring import Ring
from emreel.descriptors.translation import lengths_from_period
from emreel.fit.classes import weigh_classes
from emreel.fit.learn import learn_model
from emreel.fit.plan import SEEN, Kind, Plan, plan_fit
from emreel.fit.polycrystal import learn_polycrystal
from emreel.model import Model
from emreel.progress import Progress, StageStarted, ignore
from emreel.recipe import DescriptorStep, Recipe

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Reason:
    """One choice: what was chosen, and why."""

    choice: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.choice}: {self.value} ({self.why})"


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A recipe with every field filled in, the reasons, and what the movie shows.

    model : fitted on the way, by that recipe. weights : what speaks for each number of phases; empty for a polycrystal.
    """

    recipe: Recipe
    kind: Kind
    reasons: tuple[Reason, ...]
    model: Model
    weights: tuple[Weight, ...]

    def __str__(self) -> str:
        return "\n".join(str(reason) for reason in self.reasons)

    @property
    def evidence(self) -> pd.DataFrame:
        """The weights as a table, one row a number of classes."""
        import pandas as pd

        return pd.DataFrame([asdict(weight) for weight in self.weights])

    def to_toml(self) -> str:
        """The recipe as TOML, the reasons as comments above it."""
        return "".join(f"# {reason}\n" for reason in self.reasons) + "\n" + self.recipe.to_toml()


def explain_recipe(movie: object, recipe: Recipe | None = None, *, progress: Progress = ignore) -> Suggestion:
    """A recipe with every choice made from the movie, and the reason for each. What the given recipe states is kept.

    Fits a model on the sample to find the number of phases. The lattice's period is that of the strongest reflections
    of the mean spectrum (`emreel.descriptors.peaks`); lengths follow from it.

    Raises
    ------
    FitError : as `emreel.fit_model`.
    """
    plan = plan_fit(movie, recipe or Recipe(), progress)
    model, weights = _fitted(plan, progress)
    kind = plan.shows(model.n_clusters)
    fields = describe_descriptor(plan.descriptor)
    suggested = replace(plan.recipe, descriptor=DescriptorStep(name=fields.pop("name"), fields=fields))
    if kind != "polycrystal":
        suggested = suggested.with_clusters(model.n_clusters)
    return Suggestion(suggested, kind, tuple(_reasons(plan, model, kind, weights)), model, weights)


def suggest_recipe(movie: object, recipe: Recipe | None = None) -> Recipe:
    """A recipe with every choice made from the movie: see `explain_recipe`, which also tells why."""
    return explain_recipe(movie, recipe).recipe


# ------------------------------------------------------------------------------------------------ inside


def _fitted(plan: Plan, progress: Progress) -> tuple[Model, tuple[Weight, ...]]:
    if isinstance(plan.descriptor, Ring) and plan.ruler is None:
        return learn_polycrystal(plan.sample, plan.recipe, plan.descriptor), ()
    evidence = plan.gather(progress)
    progress(StageStarted("cluster"))
    weights = weigh_classes(evidence)
    if evidence.wanted is None and needs_n_clusters(plan.recipe.clusterer):
        n_clusters = votes(weights)["valley"] or 1
        evidence = replace(evidence, recipe=plan.recipe.with_clusters(n_clusters))
    return learn_model(evidence, None, plan.ruler), weights


def _reasons(plan: Plan, model: Model, kind: Kind, weights: tuple[Weight, ...]) -> Iterator[Reason]:
    yield Reason("the movie shows", kind, SEEN[kind])
    yield from _lattice_reasons(plan)
    name = plan.descriptor.name
    if plan.ruler is None:
        yield Reason("descriptor", name, "orientation tells grains, amplitude and brightness tell pores")
    elif isinstance(plan.descriptor, Lattice):
        n = len(plan.descriptor.g_vectors)
        why = f"{n} reflections found, and brightness" if n else "no lattice: brightness alone"
        yield Reason("descriptor", name, why)
    else:
        yield Reason("descriptor", name, "given")
    yield Reason("stride", f"{plan.descriptor.stride} px", "about half a period; labels are interpolated between")
    if kind != "polycrystal":
        yield _number_reason(plan, model, weights)
    if model.field is not None:
        yield Reason("intensity field", "on", "brightness of a phase changes slowly over the frame")


def _lattice_reasons(plan: Plan) -> Iterator[Reason]:
    period_px = plan.period_px
    if period_px is None:
        yield Reason("lattice period", "none", "no reflection stands out of the mean spectrum")
        return
    size = plan.sample.pixel_size_nm
    nm = "" if size is None else f" = {period_px * size:.3g} nm"
    why = "ring of spots" if plan.ruler is None else "mean 1/|g| of the reflections, by their power"
    yield Reason("lattice period", f"{period_px:.2f} px{nm}", why)
    peaks = learn_peaks(plan.sample.fold)
    repeat = find_repeat(peaks.g_yx)
    if repeat is not None:
        nm = "" if size is None else f" = {repeat.length_px * size:.3g} nm"
        why = f"shortest vector of the lattice that holds {repeat.n_held} of {len(peaks)} reflections"
        yield Reason("lattice repeat", f"{repeat.length_px:.2f} px{nm}", why)
    lengths = lengths_from_period(period_px)
    wavelengths = suggest_wavelengths(peaks)
    span = f"{min(wavelengths):.1f} to {max(wavelengths):.1f} px"
    shifts = f"window {lengths['window_px']}, patch {lengths['patch_px']}, stride {lengths['stride']} px"
    yield Reason("for translation symmetry", shifts, "shifts to two periods, patches of three")
    yield Reason("for a Gabor bank", f"wavelengths {span}", "every spacing found, and a tenth more")
    chip_px = 2 * round(period_px * CELLS_A_SIDE / 2) + 1
    yield Reason("for chips", f"{chip_px} px", f"{CELLS_A_SIDE} periods a side")


def _number_reason(plan: Plan, model: Model, weights: tuple[Weight, ...]) -> Reason:
    n = model.n_clusters
    if plan.recipe.cluster.n_clusters not in (None, "auto"):
        return Reason("phases", str(n), "given")
    said = votes(weights)
    count = Counter(number for number in said.values() if number is not None)
    listed = ", ".join(f"{name} {number}" for name, number in said.items() if number is not None)
    most, n_votes = count.most_common(1)[0]
    doubt = f"; most measures say {most}: look at both" if most != n and n_votes > len(said) // 2 else ""
    return Reason("phases", str(n), f"groups of steady points parted by a valley; {listed}{doubt}")
