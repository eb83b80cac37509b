"""The plane-group test: which descriptor tells which of the 17 groups apart (table: benchmarks/plane_groups.py)."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from emreel.synthetic.plane_groups import GROUPS, HEXAGONAL

#: Groups of one Laue class and the same extinctions: their spectra and their Patterson functions obey the same rules.
ALIKE = (("p1", "p2"), ("p1m1", "p2mm"), ("c1m1", "c2mm"), ("p3", "p6"), *combinations(("p3m1", "p31m", "p6mm"), 2))
#: Pairs of one Laue class that extinctions tell apart: a glide in place of a mirror, a centred cell.
EXTINCT = (("p1m1", "p1g1"), ("p2mm", "p2gg"), ("p1m1", "c1m1"), ("p2mm", "c2mm"), ("p4mm", "p4gm"))


def load_trial():
    path = Path(__file__).parents[2] / "benchmarks" / "plane_groups.py"
    spec = importlib.util.spec_from_file_location("plane_group_trial", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


trial = load_trial()
DESCRIPTORS = trial.symmetry_descriptors()


@cache
def crystals(name):
    return trial.table(trial.sample_crystals(DESCRIPTORS[name]))


@cache
def symmetry(name):
    return trial.table(trial.sample_symmetry(DESCRIPTORS[name]))


@cache
def among(name, groups):
    """Accuracy between a few groups, from more crystals: a dozen to learn from, a dozen never seen."""
    samples = trial.sample_symmetry(DESCRIPTORS[name], groups, learned=12, tried=12)
    return {pair: samples.accuracy(*pair) for pair in combinations(groups, 2)}


def of(table, pairs):
    return {pair: table.get(pair, table.get(pair[::-1])) for pair in pairs}


def test_every_pair_is_in_the_table():
    assert len(trial.PAIRS) == 136 and set(crystals("spectrum")) == set(trial.PAIRS)
    assert list(DESCRIPTORS) == ["translation", "spectrum", "rotation", "reflection", "glide"]


def test_accuracy_is_the_share_of_points_nearer_to_their_own_centre():
    a, b = np.float32([[0.0], [2.0]]), np.float32([[10.0], [12.0]])  # centres 1 and 11
    tried = {"a": np.float32([[3.0], [5.9], [7.0], [-4.0]]), "b": np.float32([[9.0], [5.0]])}
    assert trial.Samples({"a": a, "b": b}, tried).accuracy("a", "b") == pytest.approx((3 / 4 + 1 / 2) / 2)


@pytest.mark.parametrize("name", ["translation", "spectrum"])
def test_any_two_crystals_are_told_apart(name):
    assert min(crystals(name).values()) >= 0.95


def test_spectrum_sees_the_lattice_and_extinctions():
    table = symmetry("spectrum")
    lattices = [(a, b) for a, b in trial.PAIRS if (a in HEXAGONAL) != (b in HEXAGONAL)]
    assert len(lattices) == 60 and min(of(table, lattices).values()) >= 0.95
    assert min(of(table, EXTINCT).values()) >= 0.9


@pytest.mark.parametrize("name", ["translation", "spectrum"])
def test_what_differs_by_no_more_than_a_centre_is_not_seen(name):
    assert max(of(symmetry(name), ALIKE).values()) < trial.TOLD_APART


def test_only_glides_and_extinctions_tell_a_glide_from_nothing_and_from_a_mirror():
    """p1, p1m1 and p1g1 have one lattice; p1m1 and p1g1 also the same symmetry of their Patterson functions."""
    groups = ("p1", "p1m1", "p1g1")
    found = {name: among(name, groups) for name in ("glide", "reflection", "translation")}
    assert found["glide"]["p1", "p1g1"] >= 0.95 and found["glide"]["p1m1", "p1g1"] >= 0.95
    assert found["translation"]["p1", "p1g1"] < 0.75 and found["translation"]["p1m1", "p1g1"] < 0.9
    assert found["reflection"]["p1", "p1g1"] < 0.75


def test_reflection_sees_mirrors_and_rotation_axes():
    mirrors, axes = among("reflection", ("p1", "p1m1", "p1g1")), among("rotation", ("p1", "p2", "p1g1"))
    assert mirrors["p1", "p1m1"] >= 0.95 and mirrors["p1m1", "p1g1"] >= 0.9
    assert axes["p1", "p2"] >= 0.9 and axes["p1", "p1g1"] < 0.75
    assert among("translation", ("p1", "p2"))["p1", "p2"] < 0.75
    assert among("reflection", ("p1", "p2"))["p1", "p2"] < 0.75


def test_what_none_tells_apart():
    perfect = dict.fromkeys(trial.PAIRS, 1.0)
    assert trial.untold([perfect | {("p1", "p2"): 0.5, ("p3", "p6"): 0.5}, perfect | {("p1", "p2"): 0.6}]) == [
        ("p1", "p2")
    ]


def test_the_table_is_printed(capsys):
    trial.show("spectrum", crystals("spectrum"), symmetry("spectrum"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("spectrum: crystals told apart 136 of 136 pairs")
    assert [line.split()[0] for line in lines[3:]] == list(GROUPS)
    assert lines[3].split()[1:] == [f"{100 * crystals('spectrum')['p1', group]:.0f}" for group in GROUPS[1:]]
