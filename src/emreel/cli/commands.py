"""The commands, each a few lines over a verb."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emreel._version import __version__
from emreel.cli.options import (
    AnyPixelOption,
    BinOption,
    BreakLockOption,
    ClustersOption,
    CommandError,
    DatasetOption,
    FramesOption,
    MovieArgument,
    MoviesArgument,
    PixelOption,
    RecipeOption,
    ResultArgument,
    ResultOption,
    RoiOption,
    SchedulerOption,
    StopOption,
    TimeOption,
    WorkersOption,
    as_tuples,
    open_options,
)
from emreel.cli.report import describe_model, describe_movie, describe_result, name_differences, out, say, show_progress
from emreel.progress import Note, Progress

if TYPE_CHECKING:
    import xarray as xr

    from emreel.model import Model
    from emreel.recipe import Recipe

app = typer.Typer(
    name="emreel",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Unsupervised segmentation of in-situ electron-microscopy movies.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out(f"emreel {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def run(
    movies: MoviesArgument,
    output: ResultOption,
    n_clusters: ClustersOption = None,
    recipe: RecipeOption = None,
    pixel_size_nm: PixelOption = None,
    frame_time_s: TimeOption = None,
    frames: FramesOption = None,
    roi: RoiOption = None,
    bin_tyx: BinOption = None,
    dataset: DatasetOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    break_lock: BreakLockOption = False,
    stop_on_error: StopOption = False,
) -> None:
    """A movie in, a label movie out: suggest, fit, label. On an unfinished result, go on where it stopped.

    Example: `emreel run heating.mrc -o heating -k 3 --frame-time-s 0.05`
    """
    opened = open_options(pixel_size_nm, frame_time_s, frames, roi, bin_tyx, dataset)
    parsed = [_open(movie, opened) for movie in movies]
    places = [output] if len(movies) == 1 else [output / (Path(movie.rstrip("/")).stem or "movie") for movie in movies]
    if len(set(places)) < len(places):
        raise CommandError("two of the movies have the same name. Run them one by one, or rename them.")
    chosen = _recipe(recipe, n_clusters)
    with _engine(workers, scheduler), show_progress() as progress:
        model = _fitted(parsed, places, chosen, progress)
        complete = [
            _label(movie, model, place, progress, {"opened": {"source": name, **opened}}, break_lock, stop_on_error)
            for name, movie, place in zip(movies, parsed, places, strict=True)
        ]
    _exit_unless(all(complete))


@app.command()
def fit(
    movies: MoviesArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The model, a zarr group.", show_default=False)],
    n_clusters: ClustersOption = None,
    recipe: RecipeOption = None,
    pixel_size_nm: PixelOption = None,
    frame_time_s: TimeOption = None,
    frames: FramesOption = None,
    roi: RoiOption = None,
    bin_tyx: BinOption = None,
    dataset: DatasetOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Fit one model on one or several movies.

    Example: `emreel fit dose1.mrc dose2.mrc -o model.zarr -k 3`
    """
    from emreel.fit import fit_model

    opened = open_options(pixel_size_nm, frame_time_s, frames, roi, bin_tyx, dataset)
    parsed = [_open(movie, opened) for movie in movies]
    with _engine(workers, scheduler), show_progress() as progress:
        model = fit_model(parsed, _recipe(recipe, n_clusters), progress=progress)
    model.save(output)
    out(f"{output}: {model.n_clusters} phases, digest {model.digest[:12]}")


@app.command()
def label(
    movie: MovieArgument,
    model: Annotated[Path, typer.Option("--model", help="A saved model.", show_default=False)],
    output: ResultOption,
    pixel_size_nm: PixelOption = None,
    frame_time_s: TimeOption = None,
    frames: FramesOption = None,
    roi: RoiOption = None,
    bin_tyx: BinOption = None,
    dataset: DatasetOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    any_pixel_size: AnyPixelOption = False,
    break_lock: BreakLockOption = False,
    stop_on_error: StopOption = False,
) -> None:
    """Label a movie with a saved model.

    Example: `emreel label tomorrow.mrc --model model.zarr -o tomorrow`
    """
    from emreel.model import Model

    loaded = Model.load(model)
    opened = open_options(pixel_size_nm, frame_time_s, frames, roi, bin_tyx, dataset)
    parsed = _open(movie, opened)
    known = {"opened": {"source": movie, **opened}}
    with _engine(workers, scheduler), show_progress() as progress:
        complete = _label(
            parsed, loaded, output, progress, known, break_lock, stop_on_error, any_pixel_size=any_pixel_size
        )
    _exit_unless(complete)


