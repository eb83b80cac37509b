"""Options that commands share, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from emreel.movie import EmreelError

MovieArgument = Annotated[str, typer.Argument(help="Path, URL, or a name in the catalog.", show_default=False)]
MoviesArgument = Annotated[
    list[str], typer.Argument(help="Paths, URLs, or names in the catalog; several share one model.", show_default=False)
]
ResultOption = Annotated[Path, typer.Option("-o", "--output", help="The result's folder.", show_default=False)]
ResultArgument = Annotated[Path, typer.Argument(help="A result's folder.", show_default=False)]
ClustersOption = Annotated[
    int | None, typer.Option("-k", "--clusters", help="Number of phases; wins over the recipe. Found, if left out.")
]
RecipeOption = Annotated[Path | None, typer.Option("--recipe", help="A recipe, TOML.")]
PixelOption = Annotated[float | None, typer.Option("--pixel-size-nm", help="Pixel size, where the movie has none.")]
TimeOption = Annotated[float | None, typer.Option("--frame-time-s", help="Time from frame to frame, s.")]
FramesOption = Annotated[str | None, typer.Option("--frames", metavar="A:B", help="Frames A to B, B not included.")]
RoiOption = Annotated[str | None, typer.Option("--roi", metavar="Y0:Y1,X0:X1", help="Region of interest, px.")]
BinOption = Annotated[str | None, typer.Option("--bin", metavar="T,Y,X", help="Mean over T frames, Y by X pixels.")]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Array inside an HDF5, zarr or npz file.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes on this machine.")]
SchedulerOption = Annotated[str | None, typer.Option("--scheduler", metavar="ADDRESS", help="A Dask scheduler.")]
BreakLockOption = Annotated[bool, typer.Option("--break-lock", help="Take over a lock that another host left.")]
StopOption = Annotated[
    bool, typer.Option("--stop-on-error", help="Stop at a frame that cannot be labelled, instead of leaving it out.")
]
AnyPixelOption = Annotated[bool, typer.Option("--any-pixel-size", help="Label although the pixel size differs.")]


class CommandError(EmreelError, ValueError):
    """Options that do not fit together."""


def open_options(
    pixel_size_nm: float | None,
    frame_time_s: float | None,
    frames: str | None,
    roi: str | None,
    bin_tyx: str | None,
    dataset: str | None,
) -> dict[str, Any]:
    """What a movie is opened with, as plain JSON, so that a result can open its movie again."""
    options: dict[str, Any] = {
        "pixel_size_nm": pixel_size_nm,
        "frame_time_s": frame_time_s,
        "frames": None if frames is None else _range(frames, "--frames", "A:B"),
        "roi": None if roi is None else _roi(roi),
        "bin": None if bin_tyx is None else _bin(bin_tyx),
        "dataset": dataset,
    }
    return {key: value for key, value in options.items() if value is not None}


def _range(text: str, option: str, form: str) -> list[int | None]:
    try:
        start, stop = (int(part) if part.strip() else None for part in text.split(":"))
    except ValueError:
        raise CommandError(f"{option} is {form} in whole numbers, got '{text}'.") from None
    return [start, stop]


def _roi(text: str) -> list[list[int | None]]:
    parts = text.split(",")
    if len(parts) != 2:
        raise CommandError(f"--roi is Y0:Y1,X0:X1 in px, got '{text}'.")
    return [_range(part, "--roi", "Y0:Y1,X0:X1") for part in parts]


def _bin(text: str) -> list[int]:
    try:
        t, y, x = (int(part) for part in text.split(","))
    except ValueError:
        raise CommandError(f"--bin is T,Y,X in whole numbers, got '{text}'. Write 1,2,2 to bin pixels only.") from None
    return [t, y, x]


def as_tuples(value: Any) -> Any:
    """Lists, as JSON keeps them, back as the tuples that `emreel.open_movie` takes."""
    return tuple(as_tuples(item) for item in value) if isinstance(value, list | tuple) else value
