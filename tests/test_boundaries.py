"""Labels lie where the phases lie: an edge at a known column is found there, by every descriptor (W9)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emreel.fit import fit_model
from emreel.recipe import DescriptorStep, Recipe, RefineStep, SampleStep

HEIGHT, WIDTH = 120, 230

RECIPES = {
    "lattice": DescriptorStep(name="lattice", fields={"stride": 4}),
    "lattice stride 1": DescriptorStep(name="lattice", fields={"stride": 1}),
    "translation": DescriptorStep(name="translation", fields={"window_px": 12, "patch_px": 8, "stride": 4}),
    "translation stride 3": DescriptorStep(name="translation", fields={"window_px": 12, "patch_px": 8, "stride": 3}),
    "preselected": DescriptorStep(
        name="preselected", fields={"shifts": [[0, 7], [5, 5], [5, -5], [7, 0]], "patch_px": 8, "stride": 5}
    ),
}


def lattice(angle_deg: float, period_px: float) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    angle = np.deg2rad(angle_deg)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.cos(2 * np.pi * u / period_px) + np.cos(2 * np.pi * v / period_px)


def two_grains(column: int) -> np.ndarray:
    """One lattice left of the column, the same turned by 45 degrees from the column on; counts."""
    wave = np.where(np.arange(WIDTH) < column, lattice(0.0, 7.0), lattice(45.0, 7.0))
    return np.random.default_rng(column).poisson(60 + 20 * wave).astype(np.uint16)


def edge_of(label: np.ndarray) -> float:
    """Mean column at which the left phase ends, away from the frame's edges."""
    left = label[60, 20]
    return float((label[20:100] == left).sum(axis=1).mean())


@pytest.mark.parametrize("upsample", ["linear", "nearest"])
@pytest.mark.parametrize("name", RECIPES)
def test_an_edge_is_found_at_its_column(name: str, upsample: Any) -> None:
    recipe = Recipe(descriptor=RECIPES[name], refine=RefineStep(upsample=upsample), sample=SampleStep(points=8000))
    model = fit_model(np.stack([two_grains(column) for column in (95, 115, 133)]), recipe, n_clusters=2)
    along, against = [], []
    for column in range(94, 101):  # every phase of the lattice
        frame = two_grains(column)
        along.append(edge_of(model.label(frame)) - column)
        against.append(WIDTH - edge_of(model.label(frame[:, ::-1])) - column)
    mean, mirrored = np.mean(along), np.mean(against)
    # seen too early or too late by one of the phases, on both sides alike
    assert abs(mean + mirrored) / 2 <= max(model.stride / 4, 0.5)
    # drawn to one side of the frame; nearest grid points go up by half a pixel at even strides
    assert abs(mean - mirrored) / 2 <= model.stride / 4 + (0.5 if upsample == "nearest" else 0.0)
    assert max(map(abs, along)) <= max(model.stride / 2, 1.0) + 1.5
