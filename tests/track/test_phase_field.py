"""Phase fields along lines: from labels, memberships and results; fronts of known movies and of a real kymograph."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.io import loadmat

from emreel.label import label_movie
from emreel.track.errors import TrackError
from emreel.track.line import Line
from emreel.track.phase_field import front_along_line, phase_field

ACROSS = Line(start_yx=(20, 0), end_yx=(20, 59), width_px=7)


def step_frames(positions, shape=(40, 60)):
    """Labels 1, then 2 from each position on along x."""
    return np.stack([np.tile(np.where(np.arange(shape[1]) < p, 1, 2), (shape[0], 1)) for p in positions]).astype(
        np.uint8
    )


def kymograph(profiles, x=None):
    profiles = np.atleast_2d(np.asarray(profiles, float))
    x = np.arange(profiles.shape[1]) if x is None else x
    return xr.DataArray(profiles.T, dims=("position", "time"), coords={"position": x})


def test_labels_of_a_moving_step():
    positions = [11, 25, 40, 40]
    field = phase_field(step_frames(positions), ACROSS, classes=2)
    assert field.dims == ("position", "time") and field.dtype == np.float32
    np.testing.assert_array_equal(field.values, (np.arange(60)[:, None] >= positions).astype(np.float32))
    assert field["position"].attrs["units"] == "px" and field["time"].attrs["units"] == "frame"
    front = front_along_line(field)
    np.testing.assert_allclose(front["position"], np.array(positions) - 0.5)
    np.testing.assert_allclose(front["width"], 0.8, atol=1e-6)
    backwards = Line(start_yx=(20, 59), end_yx=(20, 0))
    np.testing.assert_allclose(
        front_along_line(phase_field(step_frames(positions), backwards, classes=2))["position"],
        59 - (np.array(positions) - 0.5),
    )


def test_classes_together_and_what_is_no_class():
    frames = step_frames([30])
    frames[0, :, 45:] = 3
    frames[0, 20, 20:35] = 255
    frames[0, 17:24, 10:13] = 0
    frames[0, 18, 50] = 254
    field = phase_field(frames, ACROSS, classes=(2, 3))[:, 0]
    assert np.isnan(field[10:13]).all() and np.isfinite(np.delete(field.values, [10, 11, 12])).all()
    np.testing.assert_array_equal(np.delete(field.values, [10, 11, 12]), np.delete(np.arange(60) >= 30, [10, 11, 12]))
    np.testing.assert_array_equal(phase_field(frames, ACROSS, classes=3)[50, 0], 1)


def test_memberships_are_interpolated_between_grid_points():
    soft = np.zeros((2, 3, 10, 15), np.float32)
    ramp = np.linspace(0, 1, 15)
    soft[:, 1], soft[:, 0] = 0.25 * ramp, 0.75 * ramp
    soft[:, 2] = 1 - ramp
    soft[1, :, :4] = 0  # dead data: no class at all
    line = Line(start_yx=(18, 0), end_yx=(18, 56), width_px=3)
    field = phase_field(soft, line, classes=(1, 2), stride=4)
    np.testing.assert_allclose(field[:, 0], np.arange(57) / 56, atol=1e-6)
    np.testing.assert_allclose(field[:, 1], np.arange(57) / 56, atol=1e-6)
    np.testing.assert_allclose(phase_field(soft, line, classes=2, stride=4)[:, 0], np.arange(57) / 224, atol=1e-6)
    dead = phase_field(soft, Line(start_yx=(4, 0), end_yx=(4, 56)), classes=1, stride=4)
    assert np.isfinite(dead[:, 0]).all() and np.isnan(dead[:, 1]).all()
    named = xr.DataArray(soft, dims=("time", "class", "y_grid", "x_grid"), attrs={"pixel_size_nm": 0.5})
    with_size = phase_field(named.transpose("class", "y_grid", "x_grid", "time"), line, classes=(1, 2), stride=4)
    np.testing.assert_array_equal(with_size.values, field.values)
    assert with_size["position"].attrs["units"] == "nm" and float(with_size["position"][-1]) == 28.0


def test_overshoot_is_impossible():
    rng = np.random.default_rng(0)
    soft = (rng.random((6, 2, 30, 30)) > 0.5).astype(np.float64)
    soft[:, 1] = 1 - soft[:, 0]
    line = Line(start_yx=(3.3, 5.1), end_yx=(25.7, 20.2), width_px=3.7, step_px=0.31)
    values = phase_field(soft, line, classes=2).values
    assert values.min() >= 0 and values.max() <= 1 and values.min() < 0.1 and values.max() > 0.9


def test_front_of_soft_profiles():
    x = np.arange(0, 100, 0.5)
    centres, widths = [20.0, 33.3, 70.1], [2.0, 5.0, 1.0]
    rising = [1 / (1 + np.exp(-(x - c) / w)) for c, w in zip(centres, widths, strict=True)]
    for profiles in (rising, [1 - u for u in rising]):
        front = front_along_line(kymograph(profiles, x))
        np.testing.assert_allclose(front["position"], centres, atol=1e-3)
        np.testing.assert_allclose(front["width"], 2 * np.log(9) * np.array(widths), rtol=0.02)
    quarter = front_along_line(kymograph(rising, x), level=0.25)
    np.testing.assert_allclose(quarter["position"], np.array(centres) - np.log(3) * np.array(widths), atol=0.02)


def test_islands_do_not_take_the_front_away():
    u = (np.arange(100) >= 40).astype(float)
    u[10:13], u[80:82] = 1, 0
    front = front_along_line(kymograph(u))
    assert front["n_crossings"] == 5 and front["position"] == 39.5
    falling = front_along_line(kymograph(1 - u))
    assert falling["n_crossings"] == 5 and falling["position"] == 39.5


def test_no_front_and_gaps():
    profiles = np.zeros((4, 50))
    profiles[1] = 1
    profiles[2] = np.nan
    profiles[3, 20:] = 1
    profiles[3, 15:25] = np.nan
    front = front_along_line(kymograph(profiles))
    assert np.isnan(front["position"][:3]).all() and front["n_crossings"].values.tolist() == [0, 0, 0, 1]
    assert front["position"][3] == 19.5  # half way over the gap


def test_one_frame_is_held_at_a_time():
    import dask
    import dask.array as da

    shape, n_frames, reads = (3, 400, 400), 40, []

    def frame(t):
        reads.append(t)
        soft = np.zeros((1, *shape), np.float32)
        soft[:, 0, :, : 5 + t], soft[:, 1, :, 5 + t :] = 1, 1
        return soft

    parts = [da.from_delayed(dask.delayed(frame)(t), (1, *shape), np.float32) for t in range(n_frames)]
    movie = xr.DataArray(da.concatenate(parts), dims=("time", "class", "y_grid", "x_grid"))
    line = Line(start_yx=(200, 0), end_yx=(200, 100), width_px=20)
    with dask.config.set(scheduler="synchronous"):
        phase_field(movie[:2], line, classes=2)
        reads.clear()
        tracemalloc.start()
        field = phase_field(movie, line, classes=2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert reads == list(range(n_frames))
    assert peak < 3 * np.prod(shape) * 4
    np.testing.assert_allclose(front_along_line(field)["position"], np.arange(n_frames) + 4.5)


def test_a_result_gives_the_front_in_nm_and_s(front_scene, front_movie, front_model, tmp_path):
    """The amorphous front of a synthetic movie, along its growth direction, against the truth."""
    result = label_movie(front_movie, front_model, tmp_path / "r")
    names = _classes_by_truth(front_scene, result.label.values)
    line = Line(start_yx=(0, 72), end_yx=(127, 72), width_px=9)
    crystal = sorted({names[2], names[3]})
    soft, hard = (phase_field(result, line, classes=crystal, soft=soft) for soft in (True, False))
    assert soft["position"].attrs["units"] == "nm" and soft["time"].attrs["units"] == "s"
    np.testing.assert_allclose(soft["time"], front_scene.frame_times_s)
    truth = [
        np.mean(front_scene.truth(t).front_row[68:77]) * front_scene.pixel_size_nm for t in range(front_scene.n_frames)
    ]
    for field in (soft, hard):
        found = front_along_line(field)["position"].values
        assert np.sqrt(np.mean((found - truth) ** 2)) < 2.5 * front_scene.pixel_size_nm
    arrays = phase_field(
        xr.DataArray(
            result.membership.values,
            dims=("time", "class", "y_grid", "x_grid"),
            coords={"time": result.membership["time"]},
        ),
        line,
        classes=crystal,
        stride=result.layout.stride,
    )
    np.testing.assert_allclose(arrays.values, soft.values, atol=1e-6)
    with pytest.raises(TrackError, match="1 to 4"):
        phase_field(result, line, classes=5)


def _classes_by_truth(scene, label):
    """Which class of the result lies on most of each true class."""
    truth = np.stack([scene.truth(t).labels for t in range(scene.n_frames)])
    return {k: int(np.bincount(label[truth == k], minlength=256)[1:254].argmax()) + 1 for k in range(4)}


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (np.zeros((5, 5), np.uint8), {"classes": 1}),
        (np.zeros((2, 40, 60)), {"classes": 1}),
        (np.zeros((2, 40, 60), np.uint8), {"classes": 254}),
        (np.zeros((2, 40, 60), np.uint8), {"classes": ()}),
        (np.zeros((2, 40, 60), np.uint8), {"classes": (1, 1)}),
        (np.zeros((2, 40, 60), np.uint8), {"classes": 1, "stride": 2}),
        (np.zeros((2, 3, 40, 60)), {"classes": 4}),
    ],
)
def test_nonsense_is_refused(source, options):
    with pytest.raises(TrackError, match="got"):
        phase_field(source, ACROSS, **options)


def test_fronts_need_a_kymograph():
    with pytest.raises(TrackError, match="got dims"):
        front_along_line(xr.DataArray(np.zeros((3, 3)), dims=("x", "time")))
    with pytest.raises(TrackError, match="level"):
        front_along_line(kymograph(np.zeros(5)), level=1.0)


@pytest.mark.data
def test_the_kymograph_of_a_real_movie(data_dir: Path) -> None:
    """From 63 to 388 px, a stall near 110 px, a jump of 31 px near frame 197, width 5.6 px, four split frames (M1)."""
    file = loadmat(data_dir / "real" / "phase_field_oneD_last641.mat")
    field = xr.DataArray(
        file["usol"],
        dims=("position", "time"),
        coords={"position": ("position", file["x"].ravel(), {"units": "px"}), "time": file["t"].ravel()},
    )
    front = front_along_line(field)
    position = front["position"].values
    assert position.shape == (641,) and np.isfinite(position).all()
    assert position[0] == pytest.approx(63, abs=1) and position[-1] == pytest.approx(388, abs=1)
    assert position[80:190].mean() == pytest.approx(110, abs=2) and np.ptp(position[80:190]) < 30
    jumps = np.diff(position)
    assert abs(int(np.argmax(np.abs(jumps))) + 1 - 197) <= 1
    assert jumps.max() == pytest.approx(31, abs=1)
    assert float(np.nanmedian(front["width"])) == pytest.approx(5.6, abs=0.2)
    assert int((front["n_crossings"] > 1).sum()) == 4
