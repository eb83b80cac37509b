"""What the microscope makes of a projected crystal: the transfer of each spatial frequency.

HAADF and SEM are incoherent: columns blurred by the probe. HRTEM is the weak-phase image of Williams
& Carter, ch. 28: sin(chi) with chi = pi lambda f g^2 + (pi/2) Cs lambda^3 g^4, damped by the focal spread.
With the default (over-focus, negative Cs) columns are bright.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emreel.synthetic.checks import require_choice, require_number
from emreel.synthetic.texture import PROFILE_FREQUENCIES

#: Depth of the focus table when the focus changes across the frame.
FOCUS_LEVELS = 16
_COLUMN_SIGMA_NM = 0.028  # width of a column's projected potential, thermal motion included


@dataclass(frozen=True, kw_only=True)
class Optics:
    """Modality, probe and focus.

    Parameters
    ----------
    modality : "haadf", "hrtem" or "sem".
    probe_sigma_nm : sigma of the Gaussian probe (HAADF, SEM), nm; None: 0.2 (SEM: 0.26) of the columns' distance.
    focus_gradient_nm : how much the focus changes from the left edge (in focus) to the right, nm.
    convergence_mrad : semi-angle of the probe; a defocus z blurs by half of its angle times z (HAADF, SEM).
    defocus_nm, cs_um, voltage_kv, focal_spread_nm : the objective lens (HRTEM); over-focus is positive.
    """

    modality: str = "haadf"
    probe_sigma_nm: float | None = None
    focus_gradient_nm: float = 0.0
    convergence_mrad: float = 25.0
    defocus_nm: float = 6.0
    cs_um: float = -13.0
    voltage_kv: float = 300.0
    focal_spread_nm: float = 3.0

    def __post_init__(self) -> None:
        require_choice("modality", self.modality, ("haadf", "hrtem", "sem"))
        if self.probe_sigma_nm is not None:
            require_number("probe_sigma_nm", self.probe_sigma_nm, above=0)
        require_number("focus_gradient_nm", self.focus_gradient_nm)
        require_number("convergence_mrad", self.convergence_mrad, least=0)
        require_number("defocus_nm", self.defocus_nm)
        require_number("cs_um", self.cs_um)
        require_number("voltage_kv", self.voltage_kv, above=0)
        require_number("focal_spread_nm", self.focal_spread_nm, least=0)

    @property
    def n_levels(self) -> int:
        """Number of focus levels in use."""
        return FOCUS_LEVELS if self.focus_gradient_nm else 1

    def level_of(self, x_px: npt.NDArray[np.float64], width_px: int) -> npt.NDArray[np.int32] | None:
        """Focus level of the columns at `x_px` of the frame; None when the focus is the same everywhere."""
        if not self.focus_gradient_nm:
            return None
        fraction = np.clip(x_px / max(width_px - 1, 1), 0.0, 1.0)
        return np.rint(fraction * (FOCUS_LEVELS - 1)).astype(np.int32)

    def transfer(
        self, frequency_nm: npt.NDArray[np.float64], level: int, probe_sigma_nm: float
    ) -> npt.NDArray[np.float64]:
        """Transfer of spatial frequencies (cycles a nm) at a focus level: 1 is perfect."""
        defocus = self.focus_gradient_nm * level / max(self.n_levels - 1, 1)
        g2 = np.asarray(frequency_nm, dtype=np.float64) ** 2
        if self.modality != "hrtem":
            blur = 0.5e-3 * self.convergence_mrad * defocus
            return np.asarray(np.exp(-2 * np.pi**2 * (probe_sigma_nm**2 + blur**2) * g2))
        wave = electron_wavelength_nm(self.voltage_kv)
        chi = np.pi * wave * (self.defocus_nm + defocus) * g2 + 0.5 * np.pi * self.cs_um * 1e3 * wave**3 * g2**2
        damping = np.exp(-0.5 * (np.pi * wave * self.focal_spread_nm * g2) ** 2)
        return np.asarray(np.sin(chi) * damping * np.exp(-2 * np.pi**2 * _COLUMN_SIGMA_NM**2 * g2))

    def carbon_profile(self, pixel_size_nm: float, probe_sigma_nm: float) -> tuple[float, ...]:
        """Spectrum of an amorphous film as this microscope shows it, for a `Texture`."""
        amplitude = np.abs(self.transfer(PROFILE_FREQUENCIES / pixel_size_nm, 0, max(probe_sigma_nm, pixel_size_nm)))
        return tuple(float(value) for value in amplitude)


def electron_wavelength_nm(voltage_kv: float) -> float:
    """Relativistic wavelength of the electron, nm (Williams & Carter, eq. 1.6)."""
    energy_ev = 1e3 * voltage_kv
    return 1.226426 / float(np.sqrt(energy_ev * (1 + 0.978476e-6 * energy_ev)))
