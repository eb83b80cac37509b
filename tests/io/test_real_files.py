"""Files as microscopes and other programs really wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emreel.io import open_movie
from emreel.movie import pixel_size_nm

pytestmark = pytest.mark.data


def test_a_series_of_tia(data_dir: Path) -> None:
    movie = open_movie(data_dir / "real" / "raw_16_STOimage_1.ser")
    exported = open_movie(data_dir / "real" / "sto_haadf_tia.tif")
    assert movie.shape == exported.shape == (1, 1024, 1024)
    assert pixel_size_nm(movie) == pytest.approx(0.0100127, rel=1e-4)
    assert pixel_size_nm(exported) is None
    same = [np.array_equal(movie.values, exported.values[:, ::step]) for step in (1, -1)]
    assert any(same), "the pixels are those of the exported picture"


def test_rosettasciio_reads_the_same(data_dir: Path) -> None:
    from rsciio.tia import file_reader

    path = data_dir / "real" / "raw_16_STOimage_1.ser"
    np.testing.assert_array_equal(open_movie(path).values[0], file_reader(str(path))[0]["data"])


def test_a_folder_of_pictures(data_dir: Path) -> None:
    movie = open_movie(data_dir / "real" / "lptem_seq")
    assert movie.sizes["time"] == 24 and movie.chunks is not None
    assert movie.data[7].compute().std() > 0


@pytest.mark.parametrize(
    "name",
    [
        "bcp_fingerprint_sem.tif", "hrtem_holes_screenshot.tif", "moo3_flakes_stem.tiff", "snse_673k_haadf.tif",
        "nanocrystal_superlattice_hex.tif", "srtio3_haadf.jpg", "sto_ge_haadf.jpg", "perovskite_interface_adf.jpg",
        "cu_grain_boundary_nb.png", "high_entropy_alloy.npy", "phase_field_oneD_last641.mat",
    ],
)  # fmt: skip
def test_single_micrographs(name: str, data_dir: Path) -> None:
    movie = open_movie(data_dir / "real" / name)
    assert movie.sizes["time"] == 1
    if (
        name == "nanocrystal_superlattice_hex.tif"
    ):  # Olympus writes it down; its palette is grey but for Windows' colours
        assert pixel_size_nm(movie) == pytest.approx(0.70156, rel=1e-4)
    else:
        assert pixel_size_nm(movie) is None
    picture = movie.values[0]
    assert picture.std() > 0 and np.isfinite(picture).all()


@pytest.mark.parametrize("name", ["front_lfo_sto", "nasty_front"])
def test_simulated_movies(name: str, data_dir: Path) -> None:
    path = data_dir / name / "movie.npz"
    movie = open_movie(path)
    with np.load(path) as archive:
        np.testing.assert_array_equal(movie.data[[0, 20, -1]].compute(), archive["frames"][[0, 20, -1]])
