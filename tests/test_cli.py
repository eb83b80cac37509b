"""The command line, as a user meets it: results, exit codes, one clear line for every mistake."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr

from emreel.cli import main
from emreel.cli.report import name_differences
from emreel.recipe import Recipe
from emreel.result import open_result, read_ledger

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def emreel(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``emreel ...`` in an empty folder; returns exit code, output and messages, spaces made single."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        signal.signal(signal.SIGTERM, before)
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), re.sub(r"\s+", " ", out), re.sub(r"\s+", " ", err)

    return run


@pytest.fixture(scope="module")
def tiff(front_movie: xr.DataArray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("movie") / "front.tif"
    tifffile.imwrite(path, front_movie.values, imagej=True, metadata={"axes": "TYX"})
    return path


@pytest.fixture(scope="module")
def finished(tiff: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished result that tests only look at."""
    place = tmp_path_factory.mktemp("run") / "result"
    command = [sys.executable, "-m", "emreel", "run", str(tiff), "-o", str(place), "-k", "4"]
    subprocess.run([*command, "--pixel-size-nm", "0.04", "--frame-time-s", "0.5"], check=True, capture_output=True)
    return place


def test_run_leaves_labels_tables_model_and_a_picture(finished: Path, front_movie: xr.DataArray) -> None:
    result = open_result(finished)
    assert result.label.shape == front_movie.shape
    assert set(np.unique(result.label.values)) <= {1, 2, 3, 4, 255}
    assert result.pixel_size_nm == 0.04
    np.testing.assert_allclose(result.label["time"].values, 0.5 * np.arange(10))
    assert {file.name for file in finished.iterdir()} >= {
        "movie.zarr",
        "model.zarr",
        "tables",
        "ledger.jsonl",
        "overview.png",
    }
    assert len(result.table("class_fraction")) == 10 * 5


def test_run_again_goes_on_and_changes_nothing(emreel: Command, finished: Path, tiff: Path) -> None:
    before = (finished / "ledger.jsonl").read_bytes()
    given = ["-k", 4, "--pixel-size-nm", 0.04, "--frame-time-s", 0.5]
    code, _, err = emreel("run", tiff, "-o", finished, *given)
    assert code == 0, err
    assert (finished / "ledger.jsonl").read_bytes() == before


def test_run_with_another_k_on_a_result_is_refused(emreel: Command, finished: Path, tiff: Path) -> None:
    code, _, err = emreel("run", tiff, "-o", finished, "-k", 3)
    assert code == 1
    assert "n_clusters" in err
    assert "Give the same options to go on, or another folder" in err