@app.command()
def suggest(
    movie: MovieArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The recipe, TOML.", show_default=False)],
    n_clusters: ClustersOption = None,
    recipe: RecipeOption = None,
    pixel_size_nm: PixelOption = None,
    frames: FramesOption = None,
    roi: RoiOption = None,
    bin_tyx: BinOption = None,
    dataset: DatasetOption = None,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="A picture of what speaks for each number of phases.")
    ] = None,
) -> None:
    """Write a recipe for a movie, and say why: what it shows, its lattice, lengths, the number of phases.

    Example: `emreel suggest heating.mrc -o heating.toml --evidence heating.png`
    """
    from emreel.fit import explain_recipe
    from emreel.view.numbers import draw_numbers

    parsed = _open(movie, open_options(pixel_size_nm, None, frames, roi, bin_tyx, dataset))
    with show_progress() as progress:
        suggestion = explain_recipe(parsed, _recipe(recipe, n_clusters), progress=progress)
    output.write_text(suggestion.to_toml(), encoding="utf-8")
    out(str(suggestion))
    if evidence is not None:
        draw_numbers(suggestion.weights, suggestion.model.n_clusters).savefig(evidence)
        out(f"evidence: {evidence}")


@app.command()
def info(path: Annotated[str, typer.Argument(help="A movie, a model or a result.", show_default=False)]) -> None:
    """What a movie, a model or a result is, and where it comes from.

    Example: `emreel info heating`
    """
    from emreel.result import is_result

    if is_result(path):
        describe_result(Path(path))
    elif (Path(path) / "zarr.json").is_file() and "emreel_model" in (Path(path) / "zarr.json").read_text("utf-8"):
        describe_model(Path(path))
    else:
        describe_movie(_open(path, {}))


@app.command()
def verify(result: ResultArgument) -> None:
    """Check every finished block of a result against its checksums. Exits with 1 when something is damaged.

    Example: `emreel verify heating`
    """
    from emreel.result import open_result, verify_result

    damaged = verify_result(result)
    for damage in damaged:
        out(str(damage))
    missing = len(open_result(result).missing_blocks)
    out(f"{result}: {len(damaged)} damaged, {missing} not computed yet")
    if damaged:
        say(f"emreel: error: {result} is damaged. Mend it: emreel repair {result}")
        raise typer.Exit(1)


@app.command()
def repair(
    result: ResultArgument,
    movie: Annotated[str | None, typer.Option("--movie", help="The movie, if it was moved.")] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    break_lock: BreakLockOption = False,
) -> None:
    """Compute damaged blocks again from the movie; blocks that were never computed as well.

    Example: `emreel repair heating`
    """
    from emreel.cli.live import repair_stream
    from emreel.label import repair_result
    from emreel.result import read_facts

    made = read_facts(result)["provenance"]
    if "watched" in made:
        with show_progress() as progress:
            n_damaged = repair_stream(result, made["watched"], movie, progress, break_lock)
        out(f"{result}: {n_damaged} damaged frames labelled again")
        return
    opened = dict(made.get("opened", {}))
    source = movie or opened.get("source")
    if source is None:
        raise CommandError(f"{result} does not tell which movie it was made from. Name it: --movie PATH.")
    opened.pop("source", None)
    with _engine(workers, scheduler), show_progress() as progress:
        n_damaged = repair_result(result, _open(source, opened), break_lock=break_lock, progress=progress)
    out(f"{result}: {n_damaged} damaged blocks computed again")


