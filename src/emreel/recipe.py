"""A recipe: every choice of a segmentation, frozen, the same fields as its TOML file."""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from emreel.cluster import ClusterError
from emreel.cluster.registry import check_options
from emreel.descriptors.registry import DescriptorError, check_fields, descriptor_class, split_name
from emreel.movie import EmreelError
from emreel.names import did_you_mean


class RecipeError(EmreelError, ValueError):
    """A recipe that cannot be followed: unknown key, wrong type, or a value out of range."""


@dataclass(frozen=True, kw_only=True)
class PrepareStep:
    """[prepare] gain: divide by the frame's relative brightness; repair: mask dead lines and hot pixels.

    survey: look at every frame before labelling: is it blank, repeated, blurred; its gain, its drift
    (`emreel.prepare.survey`).
    """

    gain: bool = True
    repair: bool = True
    survey: bool = True


@dataclass(frozen=True, kw_only=True)
class DescriptorStep:
    """[descriptor] a name and that descriptor's own fields; what is left out is learned from the movie."""

    name: str = "lattice"
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReduceStep:
    """[reduce] principal components kept; None: 5, but all features for descriptors that say so (lattice, chips)."""

    n_components: int | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterStep:
    """[cluster] how the phases are found: a clusterer's name, and its own options.

    ``name``: left out, the one that belongs to the descriptor: "cores" for lattice, and for a published method the one
    that it was published with. ``n_clusters`` is the user's, or "auto" (or left out): found by the clusterer. kmeans
    cannot find it.
    ``intensity_field``: let the classes' intensities follow illumination and thickness over the frame, where that
    explains enough (`emreel.cluster.field`); for descriptors with a channel of their own for the intensity.
    ``separate``: merge and split the K classes of cores or kmeans where one is a part of another
    (`emreel.cluster.separation`); left out: with lattice, not with the published methods.
    """

    name: str | None = None
    n_clusters: int | Literal["auto"] | None = None
    intensity_field: bool = True
    separate: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RefineStep:
    """[refine] how grid labels become pixel labels.

    ``upsample`` : "linear" scores or the "nearest" grid point. ``neighbours`` : neighbouring points pull at each
    other's labels (`emreel.refine.Potts`) with ``coupling``, the log odds where all agree, over ``reach_periods``, the
    Gaussian's sigma in lattice periods; left out: with lattice, not with the published methods.
    ``temperature`` : log posteriors are divided by it, so that memberships are as sure as they are right; left out:
    learned from the edges of the movie's own labels (`emreel.refine.Edges`). ``novelty`` : regions of a phase
    that the fit never saw are unknown, even where they lie near a class or differ by an order that no feature tells
    (`emreel.refine.Novelty`).
    """

    upsample: Literal["linear", "nearest"] = "linear"
    neighbours: bool | None = None
    coupling: float = 4.0
    reach_periods: float = 1.0
    temperature: float | None = None
    novelty: bool = True


@dataclass(frozen=True, kw_only=True)
class GrainsStep:
    """[grains] whether the movie is a polycrystal, whose grains are followed by names (`emreel.polycrystal`).

    ``find`` : "auto" looks, where neither the number of phases nor a descriptor is given; "always" takes the movie for
    one; "never" does not. With "auto" the descriptor "ring" without a number of phases means a polycrystal, too.
    """

    find: Literal["auto", "always", "never"] = "auto"


@dataclass(frozen=True, kw_only=True)
class TimeStep:
    """[time] what a frame's labels owe to the frames around it.

    ``steady`` : labels keep still where the specimen does (`emreel.refine.Steady`), in a window of ``lag`` frames
    before and after; left out: with lattice, where frames follow one another, and not with the published methods.
    ``stay`` : the probability that a point's class stays from one frame to the next. ``weight`` : what a frame counts;
    left out: measured (`emreel.fit.in_time`).
    ``follow`` = "step" moves the centres by one k-means step a frame, as the published symmetry method does (Wang et
    al. 2021); "slow" by a small part of one, and never far, for a contrast that drifts (carbon that builds up, a beam
    that fades); "none" keeps them, so that a label means the same from the first frame to the last. Following needs
    frames in their order, one after another, and goes without ``steady``.
    """

    follow: Literal["none", "step", "slow"] = "none"
    steady: bool | None = None
    lag: int = 4
    stay: float = 0.9
    weight: float | None = None


