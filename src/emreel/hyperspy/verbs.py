"""Fit on a signal, label a signal; laziness and progress as HyperSpy has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from hyperspy.api import preferences

from emreel.fit import fit_model
from emreel.hyperspy.bridge import from_signal
from emreel.hyperspy.errors import HyperSpyError
from emreel.hyperspy.signals import Segmentation, describe_classes, parse_colors
from emreel.label import label_stream
from emreel.model import Model
from emreel.movie import pixel_size_nm
from emreel.progress import Event, Note, Progress, StageStarted, StepsDone, ignore
from emreel.recipe import Recipe


def fit(
    signal: Any,
    n_clusters: int | None = None,
    *,
    recipe: Recipe | None = None,
    navigation_mask: Any | None = None,
    signal_mask: Any | None = None,
    show_progressbar: bool | None = None,
) -> Model:
    """Fit a model on a signal; see `emreel.fit_model` and `from_signal`.

    Parameters
    ----------
    signal : Signal2D, navigation axis = time; or a list of them, fitted together (then without masks).
    n_clusters : number of phases; found when left out.
    show_progressbar : whether progress is shown; left out: HyperSpy's own preference.

    Raises
    ------
    HyperSpyError, emreel.fit.FitError, emreel.cluster.ClusterError
    """
    signals = signal if isinstance(signal, list | tuple) else [signal]
    if len(signals) > 1 and (navigation_mask is not None or signal_mask is not None):
        raise HyperSpyError("masks are for one signal. Give one signal, or cut the signals before: signal.inav[...].")
    movies = [from_signal(one, navigation_mask=navigation_mask, signal_mask=signal_mask) for one in signals]
    return fit_model(movies, recipe, n_clusters=n_clusters, progress=_listener(show_progressbar))


def apply(
    model: Model,
    signal: Any,
    *,
    signal_mask: Any | None = None,
    lazy_output: bool | None = None,
    show_progressbar: bool | None = None,
    any_pixel_size: bool = False,
) -> Any:
    """Label every frame of a signal.

    Computed at once, the labels are those of `emreel.label_movie`, to the bit: kept still in time where the model does
    so, grains followed from frame to frame. Lazy ones are told frame by frame, by HyperSpy's own ``map``, each frame by
    itself. For long movies, with results on disk, use ``emreel.label_movie(from_signal(signal), model, PATH)``.

    Parameters
    ----------
    signal_mask : True for pixels to leave out, as in `from_signal`; they become 254 (invalid) away from the rest.
    lazy_output : whether the labels are computed later; left out: as the signal is.
    any_pixel_size : label although the pixel size differs from the model's by more than 1 %.

    Returns
    -------
    Segmentation : with the signal's axes and metadata; ``metadata.Segmentation.in_time`` tells which of both it is.

    Raises
    ------
    HyperSpyError : no pictures, a mask that does not fit, a lazy output of a model that must see frames in their order.
    emreel.model.ModelError : the pixel sizes differ.
    """
    movie = from_signal(signal, signal_mask=signal_mask)  # checks both
    if not any_pixel_size:
        model.check_pixel_size(pixel_size_nm(movie))
    lazy = bool(signal._lazy if lazy_output is None else lazy_output)
    if lazy:
        labels = _label_later(model, signal, signal_mask)
    else:
        labels = signal._deepcopy_with_new_data(_label_now(model, movie, show_progressbar).reshape(signal.data.shape))
        labels._lazy = False
    labels.set_signal_type(Segmentation._signal_type)
    described = describe_classes(model.label_names, parse_colors(model.label_colors))
    told = {"model_digest": model.digest, "in_time": not lazy}
    labels.metadata.add_dictionary({"Segmentation": described | told})
    return labels


def _label_now(model: Model, movie: xr.DataArray, show_progressbar: bool | None) -> npt.NDArray[np.uint8]:
    progress, n_frames = _listener(show_progressbar), movie.sizes["time"]
    labels = np.empty(movie.shape, np.uint8)
    progress(StageStarted("label", n_frames))
    frames = (frame.to_numpy() for frame in movie)
    for number, told in enumerate(label_stream(frames, model)):
        labels[number] = told.label
        progress(StepsDone("label", number + 1, n_frames))
    return labels


def _label_later(model: Model, signal: Any, signal_mask: Any | None) -> Any:
    if model.follow != "none" or model.grains is not None:
        raise HyperSpyError(
            "this model follows the movie from frame to frame, so its labels cannot be lazy. Take lazy_output=False, "
            "or emreel.label_movie(from_signal(signal), model, PATH), then to_signal of the result."
        )
    return signal.map(
        _label_frame,
        model=model,
        left_out=None if signal_mask is None else np.asarray(getattr(signal_mask, "data", signal_mask), bool),
        inplace=False,
        lazy_output=True,
        output_dtype=np.uint8,
        output_signal_size=tuple(int(size) for size in signal.data.shape[-2:]),
        ragged=False,
    )


def _label_frame(
    frame: npt.NDArray[Any], model: Model, left_out: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.uint8]:
    if left_out is not None:
        frame = np.where(left_out, np.float32(np.nan), frame.astype(np.float32))
    return model.label(frame)


def _listener(show_progressbar: bool | None) -> Progress:
    shown = preferences.General.show_progressbar if show_progressbar is None else show_progressbar
    if not shown:
        return ignore
    from tqdm.auto import tqdm

    bars: dict[str, Any] = {}

    def listen(event: Event) -> None:
        if isinstance(event, StageStarted):
            bars[event.name] = tqdm(total=event.n_steps or None, desc=event.name)
        elif isinstance(event, StepsDone):
            bar = bars.get(event.name)
            if bar is not None:
                bar.update(event.n_done - bar.n)
                if event.n_done == event.n_total:
                    bar.close()
        elif isinstance(event, Note):
            tqdm.write(event.text)

    return listen
