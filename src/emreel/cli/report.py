"""What the command line prints: progress while work goes on, and what movies, models and results are."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from emreel.cli.interrupts import check
from emreel.progress import Event, Progress, StageStarted, StepsDone

if TYPE_CHECKING:
    import xarray as xr


def out(text: str) -> None:
    typer.echo(text)


def say(text: str) -> None:
    typer.echo(text, err=True)


@contextlib.contextmanager
def show_progress() -> Iterator[Progress]:
    """A progress bar with rate and time left; plain lines where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        yield _listener(bar, console)


def _listener(bar: Any, console: Any) -> Callable[[Event], None]:
    tasks: dict[str, Any] = {}

    def listen(event: Event) -> None:
        check()
        if isinstance(event, StageStarted):
            for task in tasks.values():
                bar.update(task, visible=False)
            tasks[event.name] = bar.add_task(event.name, total=event.n_steps or None, rate="")
        elif isinstance(event, StepsDone):
            speed = bar.tasks[tasks[event.name]].speed
            rate = "" if not speed else f"{speed:.2g} blocks/s"
            bar.update(tasks[event.name], completed=event.n_done, rate=rate)
        else:
            console.print(event.text, highlight=False, soft_wrap=True)

    return listen


def describe_movie(movie: xr.DataArray) -> None:
    from emreel.movie import frame_times_s, pixel_size_nm

    times, size = frame_times_s(movie), pixel_size_nm(movie)
    n_frames, height, width = movie.shape
    out(f"movie       {movie.attrs['source']}")
    out(f"frames      {n_frames} of {height} x {width} px, {movie.dtype}")
    out(f"pixel size  {'unknown' if size is None else f'{size:.6g} nm'}")
    out(f"time        {'unknown' if times is None else f'{times[0]:.6g} to {times[-1]:.6g} s'}")
    if "truncated" in movie.attrs:
        out(f"truncated   {movie.attrs['truncated']}")


def describe_model(path: Path) -> None:
    from emreel.descriptors.registry import describe_descriptor
    from emreel.model import Model

    model = Model.load(path)
    size = "unknown" if model.pixel_size_nm is None else f"{model.pixel_size_nm:.6g} nm"
    out(f"model       {path}, digest {model.digest}")
    out(f"phases      {', '.join(model.label_names)}")
    out(f"descriptor  {_in_short(describe_descriptor(model.descriptor))}")
    out(f"pixel size  {size}")
    out(f"made by     emreel {model.provenance.emreel_version} with {model.provenance.recipe}")
    for movie in model.provenance.movies:
        out(f"fitted on   {movie['source']} {tuple(movie['shape_tyx'])}, digest {movie['digest'][:12]}")


def describe_result(path: Path) -> None:
    from emreel.result import open_result, read_facts

    result = open_result(path)
    facts = read_facts(path)
    n_frames, height, width = result.label.shape
    out(f"result      {path}")
    out(f"frames      {n_frames} of {height} x {width} px, {len(result.missing_blocks)} blocks not computed yet")
    movie = facts["provenance"].get("movie", {})
    out(f"movie       {movie.get('source')}, digest {str(movie.get('digest'))[:12]}")
    describe_model(path / "model.zarr")


def name_differences(recorded: str, wanted: str) -> str:
    """What differs between two recipes, both as JSON: ``cluster.n_clusters: 4 there, 3 wanted``."""
    there, here = _flat(json.loads(recorded)), _flat(json.loads(wanted))
    differing = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    nothing = "nothing"
    return "; ".join(f"{key}: {there.get(key, nothing)} there, {here.get(key, nothing)} wanted" for key in differing)


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat


def _in_short(described: Mapping[str, Any]) -> str:
    """A descriptor in one line: its name, numbers with four digits, and how many there are of what is a list."""
    parts = [str(described["name"])]
    for key, value in described.items():
        if isinstance(value, list | tuple) and len(value) > 2:
            parts.append(f"{len(value)} {key}")
        elif isinstance(value, float):
            parts.append(f"{key} {value:.4g}")
        elif key != "name":
            parts.append(f"{key} {value}")
    return ", ".join(parts)
