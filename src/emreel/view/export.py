"""Copies of a result for other tools: a TIFF stack of the labels, overlay movies, tables as CSV, a page.

Everything is streamed: one frame is in memory at a time, whatever the movie's length.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from emreel.progress import Progress, ignore
from emreel.result import Result
from emreel.view.errors import ExportError
from emreel.view.overlay import OPACITY

#: Frames a second of exported movies.
FPS = 10.0


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """What was asked for, parsed."""

    result: Result
    path: Path
    fps: float
    opacity: float
    overwrite: bool
    progress: Progress


def export_result(
    result: Result,
    to: str,
    path: str | os.PathLike[str],
    *,
    fps: float = FPS,
    opacity: float = OPACITY,
    overwrite: bool = False,
    progress: Progress = ignore,
) -> Path:
    """Write a copy of a result for another tool.

    ========  ====================================================================================================
    "tiff"    the labels, uint8 as stored, one page a frame; ImageJ's form with pixel size, frame interval (the
              mean one) and the classes' colours; beyond 4 GB a BigTIFF with the same in OME's form
    "mp4"     the overlay (`emreel.view.overlay_rgb`) with scale bar, clock and legend, H.264; frames wider or higher
              than 1024 px are shown smaller, small ones larger
    "gif"     the same in 256 colours
    "csv"     a folder with every table as NAME.csv; or one table, where ``path`` ends in .csv: the table of that
              name, or ``class_fraction`` under any other name
    "html"    the dashboard's pictures and curves as one page that needs no server (``emreel[dashboard]``): at most 300
              frames of at most 512 px a side
    "hspy"    the labels as a signal of HyperSpy's, with axes, names and colours (``emreel[hyperspy]``)
    ========  ====================================================================================================

    Parameters
    ----------
    fps : frames a second of a movie, 0.1 to 120 (gif: to 50).
    opacity : share of the classes' colours, 0 to 1.
    overwrite : replace a file that is there; otherwise it is left as it is.

    Returns
    -------
    What was written. Frames that are not computed are 0 in a TIFF and plain grey in a movie; a warning says so.

    Raises
    ------
    ExportError : an unknown ``to``, a path that exists or has another format's ending, no such table, a bad number.
    emreel.result.StorageError : the disk refuses. Nothing half-written stays.
    """
    target = Path(path)
    writer = _find_writer(to, target)
    if not 0 <= opacity <= 1:
        raise ExportError(f"got an opacity of {opacity}, wanted 0 (grey) to 1 (full colour).")
    writer(_Wish(result=result, path=target, fps=fps, opacity=opacity, overwrite=overwrite, progress=progress))
    return target


def _write_tiff(wish: _Wish) -> None:
    from emreel.view.tiff import write_tiff

    write_tiff(wish.result, wish.path, overwrite=wish.overwrite, progress=wish.progress)


def _write_movie(kind: str) -> Callable[[_Wish], None]:
    def write(wish: _Wish) -> None:
        from emreel.view.video import write_video

        write_video(
            wish.result,
            wish.path,
            kind,
            fps=wish.fps,
            opacity=wish.opacity,
            overwrite=wish.overwrite,
            progress=wish.progress,
        )

    return write


def _write_csv(wish: _Wish) -> None:
    from emreel.view.tables import write_csv

    write_csv(wish.result, wish.path, overwrite=wish.overwrite)


def _write_html(wish: _Wish) -> None:
    from emreel.view.dashboard import check_installed

    check_installed("bokeh")
    from emreel.view.dashboard.film import write_html

    write_html(wish.result, wish.path, opacity=wish.opacity, overwrite=wish.overwrite, progress=wish.progress)


def _write_hspy(wish: _Wish) -> None:
    from emreel import hyperspy

    hyperspy.write_hspy(wish.result, wish.path, overwrite=wish.overwrite)


#: What a result can be written as.
WRITERS: Mapping[str, Callable[[_Wish], None]] = {
    "tiff": _write_tiff,
    "mp4": _write_movie("mp4"),
    "gif": _write_movie("gif"),
    "csv": _write_csv,
    "html": _write_html,
    "hspy": _write_hspy,
}
_ENDINGS = {f".{kind}": kind for kind in WRITERS} | {".tif": "tiff"}


def _find_writer(to: str, path: Path) -> Callable[[_Wish], None]:
    if to not in WRITERS:
        near = get_close_matches(to, WRITERS, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ExportError(f"cannot export to '{to}'. Wanted one of {', '.join(WRITERS)}.{hint}")
    ending = _ENDINGS.get(path.suffix.lower(), to)
    if ending != to:
        raise ExportError(f"got the name {path.name} for a {to}. Change the ending, or export to {ending}.")
    return WRITERS[to]
