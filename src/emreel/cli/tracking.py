"""`emreel track`: from the labels of a result to tables and pictures of fronts, regions and twins; logs beside them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emreel.cli.commands import app
from emreel.cli.options import CommandError, ResultArgument
from emreel.cli.report import out, show_progress

if TYPE_CHECKING:
    import pandas as pd

    from emreel.result import Result


#: A kymograph is the mean over so many pixels across, at most.
MOST_ACROSS_PX = 256
#: Classes of fewer regions than this tell nothing of how regions grow.
LEAST_GROWING = 5


@app.command()
def track(
    result: ResultArgument,
    what: Annotated[str, typer.Argument(help="fronts, regions, twins or log.", show_default=False)],
    axis: Annotated[
        str,
        typer.Option("--axis", help="fronts: y (a position a column), x, contour, or Y,X: outwards from that pixel."),
    ] = "y",
    line: Annotated[
        str | None, typer.Option("--line", metavar="Y0,X0:Y1,X1[:WIDTH]", help="fronts: along a line, px.")
    ] = None,
    between: Annotated[
        list[str] | None,
        typer.Option("--between", metavar="1,2/3,4", help="fronts: labels of both sides; again for further fronts."),
    ] = None,
    rest: Annotated[
        str, typer.Option("--rest", help="fronts: the boundary that depths count from: auto, none, or 1/2.")
    ] = "auto",
    path: Annotated[
        bool, typer.Option("--path", help="fronts: a path through neighbouring columns, for labels with islands.")
    ] = False,
    min_area_px2: Annotated[
        float | None, typer.Option("--min-area-px2", help="regions: smaller ones are left out.", min=1.0)
    ] = None,
    min_area_nm2: Annotated[float | None, typer.Option("--min-area-nm2", help="regions: the same in nm2.")] = None,
    orientation: Annotated[
        bool, typer.Option("--orientation", help="regions: measure the in-plane angle of every lattice.")
    ] = False,
    fold: Annotated[int, typer.Option("--fold", help="regions: symmetry of the lattice; 4: square, 6: hexagonal.")] = 2,
    log: Annotated[
        Path | None, typer.Option("--log", help="log: a CSV with times and numbers, joined to the frames.")
    ] = None,
    offset_s: Annotated[float, typer.Option("--offset-s", help="log: what its clock shows at the movie's 0.")] = 0.0,
    tolerance_s: Annotated[
        float | None, typer.Option("--tolerance-s", help="log: how far from a frame an entry may lie.")
    ] = None,
    spacings: Annotated[
        str | None,
        typer.Option("--spacings", metavar="A,B", help="twins, orientation: shortest and longest fringes, px."),
    ] = None,
) -> None:
    """Follow what the labels show through the movie; writes tables into the result.

    Example: `emreel track heating fronts --axis y --between 1,2/3,4`
    """
    from emreel.result import open_result

    if what not in FOLLOWERS:
        raise CommandError(f"cannot track '{what}'. Wanted one of {', '.join(FOLLOWERS)}.")
    options: dict[str, Any] = {"axis": axis, "line": line, "between": between, "rest": rest, "path": path}
    options |= {"min_area_px2": min_area_px2, "min_area_nm2": min_area_nm2, "spacings": spacings}
    options |= {"log": log, "offset_s": offset_s, "tolerance_s": tolerance_s}
    options |= {"orientation": orientation, "fold": fold}
    FOLLOWERS[what](open_result(result), options)


def parse_axis(axis: str, line: str | None) -> Any:
    """What `emreel.track_fronts` takes as its axis."""
    from emreel.track.line import Line

    if line is not None:
        try:
            start, end, *width = line.split(":")
            (y0, x0), (y1, x1) = (map(float, point.split(",")) for point in (start, end))
            return Line(start_yx=(y0, x0), end_yx=(y1, x1), width_px=float(*width or ["1"]))
        except (TypeError, ValueError) as error:
            raise CommandError(f"--line is Y0,X0:Y1,X1 or Y0,X0:Y1,X1:WIDTH in px, got '{line}' ({error}).") from None
    if axis in ("x", "y", "contour"):
        return axis
    try:
        y, x = (float(part) for part in axis.split(","))
    except ValueError:
        raise CommandError(f"--axis is y, x, contour, or a centre Y,X in px, got '{axis}'.") from None
    return (y, x)


def parse_between(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """ "1,2/3,4" as two sets of labels."""
    try:
        first, second = (tuple(int(label) for label in side.split(",")) for side in text.split("/"))
    except ValueError:
        raise CommandError(f"sides are labels on both sides of a slash, such as 1,2/3,4; got '{text}'.") from None
    return first, second


def parse_spacings(text: str | None) -> tuple[float, float] | None:
    """ "4,9.5" as shortest and longest spacing, px."""
    if text is None:
        return None
    try:
        shortest, longest = (float(part) for part in text.split(","))
    except ValueError:
        raise CommandError(f"--spacings is SHORTEST,LONGEST in px, got '{text}'.") from None
    return shortest, longest


def _track_fronts(result: Result, options: dict[str, Any]) -> None:
    from emreel.track.finding import FrontFinder
    from emreel.track.fronts import PATH_STIFFNESS, track_fronts
    from emreel.view.tracks import draw_fronts, save_figure

    between = None if options["between"] is None else [parse_between(text) for text in options["between"]]
    rest = {"auto": "auto", "none": None}.get(options["rest"], options["rest"])
    rest = parse_between(rest) if rest not in ("auto", None) else rest
    finder = FrontFinder(stiffness=PATH_STIFFNESS if options["path"] else None)
    axis = parse_axis(options["axis"], options["line"])
    with show_progress() as progress:
        table = track_fronts(
            result, axis=axis, between=between, finder=finder, rest=rest, columns=False, progress=progress
        )
    for front, rows in table.groupby("front", sort=False):
        _say_front(str(front), rows)
    picture = None
    if len(table):
        field = _kymograph(result, axis, between[0]) if between and len(between) == 1 else None
        picture = save_figure(result, "fronts", draw_fronts(table, result.table("events"), field))
    out(f"{result.path}: tables/fronts and tables/events are written; picture: {picture}")


def _kymograph(result: Result, axis: Any, sides: tuple[tuple[int, ...], tuple[int, ...]]) -> Any:
    """How much of the first side there is along the fronts' axis; None for fronts that have no straight one."""
    from emreel.track.line import Line
    from emreel.track.phase_field import phase_field

    height, width = result.layout.shape_tyx[1:]
    if isinstance(axis, str) and axis in ("x", "y"):
        across, long = (width, height) if axis == "y" else (height, width)
        middle = (across - 1) / 2
        start, end = ((0.0, middle), (long - 1.0, middle)) if axis == "y" else ((middle, 0.0), (middle, long - 1.0))
        axis = Line(start_yx=start, end_yx=end, width_px=float(min(across, MOST_ACROSS_PX)))
    return phase_field(result, axis, classes=sides[0]) if isinstance(axis, Line) else None


