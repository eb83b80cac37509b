"""Results as .hspy files."""

from __future__ import annotations

import os
from pathlib import Path

from emreel.hyperspy.bridge import to_signal
from emreel.result import Result
from emreel.view.files import replacing


def write_hspy(result: Result, path: Path, *, overwrite: bool) -> None:
    """Write the labels as HyperSpy's own file, frame by frame; see `emreel.view.export_result`."""
    with replacing(path, overwrite=overwrite) as partial:
        named = partial.with_suffix(".hspy")  # HyperSpy goes by the ending
        try:
            to_signal(result).save(named, overwrite=True)
            os.replace(named, partial)
        finally:
            named.unlink(missing_ok=True)
