"""HyperSpy's signals in and out: movies from signals, results as signals, regions and contours as markers.

    import emreel.hyperspy as eh
    model = eh.fit(signal, n_clusters=4)          # navigation axis = time
    labels = eh.apply(model, signal)              # a Segmentation; lazy where the signal is
    signal.add_marker(labels.contours(2))

Installed by ``pip install "emreel[hyperspy]"``; the signal type "segmentation" is known to HyperSpy from then on.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "HyperSpyError": "emreel.hyperspy.errors",
    "LazySegmentation": "emreel.hyperspy.signals",
    "Segmentation": "emreel.hyperspy.signals",
    "apply": "emreel.hyperspy.verbs",
    "fit": "emreel.hyperspy.verbs",
    "from_signal": "emreel.hyperspy.bridge",
    "region_markers": "emreel.hyperspy.markers",
    "to_signal": "emreel.hyperspy.bridge",
    "write_hspy": "emreel.hyperspy.files",
}

if TYPE_CHECKING:
    from emreel.hyperspy.bridge import from_signal as from_signal
    from emreel.hyperspy.bridge import to_signal as to_signal
    from emreel.hyperspy.errors import HyperSpyError as HyperSpyError
    from emreel.hyperspy.files import write_hspy as write_hspy
    from emreel.hyperspy.markers import region_markers as region_markers
    from emreel.hyperspy.signals import LazySegmentation as LazySegmentation
    from emreel.hyperspy.signals import Segmentation as Segmentation
    from emreel.hyperspy.verbs import apply as apply
    from emreel.hyperspy.verbs import fit as fit

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'emreel.hyperspy' has no attribute '{name}'")
    try:
        module = importlib.import_module(_HOMES[name])
    except ModuleNotFoundError as error:
        if error.name != "hyperspy":
            raise
        from emreel.hyperspy.errors import HyperSpyError

        raise HyperSpyError('HyperSpy is not installed. Type: pip install "emreel[hyperspy]"') from error
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