@app.command()
def export(
    result: ResultArgument,
    to: Annotated[str, typer.Option("--to", help="tiff, mp4, gif, csv, html or hspy.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="File, or folder for csv.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write labels (tiff), the overlay movie (mp4, gif), the tables (csv), a page (html), a signal (hspy).

    Example: `emreel export heating --to mp4 -o heating.mp4`
    """
    from emreel.result import open_result
    from emreel.view.export import export_result

    export_result(open_result(result), to, output, overwrite=overwrite)
    out(str(output))


@app.command()
def show(
    result: ResultArgument,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of this machine; 0: a free one.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only serve the page, and say where.")] = False,
    napari: Annotated[bool, typer.Option("--napari", help="Open it in napari instead.")] = False,
) -> None:
    """Look at a result in the browser: movie and overlay side by side, frame by frame. Ctrl-C ends it.

    Example: `emreel show heating`
    """
    if napari:
        from emreel.result import open_result
        from emreel.view.napari import show_napari

        show_napari(open_result(result))
        return
    from emreel.view.dashboard import serve

    with contextlib.suppress(KeyboardInterrupt):
        serve(result, port=port, browser=not no_browser, on_start=lambda address: out(f"{result}: {address}"))


@app.command()
def catalog(
    path: Annotated[Path | None, typer.Argument(help="A catalog, YAML; emreel's own when left out.")] = None,
) -> None:
    """List the movies of a catalog; each name can stand wherever a movie is wanted.

    Example: `emreel catalog`, then `emreel run NAME -o RESULT -k 3`
    """
    from rich.console import Console
    from rich.table import Table

    from emreel.io import load_catalog

    table = Table("name", "driver", "what it shows", "licence", box=None, pad_edge=False)
    for entry in load_catalog(path).entries:
        table.add_row(entry.name, entry.driver, entry.description, entry.licence or "")
    Console().print(table)


@app.command()
def demo(output: ResultOption = Path("demo")) -> None:
    """The main job on a synthetic movie: a film that turns amorphous, labelled, with a picture. Needs no input.

    Example: `emreel demo -o demo`
    """
    from emreel.io import open_movie
    from emreel.recipe import Recipe

    movie = open_movie("amorphous_front")
    with _engine(None, None), show_progress() as progress:
        model = _fitted([movie], [output], Recipe().with_clusters(4), progress)
        _label(movie, model, output, progress, {"opened": {"source": "amorphous_front"}}, False)


# ------------------------------------------------------------------------------------------------ inside


def _fitted(movies: Sequence[xr.DataArray], places: Sequence[Path], recipe: Recipe, progress: Progress) -> Model:
    """The model of an unfinished result when there is one, else a new one."""
    from emreel.fit import fit_model
    from emreel.model import Model
    from emreel.provenance import canonical_json
    from emreel.result import is_result

    saved = places[0] / "model.zarr"
    if not is_result(places[0]):  # a model without its result may be half written
        return fit_model(list(movies), recipe, progress=progress)
    model = Model.load(saved)
    wanted = canonical_json(recipe.to_dict())
    if recipe.cluster.n_clusters is not None and model.provenance.recipe != wanted:
        raise CommandError(
            f"{places[0]} was made with another recipe: {name_differences(model.provenance.recipe, wanted)}. "
            "Give the same options to go on, or another folder to start anew."
        )
    return model


def _label(
    movie: xr.DataArray,
    model: Model,
    place: Path,
    progress: Progress,
    known: dict[str, Any],
    break_lock: bool,
    stop_on_error: bool = False,
    *,
    any_pixel_size: bool = False,
) -> bool:
    """Label one movie; whether all of it is labelled now."""
    from emreel.label import label_movie
    from emreel.view.overview import save_overview

    result = label_movie(
        movie,
        model,
        place,
        any_pixel_size=any_pixel_size,
        break_lock=break_lock,
        stop_on_error=stop_on_error,
        provenance=known,
        progress=progress,
    )
    picture = save_overview(result)
    n_frames = result.label.sizes["time"]
    progress(Note(f"{place}: {n_frames} frames, {model.n_clusters} phases; picture: {picture}"))
    progress(Note(f"look at it: emreel show {place}"))
    if not result.is_complete:
        progress(Note(f"{place}: {len(result.missing_blocks)} blocks are quarantined; tables/quarantine says why"))
    return result.is_complete


def _exit_unless(complete: bool) -> None:
    if not complete:
        raise typer.Exit(3)


def _open(source: str, options: dict[str, Any]) -> xr.DataArray:
    from emreel.io import open_movie

    options = {key: as_tuples(value) if key in ("frames", "roi", "bin") else value for key, value in options.items()}
    movie: xr.DataArray = open_movie(source, **options)
    return movie


def _recipe(path: Path | None, n_clusters: int | None) -> Recipe:
    from emreel.recipe import Recipe

    recipe = Recipe() if path is None else Recipe.load(path)
    if n_clusters is None:
        return recipe
    if path is not None and recipe.cluster.n_clusters not in (None, n_clusters):
        say(f"emreel: -k {n_clusters} wins over the recipe's n_clusters = {recipe.cluster.n_clusters}")
    return recipe.with_clusters(n_clusters)


@contextlib.contextmanager
def _engine(workers: int | None, scheduler: str | None) -> Iterator[None]:
    from emreel import engine

    if workers is not None and scheduler is not None:
        raise CommandError("give --workers or --scheduler, not both: a scheduler brings its own workers.")
    if workers is None and scheduler is None:
        yield
    else:
        with engine.local_workers(workers or 1, scheduler=scheduler):
            yield