def _say_front(name: str, rows: pd.DataFrame) -> None:
    from emreel.track.errors import TrackError
    from emreel.track.velocity import front_velocity

    first, last = rows.iloc[0], rows.iloc[-1]
    moved = f"depth {first['depth_px']:.1f} to {last['depth_px']:.1f} px"
    out(f"front {name}: frames {first['frame']} to {last['frame']}, {moved}")
    with contextlib.suppress(TrackError):  # too few frames for a speed
        out(f"  speed {front_velocity(rows, name)}")
    _say_law("depth", rows, "depth_px")
    _say_law("roughness", rows, "roughness_px")


def _say_law(what: str, rows: pd.DataFrame, column: str) -> None:
    """Which law a column follows through time, and its parameters; nothing where there are too few frames."""
    from emreel.track.errors import TrackError
    from emreel.track.laws import fit_kinetics

    time = "time_s" if rows["time_s"].notna().any() else "frame"
    try:
        kinetics = fit_kinetics(rows[time].to_numpy(), rows[column].to_numpy())
    except TrackError:
        return
    exponent = kinetics.exponent
    if kinetics.name in ("linear", "parabolic", "avrami"):
        told = {key: one for key, one in kinetics.law(kinetics.name).parameters.items() if key != "y0"}
    else:
        told = {} if exponent is None else {"exponent": exponent}
    numbers = "".join(f", {key} {one.value:.3g} ({one.low:.3g} to {one.high:.3g})" for key, one in told.items())
    out(f"  {what} against {time.removesuffix('_s')}: law {kinetics.name}{numbers}")


