"""Fronts, regions and twins against truth: given movies through the command line, and generated ones of other seeds.

python -m benchmarks.tracks                      # every movie
python -m benchmarks.tracks front_lfo_sto        # some
python -m benchmarks.tracks --generated 3        # so many seeds of each generated kind
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.io import loadmat

from benchmarks.data import ROOT, require_data
from benchmarks.score import MOVIES
from emreel.fit import fit_model
from emreel.io import open_movie
from emreel.label import label_movie
from emreel.result import Result, open_result
from emreel.synthetic import Decahedron, Scene, make_scene
from emreel.track.fronts import track_fronts
from emreel.track.kinetics import find_changes
from emreel.track.phase_field import front_along_line
from emreel.track.regions import track_regions
from emreel.track.twins import track_twins

Array = npt.NDArray[Any]
Row = tuple[str, str, float, str, bool]  # movie, what, figure, wanted, met

FRONT = ((1, 2), (3, 4))
#: Generated movies: kind, fields, number of phases (None: as many as there are).
GENERATED: dict[str, tuple[dict[str, Any], int | None]] = {
    "front": ({"shape_yx": (320, 320), "n_frames": 30}, 4),
    "twin_lamella": ({"shape_yx": (320, 320), "n_frames": 30}, 3),
    "decahedron": ({"shape_yx": (320, 320), "n_frames": 24}, 6),
    "grain_growth": ({"shape_yx": (448, 448), "n_frames": 20}, None),
}
#: A grain or facet of the truth is told of where a region covers so much of it, and it so much of the region.
LEAST_COMMON = 0.5
#: Smaller ones have too few fringes for an angle, px2.
LEAST_AREA_PX2 = 400


def rms(values: Array) -> float:
    return float(np.sqrt(np.nanmean(np.asarray(values, np.float64) ** 2)))


def front_rows(name: str, result: Result, truth: Array, valid: Array, wanted_px: float) -> Iterator[Row]:
    """truth : shape (time, x), first row of the far side. valid : shape (time,)."""
    table = track_fronts(result, axis="y", between=FRONT)
    means = table[table["kind"] == "mean"].set_index("frame")["position_px"].reindex(range(len(truth)))
    off = (means.to_numpy() - truth.mean(axis=1))[valid]
    yield name, "front, frame means, rms px", rms(off), f"<= {wanted_px:g}", rms(off) <= wanted_px
    bias = float(np.nanmean(off))
    limit = 0.5 if wanted_px <= 1 else wanted_px
    yield name, "front, bias px", bias, f"within {limit:g}", abs(bias) <= limit
    columns = table[table["kind"] == "column"].pivot_table(index="frame", columns="column_px", values="position_px")
    yield name, "front, columns, rms px", rms((columns.reindex(range(len(truth))).to_numpy() - truth)[valid]), "", True
    there = set(means[means.notna()].index)
    yield name, "frames told that show none", float(len(there - set(np.flatnonzero(valid)))), "0", True


def lamella_rows(name: str, result: Result, widths: Array, gone: int) -> Iterator[Row]:
    table = track_twins(result)
    lamella = table[table["kind"] == "lamella"].set_index("frame")["width_px"].reindex(range(len(widths)))
    off = lamella.to_numpy() - widths
    yield name, "lamella width, rms px", rms(off), "<= 2", rms(off) <= 2
    events = result.table("events")
    told = events[events["event"] == "twin_vanishes"]["frame"]
    late = float(told.iloc[0] - gone) if len(told) else float("nan")
    yield name, "vanish frame, off by", late, "within 1", abs(late) <= 1


def axis_rows(name: str, result: Result, axis_yx: Array, vanish: dict[int, int]) -> Iterator[Row]:
    """vanish : by class of the truth, first frames without it; events are matched to them in their order."""
    table = track_twins(result)
    axis = table[table["kind"] == "axis"].set_index("frame")
    off = np.hypot(*(axis[["point_y_px", "point_x_px"]].to_numpy() - axis_yx[axis.index]).T)
    five = off[axis["n_traces"].to_numpy() == 5]
    yield name, "axis of five traces, largest error px", float(five.max()), "", True
    yield name, "five-fold axis, largest error px", float(off.max()), "<= 5", bool(off.max() <= 5)
    yield name, "frames with an axis", float(len(axis)), "", True
    events = result.table("events")
    told = np.sort(events[events["event"] == "class_vanishes"]["frame"].to_numpy())
    wanted = np.sort(list(vanish.values()))
    late = float(np.abs(told - wanted).max()) if len(told) == len(wanted) else float("nan")
    yield name, "vanish frames, off by at most", late, "<= 2", late <= 2


def grain_rows(
    name: str, result: Result, labels: Array, angles: Array, period: float, bar: bool = True
) -> Iterator[Row]:
    """labels : identities, shape (time, y, x). angles : shape (identity,), degrees in [0, period), 0 is no grain.
    bar : whether identities are held to what is asked of the given movie."""
    track_regions(result)
    told = open_result(result.path)
    scores = scorer().id_metrics(labels, told.region.to_numpy().astype(np.int64))
    switches, idf1 = float(scores["id_switches"]), scores["idf1"]
    yield name, "identity switches", switches, "0" if bar else "", switches == 0 or not bar
    yield name, "IDF1", idf1, ">= 0.95" if bar else "", idf1 >= 0.95 or not bar
    yield from angle_rows(name, "grain", result, labels, np.tile(angles, (len(labels), 1)), period, 3.0)


def vanish_rows(name: str, result: Result, areas: Array) -> Iterator[Row]:
    """areas : shape (time, identity), 0 once a grain is gone."""
    events = result.table("events")
    found = np.sort(events[events["event"] == "region_vanishes"]["frame"].to_numpy())
    there = areas[:, 1:] > 0
    ends = np.array([int(np.flatnonzero(grain).max()) + 1 for grain in there.T])
    wanted = np.sort(ends[ends < len(areas)])
    late = float(np.abs(found - wanted).max()) if len(found) == len(wanted) else float("nan")
    yield name, "vanish frames, off by at most", late, "<= 2", late <= 2


def facet_rows(name: str, result: Result, labels: Array, angles: Array) -> Iterator[Row]:
    """angles : of the cube axis [001] of every twin, shape (time, label), degrees; label 0 is no twin.

    The two {111} of a twin lie 54 degrees to either side of it, so the axis of symmetry that is told is across it.
    """
    track_regions(result, orientations=True)
    yield from angle_rows(name, "facet", result, labels, angles + 90, 180.0, 2.0)


def angle_rows(
    name: str, what: str, result: Result, labels: Array, angles: Array, period: float, most: float
) -> Iterator[Row]:
    """How far the angles of regions are off those of the truth's pieces that they show, degrees.

    labels : pieces, shape (time, y, x). angles : shape (time, piece), telling the same after a turn by ``period``.
    most : what is asked of every piece's median over the frames.
    """
    told = open_result(result.path)
    table = told.table("regions").set_index(["frame", "region"])["orientation_deg"]
    off: dict[int, list[float]] = {}
    n_shown = 0
    for frame, truth in enumerate(labels):
        region = told.region[frame].to_numpy()
        for piece, shown in matched_pieces(truth, region):
            n_shown += 1
            angle = float(table.get((frame, shown), np.nan))
            if np.isfinite(angle):
                off.setdefault(piece, []).append((angle - angles[frame, piece] + period / 2) % period - period / 2)
    medians = np.array([np.median(np.abs(errors)) for errors in off.values()])
    every = np.concatenate(list(off.values()))
    yield name, f"{what}: angles told, share", len(every) / n_shown, "", True
    yield name, f"{what}: angle, rms deg", rms(every), "", True
    yield name, f"{what}: angle, worst median deg", float(medians.max()), f"<= {most:g}", bool(medians.max() <= most)


def matched_pieces(truth: Array, region: Array) -> Iterator[tuple[int, int]]:
    """Pieces of the truth and the regions that show them: more than half of each is the other."""
    common = np.zeros((int(truth.max()) + 1, int(region.max()) + 1), np.int64)
    np.add.at(common, (truth.ravel(), region.ravel()), 1)
    for piece in range(1, len(common)):
        shown = int(common[piece, 1:].argmax()) + 1 if common.shape[1] > 1 else 0
        least = LEAST_COMMON * max(common[piece].sum(), common[:, shown].sum())
        if shown and common[piece].sum() >= LEAST_AREA_PX2 and common[piece, shown] > least:
            yield piece, shown


def kymograph_rows(data: Path) -> Iterator[Row]:
    file = loadmat(data / "real" / "phase_field_oneD_last641.mat")
    coords = {"position": ("position", file["x"].ravel(), {"units": "px"}), "time": file["t"].ravel()}
    field = xr.DataArray(file["usol"], dims=("position", "time"), coords=coords)
    position = front_along_line(field)["position"].to_numpy()
    changes = find_changes(position)
    name = "phase_field_oneD"
    yield name, "first position px", float(position[0]), "63", abs(position[0] - 63) <= 1
    yield name, "last position px", float(position[-1]), "388", abs(position[-1] - 388) <= 1
    for kind, wanted, room in (("jumps", 197, 1), ("stalls", 80, 10)):
        first = next((change.index for change in changes if change.kind == kind), -999)
        yield name, f"{kind} at frame", float(first), f"{wanted}", abs(first - wanted) <= room


# -------------------------------------------------------------------------------------------- the movies


def label_given(data: Path, name: str, folder: Path) -> Result:
    """A given movie through the command line, with K where the user would give it."""
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    meta = json.loads((data / name / "meta.json").read_text())
    command = [sys.executable, "-m", "emreel", "run", str(data / name / "movie.npz"), "-o", str(place)]
    command += ["--pixel-size-nm", str(meta["pixel_nm"])]
    if MOVIES[name] is not None:
        command += ["-k", str(MOVIES[name])]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return open_result(place)


def given_rows(data: Path, name: str, folder: Path) -> Iterator[Row]:
    truth = np.load(data / name / "truth.npz")
    meta = json.loads((data / name / "meta.json").read_text())
    result = label_given(data, name, folder)
    if "front_row" in truth:
        valid = truth["valid"].astype(bool)
        yield from front_rows(name, result, truth["front_row"], valid, 2.0 if name == "nasty_front" else 1.0)
    elif "lamella_width" in truth:
        yield from lamella_rows(name, result, truth["lamella_width"], int(meta["vanish_frame"]))
    elif "axis_xy" in truth:
        vanish = {int(k): n for k, n in meta["vanish_frame_per_class"].items() if n is not None}
        yield from axis_rows(name, result, truth["axis_xy"][:, ::-1], vanish)
        yield from facet_rows(name, result, truth["labels"], given_twins(meta["parameters"]))
    elif "grain_area" in truth:
        angles = np.concatenate([[np.nan], truth["grain_orientation"]])
        yield from grain_rows(name, result, truth["labels"], angles, meta["orientation_symmetry_deg"])
        yield from vanish_rows(name, result, truth["grain_area"])


def given_twins(parameters: dict[str, Any]) -> Array:
    """Angles of the cube axes of a given decahedron, as `facet_rows` wants them."""
    turned = parameters["phi0"] + parameters["rot_total"] * np.linspace(0, 1, parameters["n"])
    return np.column_stack([np.full(len(turned), np.nan), turned[:, None] + 36 + 72 * np.arange(5)])


def generated_rows(kind: str, seed: int, folder: Path) -> Iterator[Row]:
    fields, k = GENERATED[kind]
    scene = make_scene(kind, seed=seed, **fields)
    place, name = folder / f"{kind}_{seed}", f"{kind}, seed {seed}"
    shutil.rmtree(place, ignore_errors=True)
    movie = open_movie(scene)
    result = label_movie(movie, fit_model(movie, n_clusters=k), place)
    truths = [scene.truth(index) for index in range(scene.n_frames)]
    labels = np.stack([truth.labels for truth in truths])
    checks: dict[str, Callable[[], Iterator[Row]]] = {
        "front": lambda: front_rows(
            name, result, np.stack([t.front_row for t in truths]), np.ones(len(truths), bool), 1.0
        ),
        "twin_lamella": lambda: lamella_rows(
            name, result, np.array([t.lamella_width_px for t in truths]), scene.vanish_index
        ),
        "decahedron": lambda: itertools.chain(
            axis_rows(name, result, np.array([t.axis_yx for t in truths]), _last_frames(scene, truths)),
            facet_rows(name, result, labels, _twin_angles(scene)),
        ),
        "grain_growth": lambda: grain_rows(name, result, labels, scene.grain_angles_deg, scene.symmetry_deg, bar=False),
    }
    yield from checks[kind]()


def _twin_angles(scene: Decahedron) -> Array:
    """Shape (time, label), degrees."""
    twins = [[scene.twin_angle_deg(twin, index) for twin in range(1, 6)] for index in range(scene.n_frames)]
    return np.column_stack([np.full(len(twins), np.nan), twins])


def _last_frames(scene: Scene, truths: list[Any]) -> dict[int, int]:
    """First frame in which a class has less than a thousandth of the frame, for those that go."""
    least = 0.001 * np.prod(scene.shape_yx)
    areas = np.array([t.areas_px for t in truths])
    gone = {k: np.flatnonzero(areas[:, k] >= least).max() + 1 for k in range(1, areas.shape[1])}
    return {k: int(frame) for k, frame in gone.items() if frame < len(truths)}


def scorer() -> Any:
    """The scorer of the data folder."""
    spec = importlib.util.spec_from_file_location("score", require_data() / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = [name for name in MOVIES if name != "order_disorder"]
    parser.add_argument("movies", nargs="*", default=given, help=f"of {', '.join(given)}")
    parser.add_argument("--generated", type=int, default=2, help="seeds of each generated kind")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "score" / "tracks")
    options = parser.parse_args()
    data = require_data()
    rows: list[Row] = []

    def tell(more: Iterator[Row]) -> None:
        for row in more:
            rows.append(row)
            movie, what, figure, wanted, met = row
            print(f"{movie:26} {what:38} {figure:9.3f}  {wanted:10} {'yes' if met else 'NO'}", flush=True)

    for name in options.movies:
        tell(given_rows(data, name, options.output))
    tell(kymograph_rows(data))
    for kind in GENERATED:
        for seed in range(101, 101 + options.generated):
            tell(generated_rows(kind, seed, options.output))
    pd.DataFrame(rows, columns=["movie", "what", "figure", "wanted", "met"]).to_csv(
        options.output / "tracks.csv", index=False
    )
    if not all(row[-1] for row in rows):
        sys.exit("a figure that is asked for is not met")


if __name__ == "__main__":
    main()
