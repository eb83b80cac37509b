"""The patterns have the symmetry of their group, and no more: by the rules of crystallography and in the picture."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from emreel.synthetic.checks import SceneError
from emreel.synthetic.plane_groups import GROUPS, HEXAGONAL, N_COLUMNS, PlanePattern, operations_of

ORDERS = {
    "p1": 1, "p2": 2, "p1m1": 2, "p1g1": 2, "c1m1": 4, "p2mm": 4, "p2mg": 4, "p2gg": 4, "c2mm": 8,
    "p4": 4, "p4mm": 8, "p4gm": 8, "p3": 3, "p3m1": 6, "p31m": 6, "p6": 6, "p6mm": 12,
}  # fmt: skip
#: Cell shifts added to an operation when its axis or centre is looked for.
CELLS = tuple(itertools.product((-1, 0, 1), repeat=2))


def metric(group):
    return PlanePattern(group=group).vectors_yx


def parts(operation):
    a, b, c, d, s, t = operation
    return np.array([[a, b], [c, d]]), np.array([s, t]) / 2


def kind(group, operation, cell):
    """What an operation followed by a cell shift is: ("rotation", fold), ("mirror",), ("glide",) or ("shift",)."""
    matrix, shift = parts(operation)
    shift = shift + cell
    if round(np.linalg.det(matrix)) == 1:
        fold = {2: 1, -2: 2, -1: 3, 0: 4, 1: 6}[int(np.trace(matrix))]
        return ("rotation", fold) if fold > 1 else ("shift",)
    twice = matrix @ shift + shift  # what the operation does when done twice: twice the glide
    return ("glide",) if np.linalg.norm(twice @ metric(group)) > 1e-9 else ("mirror",)


def centre(operation, cell):
    matrix, shift = parts(operation)
    return np.linalg.solve(np.eye(2) - matrix, shift + cell)


def on_a_mirror(group, point):
    for operation in operations_of(group):
        matrix, shift = parts(operation)
        if round(np.linalg.det(matrix)) == -1:
            for cell in itertools.product((-2, -1, 0, 1, 2), repeat=2):
                if kind(group, operation, cell) == ("mirror",) and np.allclose(matrix @ point + shift + cell, point):
                    return True
    return False


def primitive_cell_area(group):
    """Area over that of the cell: shifts among the operations make it smaller."""
    return 1 / sum(1 for operation in operations_of(group) if operation[:4] == (1, 0, 0, 1))


def classify(group):
    """The name by the usual questions: highest rotation? mirrors? glides off the mirrors? centres on mirrors?"""
    every = [(o, cell, kind(group, o, cell)) for o in operations_of(group) for cell in CELLS]
    highest = max([k[1] for *_, k in every if k[0] == "rotation"], default=1)
    mirrors = any(k == ("mirror",) for *_, k in every)
    glides = any(k == ("glide",) for *_, k in every)
    centred = primitive_cell_area(group) < 1
    centres = [centre(o, cell) for o, cell, k in every if k == ("rotation", highest)]
    all_on_mirrors = mirrors and all(on_a_mirror(group, point) for point in centres)
    directions = {o[:4] for o, _, k in every if k == ("mirror",)}
    if highest == 1:
        return {(False, False): "p1", (False, True): "p1g1"}.get((mirrors, glides), "c1m1" if centred else "p1m1")
    if highest == 2:
        if not mirrors:
            return "p2gg" if glides else "p2"
        if len(directions) == 1:
            return "p2mg"
        return "p2mm" if all_on_mirrors else "c2mm"
    if highest == 4:
        return ("p4mm" if all_on_mirrors else "p4gm") if mirrors else "p4"
    if highest == 3:
        return ("p3m1" if all_on_mirrors else "p31m") if mirrors else "p3"
    return "p6mm" if mirrors else "p6"


@pytest.mark.parametrize("group", GROUPS)
def test_the_operations_are_those_of_the_group(group):
    operations = operations_of(group)
    assert len(operations) == len(set(operations)) == ORDERS[group]
    assert classify(group) == group
    lattice = metric(group)
    for operation in operations:  # every operation keeps lengths and angles
        matrix, _ = parts(operation)
        np.testing.assert_allclose(matrix.T @ lattice @ lattice.T @ matrix, lattice @ lattice.T, atol=1e-9)


def moved(pattern, operation, y, x):
    """Where an operation of the pattern's cell brings positions, px."""
    matrix, shift = parts(operation)
    place = np.stack([y - pattern.origin_yx[0], x - pattern.origin_yx[1]], axis=1) @ np.linalg.inv(pattern.vectors_yx)
    out = (place @ matrix.T + shift) @ pattern.vectors_yx
    return out[:, 0] + pattern.origin_yx[0], out[:, 1] + pattern.origin_yx[1]


