"""Recipes: TOML and back, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emreel.recipe import (
    ClusterStep,
    DescriptorStep,
    PrepareStep,
    Recipe,
    RecipeError,
    ReduceStep,
    RefineStep,
    SampleStep,
)

recipes = st.builds(
    Recipe,
    seed=st.integers(0, 2**31),
    prepare=st.builds(PrepareStep, gain=st.booleans(), repair=st.booleans()),
    descriptor=st.one_of(
        st.builds(DescriptorStep, name=st.just("lattice"), fields=st.fixed_dictionaries({"stride": st.integers(1, 8)})),
        st.builds(
            DescriptorStep,
            name=st.just("lattice"),
            fields=st.fixed_dictionaries(
                {"g_vectors": st.just([[0.1, 0.0], [0.0, 0.1]]), "period_px": st.floats(4, 20)}
            ),
        ),
    ),
    reduce=st.builds(ReduceStep, n_components=st.none() | st.integers(1, 9)),
    cluster=st.builds(
        ClusterStep,
        n_clusters=st.none() | st.integers(1, 20),
        options=st.fixed_dictionaries({}, optional={"valley": st.floats(0.1, 0.9)}),
    ),
    refine=st.builds(RefineStep, upsample=st.sampled_from(["linear", "nearest"])),
    sample=st.builds(SampleStep, frames=st.integers(1, 99), points=st.integers(1, 10**6)),
)


@given(recipe=recipes)
def test_toml_and_back(recipe: Recipe) -> None:
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_files_and_back(tmp_path: Path) -> None:
    recipe = Recipe(seed=4).with_clusters(3)
    recipe.save(tmp_path / "r.toml")
    assert Recipe.load(tmp_path / "r.toml") == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cluster]\nn_cluster = 3", r"unknown key 'n_cluster' of clusterer 'cores'; did you mean 'n_clusters'\?"),
        ("[clutser]\nn_clusters = 3", "unknown key 'clutser' in the recipe; did you mean 'cluster'?"),
        ("sed = 3", "unknown key 'sed' in the recipe; did you mean 'seed'?"),
        ("cluster = 3", r"'cluster' must be a table, got 3. Write \[cluster\]"),
        ("[cluster\n", "is not valid TOML: .* Correct that line"),
        ("[descriptor]\nname = 'latice'", "unknown descriptor 'latice'; did you mean 'lattice'"),
        ("[descriptor]\nname = 3", "got .'name': 3. for a descriptor, wanted a table with its name"),
        ("[descriptor]\nstrid = 3", "unknown key 'strid' of descriptor 'lattice'; did you mean 'stride'"),
        ("[cluster]\nn_clusters = 0", r"n_clusters must be a whole number of at least 1 and at most 253, got 0"),
        ("[cluster]\nn_clusters = 2.5", "must be a whole number"),
        ("[cluster]\nn_clusters = true", "must be a whole number"),
        ("[cluster]\nn_clusters = 254", "at most 253, got 254"),
        ("[cluster]\nname = 'kmaens'", "unknown clusterer 'kmaens'; did you mean 'kmeans'"),
        ("[sample]\nframes = 0", r"\[sample\] frames must be a whole number of at least 1, got 0"),
        ("seed = -1", "seed must be a whole number of at least 0"),
        ("[refine]\nupsample = 'cubic'", "'linear' or 'nearest', got 'cubic'"),
        ("[prepare]\ngain = 'no'", r"\[prepare\] gain is true or false, got 'no'"),
    ],
)
def test_wrong_recipes_say_what_to_do(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_toml(text)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_files_that_cannot_be_read_say_so(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        Recipe.load(path)


def test_recipes_are_values() -> None:
    assert Recipe() == Recipe()
    assert Recipe().with_clusters(2) != Recipe().with_clusters(3)
    with pytest.raises(AttributeError):
        Recipe().seed = 3  # type: ignore[misc]
