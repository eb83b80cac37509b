"""Parameters of a scene are checked once, when it is built."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real

from emreel.movie import EmreelError


class SceneError(EmreelError, ValueError):
    """A synthetic movie was asked for with parameters that make no movie."""


class FrameIndexError(SceneError, IndexError):
    """A frame was asked for that the movie does not have."""


def require(condition: bool, got: str, wanted: str) -> None:
    """Raise SceneError ``got ..., wanted ...`` unless the condition holds."""
    if not condition:
        raise SceneError(f"got {got}, wanted {wanted}.")


def require_number(
    name: str, value: object, *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf
) -> None:
    """Raise SceneError unless `value` is a finite number with above < value, least <= value <= most."""
    wanted = f"a number{_bounds(above, least, most)}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SceneError(f"got {name}={value!r}, wanted {wanted}.")
    number = float(value)
    require(math.isfinite(number) and above < number and least <= number <= most, f"{name}={value!r}", wanted)


def require_pair(
    name: str, value: object, *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf
) -> None:
    """Raise SceneError unless `value` is a tuple of two numbers (y, x) within the bounds."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise SceneError(f"got {name}={value!r}, wanted two numbers (y, x).")
    for axis, number in zip("yx", value, strict=True):
        require_number(f"{name} along {axis}", number, above=above, least=least, most=most)


def require_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise SceneError unless `value` is one of the choices."""
    names = tuple(choices)
    require(value in names, f"{name}={value!r}", "one of " + ", ".join(map(repr, names)))


def require_whole(name: str, value: object, *, least: int) -> None:
    """Raise SceneError unless `value` is an int of at least `least`."""
    good = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(good, f"{name}={value!r}", f"a whole number of at least {least}")


def _bounds(above: float, least: float, most: float) -> str:
    parts = []
    if above > -math.inf:
        parts.append(f"above {above:g}")
    if least > -math.inf:
        parts.append(f"of at least {least:g}")
    if most < math.inf:
        parts.append(f"of at most {most:g}")
    return " " + " and ".join(parts) if parts else ""
