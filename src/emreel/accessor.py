"""``.emreel`` on every DataArray: fit, label, fronts and overlay. Coordinates and attributes stay.

    movie = er.open_movie("heating.mrc")
    model = movie.emreel.fit(n_clusters=4)
    labels = movie.emreel.label(model)        # lazy where the movie is
    labels.emreel.fronts(between=((1, 2), (3, 4)))
    movie.emreel.overlay(labels)[3].plot.imshow()

Known as soon as one of emreel's own names has been used, or by ``import emreel.accessor``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    import pandas as pd

    from emreel.model import Model
    from emreel.recipe import Recipe


@xr.register_dataarray_accessor("emreel")  # type: ignore[no-untyped-call]
class EmreelArray:
    """What emreel does with a movie, or with labels, dims (time, y, x) or (y, x)."""

    def __init__(self, array: xr.DataArray) -> None:
        self._array = array

    def fit(self, n_clusters: int | None = None, *, recipe: Recipe | None = None) -> Model:
        """Fit a model on the movie, see `emreel.fit_model`."""
        from emreel.fit import fit_model

        return fit_model(self._array, recipe, n_clusters=n_clusters)

    def label(self, model: Model) -> xr.DataArray:
        """The movie's labels, uint8: 1..K, 254 invalid, 255 unknown.

        Of a movie in memory they are those of `emreel.label_movie`, to the bit. Of a lazy one they are lazy, and each
        frame is told by itself; `emreel.label_movie` keeps labels still in time, and writes them, resumable.

        Raises
        ------
        emreel.movie.MovieError : no movie. ModelError : another pixel size, or a lazy movie for a model that needs the
            frames in their order.
        """
        from emreel.label import label_stream
        from emreel.model import ModelError
        from emreel.movie import check_movie, pixel_size_nm

        movie = check_movie(self._array)
        model.check_pixel_size(pixel_size_nm(movie))
        if movie.chunks is None:
            labels = movie.copy(data=np.stack([told.label for told in label_stream(movie.to_numpy(), model)]))
        elif model.follow != "none" or model.grains is not None:
            raise ModelError("this model follows the movie from frame to frame. Use emreel.label_movie.")
        else:
            labels = xr.apply_ufunc(
                model.label,
                movie.chunk({"y": -1, "x": -1}),
                input_core_dims=[["y", "x"]],
                output_core_dims=[["y", "x"]],
                vectorize=True,
                dask="parallelized",
                output_dtypes=[np.uint8],
                keep_attrs=True,
            )
        named = {"units": "1", "label_names": list(model.label_names), "label_colors": list(model.label_colors)}
        return labels.rename("label").assign_attrs(named | {"model_digest": model.digest})

    def fronts(self, *, axis: Any = "y", between: Any = None) -> pd.DataFrame:
        """Fronts between sets of labels, of these labels; see `emreel.track_fronts`.

        Raises
        ------
        emreel.track.errors.TrackError : sides or an axis that do not fit.
        """
        from emreel.track.fronts import track_fronts

        return track_fronts(self._array, axis=axis, between=between)

    def overlay(
        self, labels: xr.DataArray, *, colors: Sequence[str] | None = None, opacity: float | None = None
    ) -> xr.DataArray:
        """The movie tinted by its labels: dims of the movie and ``rgb``, uint8, lazy where the movie is.

        Parameters
        ----------
        labels : on the movie's grid. colors : "#rrggbb" of the classes 1..K; left out: the labels' own
            (``attrs["label_colors"]``).
        opacity : share of the colour, 0 to 1.

        Raises
        ------
        emreel.view.ViewError : no colours are known, or labels of another grid.
        """
        from emreel.result.appearance import parse_color
        from emreel.view.errors import ViewError
        from emreel.view.overlay import OPACITY, overlay_rgb

        known = labels.attrs.get("label_colors") if colors is None else colors
        if known is None:
            raise ViewError('these labels have no colours of their own. Give them: colors=["#0072b2", ...].')
        if dict(labels.sizes) != dict(self._array.sizes):
            raise ViewError(f"got labels of {dict(labels.sizes)} for a movie of {dict(self._array.sizes)}.")
        palette = [parse_color(color) for color in known]
        low, high = self._display_range()

        def tint(frame: Any, label: Any) -> Any:
            gray = np.clip((frame.astype(np.float32) - low) * (255 / (high - low)), 0, 255)
            gray = np.nan_to_num(gray).astype(np.uint8)
            return overlay_rgb(gray, label, palette, OPACITY if opacity is None else opacity)

        tinted: xr.DataArray = xr.apply_ufunc(
            tint,
            *(array if array.chunks is None else array.chunk({"y": -1, "x": -1}) for array in (self._array, labels)),
            input_core_dims=[["y", "x"], ["y", "x"]],
            output_core_dims=[["y", "x", "rgb"]],
            vectorize=True,
            dask="parallelized",
            output_dtypes=[np.uint8],
            dask_gufunc_kwargs={"output_sizes": {"rgb": 3}},
            keep_attrs=True,
            join="override",
        )
        return tinted.rename("overlay").assign_attrs(units="1")

    def _display_range(self) -> tuple[float, float]:
        """Counts shown black and white: 0.5 % and 99.5 % of a frame in the middle."""
        middle = self._array if self._array.ndim == 2 else self._array[self._array.shape[0] // 2]
        low, high = np.nanpercentile(middle.values, (0.5, 99.5))
        return float(low), float(max(high, low + 1e-6))
