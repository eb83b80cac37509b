"""Scenes by name, from flat parameters such as a catalog or a command line gives them."""

from __future__ import annotations

from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any

from emreel.synthetic.checks import SceneError
from emreel.synthetic.decahedron import Decahedron
from emreel.synthetic.front import AmorphousFront
from emreel.synthetic.grains import GrainGrowth
from emreel.synthetic.lamella import TwinLamella
from emreel.synthetic.ordering import OrderDisorder
from emreel.synthetic.scene import Scene

#: Every kind of scene by its name.
SCENES: dict[str, type[Scene]] = {
    scene.kind: scene for scene in (AmorphousFront, TwinLamella, Decahedron, GrainGrowth, OrderDisorder)
}
_PARTS = ("optics", "drift", "detector")


def make_scene(kind: str, **parameters: Any) -> Scene:
    """Build a scene from its kind and flat parameters.

    The fields of the scene and those of its `optics`, `drift` and `detector` are given side by side,
    ``make_scene("front", velocity_nm_s=0.2, dose=4.0, jitter_px=0.5)``; what is left out keeps the kind's default.
    Lists are taken as tuples, so that parameters may come from YAML or JSON.

    Raises
    ------
    SceneError : unknown kind or parameter (with the nearest name), or values that make no movie.
    """
    if kind not in SCENES:
        raise SceneError(f"unknown kind {kind!r}; {_suggest(kind, SCENES)}")
    scene_class = SCENES[kind]
    defaults: dict[str, Any] = {field.name: field.default for field in fields(scene_class)}
    parts = {part: {field.name for field in fields(defaults[part])} for part in _PARTS}
    known = set(defaults).union(*parts.values())
    own: dict[str, Any] = {}
    of_part: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
    for name, value in parameters.items():
        if name not in known:
            raise SceneError(f"unknown parameter {name!r} of scene {kind!r}; {_suggest(name, known)}")
        part = next((part for part in _PARTS if name in parts[part]), None)
        (own if part is None else of_part[part])[name] = _frozen(value)
    for part, given in of_part.items():
        if given:
            own[part] = replace(own.get(part, defaults[part]), **given)
    return scene_class(**own)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _suggest(name: str, known: Any) -> str:
    near = get_close_matches(str(name), sorted(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(sorted(known)) + "."
