from __future__ import annotations

import numpy as np
import pytest

from emreel.synthetic import Optics, SceneError
from emreel.synthetic.optics import electron_wavelength_nm


@pytest.mark.parametrize(("voltage_kv", "picometres"), [(80, 4.176), (100, 3.701), (200, 2.508), (300, 1.969)])
def test_wavelength(voltage_kv, picometres):
    # Williams & Carter, table 1.2
    assert 1e3 * electron_wavelength_nm(voltage_kv) == pytest.approx(picometres, abs=2e-3)


def test_probe_is_a_gaussian():
    frequency = np.linspace(0, 6, 40)
    found = Optics().transfer(frequency, 0, 0.06)
    x = np.linspace(-1, 1, 4001)
    probe = np.exp(-0.5 * (x / 0.06) ** 2)
    wanted = [(probe * np.cos(2 * np.pi * f * x)).sum() / probe.sum() for f in frequency]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_defocus_blurs():
    optics = Optics(focus_gradient_nm=5.0)
    frequency = np.array([0.0, 2.0, 4.0])
    contrast = np.array([optics.transfer(frequency, level, 0.06) for level in range(optics.n_levels)])
    assert np.all(contrast[:, 0] == 1) and np.all(np.diff(contrast[:, 1:], axis=0) < 0)


def test_columns_are_bright_at_the_default_defocus_and_dark_on_the_other_side():
    frequency = np.array([4.2, 4.9])
    assert np.all(Optics(modality="hrtem").transfer(frequency, 0, 0.05) > 0.2)
    other = Optics(modality="hrtem", defocus_nm=-6.0, cs_um=13.0)
    np.testing.assert_allclose(
        other.transfer(frequency, 0, 0.05), -Optics(modality="hrtem").transfer(frequency, 0, 0.05)
    )
    assert Optics(modality="hrtem").transfer(np.zeros(1), 0, 0.05) == pytest.approx(0)


def test_levels_run_across_the_frame():
    optics = Optics(focus_gradient_nm=3.0)
    levels = optics.level_of(np.arange(64.0), 64)
    assert levels[0] == 0 and levels[-1] == optics.n_levels - 1 and np.all(np.diff(levels) >= 0)
    assert Optics().level_of(np.arange(64.0), 64) is None


def test_senseless_optics_are_refused():
    for parameters in ({"modality": "stm"}, {"voltage_kv": 0.0}, {"probe_sigma_nm": -0.1}):
        with pytest.raises(SceneError, match="wanted"):
            Optics(**parameters)