def test_a_run_killed_while_it_saved_its_model_starts_anew(emreel: Command, tiff: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "model.zarr").mkdir(parents=True)
    (tmp_path / "out" / "model.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    code, _, err = emreel("run", tiff, "-o", "out", "-k", 3, "--frames", "0:3")
    assert code == 0, err
    assert not open_result(tmp_path / "out").missing_blocks


def test_fit_then_label_equals_run(emreel: Command, finished: Path, tiff: Path, tmp_path: Path) -> None:
    given = ["--pixel-size-nm", 0.04, "--frame-time-s", 0.5]
    assert emreel("fit", tiff, "-o", "m.zarr", "-k", 4, *given)[0] == 0
    assert emreel("label", tiff, "--model", "m.zarr", "-o", "r", *given)[0] == 0
    np.testing.assert_array_equal(open_result(tmp_path / "r").label.values, open_result(finished).label.values)


def test_suggest_writes_a_recipe_that_run_takes(emreel: Command, tiff: Path, tmp_path: Path) -> None:
    code, out, err = emreel("suggest", tiff, "-o", "r.toml")
    assert code == 0, err
    assert "lattice period" in out
    assert Recipe.load(tmp_path / "r.toml").descriptor.fields["period_px"] > 0
    code, _, err = emreel("run", tiff, "-o", "out", "-k", 4, "--recipe", "r.toml", "--frames", "2:6", "--workers", 2)
    assert code == 0, err
    assert open_result(tmp_path / "out").label.sizes["time"] == 4


def test_k_wins_over_the_recipe_and_says_so(emreel: Command, tiff: Path, tmp_path: Path) -> None:
    Recipe().with_clusters(3).save(tmp_path / "r.toml")
    code, _, err = emreel("fit", tiff, "-o", "m.zarr", "-k", 2, "--recipe", "r.toml", "--frames", "0:4")
    assert code == 0
    assert "-k 2 wins over the recipe's n_clusters = 3" in err


def test_several_movies_share_a_model(emreel: Command, tiff: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.tif"
    second.write_bytes(tiff.read_bytes())
    code, _, err = emreel("run", tiff, second, "-o", "both", "-k", 3, "--frames", "0:5")
    assert code == 0, err
    models = [(tmp_path / "both" / name / "model.zarr" / "zarr.json").read_text() for name in ("front", "second")]
    assert models[0] == models[1]


def test_region_and_bins_are_taken_at_opening(emreel: Command, tiff: Path, tmp_path: Path) -> None:
    given = ["--roi", "0:128,16:144", "--bin", "2,1,1", "--pixel-size-nm", 0.04]
    code, _, err = emreel("run", tiff, "-o", "out", "-k", 3, *given)
    assert code == 0, err
    assert open_result(tmp_path / "out").label.shape == (5, 128, 128)
    # the result opens its movie again in the same way
    code, out, err = emreel("repair", "out")
    assert (code, "0 damaged blocks" in out) == (0, True), err


def test_info_tells_of_movies_models_and_results(emreel: Command, finished: Path, tiff: Path) -> None:
    assert "10 of 128 x 144 px, uint8" in emreel("info", tiff)[1]
    code, out, _ = emreel("info", finished)
    assert code == 0
    assert "front.tif" in out
    assert "0 blocks not computed yet" in out
    assert "phase 1, phase 2, phase 3, phase 4" in emreel("info", finished / "model.zarr")[1]


def test_verify_and_repair(emreel: Command, tiff: Path, tmp_path: Path) -> None:
    assert emreel("run", tiff, "-o", "r", "-k", 2)[0] == 0
    assert emreel("verify", "r")[:2] == (0, "r: 0 damaged, 0 not computed yet ")
    shard = next(file for file in (tmp_path / "r/movie.zarr/labels/segments/label/c").rglob("*") if file.is_file())
    shard.write_bytes(shard.read_bytes()[:-9])
    code, out, err = emreel("verify", "r")
    assert code == 1
    assert "block 0, label" in out
    assert "emreel repair r" in err
    assert "1 damaged blocks computed again" in emreel("repair", "r")[1]
    assert emreel("verify", "r")[0] == 0


def test_exports(emreel: Command, finished: Path, tmp_path: Path) -> None:
    assert emreel("export", finished, "--to", "tiff", "-o", "labels.tif")[0] == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels.tif"), open_result(finished).label.values)
    assert emreel("export", finished, "--to", "csv", "-o", "tables")[0] == 0
    assert (tmp_path / "tables" / "quality.csv").read_text().startswith("frame,time_s,status")
    code, _, err = emreel("export", finished, "--to", "tiff", "-o", "labels.tif")
    assert code == 1
    assert "labels.tif" in err
    assert "tiff" in emreel("export", finished, "--to", "pdf", "-o", "x.pdf")[2]


def test_catalog_lists_and_opens(emreel: Command) -> None:
    code, out, err = emreel("catalog")
    assert code == 0, err
    name = "amorphous_front"
    assert name in out
    assert "frames" in emreel("info", name)[1]


def test_demo_needs_nothing(emreel: Command, tmp_path: Path) -> None:
    code, _, err = emreel("demo", "-o", "demo")
    assert code == 0, err
    assert (tmp_path / "demo" / "overview.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "command", ["run", "fit", "label", "suggest", "info", "verify", "repair", "export", "catalog", "demo"]
)
def test_every_help_has_an_example(emreel: Command, command: str) -> None:
    code, out, _ = emreel(command, "--help")
    assert code == 0
    assert f"emreel {command}" in out
    assert "Example" in out


def test_version(emreel: Command) -> None:
    from emreel import __version__

    assert emreel("--version")[1] == f"emreel {__version__} "


# ------------------------------------------------------------------------------------------ mistakes


def bad_inputs(folder: Path) -> None:
    (folder / "text.tif").write_text("not a picture")
    np.save(folder / "complex.npy", np.ones((3, 64, 64), complex))
    np.save(folder / "bool.npy", np.ones((3, 64, 64), bool))
    np.save(folder / "constant.npy", np.full((3, 64, 64), 7, np.uint8))
    np.save(folder / "empty.npy", np.ones((0, 64, 64), np.uint8))
    noise = np.random.default_rng(0).poisson(20, (3, 8, 8)).astype(np.uint8)
    np.save(folder / "small.npy", noise[:, :3, :3])
    np.save(folder / "few.npy", noise)
    tifffile.imwrite(folder / "colour.tif", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    (folder / "bad.toml").write_text("[cluster\n")
    (folder / "unknown.toml").write_text("[cluster]\nn_cluster = 3\n")
    (folder / "kmeans.toml").write_text("[cluster]\nname = 'kmeans'\n")
    (folder / "mixed").mkdir()
    tifffile.imwrite(folder / "mixed" / "1.tif", np.ones((64, 64), np.uint8))
    tifffile.imwrite(folder / "mixed" / "2.tif", np.ones((64, 65), np.uint8))
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter.tex").write_text("x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nosuch.tif", "-k", 3, "-o", "out"], "nosuch.tif"),
        (["run", "text.tif", "-k", 3, "-o", "out"], "text.tif"),
        (["run", "complex.npy", "-k", 3, "-o", "out"], "complex"),
        (["run", "bool.npy", "-k", 3, "-o", "out"], "boolean"),
        (["run", "constant.npy", "-k", 3, "-o", "out"], "no usable frame .* every pixel is 7"),
        (["run", "empty.npy", "-k", 3, "-o", "out"], "empty|no frame|zero frames"),
        (["run", "small.npy", "-k", 2, "-o", "out"], "frames of 3 x 3 px are smaller"),
        (["run", "colour.tif", "-k", 2, "-o", "out"], "colour"),
        (["run", "mixed", "-k", 2, "-o", "out"], "2.tif"),
        (["run", "GOOD", "--recipe", "kmeans.toml", "-o", "out"], "number of phases is not given.*-k 3"),
        (["run", "GOOD", "-k", 0, "-o", "out"], "n_clusters must be a whole number of at least 1"),
        (["run", "GOOD", "-k", 3, "--recipe", "bad.toml", "-o", "out"], "bad.toml is not valid TOML"),
        (["run", "GOOD", "-k", 3, "--recipe", "unknown.toml", "-o", "out"], "did you mean 'n_clusters'"),
        (["run", "GOOD", "-k", 3, "--recipe", "nosuch.toml", "-o", "out"], "cannot read the recipe nosuch.toml"),
        (["run", "GOOD", "-k", 3, "-o", "thesis"], "thesis"),
        (["run", "GOOD", "-k", 3, "-o", "/proc/result"], "may not write|could not write"),
        (["run", "GOOD", "-k", 3, "--roi", "5", "-o", "out"], "--roi is Y0:Y1,X0:X1"),
        (["run", "GOOD", "-k", 3, "--bin", "2", "-o", "out"], "--bin is T,Y,X"),
        (["run", "GOOD", "-k", 3, "--frames", "a:b", "-o", "out"], "--frames is A:B"),
        (["run", "GOOD", "-k", 3, "--workers", 2, "--scheduler", "tcp://127.0.0.1:1", "-o", "out"], "not both"),
        (["label", "GOOD", "--model", "nosuch.zarr", "-o", "out"], "is not a saved model"),
        (["verify", "nosuch"], "nosuch"),
        (["repair", "thesis"], "thesis"),
        (["export", "nosuch", "--to", "tiff", "-o", "x.tif"], "nosuch"),
        (["info", "nosuch"], "nosuch"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_mistakes_give_one_clear_line_and_touch_nothing(
    emreel: Command, arguments: list[object], message: str, tiff: Path, tmp_path: Path
) -> None:
    bad_inputs(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    code, out, err = emreel(*[tiff if argument == "GOOD" else argument for argument in arguments])
    assert code == 1
    assert err.count("emreel: error: ") == 1
    assert re.search(message, err), err
    assert "Traceback" not in out + err
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert not (tmp_path / "out").exists()


def test_more_phases_than_sample_points(emreel: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.random.default_rng(0).poisson(20, (1, 40, 40)).astype(np.uint8))
    code, _, err = emreel("run", "m.npy", "-k", 253, "-o", "out")
    assert code == 1
    assert "253" in err


def test_wrong_usage_exits_with_2(emreel: Command) -> None:
    assert emreel("run", "a.tif", "-o", "out", "--bogus")[0] == 2
    assert emreel("nosuch")[0] == 2


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_runs_exit_with_130_and_go_on(
    interrupt: signal.Signals, emreel: Command, front_movie: xr.DataArray, tmp_path: Path
) -> None:
    np.save(tmp_path / "long.npy", np.concatenate([front_movie.values] * 60))
    command = [sys.executable, "-m", "emreel", "run", "long.npy", "-o", "out", "-k", "3"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=os.environ)
    ledger = tmp_path / "out" / "ledger.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not ledger.exists() or ledger.read_bytes().count(b"\n") < 3):
        time.sleep(0.02)
    run.send_signal(interrupt)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert b"Give the same command again to go on" in err
    n_done = len(read_ledger(tmp_path / "out").done)
    assert n_done > 0
    code, _, err_again = emreel("run", "long.npy", "-o", "out", "-k", 3)
    assert code == 0, err_again
    assert not open_result(tmp_path / "out").missing_blocks


def test_a_quarantined_frame_exits_with_3(emreel: Command, front_movie: xr.DataArray, tmp_path: Path) -> None:
    frames = np.concatenate([front_movie.values] * 4)
    tifffile.imwrite(tmp_path / "m.tif", frames, compression="zlib", photometric="minisblack")
    code, _, err = emreel("fit", "m.tif", "-o", "m.zarr", "-k", 3)
    assert code == 0, err
    with tifffile.TiffFile(tmp_path / "m.tif") as tiff:
        place, size = tiff.pages[21].dataoffsets[0], tiff.pages[21].databytecounts[0]
    content = bytearray((tmp_path / "m.tif").read_bytes())
    content[place : place + size] = b"x" * size
    (tmp_path / "m.tif").write_bytes(content)
    code, _, err = emreel("label", "m.tif", "--model", "m.zarr", "-o", "r")
    assert code == 3, err
    assert "frames 16 to 31 cannot be labelled and are left out" in err
    assert "1 blocks are quarantined; tables/quarantine says why" in err
    result = open_result(tmp_path / "r")
    assert result.missing_blocks == (1,)
    assert set(result.table("quality")["status"][16:32]) == {"quarantined"}
    code, _, err = emreel("label", "m.tif", "--model", "m.zarr", "-o", "s", "--stop-on-error")
    assert code == 1
    assert "frame" in err and "cannot be read" in err


def test_recipes_that_differ_are_told_apart_by_what_differs() -> None:
    there = '{"cluster": {"n_clusters": 4, "name": "kmeans"}, "seed": 0}'
    here = '{"cluster": {"name": "kmeans"}, "descriptor": {"stride": 2}, "seed": 0}'
    assert name_differences(there, here) == (
        "cluster.n_clusters: 4 there, nothing wanted; descriptor.stride: nothing there, 2 wanted"
    )
