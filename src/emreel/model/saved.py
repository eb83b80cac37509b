"""A saved model: a zarr group of arrays, and JSON. Nothing is pickled."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from emreel.cluster.field import IntensityField
from emreel.descriptors.registry import build_descriptor, describe_descriptor
from emreel.model.errors import ModelError
from emreel.polycrystal import GrainFollower
from emreel.prepare import Prepare
from emreel.provenance import Provenance
from emreel.refine import Novelty, Potts, Steady

if TYPE_CHECKING:
    from emreel.model.model import Model

Part = TypeVar("Part")

SCHEMA = "emreel-model/2"


def arrays_of(model: Model) -> dict[str, npt.NDArray[Any]]:
    """What of a model is numbers, by name."""
    arrays = {
        "mean": model.mean,
        "centers": model.centers,
        "unknown_sq_distance": model.unknown_sq_distance,
        "counts": model.counts,
    }
    if model.components is not None:
        arrays["components"] = model.components
    if model.field is not None:
        arrays["field"] = model.field.coefficients
    return arrays


def describe_model(model: Model, *, with_names: bool = True) -> dict[str, Any]:
    """All else, plain JSON; names, colours and provenance decide no label."""
    described: dict[str, Any] = {
        "descriptor": describe_descriptor(model.descriptor),
        "features": [{"name": feature.name, "units": feature.units} for feature in model.descriptor.features],
        "prepare": {entry.name: getattr(model.prepare, entry.name) for entry in fields(model.prepare)},
        "field": None
        if model.field is None
        else {"channel": model.field.channel, "shape_yx": list(model.field.shape_yx)},
        "refine": {
            "upsample": model.upsample,
            "temperature": model.temperature,
            "potts": None if model.potts is None else asdict(model.potts),
        },
        "time": {"follow": model.follow} | ({} if model.steady is None else {"steady": asdict(model.steady)}),
        "scatter": model.scatter,
        "pixel_size_nm": model.pixel_size_nm,
    }
    if not model.survey:
        described["survey"] = False
    if model.novelty is not None:
        described["refine"]["novelty"] = asdict(model.novelty)
    if model.grains is not None:
        described["grains"] = asdict(model.grains) | {"weights": list(model.grains.weights)}
    described["prepare"]["display_range"] = list(model.prepare.display_range)
    if with_names:
        described["labels"] = [
            {"value": i + 1, "name": name, "color": color}
            for i, (name, color) in enumerate(zip(model.label_names, model.label_colors, strict=True))
        ]
        described["provenance"] = model.provenance.to_dict()
    return described


def values_of(head: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The fields of a model from what was written of it. Raises KeyError, TypeError, ValueError, EmreelError."""
    descriptor = dict(head["descriptor"])
    prepare = dict(head["prepare"])
    prepare["display_range"] = tuple(prepare["display_range"])
    return {
        "descriptor": build_descriptor(descriptor.pop("name"), descriptor),
        "prepare": Prepare(**prepare),
        "mean": arrays["mean"],
        "components": arrays.get("components"),
        "centers": arrays["centers"],
        "scatter": float(head["scatter"]),
        "unknown_sq_distance": arrays["unknown_sq_distance"],
        "counts": arrays["counts"],
        "field": _field_of(head["field"], arrays),
        "upsample": str(head["refine"]["upsample"]),
        "temperature": float(head["refine"]["temperature"]),
        "potts": _built(Potts, head["refine"]["potts"]),
        "novelty": _built(Novelty, head["refine"].get("novelty")),
        "survey": bool(head.get("survey", True)),
        "steady": _built(Steady, head["time"].get("steady")),
        "follow": str(head["time"]["follow"]),
        "grains": _built(GrainFollower, head.get("grains")),
        "pixel_size_nm": head["pixel_size_nm"],
        "label_names": tuple(label["name"] for label in head["labels"]),
        "label_colors": tuple(label["color"] for label in head["labels"]),
        "provenance": Provenance.from_dict(head["provenance"]),
    }


def write_model(path: str | os.PathLike[str], head: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write what was described; a model that is there is replaced. Raises ModelError."""
    import zarr

    target = Path(path)
    if target.exists() and not (target / "zarr.json").is_file():
        raise ModelError(f"{target} exists and is not a saved model. Choose another name.")
    try:
        group = zarr.open_group(str(target), mode="w", zarr_format=3)
        group.attrs["emreel_model"] = {"schema": SCHEMA, **head}
        for name, array in arrays.items():
            group.create_array(name, data=array)
    except OSError as error:
        raise ModelError(f"cannot write the model {target}: {error}. Choose another place.") from error


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """What `write_model` wrote. Raises ModelError: missing, damaged, another schema."""
    import zarr

    try:
        group = zarr.open_group(str(path), mode="r", zarr_format=3)
        head = json.loads(json.dumps(group.attrs.asdict()["emreel_model"]))
        arrays = {name: np.asarray(array[...]) for name, array in group.arrays()}
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{os.fspath(path)} is not a saved model ({type(error).__name__}: {error}).") from None
    if head.get("schema") != SCHEMA:
        raise ModelError(f"{os.fspath(path)} has schema {head.get('schema')!r}, wanted {SCHEMA!r}. Fit it again.")
    return head, arrays


def _built(kind: Callable[..., Part], described: Mapping[str, Any] | None) -> Part | None:
    """A part of a model from its plain values, where it has one."""
    return None if described is None else kind(**described)


def _field_of(described: Mapping[str, Any] | None, arrays: Mapping[str, npt.NDArray[Any]]) -> IntensityField | None:
    if described is None:
        return None
    height, width = described["shape_yx"]
    return IntensityField(
        coefficients=arrays["field"], channel=int(described["channel"]), shape_yx=(int(height), int(width))
    )