def _fold_of(result: Result, given: int) -> int:
    """The fold of a polycrystal's model, or the one given."""
    from emreel.model import Model

    place = result.path / "model.zarr"
    grains = Model.load(place).grains if place.exists() else None
    return given if grains is None else grains.fold


def _track_regions(result: Result, options: dict[str, Any]) -> None:
    from emreel.result import open_result
    from emreel.track.linking import RegionFinder
    from emreel.track.regions import size_table, track_regions
    from emreel.view.tracks import draw_region_orientations, draw_regions, save_figure

    wanted = {name: options[name] for name in ("min_area_px2", "min_area_nm2") if options[name] is not None}
    with show_progress() as progress:
        table = track_regions(
            result,
            finder=RegionFinder(**wanted),
            orientations=options["orientation"],
            fold=options["fold"],
            spacings_px=parse_spacings(options["spacings"]),
            progress=progress,
        )
    for label, name in enumerate(result.label_names, start=1):
        rows = table[table["label"] == label]
        if len(rows):
            first, last = ((rows["frame"] == frame).sum() for frame in (table["frame"].min(), table["frame"].max()))
            out(f"{name}: {rows['region'].nunique()} regions, {first} in the first frame, {last} in the last")
            if rows["region"].nunique() >= LEAST_GROWING:
                sizes = size_table(rows)
                _say_law("mean diameter", sizes, "diameter_mean_px")
    picture = save_figure(result, "regions", draw_regions(table, result.table("lineage"))) if len(table) else None
    if table["orientation_deg"].notna().any():
        frame = int(table.loc[table["orientation_deg"].notna(), "frame"].median())
        figure = draw_region_orientations(open_result(result.path), frame, fold=_fold_of(result, options["fold"]))
        out(f"orientations of frame {frame}: {save_figure(result, 'orientation', figure)}")
    out(
        f"{result.path}: tables/regions, boundaries, lineage and events, and labels/regions are written; "
        f"picture: {picture}"
    )


def _track_twins(result: Result, options: dict[str, Any]) -> None:
    from emreel.track.twins import track_twins
    from emreel.view.tracks import draw_twins, save_figure

    with show_progress() as progress:
        table = track_twins(result, spacings_px=parse_spacings(options["spacings"]), progress=progress)
    for twin, rows in table.groupby("twin", sort=True):
        kinds = ", ".join(sorted(set(rows["kind"])))
        out(f"{twin}: {kinds}, frames {rows['frame'].min()} to {rows['frame'].max()}")
    drawable = table["kind"].isin(["lamella", "axis"]).any()
    picture = save_figure(result, "twins", draw_twins(table)) if drawable else None
    out(f"{result.path}: tables/twins and tables/events are written; picture: {picture}")


def _track_log(result: Result, options: dict[str, Any]) -> None:
    from emreel.result import ResultError
    from emreel.track.logs import add_log, join_log, read_log
    from emreel.view.tracks import draw_against, save_figure

    if options["log"] is None:
        raise CommandError("name the log: --log heating.csv")
    entries = read_log(options["log"])
    joined = join_log(result, entries, offset_s=options["offset_s"], tolerance_s=options["tolerance_s"])
    out(f"{result.path}: tables/log is written; {joined['log_delay_s'].notna().sum()} of {len(joined)} frames told")
    try:
        fronts = result.table("fronts")
    except ResultError:  # no fronts to draw against it
        return
    table = add_log(fronts[fronts["kind"] == "mean"], joined)
    depth = "depth_nm" if table["depth_nm"].notna().any() else "depth_px"
    for name in entries.columns.drop("time_s"):
        stem = "front_against_" + "".join(c if c.isalnum() else "_" for c in str(name))
        out(f"picture: {save_figure(result, stem, draw_against(table, str(name), depth, by='front'))}")


FOLLOWERS = {"log": _track_log, "fronts": _track_fronts, "regions": _track_regions, "twins": _track_twins}
