"""Where the movies with truth and the real micrographs lie: EMREEL_DATA, or shared/data beside the checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("EMREEL_DATA", ROOT.parent / "shared" / "data"))


def require_data() -> Path:
    """The data folder, or the end of the program with one line that says what to do."""
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}. Set EMREEL_DATA to the folder that holds the movies.")
    return DATA
