"""`emreel track` through the command line's own parser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner

from emreel.cli.commands import app
from emreel.cli.options import CommandError
from emreel.cli.tracking import parse_axis, parse_between
from emreel.label import label_movie
from emreel.model import Model
from emreel.result import open_result
from emreel.track.errors import TrackError
from emreel.track.line import Line


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, front_movie: xr.DataArray, front_model: Model) -> Path:
    path = tmp_path_factory.mktemp("cli") / "front"
    label_movie(front_movie, front_model, path)
    return path


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_fronts_are_tracked_and_told(tmp_path: Path, labelled: Path) -> None:
    place = shutil.copytree(labelled, tmp_path / "front")
    told = run("track", str(place), "fronts", "--axis", "y", "--between", "1,2/3,4")
    assert "front 1,2/3,4: frames 0 to 9" in told
    assert (place / "fronts.png").stat().st_size > 5000
    table = open_result(place).table("fronts")
    assert table["front"].unique().tolist() == ["1,2/3,4"]
    (tmp_path / "heating.csv").write_text("time_s,temperature_C\n0,20\n5,30\n10,40\n")
    told = run("track", str(place), "log", "--log", str(tmp_path / "heating.csv"), "--tolerance-s", "1")
    assert "of 10 frames told" in told and (place / "front_against_temperature_C.png").is_file()
    run("export", str(place), "--to", "csv", "-o", str(tmp_path / "tables"))
    assert {"fronts.csv", "events.csv", "log.csv"} <= {file.name for file in (tmp_path / "tables").iterdir()}


def test_regions_are_tracked_and_told(tmp_path: Path, labelled: Path) -> None:
    place = shutil.copytree(labelled, tmp_path / "front")
    told = run("track", str(place), "regions", "--min-area-px2", "200")
    assert "phase 1: 1 regions, 1 in the first frame, 1 in the last" in told
    assert open_result(place).region.dims == ("time", "y", "x")


def test_axes_and_sides_are_parsed() -> None:
    assert parse_between("1,2/3") == ((1, 2), (3,))
    assert parse_axis("40,50.5", None) == (40, 50.5)
    assert parse_axis("y", "1,2:30,40:5") == Line(start_yx=(1, 2), end_yx=(30, 40), width_px=5)
    assert parse_axis("y", "1,2:30,40") == Line(start_yx=(1, 2), end_yx=(30, 40))
    for call in (lambda: parse_between("1,2"), lambda: parse_axis("up", None), lambda: parse_axis("y", "1:2")):
        with pytest.raises(CommandError, match="got"):
            call()


def test_what_cannot_be_tracked_is_said(labelled: Path) -> None:
    with pytest.raises(CommandError, match="cannot track 'frotns'"):
        run("track", str(labelled), "frotns")


def test_twins_need_fringes(labelled: Path) -> None:
    with pytest.raises(CommandError, match="SHORTEST,LONGEST"):
        run("track", str(labelled), "twins", "--spacings", "4")
    with pytest.raises(TrackError, match="no two labels are twins"):
        run("track", str(labelled), "twins", "--spacings", "4,9")
