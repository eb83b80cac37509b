"""`emreel track`: from the labels of a result to tables of fronts, regions and twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from emreel.cli.commands import app
from emreel.cli.options import CommandError, ResultArgument
from emreel.cli.report import out, show_progress

if TYPE_CHECKING:
    import pandas as pd

    from emreel.result import Result


@app.command()
def track(
    result: ResultArgument,
    what: Annotated[str, typer.Argument(help="fronts, regions or twins.", show_default=False)],
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
    spacings: Annotated[
        str | None, typer.Option("--spacings", metavar="A,B", help="twins: shortest and longest fringes, px.")
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


def _track_fronts(result: Result, options: dict[str, Any]) -> None:
    from emreel.track.finding import FrontFinder
    from emreel.track.fronts import PATH_STIFFNESS, track_fronts

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
    out(f"{result.path}: tables/fronts and tables/events are written")


def _say_front(name: str, rows: pd.DataFrame) -> None:
    first, last = rows.iloc[0], rows.iloc[-1]
    moved = f"depth {first['depth_px']:.1f} to {last['depth_px']:.1f} px"
    out(f"front {name}: frames {first['frame']} to {last['frame']}, {moved}")


def _track_regions(result: Result, options: dict[str, Any]) -> None:
    from emreel.track.linking import RegionFinder
    from emreel.track.regions import track_regions

    wanted = {name: options[name] for name in ("min_area_px2", "min_area_nm2") if options[name] is not None}
    with show_progress() as progress:
        table = track_regions(result, finder=RegionFinder(**wanted), progress=progress)
    for label, name in enumerate(result.label_names, start=1):
        rows = table[table["label"] == label]
        if len(rows):
            first, last = ((rows["frame"] == frame).sum() for frame in (table["frame"].min(), table["frame"].max()))
            out(f"{name}: {rows['region'].nunique()} regions, {first} in the first frame, {last} in the last")
    out(f"{result.path}: tables/regions, boundaries, lineage and events, and labels/regions are written")


def _track_twins(result: Result, options: dict[str, Any]) -> None:
    from emreel.track.twins import track_twins

    spacings = None
    if options["spacings"] is not None:
        try:
            shortest, longest = (float(part) for part in options["spacings"].split(","))
        except ValueError:
            raise CommandError(f"--spacings is SHORTEST,LONGEST in px, got '{options['spacings']}'.") from None
        spacings = (shortest, longest)
    with show_progress() as progress:
        table = track_twins(result, spacings_px=spacings, progress=progress)
    for twin, rows in table.groupby("twin", sort=True):
        kinds = ", ".join(sorted(set(rows["kind"])))
        out(f"{twin}: {kinds}, frames {rows['frame'].min()} to {rows['frame'].max()}")
    out(f"{result.path}: tables/twins and tables/events are written")


FOLLOWERS = {"fronts": _track_fronts, "regions": _track_regions, "twins": _track_twins}