@pytest.mark.parametrize("group", GROUPS)
def test_the_picture_has_the_groups_symmetry_and_no_other(group):
    pattern = PlanePattern(group=group, angle_deg=23.0, origin_yx=(3.3, -7.1), seed=5)
    rng = np.random.default_rng(0)
    y, x = rng.uniform(-50, 50, (2, 400))
    here = pattern.density(y, x)
    for operation in operations_of(group):
        np.testing.assert_allclose(pattern.density(*moved(pattern, operation, y, x)), here, atol=1e-9)
    same_cell = [other for other in GROUPS if (other in HEXAGONAL) == (group in HEXAGONAL)]
    own = set(operations_of(group))
    for other in same_cell:
        for operation in set(operations_of(other)) - own:
            assert np.corrcoef(pattern.density(*moved(pattern, operation, y, x)), here)[0, 1] < 0.85, (other, operation)


@pytest.mark.parametrize("group", GROUPS)
def test_patterns_are_alike_but_for_their_symmetry(group):
    pattern = PlanePattern(group=group, period_px=16, sigma_px=1.0, seed=2)
    assert pattern.columns.shape == (N_COLUMNS, 2)
    assert abs(np.linalg.det(pattern.vectors_yx)) == pytest.approx(256)
    side = np.arange(64) / 64
    u, v = np.meshgrid(side, side)
    place = np.stack([u.ravel(), v.ravel()], axis=1) @ pattern.vectors_yx
    cell = pattern.density(place[:, 0], place[:, 1])
    assert cell.mean() == pytest.approx(0, abs=1e-9) and cell.std() == pytest.approx(1)
    positions = (pattern.columns[:, None] - pattern.columns[None, :]).reshape(-1, 2)
    positions = positions - np.rint(positions)
    near = np.array([np.linalg.norm((positions + c) @ pattern.vectors_yx, axis=1) for c in CELLS])
    assert np.sort(near[near > 1e-9])[0] > 1.3  # px: no two columns melt into one


def test_columns_are_gaussians_where_they_should_be():
    pattern = PlanePattern(group="p2mg", period_px=20, sigma_px=1.5, angle_deg=40.0, origin_yx=(2.0, 5.0))
    y, x = np.mgrid[0:40:0.9, 0:40:0.9]
    direct = np.zeros(y.shape)
    for u, v in pattern.columns:
        for i, j in itertools.product(range(-4, 5), repeat=2):
            at = np.array([u + i, v + j]) @ pattern.vectors_yx + pattern.origin_yx
            direct += np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * 1.5**2))
    got = pattern.density(y, x)
    slope, offset = np.polyfit(direct.ravel(), got.ravel(), 1)
    np.testing.assert_allclose(got, slope * direct + offset, atol=2e-3)
    assert slope > 0


def test_frames():
    pattern = PlanePattern(group="p3", seed=1)
    clean, noisy = pattern.frame((70, 90)), pattern.frame((70, 90), noise=0.5)
    assert clean.dtype == np.float32 and clean.shape == (70, 90)
    assert clean.mean() == pytest.approx(100, abs=2) and clean.std() == pytest.approx(20, rel=0.05)
    assert (noisy - clean).std() == pytest.approx(10, rel=0.05)
    np.testing.assert_array_equal(noisy, pattern.frame((70, 90), noise=0.5))
    assert np.abs(PlanePattern(group="p3", seed=2).frame((70, 90)) - clean).max() > 10


@pytest.mark.parametrize(
    "build", [lambda: PlanePattern(group="p5"), lambda: PlanePattern(period_px=0), lambda: PlanePattern(sigma_px=-1)]
)
def test_nonsense_is_refused(build):
    with pytest.raises(SceneError):
        build()
