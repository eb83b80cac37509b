"""Which law a front or a size follows: linear, parabolic, power, Avrami or in straight pieces.

With s = t - t0:

| law | y(t) |
|---|---|
| linear | y0 + v s |
| parabolic | y0 + sqrt(k s): a reaction that its own product slows |
| power | y0 + a s^n |
| avrami | y0 + A (1 - exp(-(s / tau)^n)): nucleation and growth (JMAK; M. Avrami, J. Chem. Phys. 7 (1939) 1103) |
| pieces | straight pieces between change points (`emreel.track.kinetics.fit_pieces`) |

Every law is fitted by least squares on what a cut around a running median leaves. They are compared by AICc
(N. Sugiura, Commun. Stat. A 7 (1978) 13) of the residuals less what their neighbours foretell, since those of
neighbouring frames are alike; with an effective number of frames in its place, AICc has no room for the four
parameters of Avrami in a movie of forty frames. A law is named only when every other is worse by more than 4, laws that
hold it as a special case (a power of exponent 1 is linear) aside, and what it leaves over is no curve. The exponent
with its interval says more than the name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize

from emreel.track.correlated import Residuals, covariance_of, describe_residuals, t_quantile
from emreel.track.errors import TrackError
from emreel.track.kinetics import fit_pieces, noise_of_steps

Floats = npt.NDArray[np.float64]

#: A law is named when all others are worse by this.
DECIDED = 4.0
LEAST_POINTS = 12
#: Laws fit about as well as the best with up to so many times its sum of squares.
AS_GOOD = 3.0
#: Exponents are looked for up to this; one that ends here, or might be 0, is none.
MOST_EXPONENT = 8.0
#: A law whose residuals are as alike as this misses what the curve does, whatever the others do.
MISSED = 0.9
#: A change point that was looked for everywhere counts as so many parameters more (its place is one already).
CHANGE = 2
#: Values further than so many standard deviations from the median of nine around are left out.
CUT, AROUND = 5.0, 9
#: Laws that hold another one as a special case, or come as near to it as one likes.
CONTAINS: Mapping[str, tuple[str, ...]] = {
    "linear": ("power", "avrami", "pieces"),
    "parabolic": ("power", "avrami"),
    "power": ("avrami",),
    "avrami": (),
    "pieces": (),
}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A parameter and its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Law:
    """A law as fitted. parameters : by name. aicc : the lower the better. sd, correlation : of what it leaves over.
    curve : y at the points given."""

    name: str
    parameters: Mapping[str, Estimate]
    aicc: float
    sd: float
    correlation: float
    curve: Floats


@dataclass(frozen=True, kw_only=True)
class Kinetics:
    """Every law that could be fitted, the best first. name : of the law that is decided for, or "not decided".
    exponent : of the power law, with its interval. correlation : of the noise, neighbouring values."""

    name: str
    laws: tuple[Law, ...]
    correlation: float

    def law(self, name: str) -> Law:
        """One law by name. Raises TrackError when it could not be fitted."""
        for law in self.laws:
            if law.name == name:
                return law
        raise TrackError(
            f"the law {name!r} was not fitted. Those that were: {', '.join(law.name for law in self.laws)}."
        )

    @property
    def exponent(self) -> Estimate | None:
        """Of the power law; None where it could not be fitted."""
        return next((law.parameters["n"] for law in self.laws if law.name == "power"), None)

    def table(self) -> pd.DataFrame:
        """One row a law and parameter: law, delta_aicc, parameter, value, low, high."""
        best = self.laws[0].aicc
        rows = [
            (law.name, law.aicc - best, key, estimate.value, estimate.low, estimate.high)
            for law in self.laws
            for key, estimate in law.parameters.items()
        ]
        return pd.DataFrame(rows, columns=["law", "delta_aicc", "parameter", "value", "low", "high"])


def fit_kinetics(
    t: npt.ArrayLike, y: npt.ArrayLike, *, start: float | None = None, confidence: float = 0.95
) -> Kinetics:
    """Fit every law to y(t), and name one where the data decide.

    Parameters
    ----------
    t : shape (n,), rising: time, or dose. y : shape (n,): depth, size. Unknown values (NaN) are left out.
    start : t0, where it begins, as after an incubation (`emreel.track.kinetics.find_changes`); None: the first t. What
        lies before is left out.

    Raises
    ------
    TrackError : fewer than twelve points.

    >>> t = np.arange(40.0)
    >>> y = 3 + np.sqrt(8 * t) + 0.05 * np.sin(7 * t * t)
    >>> found = fit_kinetics(t, y)
    >>> found.name, round(found.law("parabolic").parameters["k"].value, 1)
    ('parabolic', 8.0)
    """
    times, values = np.asarray(t, np.float64), np.asarray(y, np.float64)
    known = np.isfinite(times) & np.isfinite(values)
    begin = float(times[known][0]) if start is None and known.any() else float(start or 0.0)
    known &= times >= begin
    s, values = times[known] - begin, values[known]
    if len(s) < LEAST_POINTS:
        raise TrackError(f"got {len(s)} points, wanted at least {LEAST_POINTS} to tell laws apart.")
    kept = _near_median(values)
    s, values = s[kept], values[kept]
    fitted = [fit for name in _LAWS if (fit := _fit(name, s, values)) is not None]
    fitted.append(_pieces(s, values))
    alike = _noise(fitted)
    laws = [_law(fit, alike.rho, confidence, times - begin) for fit in fitted]
    laws.sort(key=lambda law: law.aicc)
    return Kinetics(name=_decide(laws), laws=tuple(laws), correlation=alike.rho)


# ------------------------------------------------------------------------------------------------ inside

_Curve = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class _Fit:
    name: str
    keys: tuple[str, ...]
    values: Floats
    left: Floats
    design: Floats
    curve: Callable[[Floats], Floats]


def _power(s: Floats, y0: float, a: float, n: float) -> Floats:
    return np.asarray(y0 + a * np.maximum(s, 0) ** n)


def _avrami(s: Floats, y0: float, amplitude: float, tau: float, n: float) -> Floats:
    return np.asarray(y0 - amplitude * np.expm1(-((np.maximum(s, 0) / tau) ** n)))


#: Curve, names of the parameters, and lower bounds for them.
_LAWS: Mapping[str, tuple[_Curve, tuple[str, ...], tuple[float, ...]]] = {
    "linear": (lambda s, y0, v: y0 + v * s, ("y0", "v"), (-np.inf, -np.inf)),
    "parabolic": (lambda s, y0, k: y0 + np.sign(k) * np.sqrt(np.abs(k) * s), ("y0", "k"), (-np.inf, -np.inf)),
    "power": (_power, ("y0", "a", "n"), (-np.inf, -np.inf, 0.05)),
    "avrami": (_avrami, ("y0", "A", "tau", "n"), (-np.inf, -np.inf, 1e-9, 0.2)),
}


def _fit(name: str, s: Floats, y: Floats) -> _Fit | None:
    """Least squares from a few starts; None where none ends."""
    curve, keys, low = _LAWS[name]
    high = np.array([np.inf if key != "n" else MOST_EXPONENT for key in keys])
    span, rise = max(float(s[-1]), 1e-12), float(y[-1] - y[0]) or 1e-12
    scale = max(float(np.ptp(y)), 1e-12)
    tried: Mapping[str, list[tuple[float, ...]]] = {
        "linear": [(y[0], rise / span)],
        "parabolic": [(y[0], np.sign(rise) * rise**2 / span)],
        "power": [(y[0], rise / span**n, n) for n in (0.5, 1.0, 2.0)],
        "avrami": [(y[0], 1.2 * rise, span * part, n) for part in (0.3, 0.8) for n in (1.0, 2.5)],
    }
    best: Any = None
    for start in tried[name]:
        try:
            found = optimize.least_squares(
                lambda p: (curve(s, *p) - y) / scale,
                np.maximum(np.array(start, np.float64), np.array(low) + 1e-9),
                bounds=(low, high),
                x_scale="jac",
                max_nfev=150,
            )
        except (ValueError, FloatingPointError):
            continue
        if np.isfinite(found.cost) and (best is None or found.cost < best.cost):
            best = found
    if best is None:
        return None
    values = np.asarray(best.x, np.float64)
    return _Fit(
        name, keys, values, y - curve(s, *values), best.jac * scale, lambda at: curve(np.maximum(at, 0), *values)
    )


def _pieces(s: Floats, y: Floats) -> _Fit:
    """Straight pieces; the ends between them are parameters as well."""
    pieces = fit_pieces(y, max(noise_of_steps(y), 1e-9 * max(float(np.abs(y).max()), 1e-12)))
    lines = []
    for piece in pieces:
        part = slice(piece.start, piece.stop)
        slope, level = np.polyfit(s[part], y[part], 1)
        lines.append((float(s[piece.start]), float(slope), float(level)))
    starts = np.array([line[0] for line in lines])

    def curve(at: Floats) -> Floats:
        which = np.clip(np.searchsorted(starts, at, side="right") - 1, 0, len(lines) - 1)
        return np.asarray(
            np.array([line[2] for line in lines])[which] + np.array([line[1] for line in lines])[which] * at
        )

    keys = [name for i in range(len(lines)) for name in (f"v{i + 1}", f"y{i + 1}")]
    keys += [f"change{i + 1}" for i in range(len(lines) - 1)]
    values = [value for line in lines for value in line[1:]] + starts[1:].tolist()
    design = np.zeros((len(s), len(keys)))
    which = np.clip(np.searchsorted(starts, s, side="right") - 1, 0, len(lines) - 1)
    design[np.arange(len(s)), 2 * which], design[np.arange(len(s)), 2 * which + 1] = s, 1
    return _Fit("pieces", tuple(keys), np.array(values), y - curve(s), design, curve)


def _noise(fitted: list[_Fit]) -> Residuals:
    """The residuals of the simplest law that fits about as well as any: what a law misses is alike and no noise, and
    pieces follow the noise."""
    squares = [float(fit.left @ fit.left) for fit in fitted]
    good = [fit for fit, square in zip(fitted, squares, strict=True) if square <= AS_GOOD * min(squares)]
    simplest = min(good, key=lambda fit: len(fit.keys))
    return describe_residuals(simplest.left, simplest.design)


def _law(fit: _Fit, rho: float, confidence: float, at: Floats) -> Law:
    n = len(fit.left)
    n_parameters = len(fit.keys) + 2 + CHANGE * sum(key.startswith("change") for key in fit.keys)  # 2: of the noise
    fresh = np.concatenate([np.sqrt(1 - rho**2) * fit.left[:1], fit.left[1:] - rho * fit.left[:-1]])
    mean = max(float(fresh @ fresh) / n, 1e-300)
    room = max(n - n_parameters - 1, 1)
    aicc = n * np.log(mean) + 2 * n_parameters + 2 * n_parameters * (n_parameters + 1) / room
    residuals = describe_residuals(fit.left, fit.design)
    errors = np.sqrt(np.maximum(np.diag(covariance_of(fit.design, residuals)), 0))
    reach = t_quantile(confidence, residuals, len(fit.keys)) * errors
    estimates = {
        key: Estimate(value=float(value), low=float(value - width), high=float(value + width))
        for key, value, width in zip(fit.keys, fit.values, reach, strict=True)
    }
    return Law(
        name=fit.name,
        parameters=estimates,
        aicc=float(aicc),
        sd=residuals.sd,
        correlation=residuals.rho,
        curve=fit.curve(at),
    )


def _decide(laws: list[Law]) -> str:
    """The simplest law whose rivals are all worse by more than `DECIDED`, those that contain it aside."""
    best = laws[0].aicc
    simple = list(CONTAINS)
    for law in sorted(laws, key=lambda law: (len(law.parameters), simple.index(law.name))):
        if law.aicc - best > DECIDED:
            continue
        rivals = [other for other in laws if other is not law and other.name not in CONTAINS[law.name]]
        if all(other.aicc - law.aicc > DECIDED for other in rivals):
            exponent = law.parameters.get("n")
            is_told = exponent is None or (exponent.low > 0 and exponent.value < 0.99 * MOST_EXPONENT)
            return law.name if is_told and law.correlation < MISSED else "not decided"
        return "not decided"
    return "not decided"


def _near_median(y: Floats) -> npt.NDArray[np.bool_]:
    """False on values far from the median of those around."""
    half = AROUND // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(y, half, mode="reflect", reflect_type="odd"), AROUND)
    away = np.abs(y - np.median(windows, axis=1))
    width = max(1.4826 * float(np.median(away)), noise_of_steps(y))  # a rising curve is its own running median
    return np.asarray(away <= max(CUT * width, 1e-9 * max(float(np.abs(y).max()), 1e-12)))