@dataclass(frozen=True, kw_only=True)
class SampleStep:
    """[sample] frames that the model is fitted on, spread over the movie, and grid points from all of them."""

    frames: int = 64
    points: int = 200_000


_STEPS = {
    "prepare": PrepareStep,
    "descriptor": DescriptorStep,
    "reduce": ReduceStep,
    "cluster": ClusterStep,
    "refine": RefineStep,
    "grains": GrainsStep,
    "time": TimeStep,
    "sample": SampleStep,
}
#: Steps that name a strategy, and where the keys go that are the strategy's own.
_OWN_KEYS = {"descriptor": "fields", "cluster": "options"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every choice of a segmentation.

    >>> recipe = Recipe.from_dict({"seed": 1, "cluster": {"n_clusters": 3}})
    >>> recipe.cluster.n_clusters, recipe.descriptor.name
    (3, 'lattice')
    >>> Recipe.from_toml(recipe.to_toml()) == recipe
    True
    """

    seed: int = 0
    prepare: PrepareStep = PrepareStep()
    descriptor: DescriptorStep = DescriptorStep()
    reduce: ReduceStep = ReduceStep()
    cluster: ClusterStep = ClusterStep()
    refine: RefineStep = RefineStep()
    grains: GrainsStep = GrainsStep()
    time: TimeStep = TimeStep()
    sample: SampleStep = SampleStep()

    def __post_init__(self) -> None:
        _check(self)

    @property
    def clusterer(self) -> str:
        """The clusterer's name: the recipe's, or the one that belongs to its descriptor."""
        return self.cluster.name or str(getattr(descriptor_class(self.descriptor.name), "clusterer", "kmeans"))

    @property
    def seeks_grains(self) -> bool:
        """Whether the movie may be taken for a polycrystal."""
        if self.grains.find != "auto":
            return self.grains.find == "always"
        plain = self.descriptor == DescriptorStep() and self.cluster.name is None
        return self.cluster.n_clusters in (None, "auto") and (plain or self.descriptor.name == "ring")

    @property
    def demands_grains(self) -> bool:
        """Whether the movie is taken for a polycrystal without looking."""
        return self.seeks_grains and (self.grains.find == "always" or self.descriptor.name == "ring")

    def with_clusters(self, n_clusters: int) -> Self:
        """The same recipe for another number of phases."""
        return dataclasses.replace(self, cluster=dataclasses.replace(self.cluster, n_clusters=n_clusters))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON and TOML values; keys that are None are left out."""
        values: dict[str, Any] = {"seed": self.seed}
        for name in _STEPS:
            step = dataclasses.asdict(getattr(self, name))
            if name in _OWN_KEYS:
                step |= step.pop(_OWN_KEYS[name])
            values[name] = {key: _plain(value) for key, value in step.items() if value is not None}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a recipe; unknown keys are errors with a suggestion.

        Raises
        ------
        RecipeError : unknown key, wrong type, value out of range.
        """
        steps: dict[str, Any] = {}
        for key, value in values.items():
            if key == "seed":
                steps[key] = value
            elif key not in _STEPS:
                raise RecipeError(f"unknown key '{key}' in the recipe{did_you_mean(key, ['seed', *_STEPS])}")
            elif not isinstance(value, Mapping):
                raise RecipeError(f"'{key}' must be a table, got {value!r}. Write [{key}] on a line of its own.")
            else:
                steps[key] = _step(key, value)
        return cls(**steps)

    def to_toml(self) -> str:
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    @classmethod
    def from_toml(cls, text: str, *, source: str = "recipe") -> Self:
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{source} is not valid TOML: {error}. Correct that line.") from None
        return cls.from_dict(values)

    def save(self, path: str | os.PathLike[str]) -> None:
        Path(path).write_text(self.to_toml(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"cannot read the recipe {os.fspath(path)}: {error}") from None
        return cls.from_toml(text, source=os.fspath(path))


def _step(name: str, values: Mapping[str, Any]) -> Any:
    own = _OWN_KEYS.get(name)
    known = [entry.name for entry in dataclasses.fields(_STEPS[name]) if entry.name != own]
    mine = {key: value for key, value in values.items() if key in known}
    rest = {key: value for key, value in values.items() if key not in known}
    if own is not None:
        return _STEPS[name](**mine, **{own: rest})
    for key in rest:
        raise RecipeError(f"unknown key '{key}' in [{name}]{did_you_mean(key, known)}")
    return _STEPS[name](**mine)


def _check(recipe: Recipe) -> None:
    _integer("seed", recipe.seed, 0)
    _integer("[reduce] n_components", recipe.reduce.n_components, 1, optional=True)
    _integer("[sample] frames", recipe.sample.frames, 1)
    _integer("[sample] points", recipe.sample.points, 1)
    if recipe.cluster.n_clusters != "auto":
        _integer("[cluster] n_clusters", recipe.cluster.n_clusters, 1, 253, optional=True)
    try:
        check_fields(*split_name({"name": recipe.descriptor.name, **recipe.descriptor.fields}))
    except DescriptorError as error:
        raise RecipeError(f"[descriptor] {error}") from None
    try:
        check_options(recipe.clusterer, recipe.cluster.options)
    except ClusterError as error:
        raise RecipeError(f"[cluster] {error}") from None
    if recipe.refine.neighbours not in (None, True, False):
        raise RecipeError(f"[refine] neighbours is true or false, got {recipe.refine.neighbours!r}.")
    for key, least in (("coupling", 0.0), ("reach_periods", 0.1), ("temperature", 0.1)):
        if getattr(recipe.refine, key) is not None or key != "temperature":
            _number(f"[refine] {key}", getattr(recipe.refine, key), least)
    _one_of("[refine] upsample", recipe.refine.upsample, ("linear", "nearest"))
    _one_of("[grains] find", recipe.grains.find, ("auto", "always", "never"))
    _one_of("[time] follow", recipe.time.follow, ("none", "step", "slow"))
    _check_steady(recipe.time)
    if not isinstance(recipe.refine.novelty, bool):
        raise RecipeError(f"[refine] novelty is true or false, got {recipe.refine.novelty!r}.")
    if recipe.cluster.separate not in (None, True, False):
        raise RecipeError(f"[cluster] separate is true or false, got {recipe.cluster.separate!r}.")
    if not isinstance(recipe.cluster.intensity_field, bool):
        raise RecipeError(f"[cluster] intensity_field is true or false, got {recipe.cluster.intensity_field!r}.")
    for key in ("gain", "repair", "survey"):
        if not isinstance(getattr(recipe.prepare, key), bool):
            raise RecipeError(f"[prepare] {key} is true or false, got {getattr(recipe.prepare, key)!r}.")


def _check_steady(step: TimeStep) -> None:
    if step.steady not in (None, True, False):
        raise RecipeError(f"[time] steady is true or false, got {step.steady!r}.")
    if step.steady and step.follow != "none":
        raise RecipeError(f"[time] steady and follow = {step.follow!r} do not go together. Choose one.")
    _integer("[time] lag", step.lag, 1)
    for key, value in (("stay", step.stay), ("weight", step.weight)):
        if value is not None:
            _number(f"[time] {key}", value, 0.0)
            if not 0 < value <= 1 or (key == "stay" and value == 1):
                raise RecipeError(f"[time] {key} must lie between 0 and 1, got {value!r}.")


def _number(name: str, value: Any, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
        raise RecipeError(f"{name} must be a number of at least {least:g}, got {value!r}.")


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        wanted = " or ".join(f"'{choice}'" for choice in choices)
        raise RecipeError(f"{name} is {wanted}, got {value!r}.")


def _integer(name: str, value: Any, least: int, most: float = math.inf, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        up_to = "" if most == math.inf else f" and at most {most}"
        raise RecipeError(f"{name} must be a whole number of at least {least}{up_to}, got {value!r}.")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
