"""Commands for movies that are being taken."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emreel.cli.commands import app
from emreel.cli.options import (
    AnyPixelOption,
    BreakLockOption,
    CommandError,
    DatasetOption,
    PixelOption,
    RecipeOption,
    ResultArgument,
    ResultOption,
    TimeOption,
)
from emreel.cli.report import out, show_progress
from emreel.cli.tracking import parse_axis, parse_between

if TYPE_CHECKING:
    from emreel.progress import Progress
    from emreel.stream import Event, FrameSource

SourceArgument = Annotated[
    str,
    typer.Argument(
        help="A folder that fills with frames, a zarr or file that grows; with --speed a movie to play.",
        show_default=False,
    ),
]
SpeedOption = Annotated[
    float | None,
    typer.Option("--speed", help="Play a finished movie, so many times as fast as it was taken; inf: all at once."),
]
FrontOption = Annotated[
    list[str] | None,
    typer.Option(
        "--front",
        metavar="AXIS:1,2/3,4",
        help="Follow a front between labels of --model, along y, x, contour, a centre Y,X or a line Y0,X0:Y1,X1; again "
        "for further fronts.",
    ),
]
MarkPxOption = Annotated[
    list[float] | None, typer.Option("--mark-px", help="Tell when a front is so deep, px; again for further depths.")
]
MarkNmOption = Annotated[list[float] | None, typer.Option("--mark-nm", help="The same in nm.")]
RestOption = Annotated[
    str | None,
    typer.Option("--rest", metavar="1/2", help="The boundary that depths count from; else where a front first was."),
]
FirstOption = Annotated[int | None, typer.Option("--first", help="Number in the name of the folder's first frame.")]


@app.command()
def watch(
    source: SourceArgument,
    output: ResultOption,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="A saved model; left out, one is fitted on the first frames, and then refined."),
    ] = None,
    recipe: RecipeOption = None,
    idle_s: Annotated[
        float | None, typer.Option("--idle-s", min=0.0, help="End after so many seconds without a new frame.")
    ] = None,
    policy: Annotated[
        str,
        typer.Option("--policy", help="When frames come too fast: newest, block:64, drop-oldest:64 or every:4."),
    ] = "newest",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Frames labelled at once.")] = 1,
    front: FrontOption = None,
    mark_px: MarkPxOption = None,
    mark_nm: MarkNmOption = None,
    rest: RestOption = None,
    speed: SpeedOption = None,
    first: FirstOption = None,
    pixel_size_nm: PixelOption = None,
    frame_time_s: TimeOption = None,
    dataset: DatasetOption = None,
    any_pixel_size: AnyPixelOption = False,
    break_lock: BreakLockOption = False,
) -> None:
    """Label a movie while it is being taken, frame by frame as they come. On an unfinished result, go on there.

    Without a model the first frames make one, and later ones better ones while the labelling goes on: a phase that
    comes late gets a label of its own, and the others keep theirs.

    Example: `emreel watch /data/run7 --model model.zarr -o run7 --idle-s 60`
    """
    from emreel.model import Model
    from emreel.recipe import Recipe
    from emreel.stream import Fitting, LiveFronts, Policy, Watching, default_listeners
    from emreel.stream import watch as watch_source

    if model is not None and recipe is not None:
        raise CommandError("--recipe is for a model that is still to be fitted. Give --model or --recipe.")
    chosen = Model.load(model) if model is not None else Fitting(recipe=Recipe.load(recipe) if recipe else Recipe())
    listeners = None
    if front or mark_px or mark_nm or rest:
        if not front or not isinstance(chosen, Model):
            raise CommandError("marks and --rest are for fronts between labels of a model: give --front and --model.")
        follow = LiveFronts(
            output,
            [parse_front(text) for text in front],
            rest=None if rest is None else parse_between(rest),
            marks_px=mark_px or (),
            marks_nm=mark_nm or (),
        )
        listeners = [*default_listeners(chosen), follow]
    options = {
        "pixel_size_nm": pixel_size_nm,
        "frame_time_s": frame_time_s,
        "dataset": dataset,
        "first": first,
        "speed": None if speed is None else str(speed),
    }
    given = {key: value for key, value in options.items() if value is not None}
    how = Watching(
        policy=Policy.parse(policy),
        idle_s=idle_s,
        threads=threads,
        any_pixel_size=any_pixel_size,
        break_lock=break_lock,
    )
    with show_progress() as progress:
        result = watch_source(
            open_given(source, given),
            chosen,
            output,
            how=how,
            listeners=listeners,
            on_event=_teller(progress),
            provenance={"watched": {"source": os.path.abspath(source) if os.path.exists(source) else source, **given}},
            progress=progress,
        )
    status = result.facts["stream"]
    out(
        f"{output}: {status['n_labelled']} frames labelled, {status['n_late']} late, {status['n_twice']} twice, "
        f"{status['n_dropped']} dropped, {status['n_skipped']} skipped, {len(result.missing_blocks)} missing"
    )
    for version in status.get("versions", ()):
        out(f"model version {version['version']} from frame {version['from_frame']}: labels {version['labels']}")


def parse_front(text: str) -> tuple[Any, tuple[tuple[int, ...], tuple[int, ...]]]:
    """ "y:1,2/3,4" as an axis and two sets of labels."""
    axis, _, sides = text.rpartition(":")
    if not axis:
        raise CommandError(f"--front is AXIS:SIDES, such as y:1,2/3,4; got '{text}'.")
    return parse_axis(axis, axis if ":" in axis else None), parse_between(sides)


@app.command()
def compact(result: ResultArgument, break_lock: BreakLockOption = False) -> None:
    """Make a watched result, one file a frame, into one like any other: files of many frames.

    Example: `emreel compact run7`
    """
    from emreel.label import frames_per_block
    from emreel.result import compact_result

    with show_progress() as progress:
        done = compact_result(result, frames_per_block, break_lock=break_lock, progress=progress)
    out(f"{result}: {'compacted' if done else 'nothing to do'}")


def repair_stream(result: Path, watched: dict[str, Any], movie: str | None, progress: Progress, lock: bool) -> int:
    """`emreel repair` for a watched result: its source is opened again and asked for what is missing."""
    from emreel.stream import Watching
    from emreel.stream.repair import repair_watched

    options = dict(watched)
    source = movie or options.pop("source")
    options.pop("source", None)
    if "speed" in options:
        options["speed"] = "inf"
    return repair_watched(
        open_given(source, options), result, how=Watching(idle_s=2.0, break_lock=lock), progress=progress
    )


def open_given(source: str, given: dict[str, Any]) -> FrameSource:
    """The source that options describe; what names no folder or file that grows is played."""
    from emreel.stream import Replay, open_source

    options = dict(given)
    speed = options.pop("speed", None)
    if speed is None:
        if "://" not in source and not os.path.exists(source) and Path(source).suffix == "":
            raise CommandError(f"{source} is not there. Make the folder first; or play a movie: --speed 1.")
        return open_source(source, **options)
    from emreel.io import open_movie

    if "first" in options:
        raise CommandError("--first is for folders that fill, not for movies that are played (--speed).")
    return Replay(open_movie(source, **options), speed=math.inf if speed == "inf" else float(speed))


def _teller(progress: Progress) -> Any:
    from emreel.progress import Note

    def tell(event: Event) -> None:
        at = "" if event.time_s is None else f" ({event.time_s:.6g} s)"
        progress(Note(f"frame {event.frame}{at}: {event.kind.replace('_', ' ')} {event.subject}".rstrip()))

    return tell
