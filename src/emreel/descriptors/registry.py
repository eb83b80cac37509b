"""Descriptors by name: how recipes and saved models find them. Nothing is imported before it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from emreel.descriptors.base import Descriptor, Fold
from emreel.movie import EmreelError
from emreel.names import Registry, did_you_mean

BUILT_IN = {
    "lattice": "emreel.descriptors.lattice:Lattice",
    "ring": "emreel.descriptors.ring:Ring",
    "gabor": "emreel.descriptors.gabor:GaborBank",
    "translation": "emreel.descriptors.translation:TranslationSymmetry",
    "preselected": "emreel.descriptors.translation:PreselectedTranslations",
    "intensity": "emreel.descriptors.intensity:Intensity",
    "combined": "emreel.descriptors.combined:Combined",
    "selected": "emreel.descriptors.selected:Selected",
    "spectrum": "emreel.descriptors.spectrum:PowerSpectrum",
    "rotation": "emreel.descriptors.rotation:RotationSymmetry",
    "reflection": "emreel.descriptors.reflection:ReflectionSymmetry",
    "glide": "emreel.descriptors.glide:GlideSymmetry",
    "radon": "emreel.descriptors.radon:RadonVariance",
    "chips": "emreel.descriptors.chips:Chips",
}


class DescriptorError(EmreelError, ValueError):
    """A descriptor that is not known, or fields that it does not have."""


_REGISTRY = Registry(kind="descriptor", built_in=BUILT_IN, group="emreel.descriptors", error=DescriptorError)
#: Every name that a recipe may use, and the class behind one.
descriptor_names, descriptor_class = _REGISTRY.names, _REGISTRY.find


def build_descriptor(name: str, fields: Mapping[str, Any]) -> Descriptor:
    """A descriptor from its name and fields (lists become tuples); the reverse of `describe_descriptor`."""
    cls = descriptor_class(name)
    check_fields(name, fields)
    built: Descriptor = cls(**{key: _built(value) for key, value in fields.items()})
    return built


def suggest_descriptor(name: str, given: Mapping[str, Any], fold: Fold) -> Descriptor:
    """A descriptor with what is not given learned from the movie, if its class can."""
    cls = descriptor_class(name)
    if not hasattr(cls, "suggest"):
        return build_descriptor(name, given)
    check_fields(name, given)
    suggested: Descriptor = cls.suggest({key: _frozen(value) for key, value in given.items()}, fold)
    return suggested


def describe_descriptor(descriptor: Descriptor) -> dict[str, Any]:
    """Name and fields as plain JSON values."""
    fields = [field.name for field in dataclasses.fields(descriptor) if field.init]  # type: ignore[arg-type]
    return {"name": descriptor.name, **{key: _plain(getattr(descriptor, key)) for key in fields}}


def check_fields(name: str, fields: Mapping[str, Any]) -> None:
    """Refuse fields that the descriptor, or a descriptor inside it, does not have.

    Raises
    ------
    DescriptorError : an unknown name or field, with a suggestion.
    """
    known = [field.name for field in dataclasses.fields(descriptor_class(name)) if field.init]
    for key, value in fields.items():
        if key not in known:
            raise DescriptorError(f"unknown key '{key}' of descriptor '{name}'{did_you_mean(key, known)}")
        for inner in value if isinstance(value, list | tuple) else [value]:
            if isinstance(inner, Mapping):
                check_fields(*split_name(inner))


def split_name(described: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and the fields of a descriptor written as a mapping, as `describe_descriptor` does.

    Raises
    ------
    DescriptorError : no name.
    """
    fields = dict(described)
    name = fields.pop("name", None)
    if not isinstance(name, str):
        raise DescriptorError(f"got {described!r} for a descriptor, wanted a table with its name: {{name = 'gabor'}}.")
    return name, fields


def _built(value: Any) -> Any:
    """Lists as tuples, mappings as the descriptors that they describe."""
    if isinstance(value, list | tuple):
        return tuple(_built(item) for item in value)
    return build_descriptor(*split_name(value)) if isinstance(value, Mapping) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Descriptor):
        return describe_descriptor(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
